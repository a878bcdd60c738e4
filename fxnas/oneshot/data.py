"""Batches whose order is a function of the seed, so that training can go on in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from fxnas.errors import FxnasError
from fxnas.oneshot import distributed
from fxnas.oneshot.base import Batch

_ORDER = 0x9E3779B97F4A7C15  # spreads seeds: 2⁶⁴ divided by the golden ratio


class Batches(Protocol):
    """What a trainer reads."""

    def __len__(self) -> int:
        """Batches in one pass."""

    def __iter__(self) -> Iterator[Batch]:
        """One pass, in a fixed order."""

    def stream(self, start: int) -> Iterator[Batch]:
        """Batches without an end, pass after pass, each in an order of its own; from the batch numbered `start` on."""


class DatasetBatches:
    """Batches of a data set, shuffled anew for each pass by (seed, pass).

    With several processes each gets an equal part of every batch.

    Args:
        dataset: a map-style data set of pairs (inputs, target).
        size: elements in a batch, of all processes together; a last, smaller batch is left out of a stream.
        seed: of the order.
        workers: processes that load; with 0 random augmentation follows the trainer's seed exactly.

    Raises:
        FxnasError: the data set is empty, or the batch can't be divided among the processes.
    """

    def __init__(self, dataset: Dataset[Any], size: int, *, seed: int, workers: int = 0) -> None:
        self.dataset, self.seed, self.workers = dataset, seed, workers
        count: int = len(dataset)  # type: ignore[arg-type]  # map-style ones have a length
        if not count:
            raise FxnasError("the data set is empty")
        self.size = min(size, count)
        if size < 1 or self.size % distributed.processes():
            raise FxnasError(
                f"a batch of {self.size} elements can't be divided among {distributed.processes()} processes equally"
            )
        self.count = count

    def __len__(self) -> int:
        return self.count // self.size

    def __iter__(self) -> Iterator[Batch]:
        mine = torch.arange(self.count)[distributed.rank() :: distributed.processes()]
        return iter(self._loader(torch.split(mine, max(self.size // distributed.processes(), 1))))

    def stream(self, start: int) -> Iterator[Batch]:
        """See `Batches`."""
        number, skipped = divmod(start, len(self))
        while True:
            yield from self._loader(self._order(number)[skipped:])
            number, skipped = number + 1, 0

    def _order(self, number: int) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed((self.seed + _ORDER * (number + 1)) % 2**63)
        order = torch.randperm(self.count, generator=generator)
        whole = order[: len(self) * self.size].split(self.size)  # type: ignore[no-untyped-call]
        return [batch[distributed.rank() :: distributed.processes()] for batch in whole]

    def _loader(self, batches: Iterable[torch.Tensor]) -> DataLoader[Any]:
        return DataLoader(
            self.dataset,
            batch_sampler=[batch.tolist() for batch in batches],
            num_workers=self.workers,
            generator=torch.Generator().manual_seed(self.seed),
        )


class IterableBatches:
    """Batches that the user makes: a list of them, a DataLoader, a `TensorBatches`.

    With several processes, each has to be given its own share.

    Args:
        batches: can be iterated again and again, and has a length.

    Raises:
        FxnasError: it is an iterator, has no length, or is empty.
    """

    def __init__(self, batches: Iterable[Batch]) -> None:
        if isinstance(batches, Iterator) or not hasattr(batches, "__len__"):
            raise FxnasError(
                f"batches have a length and can be iterated again and again (a list, a DataLoader, TensorBatches), "
                f"got a {type(batches).__name__}"
            )
        self.batches = batches
        if not len(self):
            raise FxnasError("there are no batches")

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)

    def stream(self, start: int) -> Iterator[Batch]:
        """See `Batches`; the order of each pass is that of the user's."""
        skipped = start % len(self)
        while True:
            yield from islice(iter(self.batches), skipped, None)
            skipped = 0


def batches_of(data: Any, size: int, *, seed: int, workers: int = 0) -> Batches:
    """The batches of a data set, or those that are given.

    Args:
        data: a map-style data set (something with `__getitem__` that isn't a list of batches), or batches.
        size: elements in a batch of a data set.
        seed: of their order.
        workers: processes that load them.

    Raises:
        FxnasError: it is neither, or empty.
    """
    if isinstance(data, Dataset):
        return DatasetBatches(data, size, seed=seed, workers=workers)
    return IterableBatches(data)


def halves(data: Any, seed: int) -> tuple[Any, Any]:
    """Two random halves of a data set: one to train the weights on, one to learn the architecture from.

    Raises:
        FxnasError: it is no data set, so that it can't be divided.
    """
    if not isinstance(data, Dataset):
        raise FxnasError("dataset_valid is missing; only a torch.utils.data.Dataset can be divided in two")
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed)).tolist()  # type: ignore[arg-type]
    middle = len(order) // 2
    return Subset(data, order[:middle]), Subset(data, order[middle:])


class Shuffled:
    """One pass in a random order, the same each time: for whoever reads only the first batches of it.

    Args:
        batches: what is read.
        start: where in their stream the pass begins, as a number of batches.
    """

    def __init__(self, batches: Batches, start: int = 0) -> None:
        self.batches, self.start = batches, start

    def __iter__(self) -> Iterator[Batch]:
        return islice(self.batches.stream(self.start), len(self.batches))


def elements(target: Any) -> int:
    """How many elements a batch has: the length of its target; 1 where that isn't a tensor with one."""
    return len(target) if isinstance(target, Tensor) and target.ndim else 1
