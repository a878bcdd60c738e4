"""Recording: run `forward` once, and write down every torch-level call.

Python runs as it is, with real control flow: None is None, sizes are numbers, `isinstance` works. A `TorchFunctionMode`
sees each call of the torch API; leaf modules (those of torch.nn that hold no choice) are one record each. LayerChoice
runs *all* its candidates, each under its own guard; InputChoice gives one of the values that the tracer asks for.
"""

from __future__ import annotations

import operator
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from fxnas import ops
from fxnas.calls import EFFECTS, RANDOM, READS, attribute_name, describe, written_arguments
from fxnas.choice import Choice
from fxnas.conditions import ALWAYS, Condition, all_of, chosen
from fxnas.errors import TraceError
from fxnas.modules import ModulePaths
from fxnas.nn import InputChoice, LayerChoice
from fxnas.recording import Attribute, Constant, Dim, DimFloat, Expression, Op, Record, size_of
from fxnas.tree import map_leaves

TORCH_FOLDER = os.path.dirname(torch.__file__) + os.sep
_HERE = os.path.dirname(__file__) + os.sep
FRONT_END = {
    _HERE + name
    for name in ("recorder.py", "runs.py", "trace.py", "nn.py", "containers.py", "recording.py", "forwarding.py")
}


class OpaqueOutput(TraceError):
    """The output holds an object that is neither a tensor nor a structure of tensors."""


@dataclass(slots=True)
class _Option:
    """What one candidate returned: its leaves, their structure, and what they stood for when it had run."""

    leaves: list[Any]
    spec: Any
    lowered: list[Any]


class Recorder(TorchFunctionMode):
    """Writes down one run.

    Args:
        paths: the names of the model's modules.
        names: the paths of the model's tensors by identity.
        choices: the choice of each key.
        batch: the batch size of the example inputs, or None for static sizes. Sizes that are multiples of it are kept
        as
            expressions.
        decisions: decisions that Python sees, for the keys that are steered; others follow `base_decision`.
    """

    def __init__(
        self,
        paths: ModulePaths,
        names: Mapping[int, str],
        choices: Mapping[str, Choice],
        batch: int | None,
        decisions: Mapping[str, tuple[int, ...]],
    ) -> None:
        super().__init__()
        self.paths, self.names, self.choices, self.batch, self.decisions = paths, names, choices, batch, decisions
        self.records: list[Record] = []
        self.masks_read: dict[str, None] = {}
        self.recording = False
        self.guard: Condition = ALWAYS
        self._record_of: dict[int, Record] = {}
        self._kept: list[Any] = []  # keeps every tensor alive, so that identities stay unique
        self._undo: list[tuple[int, Record | None]] = []
        self._storages: dict[int, tuple[int, ...]] = {}  # address → numbers of the storages that it may stand for
        self._n_storages = 0
        self._outside: set[int] = set()  # storages that live longer than the run: of inputs and of the model
        self._known: dict[int, tuple[str, ...]] = {}  # tensors with known values → keys of the masks they came from
        self._odd_sizes: set[int] = set()
        self._devices: dict[torch.device, Record | Attribute | Constant] = {}
        self._autocast = torch.is_autocast_enabled("cpu")

    # -- values and their records

    def bind(self, tensor: Tensor, record: Record) -> None:
        """From here on `tensor` stands for the value of `record`."""
        self._undo.append((id(tensor), self._record_of.get(id(tensor))))
        self._record_of[id(tensor)] = record
        self._kept.append(tensor)
        record.storages = self.storages(tensor)
        record.meta = {"shape": tuple(tensor.shape), "dtype": tensor.dtype}

    def storages(self, tensor: Tensor) -> tuple[int, ...]:
        """Numbers of the storages that `tensor` may share."""
        address = _address(tensor)
        if address is None:
            return ()
        self._kept.append(tensor)
        if address not in self._storages:
            self._storages[address] = (self._n_storages,)
            self._n_storages += 1
        return self._storages[address]

    def mark_outside(self, tensor: Tensor) -> None:
        """A write to this tensor is an effect that others can see."""
        self._outside.update(self.storages(tensor))

    def _share(self, tensor: Tensor, values: list[Tensor]) -> None:
        """`tensor` may be any of `values`: an in-place write to it is a write to them."""
        address = _address(tensor)
        if address is not None:
            self._storages[address] = tuple(dict.fromkeys(s for value in values for s in self.storages(value)))

    def lower(self, value: Any) -> Any:
        """A record's argument for a Python value of the run."""
        return map_leaves(self._lower_leaf, value)

    def _lower_leaf(self, value: Any) -> Any:
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
        record = self._record_of.get(id(tensor))
        if record is not None:
            return record
        path = self.names.get(id(tensor))
        if path is not None:
            return Attribute(path)
        if isinstance(tensor, FakeTensor) and id(tensor) not in self._known:
            raise self.error("a tensor was made in a way that can't be recorded")
        self._kept.append(tensor)
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
            raise OpaqueOutput(
                f"forward returns a {type(value).__name__}, which can't be part of a graph; "
                "return tensors in tuples, lists, dicts or dataclasses"
            )
        return self._lower_leaf(value)

    def _lower_field(self, name: str, value: Any) -> Any:
        try:
            return self.lower_output(value)
        except OpaqueOutput as problem:
            warnings.warn(f"field {name!r} of the output is left out (None): {problem}", stacklevel=2)
            return None

    def emit(self, op: Op, target: Any, args: Any, kwargs: Any = None, output: Any = None) -> Record:
        """Appends a record and binds the tensors of `output` to it."""
        where, frame = self._location()
        record = Record(op, target, self.lower(tuple(args)), self.lower(kwargs or {}), where, frame, self.guard)
        self.records.append(record)
        self.bind_output(output, record)
        return record

    def bind_output(self, output: Any, record: Record) -> None:
        """Binds every tensor inside of `output`, through `getitem` and `getattr` records where it is nested."""
        if isinstance(output, Tensor):
            self.bind(output, record)
        elif isinstance(output, tuple | list):
            self._bind_parts(record, operator.getitem, enumerate(output))
        elif isinstance(output, Mapping):
            self._bind_parts(record, operator.getitem, output.items())
        elif hasattr(output, "__dict__") and not isinstance(output, nn.Module):
            self._bind_parts(record, getattr, vars(output).items())

    def _bind_parts(self, record: Record, access: Callable[..., Any], parts: Any) -> None:
        for name, part in parts:
            if any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(part)):
                item = Record("call_function", access, (record, name), {}, record.where, record.frame, self.guard)
                self.records.append(item)
                self.bind_output(part, item)

    # -- errors and locations

    def error(self, problem: str, way_out: str = "") -> TraceError:
        """A TraceError that names the user's line."""
        _, frame = self._location()
        return TraceError(f"{frame or 'the model'}: {problem}{'; ' + way_out if way_out else ''}")

    def _location(self) -> tuple[tuple[tuple[int, int], ...], str | None]:
        frame, where, user = sys._getframe(1), [], None
        while frame is not None and frame.f_code is not run_forward.__code__:
            name = frame.f_code.co_filename
            if not name.startswith(TORCH_FOLDER) and name not in FRONT_END:
                where.append((id(frame.f_code), frame.f_lasti))
                user = user or f"{name}:{frame.f_lineno} in {frame.f_code.co_name}"
            frame = frame.f_back  # type: ignore[assignment]
        return tuple(where), user

    # -- torch functions

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.recording:
            return function(*args, **kwargs)
        self.recording = False
        try:
            return self._call(function, args, kwargs)
        finally:
            self.recording = True

    def _call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = getattr(function, "__name__", "")
        tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        keys = self._mask_keys(name, tensors, args, kwargs)
        if name in READS:
            return self._read(function, args, kwargs, keys)
        if name == "__iter__":
            return iter(self._call(Tensor.unbind, (args[0], 0), {}))
        versions = [tensor._version for tensor in tensors]
        with unset_fake_temporarily() if keys is not None else nullcontext():
            output = function(*args, **kwargs)
        mutated = [t for t, version in zip(tensors, versions, strict=True) if t._version != version]
        mutated += written_arguments(function, args, kwargs)
        if not mutated and not any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(output)):
            return self._number(function, name, args, kwargs, output)
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
        output = pytree.tree_map_only(Tensor, lambda t: self._alias(t) if id(t) in passed else t, output)
        record = self.emit(op, target, args, kwargs)
        self.bind_output(output, record)
        for tensor in mutated:
            record.mutates += self.storages(tensor)
            record.effect = record.effect or not self._outside.isdisjoint(record.mutates)
            self._known.pop(id(tensor), None)
        if keys is not None:
            for leaf in pytree.tree_leaves(output):
                self._known[id(leaf)] = keys
        return output

    def _alias(self, tensor: Tensor) -> Tensor:
        return tensor if id(tensor) in self._known else tensor.view_as(tensor)

    def _check_autocast(self) -> None:
        if torch.is_autocast_enabled("cpu") != self._autocast:
            raise self.error(
                "autocast inside of forward can't be recorded", "enter autocast around the call of the model"
            )

    def _mask_keys(self, name: str, tensors: list[Tensor], args: Any, kwargs: Any) -> tuple[str, ...] | None:
        """Keys of the masks a value was computed from, if everything it is computed from is known; else None."""
        if name in RANDOM or not all(id(tensor) in self._known for tensor in tensors):
            return None
        if any(isinstance(leaf, Dim | DimFloat) for leaf in pytree.tree_leaves((args, kwargs))):
            return None
        device = kwargs.get("device")
        if not tensors and device is not None and torch.device(device).type != "cpu":
            return None
        return tuple(dict.fromkeys(key for tensor in tensors for key in self._known[id(tensor)]))

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
        if name in EFFECTS:
            op, target, args = describe(function, args)
            self.emit(op, target, args, kwargs).effect = True
            return output
        if not args or not isinstance(args[0], Tensor):
            return output
        if name == "__get__" and attribute_name(function) == "device":
            self._devices[output] = self._lower_tensor(args[0])
            return output
        if self.batch is None or id(args[0]) not in self._record_of:
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

    def _dims(self, tensor: Tensor) -> list[int]:
        record = self._record_of[id(tensor)]
        return [
            Dim(size, Expression(size_of, (record, i))) if self._follows_batch(size) else size
            for i, size in enumerate(map(int, tensor.shape))
        ]

    def _follows_batch(self, size: int) -> bool:
        # Keeping one size too many as an expression is harmless: it computes the same number again.
        assert self.batch is not None
        return size > 0 and (size % self.batch == 0 or any(size % odd == 0 for odd in self._odd_sizes if odd > 8))

    # -- modules

    def call_module(self, original: Callable[..., Any], module: nn.Module, args: Any, kwargs: Any) -> Any:
        """Stands in for `nn.Module.__call__` during the run."""
        if isinstance(module, LayerChoice):
            return self._layer_choice(module, args, kwargs)
        if isinstance(module, InputChoice):
            return self._input_choice(module, *args, **kwargs)
        path = self.paths.modules.get(id(module))
        if path is None or not self.paths.is_leaf(module) or _has_modules((args, kwargs)):
            return original(module, *args, **kwargs)
        self.recording = False
        try:
            tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
            versions = [tensor._version for tensor in tensors]
            output = original(module, *args, **kwargs)
            mutated = [t for t, version in zip(tensors, versions, strict=True) if t._version != version]
            return self._recorded("call_module", path, args, kwargs, output, tensors, mutated, None)
        finally:
            self.recording = True

    # -- choices

    def _layer_choice(self, module: LayerChoice, args: Any, kwargs: Any) -> Any:
        choice, path = self._choice_of(module)
        base, changes, outputs = self.guard, [], []
        for i, candidate in enumerate(module.candidates()):
            self.guard = all_of([base, chosen(choice.key, i, len(module), module.n_chosen)])
            mark = len(self._undo)
            outputs.append(self._option(candidate(*args, **kwargs)))
            changes.append(self._rewind(mark))
            self.guard = base
        result = self._choose_outputs(module, choice, path, outputs)
        self._merge_changes(choice, path, changes)
        return (result, self._mask(module, choice, path)) if module.return_mask else result

    def _option(self, output: Any) -> _Option:
        leaves, spec = pytree.tree_flatten(output)
        return _Option(leaves, spec, [self._lower_leaf(leaf) for leaf in leaves])

    def _rewind(self, mark: int) -> dict[int, Record]:
        """Undoes bindings of older tensors made since `mark`, and gives the newest ones back."""
        changed: dict[int, Record] = {}
        for identity, old in reversed(self._undo[mark:]):
            if old is not None:
                changed.setdefault(identity, self._record_of[identity])
                self._record_of[identity] = old
        return changed

    def _merge_changes(self, choice: Choice, path: str, changes: list[dict[int, Record]]) -> None:
        """A tensor that some candidates write to in place has, afterwards, the version of the chosen candidate."""
        for identity in dict.fromkeys(identity for change in changes for identity in change):
            if choice.n_chosen != 1:
                raise self.error(
                    f"candidates of choice {choice.key!r} write to their input in place while several may run",
                    "make them out of place",
                )
            tensor = next(t for t in self._kept if id(t) == identity)
            versions = [change.get(identity, self._record_of[identity]) for change in changes]
            self.bind(tensor, self._choose_record(choice, path, versions, "sum"))

    def _choose_outputs(
        self, module: LayerChoice | InputChoice, choice: Choice, path: str, options: list[_Option]
    ) -> Any:
        first = options[0]
        for i, option in enumerate(options):
            if option.spec != first.spec:
                raise self.error(
                    f"candidates of choice {choice.key!r} return different structures: "
                    f"{_label(choice, 0)} {first.spec}, {_label(choice, i)} {option.spec}"
                )
        width = len(first.leaves)
        if width != 1 and choice.n_chosen != 1:
            raise self.error(f"candidates of choice {choice.key!r} return several values, and several may run")
        parts = [
            self._choose_leaf(module, choice, path, [o.leaves[i] for o in options], [o.lowered[i] for o in options])
            for i in range(width)
        ]
        return parts[0] if choice.n_chosen != 1 else pytree.tree_unflatten(parts, first.spec)

    def _choose_leaf(
        self, module: LayerChoice | InputChoice, choice: Choice, path: str, values: list[Any], lowered: list[Any]
    ) -> Any:
        if not all(isinstance(value, Tensor) for value in values):
            if any(isinstance(value, Tensor) or value != values[0] for value in values):
                raise self.error(f"candidates of choice {choice.key!r} return different kinds of values: {values}")
            return values[0]
        self._check_agreement(choice, values)
        if module.reduction == "none":
            return self._choose_list(choice, path, values, lowered)
        record = self._choose_record(choice, path, lowered, module.reduction)
        if choice.n_chosen == 0 or (choice.n_chosen is None and not self._decision(choice)):
            return None
        output = self._fresh(values, len(self._decision(choice)) if module.reduction == "concat" else 1)
        self.bind(output, record)
        return output

    def _choose_list(self, choice: Choice, path: str, values: list[Any], lowered: list[Any]) -> list[Any]:
        if choice.n_chosen is None:
            # Which elements the list has is something that Python sees: the tracer asks for each in turn.
            return [values[i] for i in self._decision(choice)]
        record = self._choose_record(choice, path, lowered, "none")
        outputs = [self._fresh(values) for _ in range(choice.n_chosen)]
        for i, output in enumerate(outputs):
            item = Record("call_function", operator.getitem, (record, i), {}, record.where, record.frame, self.guard)
            self.records.append(item)
            self.bind(output, item)
        return outputs

    def _choose_record(self, choice: Choice, path: str, options: Any, reduction: str) -> Record:
        details = {
            "key": choice.key,
            "kind": choice.kind,
            "candidates": choice.candidates,
            "n_chosen": choice.n_chosen,
            "reduction": reduction,
        }
        where, frame = self._location()
        record = Record("choose", path, (tuple(options),), details, where, frame, self.guard)
        self.records.append(record)
        return record

    def _mask(self, module: LayerChoice | InputChoice, choice: Choice, path: str) -> Tensor:
        record = self._choose_record(choice, path, (), "mask")
        record.kwargs["device"] = self._input_device()
        self.recording = False
        with unset_fake_temporarily():
            value = ops.mask(self._decision(choice), len(module))
        self.recording = True
        self.bind(value, record)
        self._known[id(value)] = (choice.key,)
        return value

    def _input_device(self) -> Expression | None:
        given = next((r for r in self.records if r.op == "placeholder" and "shape" in r.meta), None)
        return None if given is None else Expression(getattr, (given, "device"))

    def _check_agreement(self, choice: Choice, values: list[Tensor]) -> None:
        first = values[0]
        for i, value in enumerate(values):
            if value.shape != first.shape or value.dtype != first.dtype:
                raise self.error(
                    f"candidates of choice {choice.key!r} disagree: {_label(choice, 0)} gives {self._shape(first)}, "
                    f"{_label(choice, i)} gives {self._shape(value)}",
                    "every candidate has to give the same shape and dtype",
                )

    def _shape(self, tensor: Tensor) -> str:
        sizes = [
            f"batch*{s // self.batch}" if self.batch and s % self.batch == 0 else str(s) for s in map(int, tensor.shape)
        ]
        return f"{tensor.dtype} [{', '.join(sizes)}]".replace("batch*1,", "batch,").replace("torch.", "")

    def _input_choice(self, module: InputChoice, inputs: Any) -> Any:
        choice, path = self._choice_of(module)
        result = self._choose_outputs(module, choice, path, [self._option(value) for value in module.ordered(inputs)])
        return (result, self._mask(module, choice, path)) if module.return_mask else result

    def _choice_of(self, module: LayerChoice | InputChoice) -> tuple[Choice, str]:
        path = self.paths.modules.get(id(module))
        if path is None:
            raise self.error("a choice has to be registered in the model (an attribute made in __init__)")
        return self.choices[self.paths.keys[id(module)]], path

    def _decision(self, choice: Choice) -> tuple[int, ...]:
        return self.decisions.get(choice.key, choice.default)

    def _fresh(self, values: list[Tensor], copies: int = 1) -> Tensor:
        """A tensor with the form of the values (dimension 1 repeated `copies` times) and an identity of its own."""
        self.recording = False
        try:
            with torch.no_grad():
                output = torch.empty_like(values[0]) if copies == 1 else torch.cat([values[0]] * copies, dim=1)
        finally:
            self.recording = True
        self._share(output, values)
        return output


def _label(choice: Choice, i: int) -> str:
    return f"candidate {choice.candidates[i]!r}" if choice.candidates[i] else f"candidate {i}"


def _address(tensor: Tensor) -> int | None:
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # sparse and nested tensors have no storage of their own
        return None


def _has_modules(tree: Any) -> bool:
    return any(isinstance(leaf, nn.Module) for leaf in pytree.tree_leaves(tree))


def run_forward(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The outermost frame of a recorded run: program locations are counted from here."""
    return model(*args, **kwargs)


@contextmanager
def intercept_modules(recorder: Recorder) -> Iterator[None]:
    """Sends calls of modules through the recorder while it records."""
    original = nn.Module.__call__

    def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if not recorder.recording:
            return original(module, *args, **kwargs)
        return recorder.call_module(original, module, args, kwargs)

    nn.Module.__call__ = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__call__ = original  # type: ignore[method-assign]
