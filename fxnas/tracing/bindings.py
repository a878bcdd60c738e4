"""Which record each tensor of a run stands for, and which memory it may share."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from torch import Tensor

from fxnas.tracing.recording import Record


class Bindings:
    """Tensors by identity → records.

    Bindings are undone with `rewind`, so that what one candidate of a choice does is unknown to its siblings. Storages
    are numbered; a value that may be one of several (the output of a choice) shares the storages of all of them.
    """

    def __init__(self) -> None:
        self._record_of: dict[int, Record] = {}
        self._tensors: dict[int, Tensor] = {}  # keeps every tensor alive, so that identities stay unique
        self._undo: list[tuple[int, Record | None]] = []
        self._storages: dict[int, tuple[int, ...]] = {}  # address → numbers
        self._count = 0
        self._outside: set[int] = set()

    def bind(self, tensor: Tensor, record: Record) -> None:
        """From here on `tensor` stands for the value of `record`."""
        self._undo.append((id(tensor), self._record_of.get(id(tensor))))
        self._record_of[id(tensor)] = record
        record.storages = self.storages(tensor)
        record.meta.update(shape=tuple(tensor.shape), dtype=tensor.dtype)

    def record_of(self, tensor: Any) -> Record | None:
        """What the tensor stands for, or None."""
        return self._record_of.get(id(tensor))

    def keep(self, tensor: Tensor) -> None:
        """Keeps the tensor alive for as long as the run is recorded."""
        self._tensors[id(tensor)] = tensor

    def storages(self, tensor: Tensor) -> tuple[int, ...]:
        """Numbers of the storages that `tensor` may share."""
        self.keep(tensor)
        address = _address(tensor)
        if address is None:
            return ()
        if address not in self._storages:
            self._storages[address] = (self._count,)
            self._count += 1
        return self._storages[address]

    def share(self, tensor: Tensor, values: list[Tensor]) -> None:
        """`tensor` may be any of `values`: a write to it is a write to them."""
        address = _address(tensor)
        if address is not None:
            self._storages[address] = tuple(dict.fromkeys(s for value in values for s in self.storages(value)))

    def mark_outside(self, tensor: Tensor) -> None:
        """The tensor outlives the run: it is an input, or the model's."""
        self._outside.update(self.storages(tensor))

    def adopt(self, tensor: Tensor) -> None:
        """The tensor is the model's: its storage gets the next negative number."""
        self.keep(tensor)
        address = _address(tensor)
        if address is not None and address not in self._storages:
            self._storages[address] = (-1 - len(self._storages),)
        self.mark_outside(tensor)

    def is_outside(self, storages: tuple[int, ...]) -> bool:
        """Whether a write to these storages is an effect that others can see."""
        return not self._outside.isdisjoint(storages)

    def mark(self) -> int:
        """A point to rewind to."""
        return len(self._undo)

    def rewind(self, mark: int, lasting: Container[int]) -> dict[int, Record]:
        """Undoes the bindings made since `mark`.

        Args:
            mark: the point to go back to.
            lasting: identities of tensors that need no binding to be known: those of the model.

        Returns:
            The newest bindings of tensors that were known before, by identity.
        """
        newest = {identity: self._record_of[identity] for identity, _ in self._undo[mark:]}
        for identity, old in reversed(self._undo[mark:]):
            if old is not None:
                self._record_of[identity] = old
            else:
                self._record_of.pop(identity, None)
        del self._undo[mark:]
        return {i: record for i, record in newest.items() if i in self._record_of or i in lasting}

    def tensor(self, identity: int) -> Tensor:
        """The tensor of an identity that `rewind` gave."""
        return self._tensors[identity]


def _address(tensor: Tensor) -> int | None:
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # sparse and nested tensors have no storage of their own
        return None
