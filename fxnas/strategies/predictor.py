"""Search with a predictor: a Gaussian process over architectures says which one promises most."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from fxnas.architecture import Architecture
from fxnas.errors import SearchSpaceError
from fxnas.space import SearchSpace
from fxnas.strategies.base import Reward, Strategy, remember
from fxnas.strategies.moves import crossed, latin, moved, moves, mutated, unseen
from fxnas.strategies.networks import Networks

if TYPE_CHECKING:  # numpy is imported when the first prediction is made
    from fxnas.strategies.features import Array
    from fxnas.strategies.surrogate import Surrogate
    from fxnas.strategies.twins import Twins

OBSERVED = 250  # observations that the predictor knows at a time, the best half of them among these
PARENTS, NEIGHBORS, DRAWN = 6, 200, 60  # where candidates come from
ROUNDS, EXPANDED = 2, 2  # how often the most promising are replaced by their neighbors, and how many of them
UNCERTAIN = 128  # candidates whose uncertainty is computed
FINALISTS = 32  # candidates of which it is asked whether they are twins of known ones
KEPT = 2**27  # bytes of encoded architectures that are kept, so that none is encoded anew for each proposal


class PredictorSearch(Strategy):
    """Bayesian optimization with a Gaussian process over decisions, names of candidates, and their interactions.

    After a Latin hypercube of `initial` architectures, each proposal is the one with the largest expected improvement
    among the neighbors and children of the best, random ones, and the neighbors of the most promising of these; times
    the probability that it is no twin, under another description, of one already tried. Rewards are compared by rank,
    so that outliers and infinities do no harm. A failed trial counts as the worst. Trials that are not told yet are
    believed to turn out as predicted. Nothing is proposed twice, until the space is exhausted.

    Proposals depend on the seed, the number of the ask, and what was asked and told before; needs numpy.

    Args:
        space: the space to search. Where it is that of a graph, its `wiring` tells which architectures are one network,
            so that none is tried twice, and what stands beside each layer; else that has to be learned from rewards.
        seed: see `Strategy`.
        initial: number of architectures before the first prediction.

    Raises:
        SearchSpaceError: `initial` is not a positive integer.
    """

    def __init__(self, space: SearchSpace, *, seed: int = 0, initial: int = 10) -> None:
        super().__init__(space, seed=seed)
        if isinstance(initial, bool) or not isinstance(initial, int) or initial < 1:
            raise SearchSpaceError(f"initial must be a positive integer, got {initial!r}")
        self.initial = initial
        self.pending: dict[Architecture, None] = {}
        self._rows: dict[Architecture, Array] = {}
        self._fitted = 0

    @property
    def settings(self) -> dict[str, object]:
        """Seed, number of architectures before the first prediction, and a digest of what is connected to what."""
        wiring = None if self._networks is None else self._networks.fingerprint
        return super().settings | {"initial": self.initial, "wiring": wiring}

    def tell(self, architecture: Architecture, reward: Reward) -> None:
        """As `Strategy.tell`; failed trials are learned from too."""
        super().tell(architecture, reward)
        self.pending.pop(self.told[-1][0], None)

    def propose(self, rng: random.Random) -> Architecture:
        """One of the Latin hypercube at first, then the one with the largest expected improvement."""
        predictable = sum(reward is not None for reward in self.rewards.values()) >= 2
        if predictable and len(self.rewards) + len(self.pending) >= self.initial:
            architecture = self._most_promising(rng)
        else:
            architecture = self._first(rng)
        architecture = architecture or self.space.sample(rng)
        self.pending[architecture] = None
        return architecture

    def replay(self, architecture: Architecture) -> None:
        """Counts the ask and expects the tell, without a prediction."""
        self.asked += 1
        self.pending[self.space.canonical(architecture)] = None

    def _seen(self) -> dict[Architecture, object]:
        return {**self.rewards, **self.pending}

    @cached_property
    def _networks(self) -> Networks | None:
        return None if self.space.wiring is None else Networks(self.space.wiring, self.space)

    @cached_property
    def _surrogate(self) -> Surrogate:
        from fxnas.strategies.features import Features
        from fxnas.strategies.surrogate import Surrogate

        return Surrogate(Features(self.space, self._networks))

    @cached_property
    def _twins(self) -> Twins:
        from fxnas.strategies.twins import Twins

        return Twins(self._surrogate.features)

    @cached_property
    def _start(self) -> list[Architecture]:
        return latin(self.space, random.Random(self.seed), self.initial)

    def _first(self, rng: random.Random) -> Architecture | None:
        """The next of the start; a random one where that is known already, or the start is over."""
        number, seen = len(self.rewards) + len(self.pending), self._seen()
        if number < self.initial and self._start[number] not in seen:
            return self._start[number]
        return unseen(self.space, rng, seen)

    def _most_promising(self, rng: random.Random) -> Architecture | None:
        from fxnas.strategies.surrogate import standardized

        self._fit()
        targets = standardized(list(self.rewards.values()))
        self._condition(targets)
        order = sorted(range(len(targets)), key=lambda i: -targets[i])
        told = list(self.rewards)
        seen = self._seen()
        scores: dict[Architecture, float] = {}
        pool: Iterable[Architecture] = self._candidates([told[i] for i in order[:PARENTS]], rng)
        for _ in range(ROUNDS + 1):
            new = [a for a in dict.fromkeys(pool) if a not in seen and a not in scores]
            if new:
                scores.update(zip(new, self._improvement(new, max(targets)), strict=True))
            best = sorted(scores, key=lambda a: -scores[a])[:EXPANDED]
            pool = [neighbor for a in best for neighbor in self._neighbors(a, rng)]
        return max(scores, key=lambda a: scores[a]) if scores else unseen(self.space, rng, seen)

    def _fit(self) -> None:
        """Fits the predictor where that is due: to the first n that were told, n growing by a tenth each time.

        Each fit goes on from the last, so that all that are due are made, one after the other: after a replay too.
        """
        from fxnas.strategies.surrogate import standardized

        while (due := _following(self._fitted, self.initial)) <= len(self.told):
            rewards: dict[Architecture, float | None] = {}
            for architecture, reward in self.told[:due]:
                remember(rewards, architecture, reward)
            self._surrogate.fit(self._encoded(rewards), standardized(list(rewards.values())))
            self._fitted = due

    def _condition(self, targets: Array) -> None:
        import numpy as np

        from fxnas.strategies.surrogate import spread

        told = list(self.rewards)
        chosen = spread(targets, OBSERVED)
        rows, known = self._encoded([told[i] for i in chosen]), targets[chosen]
        self._surrogate.condition(rows, known)
        if self.pending:
            waiting = self._encoded(self.pending)
            believed, _ = self._surrogate.mean(waiting)
            self._surrogate.condition(np.concatenate([rows, waiting]), np.concatenate([known, believed]))
            rows = np.concatenate([rows, waiting])
        earned = [self.rewards[told[i]] for i in chosen] + [None] * len(self.pending)
        self._twins.fit(rows, np.array(earned, dtype=np.float64))

    def _candidates(self, parents: Sequence[Architecture], rng: random.Random) -> Iterator[Architecture]:
        for parent in parents:
            yield from self._neighbors(parent, rng)
        for _ in range(DRAWN):
            yield self.space.sample(rng)
            yield mutated(self.space, rng.choice(parents), rng, rng.randint(2, 3))
            yield crossed(self.space, rng.choice(parents), rng.choice(parents), rng)

    def _neighbors(self, architecture: Architecture, rng: random.Random) -> Iterator[Architecture]:
        possible = moves(self.space, architecture)
        if len(possible) > NEIGHBORS:
            possible = rng.sample(possible, NEIGHBORS)
        return (moved(self.space, architecture, move, rng) for move in possible)

    def _improvement(self, architectures: Sequence[Architecture], best: float) -> list[float]:
        """The logarithm of the expected improvement by something new; what promises little is -inf at once."""
        import numpy as np

        rows = self._encoded(architectures)
        mean, cross = self._surrogate.mean(rows)
        likely = np.argsort(-mean, kind="stable")[:UNCERTAIN]
        scores = np.full(len(mean), -math.inf)
        deviation = self._surrogate.deviation(rows[likely], cross[likely])
        scores[likely] = [
            math.log(s) + _log_expected_excess((m - best) / s) for m, s in zip(mean[likely], deviation, strict=True)
        ]
        finalists = np.argsort(-scores, kind="stable")[:FINALISTS]
        new = np.full(len(mean), -math.inf)
        new[finalists] = scores[finalists] + np.log1p(-self._twins.probability(rows[finalists]))
        return [float(score) for score in new]

    def _encoded(self, architectures: Iterable[Architecture]) -> Array:
        import numpy as np

        if len(self._rows) * self._surrogate.features.width * 8 > KEPT:
            self._rows.clear()
        rows = []
        for architecture in architectures:
            row = self._rows.get(architecture)
            if row is None:
                row = self._rows[architecture] = self._surrogate.features.of(architecture)
            rows.append(row)
        return np.stack(rows)


def _following(fitted: int, first: int) -> int:
    """The number of tells after which the next fit is due."""
    return fitted + max(2, fitted // 10) if fitted else first


def _log_expected_excess(z: float) -> float:
    """Log E[max(x, 0)] of a normal x with mean z and deviation 1; far below zero by its leading term."""
    log_density = -z * z / 2 - math.log(2 * math.pi) / 2
    if z < -6:
        return log_density - 2 * math.log(-z)
    return math.log(math.exp(log_density) + z * math.erfc(-z / math.sqrt(2)) / 2)
