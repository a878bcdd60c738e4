"""Grid search: every architecture once, in the order of their numbers."""

from __future__ import annotations

import random

from fxnas.architecture import Architecture
from fxnas.strategies.base import Strategy


class GridSearch(Strategy):
    """Proposes the architectures of the space one after the other, `space.architecture(0)` first; it learns nothing.

    `done` says when all of them were proposed; asked on, it starts over. The seed plays no role.
    """

    @property
    def done(self) -> bool:
        """True when every architecture was proposed."""
        return self.asked >= self.space.size

    def propose(self, rng: random.Random) -> Architecture:
        """The architecture whose number is that of the ask."""
        return self.space.architecture((self.asked - 1) % self.space.size)

    def replay(self, architecture: Architecture) -> None:
        """Counts the ask."""
        self.asked += 1
