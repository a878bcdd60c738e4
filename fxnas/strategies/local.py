"""Local search (arXiv:2005.02960): climb to the first better neighbor, start anew at a local optimum."""

from __future__ import annotations

import random

from fxnas.architecture import Architecture
from fxnas.space import SearchSpace
from fxnas.strategies.base import Reward, Strategy
from fxnas.strategies.moves import Move, moved, moves, unseen


class LocalSearch(Strategy):
    """First-improvement hill climbing over changes of one decision, White et al. 2020, arXiv:2005.02960.

    The neighbors of the center are proposed in random order; the first that earns more becomes the center. When none
    does, the search starts anew at a random architecture. It remembers rewards: nothing is proposed twice until the
    space is exhausted, and a neighbor that is known to be better is moved to without another trial.

    Args:
        space: the space to search.
        seed: see `Strategy`.

    Attributes:
        center: the architecture whose neighbors are tried; None before the first reward and after a local optimum.
    """

    def __init__(self, space: SearchSpace, *, seed: int = 0) -> None:
        super().__init__(space, seed=seed)
        self.center: Architecture | None = None
        self._asked: dict[Architecture, None] = {}
        self._untried: list[Move] | None = None

    def tell(self, architecture: Architecture, reward: Reward) -> None:
        """As `Strategy.tell`; what was told, failed or not, is not asked for any more."""
        super().tell(architecture, reward)
        self._asked[self.told[-1][0]] = None

    def learn(self, architecture: Architecture, reward: float) -> None:
        """Moves to the architecture if it is better than the center, or if there is none."""
        current = self.rewards.get(self.center) if self.center is not None else None
        if current is None or reward > current:
            self._move_to(architecture)

    def propose(self, rng: random.Random) -> Architecture:
        """The next neighbor of the center; a random architecture where there is none."""
        proposal = self._climb(rng)
        if proposal is None:
            self.center = None
            proposal = unseen(self.space, rng, self._asked) or self.space.sample(rng)
        self._asked[proposal] = None
        return proposal

    def _climb(self, rng: random.Random) -> Architecture | None:
        """A neighbor not asked for yet; known ones that are better become the center on the way."""
        while self.center is not None:
            if self._untried is None:
                self._untried = moves(self.space, self.center)
                rng.shuffle(self._untried)
            if not self._untried:
                return None
            neighbor = moved(self.space, self.center, self._untried.pop(), rng)
            if neighbor not in self._asked:
                return neighbor
            self._move_if_better(neighbor)
        return None

    def _move_if_better(self, neighbor: Architecture) -> None:
        assert self.center is not None
        known, current = self.rewards.get(neighbor), self.rewards[self.center]
        if known is not None and (current is None or known > current):
            self._move_to(neighbor)

    def _move_to(self, architecture: Architecture) -> None:
        self.center, self._untried = architecture, None
