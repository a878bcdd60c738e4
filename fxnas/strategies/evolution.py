"""Regularized evolution (arXiv:1802.01548): mutate the winner of a tournament, the oldest dies."""

from __future__ import annotations

import random
from collections import deque

from fxnas.architecture import Architecture
from fxnas.errors import SearchSpaceError
from fxnas.space import SearchSpace
from fxnas.strategies.base import Strategy
from fxnas.strategies.moves import mutated


class RegularizedEvolution(Strategy):
    """Regularized (aging) evolution, Real et al. 2019, arXiv:1802.01548.

    The first `population` architectures are drawn uniformly. From then on a tournament draws `sample_size` different
    members of the population (the paper draws with replacement, which weakens the selection in a small population), and
    the best of them, changed in one decision, is the next proposal: a decision drawn uniformly, moved by one step drawn
    uniformly. Decisions that this brings into play (choices inside a candidate newly chosen) are drawn at random.
    A member leaves by age, not by reward. Failed trials never enter the population.

    Args:
        space: the space to search.
        seed: see `Strategy`.
        population: number of members; the paper's value is 100.
        sample_size: number of members in a tournament, 1 to `population`; the paper's value is 25.

    Raises:
        SearchSpaceError: the two numbers don't fit together.
    """

    def __init__(self, space: SearchSpace, *, seed: int = 0, population: int = 100, sample_size: int = 25) -> None:
        super().__init__(space, seed=seed)
        if not 1 <= sample_size <= population:
            raise SearchSpaceError(
                f"sample_size must lie in 1..population, got sample_size={sample_size}, population={population}"
            )
        self.population = population
        self.sample_size = sample_size
        self.members: deque[tuple[Architecture, float]] = deque(maxlen=population)

    @property
    def settings(self) -> dict[str, object]:
        """Seed, population and sample size."""
        return super().settings | {
            "population": self.population,
            "sample_size": self.sample_size,
        }

    def propose(self, rng: random.Random) -> Architecture:
        """A random architecture until the population is full, then a mutated winner."""
        if len(self.members) < self.population:
            return self.space.sample(rng)
        parent, _ = max(rng.sample(self.members, self.sample_size), key=lambda member: member[1])
        return mutated(self.space, parent, rng)

    def learn(self, architecture: Architecture, reward: float) -> None:
        """Adds a member; when the population is full, the oldest leaves."""
        self.members.append((architecture, reward))
