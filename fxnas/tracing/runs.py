"""Making runs: fake inputs, a model that is left as it was, and one recording for each set of decisions."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

from fxnas.choice import Choice
from fxnas.conditions import TRAINING_KEY
from fxnas.errors import TraceError
from fxnas.inputs import signature_of
from fxnas.modules import ModulePaths, join, walk
from fxnas.nn import named_choices
from fxnas.tracing.choice_recorder import ChoiceRecorder
from fxnas.tracing.fakes import fakes_of
from fxnas.tracing.interception import intercept_modules, noted_devices, run_forward
from fxnas.tracing.locations import Locator, line_of
from fxnas.tracing.recorder import Recorder
from fxnas.tracing.recording import Record, Recording
from fxnas.tracing.repeats import Repeats

FAKE_BATCH = 1009  # a prime that no layer width is a multiple of: such sizes come from the batch
_REAL_BATCH = 7
PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device)
"""The kinds of arguments that become part of the graph, which then checks that it is given the same."""
_LOCK = threading.RLock()  # a run patches nn.Module for its duration


@dataclass(frozen=True, slots=True)
class At:
    """A batch size of a run, and the run at the usual size that tells which sizes follow it."""

    batch: int
    like: Recording


class Runner:
    """Records runs of one model on one set of example inputs.

    Runs use fake tensors, which have a shape and no data. A model that fake tensors can't run is run on real ones.
    """

    def __init__(
        self,
        model: nn.Module,
        choices: Mapping[str, Choice],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        dynamic: bool,
    ) -> None:
        self.model, self.choices, self.args, self.kwargs = model, choices, args, kwargs
        self.paths = ModulePaths(model)
        self.example_batch = batch_size((args, kwargs)) if dynamic else None
        self.fake = True
        self.mode_read = False  # in any run
        self._locate, self._repeats = Locator(run_forward.__code__), Repeats()
        self._fakes = FakeTensorMode(allow_non_fake_inputs=True)
        self._stand_ins: dict[bool, list[_StandIn]] = {}

    def record(self, decisions: Mapping[str, tuple[int, ...]], at: At | None = None) -> Recording:
        """One run under `decisions` of the keys that Python may see, the mode (`TRAINING_KEY`) among them.

        Args:
            decisions: key → chosen indices.
            at: the batch size to run at, in place of the usual one.

        Raises:
            TraceError: the model fails, or does what no graph can express.
        """
        training = bool(decisions.get(TRAINING_KEY, (0,) if self.model.training else ()))
        try:
            return self._run(decisions, training, self.fake, at)
        except TraceError:
            raise
        except Exception as error:
            return self._run_again(decisions, training, at, error)

    def _run_again(
        self, decisions: Mapping[str, tuple[int, ...]], training: bool, at: At | None, error: Exception
    ) -> Recording:
        if not self.fake:
            raise self._failure(error, decisions) from error
        try:
            recording = self._run(decisions, training, False, at)
        except TraceError:
            raise
        except Exception as real_error:
            raise self._failure(real_error, decisions) from real_error
        self.fake = False
        return recording

    def _failure(self, error: Exception, decisions: Mapping[str, tuple[int, ...]]) -> TraceError:
        text = f"{line_of(error) or type(self.model).__name__}: forward fails with {type(error).__name__}: {error}"
        if self.example_batch not in (None, _REAL_BATCH) and self._runs_at_example_batch(decisions):
            text += (
                f"; it runs at the example's batch size {self.example_batch} but not at another: "
                "pass dynamic_batch=False to fix the batch size"
            )
        return TraceError(text)

    def _runs_at_example_batch(self, decisions: Mapping[str, tuple[int, ...]]) -> bool:
        try:
            model = copy.deepcopy(self.model)
            for key, places in named_choices(model).items():
                for _, choice in places:
                    choice.decision = decisions.get(key)
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                model(*copy.deepcopy(self.args), **copy.deepcopy(self.kwargs))
        except Exception:
            return False
        return True

    def _run(self, decisions: Mapping[str, tuple[int, ...]], training: bool, fake: bool, at: At | None) -> Recording:
        usual = FAKE_BATCH if fake else _REAL_BATCH
        batch = None if self.example_batch is None else at.batch if at else usual
        stand_ins = self._tensors(fake)
        names = {id(s.tensor): s.path for s in reversed(stand_ins)}
        like = at.like.records if at else None
        recorder = ChoiceRecorder(self.paths, names, self.choices, batch, decisions, self._locate, self._repeats, like)
        reads: list[bool] = []
        with ExitStack() as stack:
            stack.enter_context(_LOCK)
            stack.enter_context(_quiet())
            stack.enter_context(_unchanged(self.model))
            stack.enter_context(_watched_mode(self.model, self.paths, training, reads))
            stack.enter_context(intercept_modules(recorder))
            stack.enter_context(noted_devices(recorder))
            stack.enter_context(self._fakes if fake else torch.random.fork_rng(devices=[]))
            for stand_in in stand_ins:
                stand_in.table[stand_in.name] = stand_in.tensor
                recorder.bindings.adopt(stand_in.tensor)
            args, kwargs = self._inputs(recorder, batch, fake)
            with recorder, recorder.locate.counting() if decisions else nullcontext():
                recorder.recording = True
                output = run_forward(self.model, args, kwargs)
                recorder.recording = False
            self._check_buffers(stand_ins)
            recorder.records.append(Record("output", "output", (recorder.lower_output(output),), {}))
        self.mode_read = self.mode_read or bool(reads)
        return Recording(
            recorder.records, dict(decisions), tuple(recorder.masks_read), recorder.follows_batch, bool(reads), training
        )

    def _tensors(self, fake: bool) -> list[_StandIn]:
        """A stand-in for each tensor of the model, so that a run writes to none of them."""
        if fake not in self._stand_ins:
            found = [
                (table, name, join(path, name), value)
                for path, module in walk(self.model)
                for table in (module._parameters, module._buffers, module.__dict__)
                for name, value in table.items()
                if isinstance(value, Tensor)
            ]
            tensors = [value for *_, value in found]
            made = fakes_of(tensors, self._fakes) if fake else {id(value): _cloned(value) for value in tensors}
            self._stand_ins[fake] = [_StandIn(table, name, path, made[id(value)]) for table, name, path, value in found]
        return self._stand_ins[fake]

    def _inputs(self, recorder: Recorder, batch: int | None, fake: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Binds the arguments to placeholder records; what `*rest` and `**rest` collect is one placeholder."""
        signature = signature_of(self.model)
        bound = signature.bind(*self.args, **self.kwargs)
        records: list[Record] = []
        for name, value in bound.arguments.items():
            stars = str(signature.parameters[name]).partition(name)[0]  # "*" or "**" for what collects the rest
            records.append(Record("placeholder", stars + name, (), {}))
            records[-1].meta["constants"] = list(_constants(value))
        recorder.records += records
        for name, record in zip(bound.arguments, records, strict=True):
            made = pytree.tree_map_only(Tensor, lambda tensor: self._tensor(tensor, batch, fake), bound.arguments[name])
            recorder.bind_output(made, record)
            pytree.tree_map_only(Tensor, recorder.bindings.mark_outside, made)
            bound.arguments[name] = made
        return bound.args, bound.kwargs

    def _tensor(self, tensor: Tensor, batch: int | None, fake: bool) -> Tensor:
        batched = batch is not None and tensor.dim() > 0 and tensor.shape[0] == self.example_batch
        if not fake:
            return _tiled(tensor.detach(), batch) if batched and batch is not None else tensor.detach().clone()
        shape = (batch, *tensor.shape[1:]) if batched else tuple(tensor.shape)
        channels_last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
        form = torch.channels_last if channels_last and not tensor.is_contiguous() else torch.contiguous_format
        return torch.empty(
            shape, dtype=tensor.dtype, device=tensor.device, memory_format=form, requires_grad=tensor.requires_grad
        )

    def _check_buffers(self, stand_ins: list[_StandIn]) -> None:
        for stand_in in stand_ins:
            if stand_in.table.get(stand_in.name) is not stand_in.tensor:
                raise TraceError(
                    f"forward assigns something new to the tensor {stand_in.path!r} of the model: "
                    f"write to it in place instead (self.{stand_in.name}.copy_(value))"
                )


@dataclass(frozen=True, slots=True)
class _StandIn:
    """A tensor that takes the place of one of the model's during a run."""

    table: dict[str, Any]
    name: str
    path: str
    tensor: Tensor


def _cloned(tensor: Tensor) -> Tensor:
    clone = tensor.detach().clone()
    return nn.Parameter(clone, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else clone


def _constants(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The plain values of an argument, which become part of the graph, each with the way to it."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _constants(item, (*path, key))
    elif isinstance(value, tuple | list):
        for i, item in enumerate(value):
            yield from _constants(item, (*path, i))
    elif isinstance(value, PLAIN):
        yield path, value


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch logs the traceback of an error in a fake operation; the error itself says the same."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _tiled(tensor: Tensor, batch: int) -> Tensor:
    return torch.cat([tensor] * -(-batch // tensor.shape[0]))[:batch]


def batch_size(example: Any) -> int | None:
    """The batch size is the first dimension of the first tensor that has one."""
    sizes = (leaf.shape[0] for leaf in pytree.tree_leaves(example) if isinstance(leaf, Tensor) and leaf.dim())
    return next(sizes, None)


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Whatever the run assigns to modules is taken back afterwards."""
    modules = [module for _, module in walk(model)]
    saved: list[tuple[dict[str, Any], ...]] = [
        (dict(m.__dict__), dict(m._parameters), dict(m._buffers), dict(m._modules)) for m in modules
    ]
    plain: list[Any] = [v for m in modules for v in m.__dict__.values() if type(v) in (dict, list, set)]
    copies = [copy.copy(value) for value in plain]
    try:
        yield
    finally:
        for value, content in zip(plain, copies, strict=True):
            value.clear()
            getattr(value, "extend" if isinstance(value, list) else "update")(content)
        for module, tables in zip(modules, saved, strict=True):
            own: tuple[dict[str, Any], ...] = (module.__dict__, module._parameters, module._buffers, module._modules)
            for table, content in zip(own, tables, strict=True):
                table.clear()
                table.update(content)


@contextmanager
def _watched_mode(model: nn.Module, paths: ModulePaths, training: bool, reads: list[bool]) -> Iterator[None]:
    """Puts the model into a mode, and notes when a module other than a leaf looks at `self.training`."""
    watched = [m for _, m in walk(model) if not paths.is_leaf(m)]
    modes = {id(module): training if module.training == model.training else module.training for module in watched}
    for _, module in walk(model):
        if paths.is_leaf(module) and module.training == model.training:
            module.training = training
    for module in watched:
        del module.__dict__["training"]
    original = nn.Module.__getattr__

    def look_up(module: nn.Module, name: str) -> Any:
        if name == "training" and id(module) in modes:
            reads.append(True)
            return modes[id(module)]
        return original(module, name)

    nn.Module.__getattr__ = look_up  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__getattr__ = original  # type: ignore[method-assign]
