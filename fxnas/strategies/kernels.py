"""Covariance functions over rows of numbers, and their gradients: the terms of the predictor's kernel; needs numpy.

Parameters stand as logarithms in one vector: the amplitude first, then the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from fxnas.strategies.features import Array


class Kernel(Protocol):
    """One term of a sum.

    Attributes:
        before: its parameters before the data speak, [parameters]: the means of normal distributions.
        doubt: the deviation of these, a number for all.
    """

    before: Array
    doubt: float

    def matrix(self, parameters: Array, one: Array, other: Array) -> Array:
        """The covariance [n, m] of rows [n, features] with others [m, features]."""
        ...

    def variance(self, parameters: Array, rows: Array) -> Array:
        """The covariance [n] of each row with itself."""
        ...

    def slope(self, parameters: Array, rows: Array, matrix: Array, outer: Array) -> Array:
        """The gradient [parameters] of Σᵢⱼ outerᵢⱼ matrixᵢⱼ, for the symmetric `matrix` of the rows with themselves."""
        ...


class Near:
    """amplitude · exp(-Σ w ‖x - x'‖²), with a weight for each group of columns: equal rows are alike, others less.

    Args:
        columns: the columns of a row that count.
        starts: where each group starts among these, ascending from 0.
        amplitude: the logarithm of the amplitude before the data speak.
        weights: those of the weights, one for each group.
        doubt: see `Kernel`.
    """

    def __init__(
        self, columns: slice, starts: Sequence[int], amplitude: float, weights: Sequence[float], doubt: float = 1.0
    ) -> None:
        self._columns, self._starts = columns, np.asarray(starts, dtype=np.intp)
        self._widths = np.diff([*self._starts, columns.stop - columns.start])
        self.before, self.doubt = np.array([amplitude, *weights]), doubt

    def matrix(self, parameters: Array, one: Array, other: Array) -> Array:
        """As `Kernel.matrix`."""
        scale = np.repeat(np.exp(parameters[1:] / 2), self._widths)
        x, y = one[:, self._columns] * scale, other[:, self._columns] * scale
        distance = (x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * x @ y.T
        return np.asarray(np.exp(parameters[0] - np.maximum(distance, 0.0)))

    def variance(self, parameters: Array, rows: Array) -> Array:
        """As `Kernel.variance`: the amplitude."""
        return np.full(len(rows), np.exp(parameters[0]))

    def slope(self, parameters: Array, rows: Array, matrix: Array, outer: Array) -> Array:
        """As `Kernel.slope`."""
        product, x = outer * matrix, rows[:, self._columns]
        apart = 2 * (product.sum(1) @ x**2 - np.einsum("nd,nd->d", x, product @ x))
        return np.concatenate([[product.sum()], -np.exp(parameters[1:]) * np.add.reduceat(apart, self._starts)])


class Linear:
    """amplitude · x·x': each column adds something of its own.

    Args:
        columns: the columns of a row that count.
        amplitude: the logarithm of the amplitude before the data speak.
        doubt: see `Kernel`.
    """

    def __init__(self, columns: slice, amplitude: float, doubt: float = 1.0) -> None:
        self._columns = columns
        self.before, self.doubt = np.array([amplitude]), doubt

    def matrix(self, parameters: Array, one: Array, other: Array) -> Array:
        """As `Kernel.matrix`."""
        return np.asarray(np.exp(parameters[0]) * one[:, self._columns] @ other[:, self._columns].T)

    def variance(self, parameters: Array, rows: Array) -> Array:
        """As `Kernel.variance`."""
        return np.asarray(np.exp(parameters[0]) * (rows[:, self._columns] ** 2).sum(1))

    def slope(self, parameters: Array, rows: Array, matrix: Array, outer: Array) -> Array:
        """As `Kernel.slope`."""
        return np.array([(outer * matrix).sum()])
