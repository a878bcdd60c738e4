"""Distributions over the decisions of one choice, each with a score for every candidate; needs numpy.

P(S) = exp(Σ_{i∈S} scoreᵢ) / Z, over the legal subsets S: a softmax where one candidate is chosen, a coin for each
candidate where any number is, and for k of them the same formula over the subsets of size k, in which the order of
drawing plays no role. log Z generates everything else: its gradient are the probabilities of the candidates.
"""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
STEP = 1e-4  # of the central difference that the gradient of the entropy takes


class Policy:
    """The distribution of one choice.

    Args:
        count: number of candidates.
        n_chosen: how many are chosen; None: any number.

    Attributes:
        scores: one for each candidate, [count]; 0 at first, which makes all decisions equally likely.
    """

    def __init__(self, count: int, n_chosen: int | None) -> None:
        self.n_chosen = n_chosen
        self.scores = np.zeros(count)

    def draw(self, rng: random.Random) -> tuple[int, ...]:
        """A decision, drawn from the distribution."""
        count, left = len(self.scores), self.n_chosen
        if left == 1:
            return (rng.choices(range(count), self.probabilities().tolist())[0],)
        if left is None:
            return tuple(i for i, p in enumerate(_coins(self.scores)) if rng.random() < p)
        table = _tails(self.scores, left)
        chosen = []
        for i in range(count):
            # log P(i is taken | `left` are still to be taken from i on)
            taken = self.scores[i] + table[i + 1, left - 1] - table[i, left] if left else -np.inf
            if rng.random() < np.exp(taken):
                chosen.append(i)
                left -= 1
        return tuple(chosen)

    def log_probability(self, decision: tuple[int, ...]) -> float:
        """The logarithm of P of a legal decision."""
        return float(self.scores[list(decision)].sum()) - self._log_partition(self.scores)

    def log_probabilities(self, chosen: Array) -> Array:
        """The logarithm [decision] of P of legal decisions, given as rows [decision, candidate] of ones and zeros."""
        return np.asarray((chosen * self.scores).sum(1) - self._log_partition(self.scores))

    def probabilities(self, scores: Array | None = None) -> Array:
        """The probability [count] of each candidate to be among the chosen."""
        scores = self.scores if scores is None else scores
        count, k = len(scores), self.n_chosen
        if k is None:
            return _coins(scores)
        if k == 1:
            return np.asarray(np.exp(scores - np.logaddexp.reduce(scores)))
        if k in (0, count):
            return np.full(count, float(k > 0))
        whole = _tails(scores, k)[0, k]
        without = [_tails(np.delete(scores, i), k - 1)[0, k - 1] for i in range(count)]
        return np.asarray(np.exp(scores + without - whole))

    def entropy_slope(self) -> Array:
        """The gradient [count] of the entropy: minus the covariance of the candidates times their scores."""
        up, down = (self.probabilities(self.scores * (1 + step)) for step in (STEP, -STEP))
        return np.asarray((down - up) / (2 * STEP))

    def _log_partition(self, scores: Array) -> float:
        if self.n_chosen is None:
            return float(np.logaddexp(0, scores).sum())
        if self.n_chosen == 1:
            return float(np.logaddexp.reduce(scores))
        return float(_tails(scores, self.n_chosen)[0, self.n_chosen])


def _coins(scores: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(scores / 2)))


def _tails(scores: Array, k: int) -> Array:
    """[count + 1, k + 1]: at [i, r] the logarithm of Σ exp(Σ scores) over the subsets of r candidates from i on."""
    count = len(scores)
    table = np.full((count + 1, k + 1), -np.inf)
    table[:, 0] = 0.0
    for i in range(count - 1, -1, -1):
        table[i, 1:] = np.logaddexp(table[i + 1, 1:], scores[i] + table[i + 1, :-1])
    return table
