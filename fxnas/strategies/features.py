"""Architectures as vectors of numbers, for predictors; needs numpy."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.space import SearchSpace

Array = NDArray[np.float64]


class Features:
    """Two vectors for each architecture: its decisions, choice by choice, and how often each name is chosen.

    The block of a choice has the squared length 1, so that the product of two blocks is the share of the decision in
    which the architectures agree. A single choice is a one-hot vector; where several or any number of candidates are
    chosen there are two entries a candidate, taken and left; a conditional choice has one entry more, "not active".

    Names count where more than one choice has them: `conv3x3` in five layers is one entry. Candidates without a name
    go by their position.

    Args:
        space: the space of the architectures.

    Attributes:
        starts: where the block of each choice starts.
        widths: the length of each block.
        labels: kind and name of the names that count.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.widths = np.array([2 * len(c.candidates) + 1 if c.n_chosen != 1 else len(c.candidates) + 1
                                for c in space.values()], dtype=np.intp)  # fmt: skip
        self.starts = np.concatenate([[0], np.cumsum(self.widths)[:-1]]).astype(np.intp)
        self._blocks = list(zip(self.starts.tolist(), self.widths.tolist(), space.values(), strict=True))
        self.width = int(self.widths.sum())
        labels = {key: _labels(choice) for key, choice in space.items()}
        shared = Counter(label for each in labels.values() for label in set(each))
        counted = {label: i for i, label in enumerate(label for label, n in shared.items() if n > 1)}
        self.labels = list(counted)
        self._columns = {key: [counted.get(label, -1) for label in each] for key, each in labels.items()}

    def of(self, architecture: Architecture) -> Array:
        """Both vectors, one after the other: [width + names]."""
        row = np.zeros(self.width + len(self.labels))
        for start, width, choice in self._blocks:
            decision = architecture.get(choice.key)
            if decision is None:
                row[start + width - 1] = 1.0
                continue
            self._decide(row, start, len(choice.candidates), choice.n_chosen, decision)
            for candidate in decision:
                column = self._columns[choice.key][candidate]
                if column >= 0:
                    row[self.width + column] += 1.0
        row[self.width :] /= max(len(self.space), 1) ** 0.5
        return row

    @staticmethod
    def _decide(row: Array, start: int, count: int, n_chosen: int | None, decision: tuple[int, ...]) -> None:
        if n_chosen == 1:
            row[start + decision[0]] = 1.0
            return
        row[start + count : start + 2 * count] = count**-0.5
        for candidate in decision:
            row[start + candidate] = count**-0.5
            row[start + count + candidate] = 0.0


def _labels(choice: Choice) -> list[tuple[str, str]]:
    return [(choice.kind, name or f"#{i}") for i, name in enumerate(choice.candidates)]
