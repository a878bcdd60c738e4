"""What every search strategy is: ask for an architecture, tell how good one is."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod

from fxnas.architecture import Architecture
from fxnas.errors import SearchSpaceError
from fxnas.space import SearchSpace


class Strategy(ABC):
    """Proposes architectures of a space and learns from their rewards; higher is better.

    `ask` may be called many times before a `tell`, and `tell` accepts what was never asked. Each
    `ask` draws from a stream of its own, seeded by (seed, number of the ask): after a journal has
    been replayed, the randomness goes on where it stopped.

    A subclass writes `propose(rng)`, and `learn(architecture, reward)` if it learns.

    Args:
        space: the space to search.
        seed: the same seed and the same tells give the same proposals, in any process.
    """

    def __init__(self, space: SearchSpace, *, seed: int = 0) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise SearchSpaceError(f"seed must be an int, got {seed!r}")
        self.space = space
        self.seed = seed
        self.asked = 0
        self.told: list[tuple[Architecture, float | None]] = []

    @property
    def settings(self) -> dict[str, object]:
        """What decides the proposals besides space and tells, as plain data for a journal."""
        return {"name": type(self).__name__, "seed": self.seed}

    def ask(self) -> Architecture:
        """The next architecture to try, in canonical form."""
        # A string seed goes through SHA-512 and so doesn't depend on PYTHONHASHSEED.
        rng = random.Random(f"{self.seed}/{self.asked}")
        self.asked += 1
        return self.propose(rng)

    def tell(self, architecture: Architecture, reward: float | None) -> None:
        """Learns that `architecture` earned `reward`.

        Args:
            architecture: any architecture of the space, asked for or not.
            reward: higher is better; None and NaN mean that the trial failed.

        Raises:
            ArchitectureError: the architecture isn't one of the space.
            SearchSpaceError: the reward isn't one number.
        """
        self.space.check(architecture)
        canonical = self.space.canonical(architecture)
        number = self._number(reward)
        self.told.append((canonical, number))
        if number is not None:
            self.learn(canonical, number)

    @abstractmethod
    def propose(self, rng: random.Random) -> Architecture:
        """The next architecture, with every random decision drawn from `rng`."""

    def learn(self, architecture: Architecture, reward: float) -> None:  # noqa: B027 (learning is optional)
        """Takes in the reward of a trial that succeeded, its architecture in canonical form."""

    def _number(self, reward: float | None) -> float | None:
        if reward is None:
            return None
        if isinstance(reward, tuple | list):
            name = type(self).__name__
            raise SearchSpaceError(f"{name} takes one reward, got {len(reward)} objectives")
        try:
            number = float(reward)
        except (TypeError, ValueError) as error:
            raise SearchSpaceError(f"a reward is a number or None, got {reward!r}") from error
        return None if math.isnan(number) else number
