"""A Gaussian process over architectures: what a reward probably is, and how sure that is; needs numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from fxnas.strategies.features import Array, Features

JITTER = 1e-6
LONG, SHORT = 4.0, 13.0  # Σ of the weights of both decision kernels before the data speak
NAME = -0.5  # the logarithm of the weight of each name before the data speak
BEFORE = {  # amplitudes and the rest before the data speak, as logarithms: log-normal with a deviation of 1
    "long": 0.0,
    "short": -1.0,
    "linear": -2.0,
    "names": 0.5,
    "name_counts": 0.0,
    "noise": -2.3,
}
TERMS = list(BEFORE)
FIT_POINTS, FIT_STEPS, RATE = 150, 40, 0.1
FIT_WORK = 900  # steps times points of one fit: it stays below 50 ms, as a proposal does


@dataclass(frozen=True)
class _Parts:
    """The terms of a kernel matrix between some rows and some others."""

    long: Array
    short: Array
    linear: Array
    names: Array
    name_counts: Array
    disagreement: Array

    @property
    def total(self) -> Array:
        return self.long + self.short + self.linear + self.names + self.name_counts


class Surrogate:
    """A Gaussian process over encoded architectures.

    The kernel is

        long · exp(-Σ wᵢ dᵢ) + short · exp(-w Σ dᵢ) + linear · Σ (1 - dᵢ) / n + names · exp(-Σ vⱼ (hⱼ - h'ⱼ)²)
        + name_counts · h·h'

    dᵢ is the share of choice i in which two architectures differ and hⱼ how often name j is chosen. The first term
    holds interactions of any order with a weight for each choice, the second what only near relatives share, the third
    what each decision adds by itself; the last two say that a layer does much the same wherever it stands. Weights and
    amplitudes maximize the marginal likelihood under log-normal priors.

    Args:
        features: the encoding of the architectures.
    """

    def __init__(self, features: Features) -> None:
        self.features = features
        self.choices = len(features.widths)
        weights = np.full(self.choices, np.log(LONG / max(self.choices, 1)))
        short = np.log(SHORT / max(self.choices, 1))
        self.before = np.concatenate([weights, [short], np.full(len(features.labels), NAME), list(BEFORE.values())])
        self.parameters = self.before.copy()
        self._rows = np.zeros((0, features.width + len(features.labels)))

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
        matrix = self._parts(self.parameters, rows, rows).total
        noise = np.exp(self.parameters[-1]) + JITTER
        self._inverse = np.linalg.inv(matrix + noise * np.eye(len(rows)))
        self._rows, self._solved = rows, self._inverse @ targets

    def mean(self, rows: Array) -> tuple[Array, Array]:
        """Expected rewards [m] of encoded architectures [m, features], and what `deviation` needs, [m, n]."""
        cross = self._parts(self.parameters, rows, self._rows).total
        return cross @ self._solved, cross

    def deviation(self, rows: Array, cross: Array) -> Array:
        """The standard deviations [m] of the rewards, without noise."""
        amplitude = dict(zip(TERMS, np.exp(self.parameters[-len(TERMS) :]), strict=True))
        counts = rows[:, self.features.width :]
        itself = sum(amplitude[name] for name in ("long", "short", "linear", "names"))
        variance = itself + amplitude["name_counts"] * (counts**2).sum(1)
        return np.asarray(np.sqrt(np.maximum(variance - np.einsum("ij,ij->i", cross @ self._inverse, cross), 1e-9)))

    def _parts(self, parameters: Array, one: Array, other: Array) -> _Parts:
        width, n = self.features.width, self.choices
        weights, short = np.exp(parameters[:n]), float(np.exp(parameters[n]))
        a = dict(zip(TERMS, np.exp(parameters[-len(TERMS) :]), strict=True))
        decided, others = one[:, :width], other[:, :width].T
        agreement = decided @ others
        weighted = (decided * np.repeat(weights, self.features.widths)) @ others
        counts, other_counts = one[:, width:], other[:, width:]
        scales = np.exp(parameters[n + 1 : -len(TERMS)])
        distance = (counts**2 @ scales)[:, None] + (other_counts**2 @ scales)[None]
        distance -= 2 * (counts * scales) @ other_counts.T
        return _Parts(
            a["long"] * np.exp(weighted - weights.sum()),
            a["short"] * np.exp(short * (agreement - n)),
            a["linear"] * agreement / max(n, 1),
            a["names"] * np.exp(-distance),
            a["name_counts"] * counts @ other_counts.T,
            n - agreement,
        )

    def _slope(self, parameters: Array, rows: Array, targets: Array) -> Array:
        """The gradient of log marginal likelihood and log prior."""
        n = self.choices
        parts = self._parts(parameters, rows, rows)
        e = np.exp(parameters)
        inverse = np.linalg.inv(parts.total + (e[-1] + JITTER) * np.eye(len(rows)))
        solved = inverse @ targets
        outer = np.outer(solved, solved) - inverse
        long, short, names = outer * parts.long, outer * parts.short, outer * parts.names
        decided, counts = rows[:, : self.features.width], rows[:, self.features.width :]
        same = np.add.reduceat(np.einsum("nd,nd->d", decided, long @ decided), self.features.starts)
        terms = {
            "long": long.sum(),
            "short": short.sum(),
            "linear": (outer * parts.linear).sum(),
            "names": names.sum(),
            "name_counts": (outer * parts.name_counts).sum(),
            "noise": e[-1] * np.trace(outer),
        }
        weights = -(long.sum() - same) * e[:n]
        apart = 2 * (names.sum(1) @ counts**2 - np.einsum("nd,nd->d", counts, names @ counts))
        scales = -e[n + 1 : -len(TERMS)] * apart
        near = -e[n] * (short * parts.disagreement).sum()
        slope = np.concatenate([weights, [near], scales, [terms[t] for t in TERMS]])
        return np.asarray(slope / 2 - (parameters - self.before))


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
