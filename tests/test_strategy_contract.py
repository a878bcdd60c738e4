"""Every strategy keeps the contract. A new strategy adds one class here."""

from __future__ import annotations

from fxnas.errors import SearchSpaceError
from fxnas.space import SearchSpace
from fxnas.strategies import (
    PPO,
    Budgeted,
    Constrained,
    Deduped,
    GridSearch,
    LocalSearch,
    Nsga2,
    PredictorSearch,
    RandomSearch,
    RegularizedEvolution,
    Strategy,
)
from fxnas.strategy_contract import StrategyContract


class TestRandomSearch(StrategyContract):
    learns = False

    def make(self, space: SearchSpace, seed: int) -> Strategy:
        return RandomSearch(space, seed=seed)


class TestGridSearch(StrategyContract):
    learns = False
    randomized = False
    exhaustive = True

    def make(self, space: SearchSpace, seed: int) -> Strategy:
        return GridSearch(space, seed=seed)


class TestRegularizedEvolution(StrategyContract):
    exhaustive = True

    def make(self, space: SearchSpace, seed: int) -> Strategy:
        return RegularizedEvolution(space, seed=seed, population=20, sample_size=5)


class TestLocalSearch(StrategyContract):
    exhaustive = True

    def make(self, space: SearchSpace, seed: int) -> Strategy:
        return LocalSearch(space, seed=seed)


class TestPPO(StrategyContract):
    exhaustive = True
    trials = 200

    def make(self, space: SearchSpace, seed: int) -> Strategy:
        return PPO(space, seed=seed)


class TestNsga2(StrategyContract):
    learns = False  # its two objectives contradict each other in the contract
    objectives = 2

    def make(self, space: SearchSpace, seed: int) -> Strategy:
        return Nsga2(space, seed=seed, population=6)


class TestPredictorSearch(StrategyContract):
    exhaustive = True
    trials = 30
    rounds = 20

    def make(self, space: SearchSpace, seed: int) -> Strategy:
        return PredictorSearch(space, seed=seed, initial=6)


class TestDeduped(StrategyContract):
    exhaustive = True

    def make(self, space: SearchSpace, seed: int) -> Strategy:
        return Deduped(RegularizedEvolution(space, seed=seed, population=5, sample_size=2))


class TestConstrained(StrategyContract):
    learns = False

    def make(self, space: SearchSpace, seed: int) -> Strategy:
        return Constrained(RandomSearch(space, seed=seed), lambda a: a.get("outer", (0,))[0], 1)


class TestBudgeted(StrategyContract):
    def make(self, space: SearchSpace, seed: int) -> Strategy:
        return Budgeted(LocalSearch(space, seed=seed), 1000)


try:
    from fxnas.strategies import OptunaSampler

    OptunaSampler(SearchSpace([]))
except SearchSpaceError:  # the extra isn't installed
    pass
else:

    class TestOptunaSampler(StrategyContract):
        rounds = 15
        exhaustive = True

        def make(self, space: SearchSpace, seed: int) -> Strategy:
            return OptunaSampler(space, seed=seed)

    class TestOptunaSamplerOfTwoObjectives(StrategyContract):
        rounds = 15
        exhaustive = True
        learns = False  # its two objectives contradict each other in the contract
        objectives = 2

        def make(self, space: SearchSpace, seed: int) -> Strategy:
            return OptunaSampler(space, seed=seed, objectives=2)
