"""Architectures as vectors of numbers, for predictors; needs numpy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.space import SearchSpace
from fxnas.strategies.networks import Networks, Part, labels, number

Array = NDArray[np.float64]
DEPTHS = 3  # of labels: what a part is; with its neighbors; with theirs
BUCKETS = 128  # columns for the labels of one depth: that two share one is rare, and does little harm
EXACT = 2**53  # smaller integers are told apart as floating-point numbers


class Features:
    """A row of numbers for each architecture: its decisions, choice by choice, and how often each name is chosen.

    The block of a choice has the squared length 1, so that the product of two blocks is the share of the decision in
    which the architectures agree. A single choice is a one-hot vector; where several or any number of candidates are
    chosen there are two entries a candidate, taken and left; a conditional choice has one entry more, "not active".

    Names count where more than one choice has them: `conv3x3` in five layers is one entry. Candidates without a name
    go by their position.

    Where it is known what is connected to what, there is the number of the network too, in one column; and where the
    decisions change that, how often each label of `fxnas.strategies.networks.labels` occurs, in `BUCKETS` columns for
    each depth.

    Args:
        space: the space of the architectures.
        networks: finds theirs; None: it isn't known what is connected to what.

    Attributes:
        starts: where the block of each choice starts.
        widths: the length of each block.
        labels: kind and name of the names that count.
        decided, named, around, numbered: the columns of the decisions, the names, the labels, and the number.
        width: how many columns there are.
    """

    def __init__(self, space: SearchSpace, networks: Networks | None = None) -> None:
        self.space = space
        self.widths = np.array([2 * len(c.candidates) + 1 if c.n_chosen != 1 else len(c.candidates) + 1
                                for c in space.values()], dtype=np.intp)  # fmt: skip
        self.starts = np.concatenate([[0], np.cumsum(self.widths)[:-1]]).astype(np.intp)
        self.decided = slice(0, int(self.widths.sum()))
        names = {key: _labels(choice) for key, choice in space.items()}
        shared = Counter(label for each in names.values() for label in set(each))
        counted = {label: i for i, label in enumerate(label for label, n in shared.items() if n > 1)}
        self.labels = list(counted)
        self.named = slice(self.decided.stop, self.decided.stop + len(counted))
        self._networks = networks
        searched = networks is not None and networks.searched
        self.around = slice(self.named.stop, self.named.stop + searched * DEPTHS * BUCKETS)
        self.numbered = slice(self.around.stop, self.around.stop + (networks is not None))
        self.width = self.numbered.stop
        self._unnamed = len(counted)  # where names are counted that don't count
        columns = [[counted.get(label, self._unnamed) for label in each] for each in names.values()]
        self._blocks = list(zip(self.starts.tolist(), self.widths.tolist(), space.values(), columns, strict=True))

    def of(self, architecture: Architecture) -> Array:
        """The row, [columns]."""
        row = np.zeros(self.width)
        ones: list[int] = []  # in lists first: arrays are slow, number by number
        named: list[int] = []
        for start, width, choice, columns in self._blocks:
            decision = architecture.get(choice.key)
            if decision is None:
                ones.append(start + width - 1)
                continue
            if choice.n_chosen == 1:
                ones.append(start + decision[0])
            else:
                self._decide(row, start, len(choice.candidates), decision)
            named += [columns[candidate] for candidate in decision]
        row[ones] = 1.0
        counts = np.bincount(named, minlength=self._unnamed + 1)[: self._unnamed]
        row[self.named] = counts / max(len(self.space), 1) ** 0.5
        if self._networks is not None:
            parts = self._networks.parts(architecture)
            row[self.numbered] = number(parts) % EXACT
            if self._networks.searched:
                row[self.around] = self._around(parts)
        return row

    def _around(self, parts: Sequence[Part]) -> Array:
        """How often each label occurs, over the root of the number of parts."""
        row = np.zeros((DEPTHS, BUCKETS))
        for depth, found in enumerate(labels(parts, DEPTHS)):
            np.add.at(row[depth], [label % BUCKETS for label in found], max(len(parts), 1) ** -0.5)
        return row.ravel()

    @staticmethod
    def _decide(row: Array, start: int, count: int, decision: tuple[int, ...]) -> None:
        row[start + count : start + 2 * count] = count**-0.5
        for candidate in decision:
            row[start + candidate] = count**-0.5
            row[start + count + candidate] = 0.0


def _labels(choice: Choice) -> list[tuple[str, str]]:
    return [(choice.kind, name or f"#{i}") for i, name in enumerate(choice.candidates)]
