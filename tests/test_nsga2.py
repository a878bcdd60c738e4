"""NSGA-II, and the fronts that it goes by."""

from __future__ import annotations

import math

import pytest

from fxnas.architecture import Architecture
from fxnas.errors import SearchSpaceError
from fxnas.strategies import Nsga2, RandomSearch, Strategy
from fxnas.strategies.pareto import crowding, dominates, fronts
from fxnas.strategy_contract import flat_space


class TestNsga2:
    def test_fronts_and_crowding(self) -> None:
        points = [(1.0, 1.0), (2.0, 0.0), (0.0, 2.0), (0.0, 0.0), (2.0, 2.0)]
        assert fronts(points) == [[4], [0, 1, 2], [3]]
        assert dominates((1.0, 1.0), (1.0, 0.0))
        assert not dominates((1.0, 1.0), (1.0, 1.0))
        assert crowding([(0.0, 4.0), (1.0, 3.0), (4.0, 0.0)]) == [math.inf, 2.0, math.inf]

    def test_finds_the_front_of_two_objectives(self) -> None:
        space = flat_space(choices=8)

        def reward(architecture: Architecture) -> tuple[float, float]:
            indices = [decision[0] for decision in architecture.values()]
            return float(sum(indices[:4])) - sum(indices[4:]) / 9, float(-sum(indices))

        def ends(strategy: Strategy) -> tuple[float, float]:
            points = []
            for _ in range(300):
                proposal = strategy.ask()
                points.append(reward(proposal))
                strategy.tell(proposal, points[-1] if isinstance(strategy, Nsga2) else points[-1][0])  # type: ignore[arg-type]
            return max(p[0] for p in points), max(p[1] for p in points)

        found, drawn = ends(Nsga2(space)), ends(RandomSearch(space))
        assert found[0] > drawn[0] or found[1] > drawn[1]
        assert found[0] >= drawn[0] and found[1] >= drawn[1]

    def test_front_holds_what_nothing_beats(self) -> None:
        space = flat_space(choices=1, candidates=3)
        strategy = Nsga2(space)
        one, two, three = (space.architecture(i) for i in range(3))
        for architecture, reward in ((one, (1.0, 0.0)), (two, (0.0, 1.0)), (three, (0.0, 0.0))):
            strategy.tell(architecture, reward)
        assert strategy.front == [(one, (1.0, 0.0)), (two, (0.0, 1.0))]

    def test_refuses_another_number_of_objectives(self) -> None:
        strategy = Nsga2(flat_space())
        strategy.tell(strategy.space.default, (1.0, 2.0))
        with pytest.raises(SearchSpaceError, match="2 objectives are expected, got 3"):
            strategy.tell(strategy.space.default, (1.0, 2.0, 3.0))
