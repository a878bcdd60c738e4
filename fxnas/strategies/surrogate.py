"""A Gaussian process over architectures: what a reward probably is, and how sure that is; needs numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from fxnas.strategies.features import BUCKETS, Array, Features
from fxnas.strategies.kernels import Kernel, Linear, Near

JITTER = 1e-6
NOISE = -2.3  # the logarithm of the variance of the noise before the data speak
FIT_POINTS, FIT_STEPS, RATE = 150, 40, 0.1
FIT_WORK = 900  # steps times points of one fit: it stays below 50 ms, as a proposal does


class Surrogate:
    """A Gaussian process over encoded architectures.

    Args:
        features: the encoding of the architectures.
    """

    def __init__(self, features: Features) -> None:
        self.features = features
        self._kernels = kernels(features)
        ends = np.cumsum([len(kernel.before) for kernel in self._kernels]).tolist()
        self._slices = [slice(end - len(k.before), end) for k, end in zip(self._kernels, ends, strict=True)]
        self.before = np.concatenate([*(kernel.before for kernel in self._kernels), [NOISE]])
        self._doubt = np.concatenate([*(np.full(len(k.before), k.doubt) for k in self._kernels), [1.0]])
        self.parameters = self.before.copy()
        self._rows = np.zeros((0, features.width))

    def fit(self, rows: Array, targets: Array) -> None:
        """Improves weights and amplitudes by some steps from where the last fit left them, the first from the priors.

        Args:
            rows: encoded architectures, [n, features].
            targets: their rewards, standardized, [n]. Of many the best are used, and some of the others.
        """
        chosen = spread(targets, FIT_POINTS)
        rows, targets = rows[chosen], targets[chosen]
        p, mean, square = self.parameters, np.zeros_like(self.before), np.zeros_like(self.before)
        steps = min(FIT_STEPS, FIT_WORK // len(rows))
        for step in range(1, steps + 1):  # Adam; the steps are few, and so their size is fixed
            slope = self._slope(p, rows, targets)
            mean = 0.8 * mean + 0.2 * slope
            square = 0.95 * square + 0.05 * slope**2
            p = p + RATE * (mean / (1 - 0.8**step)) / (np.sqrt(square / (1 - 0.95**step)) + 1e-8)
        self.parameters = p

    def condition(self, rows: Array, targets: Array) -> None:
        """Takes in observations: encoded architectures [n, features] and standardized rewards [n]."""
        matrix = self._covariance(rows, rows)
        noise = np.exp(self.parameters[-1]) + JITTER
        self._inverse = np.linalg.inv(matrix + noise * np.eye(len(rows)))
        self._rows, self._solved = rows, self._inverse @ targets

    def mean(self, rows: Array) -> tuple[Array, Array]:
        """Expected rewards [m] of encoded architectures [m, features], and what `deviation` needs, [m, n]."""
        cross = self._covariance(rows, self._rows)
        return cross @ self._solved, cross

    def deviation(self, rows: Array, cross: Array) -> Array:
        """The standard deviations [m] of the rewards, without noise."""
        parts = zip(self._kernels, self._slices, strict=True)
        variance = sum(kernel.variance(self.parameters[own], rows) for kernel, own in parts)
        return np.asarray(np.sqrt(np.maximum(variance - np.einsum("ij,ij->i", cross @ self._inverse, cross), 1e-9)))

    def _covariance(self, one: Array, other: Array) -> Array:
        parts = zip(self._kernels, self._slices, strict=True)
        return np.asarray(sum(kernel.matrix(self.parameters[own], one, other) for kernel, own in parts))

    def _slope(self, parameters: Array, rows: Array, targets: Array) -> Array:
        """The gradient of log marginal likelihood and log prior."""
        parts = [(kernel, parameters[own]) for kernel, own in zip(self._kernels, self._slices, strict=True)]
        matrices = [kernel.matrix(own, rows, rows) for kernel, own in parts]
        noise = np.exp(parameters[-1])
        inverse = np.linalg.inv(sum(matrices) + (noise + JITTER) * np.eye(len(rows)))
        solved = inverse @ targets
        outer = np.outer(solved, solved) - inverse
        slopes = [k.slope(own, rows, matrix, outer) for (k, own), matrix in zip(parts, matrices, strict=True)]
        slope = np.concatenate([*slopes, [noise * np.trace(outer)]])
        return np.asarray(slope / 2 - (parameters - self.before) / self._doubt**2)


def kernels(features: Features) -> list[Kernel]:
    """The terms of the predictor's kernel, with their log-normal priors.

    Of the decisions: interactions of any order, with a weight for each choice; what only close relatives share; what
    each decision adds by itself. Of the names: that a layer does much the same wherever it stands. Of what is around
    each layer, where that is searched: that the same layers, connected alike, do much the same. This last term hardly
    moves: that layers were never connected so has to stay a reason to try it, when all that was tried is explained
    without.
    """
    n = max(len(features.widths), 1)
    found: list[Kernel] = [
        Near(features.decided, features.starts.tolist(), 0.0, [math.log(2 / n)] * len(features.widths)),
        Near(features.decided, [0], -1.0, [math.log(6.5 / n)]),
        Linear(features.decided, -2.0 - math.log(n)),
    ]
    if features.labels:
        names = range(len(features.labels))
        found += [Near(features.named, names, 0.5, [-0.5] * len(names)), Linear(features.named, 0.0)]
    if features.around.start < features.around.stop:
        depths = range(0, features.around.stop - features.around.start, BUCKETS)
        found.append(Near(features.around, depths, 0.0, [-1.2, -1.6, -2.3], doubt=0.1))
    return found


def spread(targets: Array, count: int) -> NDArray[np.intp]:
    """Positions of at most `count` targets: the best half of that many, and others at equal distances."""
    order = np.argsort(-targets, kind="stable")
    if len(order) > count:
        best, rest = order[: count // 2], order[count // 2 :]
        order = np.concatenate([best, rest[np.linspace(0, len(rest) - 1, count - len(best)).astype(np.intp)]])
    return np.sort(order)


def standardized(rewards: Sequence[float | None]) -> Array:
    """Rewards as quantiles of a normal distribution by their rank, equal ones alike; None ranks with the lowest."""
    lowest = min((reward for reward in rewards if reward is not None), default=0.0)
    values = np.array([lowest if reward is None else reward for reward in rewards])
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2) / len(values)
    return np.array([NormalDist().inv_cdf(rank) for rank in ranks])[which]
