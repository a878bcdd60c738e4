"""NSGA-II (Deb et al. 2002): evolution towards the whole front of several objectives."""

from __future__ import annotations

import random

from fxnas.architecture import Architecture
from fxnas.errors import SearchSpaceError
from fxnas.space import SearchSpace
from fxnas.strategies.base import Reward, Strategy, as_point
from fxnas.strategies.moves import crossed, mutated
from fxnas.strategies.pareto import Point, crowding, fronts

Member = tuple[Architecture, Point]


class Nsga2(Strategy):
    """NSGA-II, Deb et al. 2002 (doi:10.1109/4235.996017): rewards are tuples, each entry higher is better.

    The first `population` architectures are drawn uniformly. A child has each decision from one of two parents, and
    then moves one decision by one step. A parent is the better of two members: the one in the better front, and in the
    same front the one in the emptier region. After `population` further rewards the best of members and children stay.
    Failed trials never enter the population.

    Args:
        space: the space to search.
        seed: see `Strategy`.
        population: number of members, above 1.

    Attributes:
        members: the population: architectures with their rewards.
        results: every reward that was told, failed trials left out; `told` holds the first objective only.

    Raises:
        SearchSpaceError: the population is too small.
    """

    objectives = None

    def __init__(self, space: SearchSpace, *, seed: int = 0, population: int = 20) -> None:
        super().__init__(space, seed=seed)
        if population < 2:
            raise SearchSpaceError(f"population must be above 1, got {population}")
        self.population = population
        self.members: list[Member] = []
        self.results: list[Member] = []
        self._children: list[Member] = []
        self._fitness: list[tuple[int, float]] = []

    @property
    def settings(self) -> dict[str, object]:
        """Seed and population."""
        return super().settings | {"population": self.population}

    @property
    def front(self) -> list[Member]:
        """What no other result beats in all objectives: architectures with their rewards, in the order of the tells."""
        distinct = list(dict(self.results).items())
        best = fronts([point for _, point in distinct])[:1]
        return [distinct[i] for front in best for i in sorted(front)]

    def tell(self, architecture: Architecture, reward: Reward) -> None:
        """Learns that `architecture` earned `reward`.

        Args:
            architecture: any architecture of the space, asked for or not.
            reward: one number for each objective, higher is better; None, or NaN in one of them, means failed.

        Raises:
            ArchitectureError: the architecture isn't one of the space.
            SearchSpaceError: the reward isn't numbers, or not as many as before.
        """
        point = as_point(reward, len(self.results[0][1]) if self.results else None)
        super().tell(architecture, None if point is None else point[0])
        if point is None:
            return
        self.results.append((self.told[-1][0], point))
        self._children.append(self.results[-1])
        if len(self._children) >= self.population:
            self._survive()

    def propose(self, rng: random.Random) -> Architecture:
        """A random architecture until there is a population, then a child of two of its members."""
        if not self.members:
            return self.space.sample(rng)
        return mutated(self.space, crossed(self.space, self._parent(rng), self._parent(rng), rng), rng)

    def _parent(self, rng: random.Random) -> Architecture:
        one, other = (rng.randrange(len(self.members)) for _ in range(2))
        return self.members[min(one, other, key=lambda i: self._fitness[i])][0]

    def _survive(self) -> None:
        """Keeps the best of members and children, each architecture once."""
        pool = list(dict([*self.members, *self._children]).items())
        self._children = []
        points = [point for _, point in pool]
        ranked = []
        for rank, front in enumerate(fronts(points)):
            distances = crowding([points[i] for i in front])
            ranked += [(rank, -distance, i) for i, distance in zip(front, distances, strict=True)]
        best = sorted(ranked)[: self.population]
        self.members = [pool[i] for _, _, i in best]
        self._fitness = [(rank, negated) for rank, negated, _ in best]
