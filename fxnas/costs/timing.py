"""The latency of an architecture: the times of its operations, each measured on its own, added up."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from fxnas import ops
from fxnas.architecture import Architecture
from fxnas.costs.alternatives import Call, unmeasured
from fxnas.costs.backends import Backend, check_backend, place, prepared
from fxnas.costs.model import CostModel
from fxnas.costs.signatures import Signatures
from fxnas.costs.walk import resized_inputs, walk
from fxnas.errors import FxnasError, shown
from fxnas.files import json_text, read_json, write_atomic
from fxnas.graph import ChoiceGraph, device_of
from fxnas.passes.materialize import materialize

_SHORTEST_MS = 0.2  # what runs faster is run several times for one measurement
_VERSION = 1


@dataclass(frozen=True)
class Stopwatch:
    """How times are measured: the median of some runs, after some that don't count.

    Attributes:
        device: where.
        repeats: how many measurements the median is of.
        warmup: runs before these.
    """

    device: torch.device
    repeats: int = 15
    warmup: int = 3

    def __call__(self, run: Callable[[], Any]) -> float:
        """Milliseconds that one run takes, in inference mode."""
        with torch.inference_mode():
            for _ in range(self.warmup):
                run()
            inner = max(1, math.ceil(_SHORTEST_MS / max(self._once(run, 1), 1e-6)))
            return median(self._once(run, inner) / inner for _ in range(self.repeats))

    def _once(self, run: Callable[[], Any], times: int) -> float:
        if self.device.type == "cuda":
            return self._on_gpu(run, times)
        start = time.perf_counter()
        for _ in range(times):
            run()
        return 1e3 * (time.perf_counter() - start)

    def _on_gpu(self, run: Callable[[], Any], times: int) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize(self.device)
        begin.record()
        for _ in range(times):
            run()
        end.record()
        torch.cuda.synchronize(self.device)
        return float(begin.elapsed_time(end))


def latency(
    graph: ChoiceGraph,
    *,
    batch: int | None = 1,
    device: str | torch.device | None = None,
    repeats: int = 15,
    warmup: int = 3,
    backend: Backend = "torch",
    cache: str | Path | None = None,
) -> CostModel:
    """The time of a forward pass in evaluation mode, as the sum of the times of its operations.

    Each distinct operation of the space (a layer of one configuration, or a function, on inputs of one layout) is
    measured once, with random inputs. The sum leaves out what operations do to each other (caches, kernels that overlap
    on a GPU) and what Python does between them: see `additivity_error`.

    Args:
        graph: a traced graph.
        batch: as for `fxnas.costs.flops`.
        device: where to measure; by default where the model is. GPUs are timed with CUDA events.
        repeats: the median of so many measurements is taken.
        warmup: runs that don't count.
        backend: "torch", or "onnxruntime": each operation is exported to an ONNX graph of its own, which takes a second
            or two, and run by ONNX Runtime.
        cache: a JSON file that keeps measurements for each device and version of torch; they aren't made again. By
            default none is kept.

    Raises:
        PassError: a node can't be run without data, or alone; the message names it and the user's line.
        FxnasError: the cache file is no such file, or the backend is unknown.
    """
    check_backend(backend)
    watch = Stopwatch(torch.device(device) if device is not None else device_of(graph.module), repeats, warmup)
    operations: dict[str, Call] = {}
    described = Signatures()

    def told(call: Call) -> tuple[Any, str]:
        value = call.run()
        if not _is_work(call, value):
            return value, ""
        operations.setdefault(name := described(call), call)
        return value, name

    seen = walk(graph, told, batch=batch)
    where = place(watch.device, backend)
    known = _read(cache, where)
    new = {name: _measured(call, watch, backend) for name, call in operations.items() if name not in known}
    if cache is not None and new:
        _write(cache, where, new)
    times = {**known, **new}
    return CostModel(graph.space, [(one.when, times[one.measured]) for one in seen if one.measured], "ms")


@dataclass(frozen=True)
class AdditivityError:
    """How far sums of times are from the times of whole networks.

    Attributes:
        architectures: that were run.
        predicted: the sums, in ms.
        measured: the times of the materialized networks, in ms.
    """

    architectures: tuple[Architecture, ...]
    predicted: tuple[float, ...]
    measured: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean of |predicted / measured - 1|."""
        return fmean(self._errors())

    @property
    def worst(self) -> float:
        """The largest |predicted / measured - 1|."""
        return max(self._errors())

    @property
    def bias(self) -> float:
        """Mean predicted over mean measured: what scales all sums alike changes no comparison."""
        return fmean(self.predicted) / fmean(self.measured)

    def _errors(self) -> list[float]:
        return [abs(one / other - 1) for one, other in zip(self.predicted, self.measured, strict=True)]

    def __str__(self) -> str:
        """One line."""
        return (
            f"{len(self.measured)} networks: sums are off by {self.mean:.1%} on average, {self.worst:.1%} at worst; "
            f"on the whole they are {self.bias:.2f} of what is measured ({fmean(self.measured):.3f} ms)"
        )


def additivity_error(
    graph: ChoiceGraph,
    cost: CostModel,
    n: int = 10,
    *,
    seed: int = 0,
    batch: int | None = 1,
    device: str | torch.device | None = None,
    repeats: int = 15,
    warmup: int = 3,
    backend: Backend = "torch",
) -> AdditivityError:
    """Measures random architectures as whole networks, beside what a latency model says.

    Args:
        graph: the graph.
        cost: a model in milliseconds.
        n: how many architectures are materialized and run.
        seed: decides which.
        batch: as for `latency`.
        device: as for `latency`.
        repeats: as for `latency`.
        warmup: as for `latency`.
        backend: as for `latency`.
    """
    check_backend(backend)
    watch = Stopwatch(torch.device(device) if device is not None else device_of(graph.module), repeats, warmup)
    rng = random.Random(seed)
    found = tuple(graph.space.sample(rng) for _ in range(n))
    args, kwargs = pytree.tree_map_only(Tensor, lambda t: real(t, watch.device), resized_inputs(graph, batch))
    measured = []
    for architecture in found:
        measured.append(watch(prepared(materialize(graph, architecture), args, kwargs, watch.device, backend)))
    return AdditivityError(found, tuple(map(cost, found)), tuple(measured))


# -- one operation


def _is_work(call: Call, value: Any) -> bool:
    """Whether there is anything to measure: tensors, and not one that a reduction hands through."""
    tensors = [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]
    if call.function is ops.reduce_outputs and len(call.args[0]) < 2:
        return False
    return bool(tensors) and not (call.function is ops.reduce_outputs and call.args[1] == "none")


def _measured(call: Call, watch: Stopwatch, backend: Backend) -> float:
    args, kwargs = pytree.tree_map_only(Tensor, lambda t: real(t, watch.device), (call.args, call.kwargs))
    try:
        return watch(prepared(call.function, args, kwargs, watch.device, backend))
    except Exception as error:
        raise unmeasured(call.node, error, f"on its own by {backend}") from error


def real(like: Tensor, device: torch.device) -> Tensor:
    """A tensor of the same layout with data: normal numbers, or zeros where these are no numbers to compute with."""
    length = 1 + sum((size - 1) * stride for size, stride in zip(like.shape, like.stride(), strict=True) if size)
    data = torch.zeros(length, dtype=like.dtype, device=device)
    if like.is_floating_point():
        data.normal_()
    return data.as_strided(like.shape, like.stride())


# -- the file of measurements


def _read(cache: str | Path | None, place: str) -> Mapping[str, float]:
    found = _content(cache).get(place, {})
    for name, milliseconds in found.items():
        if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float) or milliseconds < 0:
            raise FxnasError(f"latency cache {cache}: {shown(name)} has no time in ms, but {shown(milliseconds)}")
    return found


def _write(cache: str | Path, place: str, new: Mapping[str, float]) -> None:
    content = _content(cache)
    content[place] = {**content.get(place, {}), **new}
    write_atomic(cache, json_text({"fxnas": _VERSION, "latency_ms": content}))


def _content(cache: str | Path | None) -> dict[str, dict[str, float]]:
    if cache is None or not Path(cache).exists():
        return {}
    match read_json(Path(cache), error=FxnasError, what="latency cache"):
        case {"fxnas": 1, "latency_ms": dict(places)} if all(isinstance(times, dict) for times in places.values()):
            return places
    raise FxnasError(f"latency cache {cache}: this is no file of measurements; give the name of a new one")
