"""Proximal policy optimization (arXiv:1707.06347) of one distribution for each choice."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from functools import cached_property
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, NamedTuple

from fxnas.architecture import Architecture
from fxnas.errors import SearchSpaceError
from fxnas.space import SearchSpace
from fxnas.strategies.base import Reward, Strategy
from fxnas.strategies.moves import built, latin, near

if TYPE_CHECKING:  # numpy is imported with the first proposal
    from fxnas.strategies.policy import Array, Policy

EPOCHS, CLIP, DECAY = 10, 0.2, (0.9, 0.999)  # the paper's for continuous control; DECAY is Adam's
DRAWS = 20  # in a row that are known already, before a new architecture is looked for near the last
LARGEST = 50.0  # log of the largest ratio that is told from larger ones
_Step = tuple[Architecture, float, float]


class _Used(NamedTuple):
    """What the steps of a batch did with one choice."""

    active: Array  # [step]: 1 where the choice was active, else 0
    chosen: Array  # [step, candidate]: 1 where the candidate was chosen, else 0


class PPO(Strategy):
    """Proximal policy optimization, Schulman et al. 2017, arXiv:1707.06347, with a factorized policy.

    Every choice has a distribution over its decisions: a softmax where one candidate is chosen, a coin for each
    candidate where any number is, the same over subsets where a fixed number is. Candidates are told apart by their
    position, never by name. A choice that isn't active takes no part: neither in drawing nor in learning.

    The first `batch` architectures are a Latin hypercube: drawn from the uniform policy, but evenly spread over the
    decisions of every choice. What was proposed or told already is drawn anew, so that nothing is proposed twice until
    the space is exhausted; the probability ratios of the objective remain those of the policy without this condition.

    After `batch` successful trials the policy takes 10 steps of Adam on the clipped objective (0.2), with rewards
    ranked within the batch, and a bonus for entropy. An architecture is one action with one reward: there is no
    recurrent network, and no value function but the mean of the batch. Failed trials teach nothing. Needs numpy, not
    torch.

    Args:
        space: the space to search.
        seed: see `Strategy`.
        batch: number of trials that the policy learns from at a time, above 1.
        learning_rate: of Adam.
        entropy: weight of the entropy bonus.

    Raises:
        SearchSpaceError: a number out of its range.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        batch: int = 10,
        learning_rate: float = 0.1,
        entropy: float = 0.01,
    ) -> None:
        super().__init__(space, seed=seed)
        if batch < 2 or not learning_rate > 0 or not entropy >= 0:
            raise SearchSpaceError(
                "batch must be above 1, learning_rate above 0 and entropy not below 0, "
                f"got batch={batch}, learning_rate={learning_rate}, entropy={entropy}"
            )
        self.batch, self.learning_rate, self.entropy = batch, learning_rate, entropy
        self._asked: dict[Architecture, None] = {}
        self._waiting: dict[Architecture, list[float]] = {}
        self._steps: list[_Step] = []
        self._adam: dict[str, tuple[Array, Array]] = {}
        self._updates = 0

    @property
    def settings(self) -> dict[str, object]:
        """Seed, batch, learning rate and entropy bonus."""
        return super().settings | {
            "batch": self.batch,
            "learning_rate": self.learning_rate,
            "entropy": self.entropy,
        }

    @cached_property
    def policies(self) -> Mapping[str, Policy]:
        """The distribution of each choice."""
        from fxnas.strategies.policy import Policy

        return {key: Policy(len(choice.candidates), choice.n_chosen) for key, choice in self.space.items()}

    def propose(self, rng: random.Random) -> Architecture:
        """An architecture drawn from the policy; one near it where the policy draws nothing new."""
        proposal = next(self._start, None) or self._drawn(rng)
        for _ in range(DRAWS):
            if proposal not in self._asked:
                break
            proposal = self._drawn(rng)
        if proposal in self._asked:
            proposal = near(self.space, proposal, rng, self._asked) or proposal
        self._asked[proposal] = None
        # The ratio of the clipped objective is taken to the policy that drew, not to the one at the time of the tell.
        self._waiting.setdefault(proposal, []).append(self._log_probability(proposal))
        return proposal

    def tell(self, architecture: Architecture, reward: Reward) -> None:
        """As `Strategy.tell`; a failed trial teaches nothing, and is not asked for any more."""
        super().tell(architecture, reward)
        canonical, number = self.told[-1]
        self._asked[canonical] = None
        if number is None:
            self._drawn_with(canonical)

    def learn(self, architecture: Architecture, reward: float) -> None:
        """Adds a trial to the batch; a full batch improves the policy."""
        before = self._drawn_with(architecture)
        before = self._log_probability(architecture) if before is None else before
        self._steps.append((architecture, reward, before))
        if len(self._steps) >= self.batch:
            self._learn_batch()
            self._steps.clear()

    @cached_property
    def _start(self) -> Iterator[Architecture]:
        return iter(latin(self.space, random.Random(f"{self.seed}/start"), self.batch))

    def _drawn(self, rng: random.Random) -> Architecture:
        return built(self.space, lambda choice: self.policies[choice.key].draw(rng))

    def _log_probability(self, architecture: Architecture) -> float:
        """Of a whole architecture: the sum over its active choices."""
        return sum(self.policies[key].log_probability(decision) for key, decision in architecture.items())

    def _drawn_with(self, architecture: Architecture) -> float | None:
        """The log probability with which an architecture was drawn, once for each ask; None if it never was."""
        drawn = self._waiting.get(architecture)
        if drawn is None:
            return None
        first = drawn.pop(0)
        if not drawn:
            del self._waiting[architecture]
        return first

    def _learn_batch(self) -> None:
        import numpy as np

        used = self._used()
        advantages = np.array(_advantages([reward for _, reward, _ in self._steps]))
        before = np.array([log_probability for _, _, log_probability in self._steps])
        for _ in range(EPOCHS):
            self._improve(used, advantages, before)

    def _used(self) -> dict[str, _Used]:
        """What the batch did with each choice that it used and that leaves something to learn."""
        import numpy as np

        used = {}
        for key, choice in self.space.items():
            active = np.array([float(key in architecture) for architecture, _, _ in self._steps])
            if choice.count > 1 and active.any():
                chosen = np.zeros((len(self._steps), len(choice.candidates)))
                for row, (architecture, _, _) in zip(chosen, self._steps, strict=True):
                    row[list(architecture.get(key, ()))] = 1.0
                used[key] = _Used(active, chosen)
        return used

    def _improve(self, used: dict[str, _Used], advantages: Array, before: Array) -> None:
        """One step of Adam for every choice that the batch used."""
        now = sum(u.active * self.policies[key].log_probabilities(u.chosen) for key, u in used.items())
        weights = _weights(now - before, advantages)
        self._updates += 1
        for key, (active, chosen) in used.items():
            policy = self.policies[key]
            slope = (weights[:, None] * chosen).sum(0) - (weights * active).sum() * policy.probabilities()
            self._move(key, (slope + self.entropy * active.sum() * policy.entropy_slope()) / len(weights))

    def _move(self, key: str, slope: Array) -> None:
        import numpy as np

        policy = self.policies[key]
        zero = np.zeros_like(slope)
        mean, square = self._adam.get(key, (zero, zero))
        mean = DECAY[0] * mean + (1 - DECAY[0]) * slope
        square = DECAY[1] * square + (1 - DECAY[1]) * slope**2
        self._adam[key] = mean, square
        corrected = np.sqrt(square / (1 - DECAY[1] ** self._updates)) + 1e-8
        policy.scores = policy.scores + self.learning_rate * mean / (1 - DECAY[0] ** self._updates) / corrected


def _weights(logs: Array, advantages: Array) -> Array:
    """Advantages times probability ratios, which come as logarithms; 0 beyond the clip, where the objective is flat."""
    import numpy as np

    ratios = np.exp(np.minimum(logs, LARGEST))
    beyond = np.where(advantages > 0, ratios - 1, 1 - ratios)
    return np.where(beyond > CLIP, 0.0, advantages * ratios)


def _advantages(rewards: list[float]) -> list[float]:
    """The ranks of rewards, equal ones alike, with mean 0 and deviation 1: outliers and infinities do no harm."""
    order = sorted(rewards)
    ranks = [bisect_left(order, reward) + bisect_right(order, reward) for reward in rewards]
    mean, deviation = fmean(ranks), pstdev(ranks)
    return [(rank - mean) / (deviation + 1e-8) for rank in ranks]
