"""Regularized evolution (arXiv:1802.01548): mutate the winner of a tournament, the oldest dies."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from functools import cached_property

from fxnas.architecture import Architecture
from fxnas.errors import SearchSpaceError
from fxnas.space import SearchSpace
from fxnas.strategies.base import Reward, Strategy
from fxnas.strategies.moves import latin, moved, moves, near

TRIES = 20  # children known already, one after another, before a new one is looked for near the last


class RegularizedEvolution(Strategy):
    """Regularized (aging) evolution, Real et al. 2019, arXiv:1802.01548.

    The first `population` architectures are a Latin hypercube: random, but evenly spread over the decisions of every
    choice. From then on a tournament draws `sample_size` different members of the population (the paper draws with
    replacement, which weakens the selection in a small population), and the best of them, changed in one decision, is
    the next proposal: one of all such changes, drawn uniformly. Decisions that this brings into play (choices inside a
    candidate newly chosen) are drawn at random. A member leaves by age, not by reward. Failed trials never enter the
    population.

    A child that was told before is not tried again: it becomes a member with the reward that is known, as it would in
    the paper after a second training, and the next tournament is held. So nothing is proposed twice until the space is
    exhausted.

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
        self._asked: dict[Architecture, None] = {}

    @property
    def settings(self) -> dict[str, object]:
        """Seed, population and sample size."""
        return super().settings | {
            "population": self.population,
            "sample_size": self.sample_size,
        }

    def tell(self, architecture: Architecture, reward: Reward) -> None:
        """As `Strategy.tell`; what was told, failed or not, is not asked for any more."""
        super().tell(architecture, reward)
        self._asked[self.told[-1][0]] = None

    def propose(self, rng: random.Random) -> Architecture:
        """One of the Latin hypercube until the population is full, then a mutated winner."""
        proposal = self._next(rng)
        for _ in range(TRIES):
            if proposal not in self._asked:
                break
            known = self.rewards.get(proposal)
            if known is not None:
                self.learn(proposal, known)
            proposal = self._next(rng)
        if proposal in self._asked:
            proposal = near(self.space, proposal, rng, self._asked) or proposal
        self._asked[proposal] = None
        return proposal

    def learn(self, architecture: Architecture, reward: float) -> None:
        """Adds a member; when the population is full, the oldest leaves."""
        self.members.append((architecture, reward))

    @cached_property
    def _start(self) -> Iterator[Architecture]:
        return iter(latin(self.space, random.Random(f"{self.seed}/start"), self.population))

    def _next(self, rng: random.Random) -> Architecture:
        """What the method without a memory would try."""
        if len(self.members) < self.population:
            return next(self._start, None) or self.space.sample(rng)
        parent, _ = max(rng.sample(self.members, self.sample_size), key=lambda member: member[1])
        changes = moves(self.space, parent)
        return moved(self.space, parent, rng.choice(changes), rng) if changes else parent
