"""What every search strategy is: ask for an architecture, tell how good one is."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence

from fxnas.architecture import Architecture
from fxnas.errors import SearchSpaceError, shown
from fxnas.space import SearchSpace
from fxnas.strategies.pareto import Point

Reward = float | Sequence[float] | None


class Strategy(ABC):
    """Proposes architectures of a space and learns from their rewards; higher is better.

    `ask` may be called many times before a `tell`, and `tell` accepts what was never asked. Each
    `ask` draws from a stream of its own, seeded by (seed, number of the ask): after a study has
    been replayed, the randomness goes on where it stopped.

    A subclass writes `propose(rng)`, and `learn(architecture, reward)` if it learns.

    Args:
        space: the space to search.
        seed: the same seed and the same tells give the same proposals, in any process.

    Attributes:
        asked: number of asks so far.
        told: every tell: the architecture in canonical form and its reward, None where the trial failed.
        rewards: the reward of each architecture that was told: the first of a trial that succeeded, or None.
        objectives: how many numbers a reward is; None: any number. A subclass that takes several says so.
    """

    objectives: int | None = 1

    def __init__(self, space: SearchSpace, *, seed: int = 0) -> None:
        if not isinstance(space, SearchSpace):
            raise SearchSpaceError(f"a strategy needs a SearchSpace, such as graph.space, got {shown(space)}")
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise SearchSpaceError(f"seed must be an int, got {seed!r}")
        self.space = space
        self.seed = seed
        self.asked = 0
        self.told: list[tuple[Architecture, float | None]] = []
        self.rewards: dict[Architecture, float | None] = {}

    @property
    def settings(self) -> dict[str, object]:
        """What decides the proposals besides space and tells, as plain data for a study."""
        return {"name": type(self).__name__, "seed": self.seed}

    @property
    def done(self) -> bool:
        """True when nothing is left to propose: the whole space was, or a budget is spent. A search may end then."""
        return False

    def ask(self) -> Architecture:
        """The next architecture to try, in canonical form."""
        # A string seed goes through SHA-512 and so doesn't depend on PYTHONHASHSEED.
        rng = random.Random(f"{self.seed}/{self.asked}")
        self.asked += 1
        return self.propose(rng)

    def replay(self, architecture: Architecture) -> None:
        """Counts an ask that a recorded search has answered with `architecture`; its `tell` follows as usual.

        By default the strategy is asked again, which is always right. A strategy that can do without the work of
        proposing overrides this.
        """
        self.ask()

    def allows(self, architecture: Architecture) -> bool:
        """Whether the strategy may propose the architecture: what a wrapper asks before it picks one itself."""
        return True

    def tell(self, architecture: Architecture, reward: Reward) -> None:
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
        self._record(canonical, number)
        if number is not None:
            self.learn(canonical, number)

    @abstractmethod
    def propose(self, rng: random.Random) -> Architecture:
        """The next architecture, with every random decision drawn from `rng`."""

    def learn(self, architecture: Architecture, reward: float) -> None:  # noqa: B027 (learning is optional)
        """Takes in the reward of a trial that succeeded, its architecture in canonical form."""

    def _record(self, architecture: Architecture, number: float | None) -> None:
        self.told.append((architecture, number))
        remember(self.rewards, architecture, number)

    def _number(self, reward: Reward) -> float | None:
        if reward is None:
            return None
        if isinstance(reward, Sequence) and not isinstance(reward, str):
            name = type(self).__name__
            raise SearchSpaceError(
                f"{name} takes one reward, got {len(reward)} objectives; Nsga2 takes several, and so does "
                "OptunaSampler(…, objectives=2)"
            )
        number = as_number(reward)
        if number is None:
            raise SearchSpaceError(f"a reward is a number or None, got {shown(reward)}")
        return None if math.isnan(number) else number


def remember(rewards: dict[Architecture, float | None], architecture: Architecture, reward: float | None) -> None:
    """Notes a reward; the first success of an architecture counts."""
    if rewards.get(architecture) is None:
        rewards[architecture] = reward


def as_point(reward: Reward, count: int | None) -> Point | None:
    """The reward of several objectives as a tuple; None where the trial failed.

    Args:
        reward: one number for each objective, or None; NaN in one of them means failed.
        count: how many there are; None where that isn't known yet.

    Raises:
        SearchSpaceError: the reward isn't numbers, or not so many.
    """
    if reward is None:
        return None
    several = isinstance(reward, Sequence) and not isinstance(reward, str)
    numbers = [as_number(each) for each in (reward if several else [reward])]  # type: ignore[union-attr]
    point = tuple(number for number in numbers if number is not None)
    if not point or len(point) < len(numbers):
        raise SearchSpaceError(f"a reward is one number for each objective or None, got {shown(reward)}")
    if count is not None and len(point) != count:
        raise SearchSpaceError(f"{count} objectives are expected, got {len(point)}: {shown(reward)}")
    return None if any(map(math.isnan, point)) else point


def as_number(value: object) -> float | None:
    """A number of any kind (of numpy, a tensor of one element) as a float; None where it isn't one, like a string."""
    try:
        return None if isinstance(value, str | bytes) else float(value)  # type: ignore[arg-type]  # the question
    except (TypeError, ValueError, OverflowError):
        return None
