"""How probable it is that two architectures are one network, judged by others that differ alike; needs numpy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fxnas.strategies.features import Array, Features

Keys = NDArray[np.int64]
Digest = tuple[Keys, Keys, Keys]
DOUBT = 2.0  # pairs that the rate of a coarser view counts for in a finer one
ALIKE = 0.99  # the rate of one network drawn twice, before the pairs speak
COMPARED = 150  # the latest that are compared with each other: a third of the time that 250 take, 21 ms


class Twins:
    """Learns which differences make no difference.

    Spaces hold many architectures twice: layers that run side by side trade places, a layer that does nothing stands
    elsewhere, a choice has no effect. Trained or looked up, such twins earn exactly the same, and to try the second
    one is a wasted trial. What two architectures differ in is described in three ways, each finer than the last: in how
    many choices of each kind they differ, and which kinds have all names equally often; in which choices; and what
    those kinds have decided that don't differ. The share of pairs with equal rewards is counted for every description,
    shrunk to the share of the coarser one, that of the coarsest to nothing, or to nearly all where both are known to be
    one network: the pairs can still say that places differ which look alike.

    Args:
        features: the encoding of the architectures.
    """

    def __init__(self, features: Features) -> None:
        self._decided, self._starts = features.decided, features.starts
        self._named, self._numbered = features.named, features.numbered
        kinds = sorted({choice.kind for choice in features.space.values()})
        self._kinds = np.array([[choice.kind == kind for kind in kinds] for choice in features.space.values()], int)
        label_kinds = [[label[0] == kind for kind in kinds] for label in features.labels]
        self._name_kinds = np.array(label_kinds, int).reshape(-1, len(kinds))
        # Descriptions are sums of random numbers, modulo 2**64: equal ones are equal, others all but surely differ.
        draw = np.random.default_rng(0).integers
        self._of_entry = draw(1, 2**62, features.decided.stop)
        self._of_name = draw(1, 2**62, len(features.labels))
        self._of_choice, self._of_decision = draw(1, 2**62, (2, len(self._kinds)))
        self._of_distance, self._of_names = draw(1, 2**62, (2, len(kinds)))
        self._of_network = draw(1, 2**62)
        self._scale = max(len(self._kinds), 1) ** 0.5

    def fit(self, rows: Array, rewards: Array) -> None:
        """Takes in architectures, and counts how often the pairs of the latest have equal rewards.

        Args:
            rows: encoded architectures, [n, features], two or more of them successful.
            rewards: what they earned, [n]; NaN for those that failed, which tell nothing.
        """
        self._known = self._digest(rows)
        succeeded = np.flatnonzero(~np.isnan(rewards))[-COMPARED:]
        one, other = succeeded[np.array(np.triu_indices(len(succeeded), 1))]
        equal = np.asarray(rewards[one] == rewards[other], float)
        self._rates: list[tuple[Keys, Array]] = []
        alike = self._alike(self._known, one, self._known, other)
        rate = ALIKE * alike
        for keys in self._descriptions(self._known, one, self._known, other, alike):
            unique, which, counts = np.unique(keys, return_inverse=True, return_counts=True)
            coarser = np.bincount(which, rate) / counts
            rates = (np.bincount(which, equal) + DOUBT * coarser) / (counts + DOUBT)
            self._rates.append((unique, rates))
            rate = rates[which]

    def probability(self, rows: Array) -> Array:
        """The probability [m] that an encoded architecture [m, features] is the twin of one of those known."""
        digest, n = self._digest(rows), len(self._known[0])
        one, other = np.repeat(np.arange(len(rows)), n), np.tile(np.arange(n), len(rows))
        alike = self._alike(digest, one, self._known, other)
        rate = ALIKE * alike
        descriptions = self._descriptions(digest, one, self._known, other, alike)
        for (unique, rates), keys in zip(self._rates, descriptions, strict=True):
            place = np.minimum(np.searchsorted(unique, keys), len(unique) - 1)
            rate = np.where(unique[place] == keys, rates[place], rate)
        return np.asarray(rate.reshape(len(rows), n).max(axis=1))

    def _digest(self, rows: Array) -> Digest:
        """A number for each decision, [n, choices], the names of each kind, [n, kinds], the network, [n, 1 or 0]."""
        decided = (rows[:, self._decided] > 0) * self._of_entry
        counts = np.rint(rows[:, self._named] * self._scale).astype(np.int64)
        names = (counts * self._of_name) @ self._name_kinds
        return np.add.reduceat(decided, self._starts, axis=1), names, rows[:, self._numbered].astype(np.int64)

    def _alike(self, ones: Digest, i: Keys, others: Digest, j: Keys) -> NDArray[np.bool_]:
        """Which pairs are known to be one network, [pairs]."""
        same = ones[2][i] == others[2][j]
        return same.all(axis=1) if same.shape[1] else np.zeros(len(i), bool)

    def _descriptions(self, ones: Digest, i: Keys, others: Digest, j: Keys, alike: NDArray[np.bool_]) -> Iterator[Keys]:
        """What pairs differ in, from coarse to fine; each [pairs]."""
        decisions = ones[0][i]
        differs = (decisions != others[0][j]).astype(np.int64)
        distance = differs @ self._kinds
        named = (ones[1][i] == others[1][j]) @ self._of_names
        yield (keys := distance @ self._of_distance + named + alike * self._of_network)
        yield (keys := keys + differs @ self._of_choice)
        yield keys + (decisions * self._of_decision * ((distance == 0) @ self._kinds.T)).sum(axis=1)
