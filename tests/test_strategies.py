"""Search strategies: the contract that each keeps, and what makes each of them itself."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable

import pytest
from spaces import flat_space, nested_space

from fxnas.architecture import Architecture
from fxnas.errors import ArchitectureError, SearchSpaceError
from fxnas.space import SearchSpace
from fxnas.strategies import RandomSearch, RegularizedEvolution, Strategy

Make = Callable[..., Strategy]


def small_evolution(space: SearchSpace, **options: int) -> RegularizedEvolution:
    return RegularizedEvolution(space, **{"population": 4, "sample_size": 2, **options})


# A new strategy adds one line here and has the whole contract tested.
STRATEGIES = [RandomSearch, small_evolution]


def reward(architecture: Architecture) -> float:
    """A smooth function of the architecture, different for all decisions."""
    return sum(sum(i + 1 for i in decision) * (n + 1) for n, decision in enumerate(architecture.values()))


def run(strategy: Strategy, trials: int) -> list[Architecture]:
    asked = []
    for _ in range(trials):
        asked.append(strategy.ask())
        strategy.tell(asked[-1], reward(asked[-1]))
    return asked


@pytest.mark.parametrize("make", STRATEGIES)
@pytest.mark.parametrize("space", [flat_space(), nested_space()], ids=["flat", "nested"])
class TestContract:
    def test_asks_for_canonical_architectures_of_the_space(self, make: Make, space: SearchSpace) -> None:
        for architecture in run(make(space), 50):
            assert space.check(architecture) == space.canonical(architecture) == architecture

    def test_same_seed_same_proposals(self, make: Make, space: SearchSpace) -> None:
        assert run(make(space, seed=3), 30) == run(make(space, seed=3), 30)
        assert run(make(space, seed=3), 30) != run(make(space, seed=4), 30)

    def test_a_replay_continues_the_randomness(self, make: Make, space: SearchSpace) -> None:
        whole = run(make(space), 30)
        resumed = make(space)
        for architecture in whole[:17]:
            resumed.ask()
            resumed.tell(architecture, reward(architecture))
        assert run(resumed, 13) == whole[17:]

    def test_many_asks_before_a_tell(self, make: Make, space: SearchSpace) -> None:
        strategy = make(space)
        for architecture in [strategy.ask() for _ in range(12)]:
            strategy.tell(architecture, reward(architecture))
        assert space.check(strategy.ask())

    def test_takes_what_it_never_asked_for(self, make: Make, space: SearchSpace) -> None:
        strategy = make(space)
        for _ in range(6):
            strategy.tell(space.default, 1.0)
        assert space.check(strategy.ask())

    @pytest.mark.parametrize("failed", [None, math.nan])
    def test_survives_failed_trials(self, make: Make, space: SearchSpace, failed: float | None) -> None:
        strategy = make(space)
        for _ in range(12):
            strategy.tell(strategy.ask(), failed)
        assert space.check(strategy.ask())
        assert [number for _, number in strategy.told] == [None] * 12

    def test_refuses_what_it_cannot_use(self, make: Make, space: SearchSpace) -> None:
        with pytest.raises(SearchSpaceError, match="one reward, got 2 objectives"):
            make(space).tell(space.default, (0.5, 0.2))  # type: ignore[arg-type]
        with pytest.raises(SearchSpaceError, match="'good'"):
            make(space).tell(space.default, "good")  # type: ignore[arg-type]
        with pytest.raises(ArchitectureError, match="nowhere"):
            make(space).tell({"nowhere": (0,)}, 1.0)  # type: ignore[arg-type]
        with pytest.raises(SearchSpaceError, match="seed"):
            make(space, seed=0.5)


def test_proposals_do_not_depend_on_the_hash_seed(run_python: Callable[..., object], root: object) -> None:
    script = f"""
import sys; sys.path.insert(0, {str(root)!r} + "/tests")
from test_strategies import STRATEGIES, nested_space, run
print([[a.to_json() for a in run(make(nested_space()), 20)] for make in STRATEGIES])
"""
    outputs = {run_python("-c", script, PYTHONHASHSEED=seed).stdout for seed in ("0", "1", "77")}
    assert len(outputs) == 1


def test_random_search_is_uniform_over_architectures() -> None:
    # outer=flat has 4 architectures, outer=deep 36: a fair draw takes flat in a tenth of the cases, not in half
    space = nested_space()
    strategy = RandomSearch(space)
    drawn = Counter(strategy.ask()["outer"] for _ in range(2000))
    expected = 2000 * 4 / space.size
    assert abs(drawn[(0,)] - expected) < 5 * math.sqrt(expected)


class TestRegularizedEvolution:
    def test_first_fills_the_population_at_random(self) -> None:
        space = flat_space()
        assert run(RegularizedEvolution(space, population=10, sample_size=3), 10) == run(RandomSearch(space), 10)

    def test_a_child_is_the_best_of_the_sample_moved_by_one_step(self) -> None:
        space = flat_space()
        strategy = RegularizedEvolution(space, population=5, sample_size=5)
        members = [strategy.ask() for _ in range(5)]
        for number, member in enumerate(members):
            strategy.tell(member, float(number == 2))
        children = [strategy.ask() for _ in range(200)]
        from_best = [child for child in children if child in space.neighbors(members[2])]
        # (1 - (4/5)^5) of the tournaments include the best
        assert len(from_best) / 200 == pytest.approx(0.672, abs=0.1)
        assert members[2] not in children

    def test_the_oldest_dies_even_if_it_is_the_best(self) -> None:
        space = flat_space()
        strategy = RegularizedEvolution(space, population=3, sample_size=3)
        best, *others = [space.sample(random.Random(i)) for i in range(4)]
        for architecture in [best, *others]:
            strategy.tell(architecture, 9.0 if architecture == best else 1.0)
        assert [member for member, _ in strategy.members] == others

    def test_failed_trials_never_become_parents(self) -> None:
        strategy = small_evolution(flat_space())
        for _ in range(10):
            strategy.tell(strategy.ask(), None)
        assert not strategy.members

    def test_choices_that_come_into_play_are_drawn_at_random(self) -> None:
        space = nested_space()
        strategy = RegularizedEvolution(space, population=1, sample_size=1)
        strategy.tell(space.check({"outer": (0,), "skip": ()}), 1.0)
        inner = Counter(child["inner"] for child in (strategy.ask() for _ in range(300)) if "inner" in child)
        assert set(inner) == {(0,), (1,), (2,)}

    def test_a_space_of_one_architecture(self) -> None:
        space = flat_space(choices=2, candidates=1)
        strategy = RegularizedEvolution(space, population=1, sample_size=1)
        assert run(strategy, 3) == [space.default] * 3

    def test_finds_more_than_random_search(self) -> None:
        space = flat_space(choices=10)

        def best(strategy: Strategy) -> float:
            return max(map(reward, run(strategy, 150)))

        evolved = [best(RegularizedEvolution(space, seed=s, population=20, sample_size=5)) for s in range(10)]
        drawn = [best(RandomSearch(space, seed=s)) for s in range(10)]
        assert min(evolved) > max(drawn)

    @pytest.mark.parametrize(("population", "sample_size"), [(0, 0), (5, 6), (5, 0)])
    def test_refuses_sizes_that_do_not_fit(self, population: int, sample_size: int) -> None:
        with pytest.raises(SearchSpaceError, match="sample_size must lie in"):
            RegularizedEvolution(flat_space(), population=population, sample_size=sample_size)
