"""Random search: the baseline that every other strategy has to beat."""

from __future__ import annotations

import random

from fxnas.architecture import Architecture
from fxnas.strategies.base import Strategy


class RandomSearch(Strategy):
    """Draws uniformly over the architectures of the space, with repeats; it learns nothing.

    Uniform over architectures is not uniform over each choice where choices nest: a candidate with
    many architectures inside is drawn more often.
    """

    def propose(self, rng: random.Random) -> Architecture:
        """An architecture drawn uniformly from the space."""
        return self.space.sample(rng)
