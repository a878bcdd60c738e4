"""Recording: run `forward` once, and write down every torch-level call.

Python runs as it is, with real control flow: None is None, sizes are numbers, `isinstance` works. A `TorchFunctionMode`
sees each call of the torch API; leaf modules (those of torch.nn that hold no choice) are one record each.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from fxnas.choice import Choice
from fxnas.conditions import ALWAYS, Condition
from fxnas.errors import TraceError
from fxnas.modules import ModulePaths
from fxnas.tracing.bindings import Bindings
from fxnas.tracing.calls import EFFECTS, RANDOM, READS, SPLITS, attribute_name, describe
from fxnas.tracing.functions import result_of
from fxnas.tracing.leaves import output_of
from fxnas.tracing.locations import Locator
from fxnas.tracing.memory import is_copy_or_view, updated, written_arguments, written_inputs
from fxnas.tracing.recording import Attribute, Constant, Dim, DimFloat, Expression, Op, Record, size_of
from fxnas.tracing.repeats import Repeats
from fxnas.tree import map_leaves
from fxnas.tree import tensors as tensors_of


class _OpaqueOutput(TraceError):
    """The output holds an object that is neither a tensor nor a structure of tensors."""


class Recorder(TorchFunctionMode):
    """Writes down one run.

    Args:
        paths: the names of the model's modules.
        names: the paths of the model's tensors by identity.
        choices: the choice of each key.
        batch: the batch size of the inputs, or None for static sizes. Its multiples are kept as expressions.
        decisions: the decisions that Python sees, for the keys that are steered; the others follow their default.
        locate: finds the places of calls, from `run_forward` inwards.
        repeats: runs layers.
        like: the records of this run at a batch size that is easier to tell from other sizes: what follows the batch
            there does so here.
    """

    def __init__(
        self,
        paths: ModulePaths,
        names: Mapping[int, str],
        choices: Mapping[str, Choice],
        batch: int | None,
        decisions: Mapping[str, tuple[int, ...]],
        locate: Locator,
        repeats: Repeats,
        like: list[Record] | None = None,
    ) -> None:
        super().__init__()
        self.paths, self.names, self.choices, self.batch, self.decisions = paths, names, choices, batch, decisions
        self.like = like
        self.records: list[Record] = []
        self.masks_read: dict[str, None] = {}
        self.recording = False
        self.guard: Condition = ALWAYS
        self.bindings = Bindings()
        self.locate, self.repeats = locate, repeats
        self.follows_batch = False
        self.known: dict[int, tuple[str, ...]] = {}  # tensors with known values → keys of the masks they came from
        self._odd_sizes: set[int] = set()
        self._devices: dict[torch.device, Record | Attribute | Constant] = {}
        self._autocast = torch.is_autocast_enabled("cpu")

    # -- values and their records

    def lower(self, value: Any) -> Any:
        """A record's argument for a Python value of the run."""
        return map_leaves(self.lower_leaf, value)

    def lower_leaf(self, value: Any) -> Any:
        """As `lower`, for a value that is no container."""
        if isinstance(value, Tensor):
            return self._lower_tensor(value)
        if isinstance(value, Dim | DimFloat):
            if isinstance(value, Dim) and self.batch and int(value) % self.batch:
                self._odd_sizes.add(int(value))
            return value.expression
        if isinstance(value, torch.device) and value in self._devices:
            return Expression(getattr, (self._devices[value], "device"))
        if isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool):
            raise self.error("a size depends on the values of a tensor")
        return value

    def _lower_tensor(self, tensor: Tensor) -> Record | Attribute | Constant:
        record = self.bindings.record_of(tensor)
        if record is not None:
            return record
        path = self.names.get(id(tensor))
        if path is not None:
            return Attribute(path, self.bindings.storages(tensor))
        if isinstance(tensor, FakeTensor) and id(tensor) not in self.known:
            raise self.error("a tensor was made in a way that can't be recorded")
        self.bindings.keep(tensor)
        return Constant(tensor)

    def lower_output(self, value: Any) -> Any:
        """The lowered result of `forward`; a dataclass becomes a call of its class."""
        if is_dataclass(value) and not isinstance(value, type):
            parts = {field.name: self._lower_field(field.name, getattr(value, field.name)) for field in fields(value)}
            self.records.append(Record("call_function", type(value), (), parts))
            return self.records[-1]
        if isinstance(value, tuple):
            items = [self.lower_output(item) for item in value]
            return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
        if isinstance(value, list):
            return [self.lower_output(item) for item in value]
        if isinstance(value, Mapping):
            return {key: self.lower_output(item) for key, item in value.items()}
        if not isinstance(value, Tensor | bool | int | float | str | None):
            raise _OpaqueOutput(
                f"forward returns a {type(value).__name__}, which can't be part of a graph; "
                "return tensors in tuples, lists, dicts or dataclasses"
            )
        return self.lower_leaf(value)

    def _lower_field(self, name: str, value: Any) -> Any:
        try:
            return self.lower_output(value)
        except _OpaqueOutput as problem:
            warnings.warn(f"field {name!r} of the output is left out (None): {problem}", stacklevel=2)
            return None

    def emit(self, op: Op, target: Any, args: Any, kwargs: Any = None, output: Any = None) -> Record:
        """Appends a record and binds the tensors of `output` to it."""
        record = self.add(op, target, self.lower(tuple(args)), self.lower(kwargs or {}))
        self.bind_output(output, record)
        return record

    def add(self, op: Op, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Record:
        """Appends a record of lowered arguments."""
        place = self.locate()
        self.records.append(Record(op, target, args, kwargs, place.where, place.rounds, place.frame, self.guard))
        return self.records[-1]

    def _add_part(self, whole: Record, access: Callable[..., Any], name: Any) -> Record:
        """Appends a record that takes a part of another's value, at the same place."""
        where, rounds, frame = whole.where, whole.rounds, whole.frame
        self.records.append(Record("call_function", access, (whole, name), {}, where, rounds, frame, self.guard))
        return self.records[-1]

    def bind_output(self, output: Any, record: Record) -> None:
        """Binds every tensor inside of `output`, through `getitem` and `getattr` records where it is nested."""
        if isinstance(output, Tensor):
            self.bindings.bind(output, record)
        elif isinstance(output, tuple | list):
            self._bind_parts(record, operator.getitem, enumerate(output))
        elif isinstance(output, Mapping):
            self._bind_parts(record, operator.getitem, output.items())
        elif hasattr(output, "__dict__") and not isinstance(output, nn.Module):
            self._bind_parts(record, getattr, vars(output).items())

    def _bind_parts(self, record: Record, access: Callable[..., Any], parts: Any) -> None:
        for name, part in parts:
            if any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(part)):
                self.bind_output(part, self._add_part(record, access, name))

    # -- errors and locations

    def error(self, problem: str, way_out: str = "") -> TraceError:
        """A TraceError that names the user's line."""
        frame = self.locate().frame
        return TraceError(f"{frame or 'the model'}: {problem}{'; ' + way_out if way_out else ''}")

    # -- torch functions

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.recording:
            return function(*args, **kwargs)
        with self.paused():
            return self._call(function, args, kwargs)

    def _call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = getattr(function, "__name__", "")
        tensors = tensors_of((args, kwargs))
        keys = self._mask_keys(name, tensors, args, kwargs)
        if name in READS:
            return self._read(function, args, kwargs, keys)
        if name == "__set__" and attribute_name(function) == "data":
            raise self.error("assigning .data can't be recorded", "write to the tensor in place (.copy_(value))")
        if name in ("__iter__", "__len__", *SPLITS):
            self.follows_batch = True
        if name == "__iter__":
            return iter(self._call(Tensor.unbind, (args[0], 0), {}))
        written = written_arguments(function, args, kwargs)
        self._check_written(written)
        versions = [tensor._version for tensor in tensors]
        output = result_of(function, args, kwargs)
        if output is None:
            with unset_fake_temporarily() if keys is not None else nullcontext():
                output = function(*args, **kwargs)
        mutated = written + [t for t, version in zip(tensors, versions, strict=True) if t._version != version]
        if not mutated and not tensors_of(output):
            return self._number(function, name, args, kwargs, output)
        if is_copy_or_view(function):
            self._may_share(output, tensors)
        op, target, args = describe(function, args)
        return self._recorded(op, target, args, kwargs, output, tensors, mutated, keys)

    def _recorded(
        self,
        op: Op,
        target: Any,
        args: Any,
        kwargs: Any,
        output: Any,
        inputs: list[Tensor],
        mutated: list[Tensor],
        keys: Any,
    ) -> Any:
        """Emits the record of a call that returns or writes tensors; gives passed-through tensors a new identity."""
        self._check_autocast()
        changed = {id(tensor) for tensor in mutated}
        passed = {id(tensor) for tensor in inputs} - changed
        if any(id(tensor) in passed for tensor in tensors_of(output)):
            output = pytree.tree_map_only(Tensor, lambda t: self._alias(t) if id(t) in passed else t, output)
        record = self.emit(op, target, args, kwargs)
        self.bind_output(output, record)
        for tensor in mutated:
            record.mutates += self.bindings.storages(tensor)
            record.effect = record.effect or self.bindings.is_outside(record.mutates)
            self.known.pop(id(tensor), None)
        if keys is not None:
            for tensor in tensors_of(output):
                self.known[id(tensor)] = keys
        return output

    def _check_written(self, tensors: list[Tensor]) -> None:
        """A tensor that the model doesn't hold is a constant, which is there once for the model and all its graphs."""
        for tensor in tensors:
            known = self.bindings.record_of(tensor) is not None or id(tensor) in self.names or id(tensor) in self.known
            if not known and not isinstance(tensor, FakeTensor):
                raise self.error(
                    "forward writes to a tensor that is no input and belongs to no module",
                    "register it as a buffer (register_buffer)",
                )

    def _may_share(self, output: Any, inputs: list[Tensor]) -> None:
        """Another run may give a view of the first input where this one gives a copy of the same dtype."""
        if isinstance(output, Tensor) and inputs and output.dtype == inputs[0].dtype:
            self.bindings.share(output, [output, inputs[0]])

    def _alias(self, tensor: Tensor) -> Tensor:
        return tensor if id(tensor) in self.known else tensor.view_as(tensor)

    def _check_autocast(self) -> None:
        if torch.is_autocast_enabled("cpu") != self._autocast:
            raise self.error(
                "autocast inside of forward can't be recorded", "enter autocast around the call of the model"
            )

    def _mask_keys(self, name: str, tensors: list[Tensor], args: Any, kwargs: Any) -> tuple[str, ...] | None:
        """Keys of the masks a value was computed from, if everything it is computed from is known; else None."""
        if name in RANDOM or not all(id(tensor) in self.known for tensor in tensors):
            return None
        if any(isinstance(leaf, Dim | DimFloat) for leaf in pytree.tree_leaves((args, kwargs))):
            return None
        device = kwargs.get("device")
        if not tensors and device is not None and torch.device(device).type != "cpu":
            return None
        return tuple(dict.fromkeys(key for tensor in tensors for key in self.known[id(tensor)]))

    def _read(self, function: Any, args: Any, kwargs: Any, keys: tuple[str, ...] | None) -> Any:
        if keys is None:
            raise self.error(
                f"Python reads the value of a tensor ({function.__name__}), so that the path depends on the data",
                "compute with tensors instead (torch.where), or move the branch out of the model",
            )
        self.masks_read.update(dict.fromkeys(keys))
        with unset_fake_temporarily():
            return function(*args, **kwargs)

    # -- numbers

    def _number(self, function: Any, name: str, args: Any, kwargs: Any, output: Any) -> Any:
        if name in EFFECTS and not (name == "_assert" and args[0] is True):
            op, target, args = describe(function, args)
            self.emit(op, target, args, kwargs).effect = True
            return output
        if not args or not isinstance(args[0], Tensor):
            return output
        if name == "__get__" and attribute_name(function) == "device":
            self.note_device(args[0], output)
            return output
        if self.batch is None or self.bindings.record_of(args[0]) is None:
            return output
        if isinstance(output, torch.Size):
            return torch.Size(self._dims(args[0]))
        if name == "size" and isinstance(output, int):
            return self._dims(args[0])[args[1] if len(args) > 1 else kwargs["dim"]]
        if name in ("numel", "nelement"):
            total: Any = 1
            for dim in self._dims(args[0]):
                total = dim * total
            return total
        return self._dims(args[0])[0] if name == "__len__" else output

    def note_device(self, tensor: Tensor, device: torch.device) -> None:
        """Python looks at the device of a tensor: where it is used later, the graph looks at that tensor's again."""
        self._devices[device] = self._lower_tensor(tensor)

    def _dims(self, tensor: Tensor) -> list[int]:
        self.follows_batch = True
        record = self.bindings.record_of(tensor)
        assert record is not None
        shape = tuple(map(int, tensor.shape))
        if self.like is None:
            record.meta["follows"] = tuple(map(self._follows_batch, shape))
        else:
            record.meta["follows"] = self._follows_there(record) or (False,) * len(shape)
        return [
            Dim(size, Expression(size_of, (record, i))) if follows else size
            for i, (size, follows) in enumerate(zip(shape, record.meta["follows"], strict=True))
        ]

    def _follows_there(self, record: Record) -> tuple[bool, ...] | None:
        assert self.like is not None
        place = self.records.index(record)
        return self.like[place].meta.get("follows") if place < len(self.like) else None

    def _follows_batch(self, size: int) -> bool:
        # Keeping one size too many as an expression is harmless: it computes the same number again.
        assert self.batch is not None
        return size > 0 and (size % self.batch == 0 or any(size % odd == 0 for odd in self._odd_sizes if odd > 8))

    # -- modules

    def call_module(self, original: Callable[..., Any], module: nn.Module, args: Any, kwargs: Any) -> Any:
        """Stands in for `nn.Module.__call__` during the run: a leaf becomes one record."""
        path = self.paths.modules.get(id(module))
        if path is None or not self.paths.is_leaf(module) or _has_modules(args, kwargs):
            return original(module, *args, **kwargs)
        with self.paused():
            tensors = tensors_of((args, kwargs))
            written = written_inputs(module, args, kwargs)
            self._check_written(written)
            with torch._C.DisableTorchFunction():
                versions = [tensor._version for tensor in tensors]
                output = output_of(module, args, kwargs)
            if output is None:
                output = self.repeats(original, module, args, kwargs)
            with torch._C.DisableTorchFunction():
                mutated = written + [t for t, version in zip(tensors, versions, strict=True) if t._version != version]
                if is_copy_or_view(module):
                    self._may_share(output, tensors)
                number = len(self.records)
                output = self._recorded("call_module", path, args, kwargs, output, tensors, mutated, None)
                self._note_updates(self.records[number], updated(module))
                return output

    def _note_updates(self, record: Record, tensors: list[Tensor]) -> None:
        """What a leaf module writes to its own tensors. Where its value is used, that alone makes it run."""
        for tensor in tensors:
            record.mutates += self.bindings.storages(tensor)
        record.meta["updates"] = bool(tensors)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing inside of the block is recorded, or counted as something that Python looks at."""
        if not self.recording:
            yield
            return
        self.recording = False
        self.locate.pause()
        try:
            yield
        finally:
            self.recording = True
            self.locate.resume()


def _has_modules(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    values = (value for value in (*args, *kwargs.values()) if not isinstance(value, Tensor))
    return any(isinstance(leaf, nn.Module) for value in values for leaf in pytree.tree_leaves(value))
