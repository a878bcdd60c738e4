"""What makes the simple strategies themselves; what all strategies share is in test_strategy_contract."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable

import pytest
from spaces import flat_space, nested_space

from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.errors import ArchitectureError, SearchSpaceError
from fxnas.space import SearchSpace
from fxnas.strategies import GridSearch, LocalSearch, RandomSearch, RegularizedEvolution, Strategy
from fxnas.strategy_contract import separable


def small_evolution(space: SearchSpace, **options: int) -> RegularizedEvolution:
    return RegularizedEvolution(space, **{"population": 4, "sample_size": 2, **options})


def reward(architecture: Architecture) -> float:
    """A smooth function of the architecture, different for all decisions."""
    return sum(sum(i + 1 for i in decision) * (n + 1) for n, decision in enumerate(architecture.values()))


def run(strategy: Strategy, trials: int) -> list[Architecture]:
    asked = []
    for _ in range(trials):
        asked.append(strategy.ask())
        strategy.tell(asked[-1], reward(asked[-1]))
    return asked


@pytest.mark.parametrize("make", [RandomSearch, small_evolution])
def test_says_what_it_cannot_use(make: Callable[..., Strategy]) -> None:
    space = nested_space()
    with pytest.raises(SearchSpaceError, match="one reward, got 2 objectives"):
        make(space).tell(space.default, (0.5, 0.2))
    for refused in ("good", "0.5", object()):
        with pytest.raises(SearchSpaceError, match="a reward is a number or None"):
            make(space).tell(space.default, refused)
    with pytest.raises(ArchitectureError, match="nowhere"):
        make(space).tell({"nowhere": (0,)}, 1.0)
    with pytest.raises(SearchSpaceError, match=r"such as graph\.space, got 'space.json'"):
        make("space.json")
    with pytest.raises(SearchSpaceError, match="seed"):
        make(space, seed=0.5)


def test_the_first_success_of_an_architecture_is_remembered() -> None:
    space = flat_space()
    strategy = RandomSearch(space)
    for reward, remembered in ((None, None), (math.nan, None), (2.0, 2.0), (None, 2.0), (3.0, 2.0)):
        strategy.tell(space.default, reward)
        assert strategy.rewards == {space.default: remembered}
    assert [number for _, number in strategy.told] == [None, None, 2.0, None, 3.0]


def test_grid_search_counts_through_the_space() -> None:
    space = nested_space()
    strategy = GridSearch(space)
    assert run(strategy, space.size) == [space.architecture(i) for i in range(space.size)]
    assert strategy.done
    assert strategy.ask() == space.architecture(0)


def test_random_search_is_uniform_over_architectures() -> None:
    # outer=flat has 4 architectures, outer=deep 36: a fair draw takes flat in a tenth of the cases, not in half
    space = nested_space()
    strategy = RandomSearch(space)
    drawn = Counter(strategy.ask()["outer"] for _ in range(2000))
    expected = 2000 * 4 / space.size
    assert abs(drawn[(0,)] - expected) < 5 * math.sqrt(expected)


class TestRegularizedEvolution:
    def test_first_fills_the_population_evenly(self) -> None:
        space = flat_space(candidates=4)
        starts = [run(small_evolution(space, seed=seed, population=8), 8) for seed in range(2)]
        for start in starts:
            for key in space:
                assert sorted(architecture[key] for architecture in start) == [(i // 2,) for i in range(8)]
        assert starts[0] != starts[1]

    def test_a_child_is_the_best_of_the_sample_moved_by_one_step(self) -> None:
        space = flat_space()
        members = [space.sample(random.Random(i)) for i in range(5)]
        children = []
        for seed in range(200):
            strategy = RegularizedEvolution(space, seed=seed, population=5, sample_size=2)
            for number, member in enumerate(members):
                strategy.tell(member, float(number == 2))
            children.append(strategy.ask())
        from_best = [child for child in children if child in space.neighbors(members[2])]
        # two different members of five include the best in 2/5 of the tournaments
        assert len(from_best) / 200 == pytest.approx(0.4, abs=0.1)
        assert not set(members) & set(children)

    def test_every_change_of_the_winner_is_equally_likely(self) -> None:
        space = SearchSpace(
            [Choice("few", "layer_choice", ("a", "b"), 1), Choice("many", "layer_choice", tuple("abcdefghij"), 1)]
        )
        few = 0
        for seed in range(300):
            strategy = RegularizedEvolution(space, seed=seed, population=1, sample_size=1)
            strategy.tell(space.default, 1.0)
            few += strategy.ask()["few"] == (1,)
        assert few / 300 == pytest.approx(0.1, abs=0.06)

    def test_a_known_child_becomes_a_member_without_a_trial(self) -> None:
        space = flat_space(choices=1, candidates=3)
        worse, better, new = (space.architecture(number) for number in range(3))
        grown = 0
        for seed in range(20):
            strategy = RegularizedEvolution(space, seed=seed, population=3, sample_size=3)
            for architecture, reward in ((worse, 0.0), (better, 1.0), (better, 1.0)):
                strategy.tell(architecture, reward)
            assert strategy.ask() == new
            grown += strategy.members[-1] == (worse, 0.0)
            assert len(strategy.told) == 3
        assert 0 < grown < 20  # half of the first children are `worse`

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


class TestLocalSearch:
    def test_climbs_by_single_changes_and_never_repeats(self) -> None:
        space = flat_space()
        strategy = LocalSearch(space)
        best, proposals = None, []
        for _ in range(40):
            proposal = strategy.ask()
            if best is not None and strategy.center is not None:
                assert proposal in space.neighbors(best)
            strategy.tell(proposal, separable(proposal))
            proposals.append(proposal)
            best = strategy.center
        assert len(set(proposals)) == 40

    def test_starts_anew_at_a_local_optimum(self) -> None:
        space = flat_space(choices=2, candidates=2)
        strategy = LocalSearch(space)
        top = strategy.ask()
        strategy.tell(top, 9.0)
        for _ in range(2):
            strategy.tell(strategy.ask(), 1.0)
        assert strategy.center == top
        assert strategy.ask() not in space.neighbors(top)
        assert strategy.center is None

    def test_moves_over_known_neighbors_without_a_trial(self) -> None:
        space = flat_space(choices=2, candidates=2)
        strategy = LocalSearch(space)
        start, better, worse, new = (space.architecture(i) for i in range(4))
        for architecture, reward in ((worse, 0.5), (better, 2.0), (start, 1.0)):
            strategy.tell(architecture, reward)
        strategy.center = start
        assert strategy.ask() == new
        assert strategy.center == better
