"""Strategies around strategies: no repeats, limits, budgets."""

from __future__ import annotations

import random

import pytest
from search_help import asked

from fxnas.architecture import Architecture
from fxnas.errors import SearchSpaceError
from fxnas.strategies import (
    Budgeted,
    Constrained,
    Deduped,
    GridSearch,
    LocalSearch,
    Nsga2,
    RandomSearch,
    RegularizedEvolution,
    Strategy,
)
from fxnas.strategy_contract import flat_space, nested_space


class Stubborn(Strategy):
    """Proposes the same architecture again and again."""

    def propose(self, rng: random.Random) -> Architecture:
        return self.space.default


class TestWrappers:
    def test_deduped_visits_the_whole_space(self) -> None:
        space = nested_space()
        strategy = Deduped(RegularizedEvolution(space, population=5, sample_size=2))
        assert len(set(asked(strategy, space.size))) == space.size
        assert strategy.done

    def test_constrained_keeps_to_the_limit(self) -> None:
        space = flat_space()

        def cost(architecture: Architecture) -> float:
            return sum(decision[0] for decision in architecture.values())

        strategy = Constrained(RegularizedEvolution(space, population=10, sample_size=3), cost, 7)
        assert all(cost(a) <= 7 for a in asked(strategy, 100))
        assert 0.2 < strategy.share < 0.5

    def test_constrained_says_that_nothing_fits(self) -> None:
        with pytest.raises(SearchSpaceError, match="none of 4 architectures costs at most 0: the cheapest costs 1"):
            Constrained(RandomSearch(flat_space(choices=1)), lambda _: 1, 0)

    def test_constrained_ends_where_the_strategy_never_fits(self) -> None:
        space = flat_space(choices=10)
        grid = GridSearch(space)  # starts with a million architectures whose c0 is op0
        strategy = Constrained(grid, lambda a: float(a["c0"] != (3,)), 0)
        assert {a["c0"] for a in asked(strategy, 3)} == {(3,)}

    def test_budgeted_ends(self) -> None:
        strategy = Budgeted(RandomSearch(flat_space()), 10, lambda _: 4.0)
        asked(strategy, 3)
        assert strategy.done
        with pytest.raises(SearchSpaceError, match=r"the budget of 10 is spent \(12\)"):
            strategy.ask()

    def test_wrappers_wrap_each_other(self) -> None:
        space = flat_space(choices=2)
        strategy = Budgeted(Deduped(Constrained(RandomSearch(space), lambda a: a["c0"][0], 1)), 8)
        assert len(set(asked(strategy, 8))) == 8
        assert strategy.settings["strategy"]["strategy"]["strategy"]["name"] == "RandomSearch"  # type: ignore[index]

    def test_deduped_proposes_near_a_repeat_and_does_not_retell_it(self) -> None:
        space = flat_space()
        inner = Stubborn(space)
        strategy = Deduped(inner)
        strategy.tell(space.default, 1.0)
        for neighbor in space.neighbors(space.default):
            strategy.tell(neighbor, 0.0)
        proposal = strategy.ask()
        assert len(proposal.diff(space.default)) == 2
        assert inner.told[-1] == (space.default, None)
        assert inner.rewards[space.default] == 1.0

    def test_deduped_keeps_to_the_limit_inside_and_ends(self) -> None:
        space = flat_space(choices=3)
        strategy = Deduped(Constrained(RandomSearch(space), lambda a: sum(d[0] for d in a.values()), 2))
        proposals = []
        while not strategy.done:
            proposals.append(strategy.ask())
            strategy.tell(proposals[-1], 1.0)
        assert all(sum(d[0] for d in a.values()) <= 2 for a in proposals)
        assert len(set(proposals)) == 10  # of 64; the last proposal lets the first repeat through
        assert len(proposals) <= 11

    def test_an_inner_budget_ends_the_search_without_an_error(self) -> None:
        space = flat_space()
        strategy = Constrained(Budgeted(GridSearch(space), 5), lambda a: float(a["c0"] != (3,)), 0)
        assert strategy.ask()["c0"] == (3,)  # the five grid points all cost too much
        assert strategy.done

    def test_several_objectives_pass_through(self) -> None:
        inner = Nsga2(flat_space())
        strategy = Deduped(Constrained(inner, len, 6))
        for _ in range(3):
            strategy.tell(strategy.ask(), (1.0, 2.0))
        assert [point for _, point in inner.results] == [(1.0, 2.0)] * 3

    @pytest.mark.parametrize("price", [None, "3", "dear", [1, 2], 1j])
    def test_a_cost_that_is_no_number_is_told(self, price: object) -> None:
        def flops(architecture: Architecture) -> float:
            return price  # type: ignore[return-value]

        with pytest.raises(SearchSpaceError, match=r"a cost is a number, .*flops gave .* for .*c0") as told:
            Constrained(RandomSearch(flat_space()), flops, 6)
        assert repr(price) in str(told.value)

    def test_numbers_of_other_libraries_are_costs(self) -> None:
        numpy = pytest.importorskip("numpy")
        assert Constrained(RandomSearch(flat_space()), lambda a: numpy.float32(len(a)), 6).share == 1

    @pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
    def test_what_is_not_finite_is_unaffordable_and_not_the_cheapest(self, odd: float) -> None:
        space = flat_space(choices=2)

        def cost(architecture: Architecture) -> float:
            return odd if architecture["c0"] == (0,) else 7.0 + architecture["c0"][0]

        with pytest.raises(SearchSpaceError, match=r"none of 16 architectures costs at most 5: the cheapest costs 8$"):
            Constrained(RandomSearch(space), cost, 5)
        with pytest.raises(SearchSpaceError, match=r"none of 16 .* costs at most 5: no cost is finite$"):
            Constrained(RandomSearch(space), lambda a: odd, 5)
        allowed = Constrained(RandomSearch(space), cost, 100)
        assert allowed.share == 12 / 16
        assert not allowed.allows(space.default)
        assert (0,) not in [allowed.ask()["c0"] for _ in range(20)]

    def test_samples_of_a_larger_space_are_called_random(self) -> None:
        with pytest.raises(SearchSpaceError, match=r"none of 10 random .*: the cheapest costs 6; the space has more"):
            Constrained(RandomSearch(flat_space()), len, 5, samples=10)

    @pytest.mark.parametrize("samples", [0, -1, True, 1.5])
    def test_constrained_refuses_samples_that_are_no_number(self, samples: object) -> None:
        with pytest.raises(SearchSpaceError, match="samples is a whole number above 0"):
            Constrained(RandomSearch(flat_space()), len, 6, samples=samples)

    def test_a_failed_repeat_does_not_undo_what_is_known(self) -> None:
        space = flat_space()
        strategy = LocalSearch(space)
        strategy.tell(space.default, 5.0)
        strategy.tell(space.default, None)
        assert strategy.rewards[space.default] == 5.0
        assert strategy.center == space.default
