"""The comparisons of an export: several inputs and batch sizes, every output judged, nothing concluded from zeros."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from fxnas.errors import ExportError
from fxnas.exporters.compare import Difference, differences, same_bits
from fxnas.exporters.inputs import TensorInputs
from fxnas.exporters.outputs import Outputs, tensor_leaves
from fxnas.exporters.report import Comparison
from fxnas.exporters.running import run, run_in_float64
from fxnas.exporters.sampling import drawn, other_batch_size, tiled, varied

_MORE = 4  # further inputs where an output was zero so far

Trial = tuple[int | None, list[Tensor]]
Runner = Callable[[Sequence[Tensor]], Outputs]


def compare_runs(
    module: nn.Module, inputs: TensorInputs, names: Sequence[str], exported: Runner, *, dynamic: bool
) -> Comparison:
    """Runs a module and its exported form on the same inputs: the example, others like it, other batch sizes.

    Args:
        module: the reference, in evaluation mode.
        inputs: its example inputs.
        names: names of its outputs.
        exported: runs the exported form.
        dynamic: whether other batch sizes than the example's are legal.

    Raises:
        ExportError: an output differs, or was nothing but zeros whatever was tried.
    """
    found: list[Difference] = []
    sizes: list[int] = []
    runs = 0
    for size, tensors in _with_more(module, inputs, dynamic, found):
        found += _one(module, inputs, names, exported, size, tensors)
        sizes += [size] if size is not None and size not in sizes else []
        runs += 1
    undecided = _undecided(found)
    if undecided:
        raise ExportError(
            f"output {undecided[0]!r} is zero (or has no finite value) for all {runs} inputs tried, so comparing it "
            "shows nothing; give other example inputs, or weights that are not zero"
        )
    return Comparison(tuple(found), runs, tuple(sizes))


def check_batch(module: nn.Module, inputs: TensorInputs) -> None:
    """Checks that a module runs at another batch size than the example's.

    Raises:
        ExportError: it doesn't.
    """
    assert inputs.batch_size is not None
    size = other_batch_size(inputs.batch_size)
    try:
        run(module, inputs, tiled(inputs, size))
    except Exception as error:
        raise ExportError(
            f"{type(module).__name__} runs with {inputs.batch_size} rows but not with {size}: {error}; "
            "pass dynamic_batch=False to export it for one batch size"
        ) from error


def trials(module: nn.Module, inputs: TensorInputs, dynamic: bool, generator: Generator) -> Iterator[Trial]:
    """Inputs to compare on: the example itself, then others like it, at other batch sizes where these are legal.

    Yields:
        The batch size (None where no input has a batch) and the tensors.
    """
    size = inputs.batch_size
    yield size, list(inputs.tensors)
    others = [size, size] if not dynamic or size is None else dict.fromkeys((size, other_batch_size(size), 1))
    for other in others:
        yield other, _legal(module, inputs, drawn(inputs, other, generator), generator)


def _with_more(module: nn.Module, inputs: TensorInputs, dynamic: bool, found: Sequence[Difference]) -> Iterator[Trial]:
    """The trials, and more of them as long as what they `found` leaves an output undecided."""
    generator = torch.Generator().manual_seed(0)
    yield from trials(module, inputs, dynamic, generator)
    for _ in range(_MORE):
        if _undecided(found):
            size = inputs.batch_size
            yield size, _legal(module, inputs, drawn(inputs, size, generator), generator)


def _legal(module: nn.Module, inputs: TensorInputs, rows: list[Tensor], generator: Generator) -> list[Tensor]:
    """Other values, unless the module refuses them or computes nothing finite from them: then the example's own."""
    other = varied(rows, generator)
    try:
        outputs = tensor_leaves(run(module, inputs, other))
    except Exception:  # whatever a module raises for values that it doesn't expect
        return rows
    return other if all(bool(output.isfinite().all()) for output in outputs) else rows


def _one(
    module: nn.Module,
    inputs: TensorInputs,
    names: Sequence[str],
    exported: Runner,
    size: int | None,
    tensors: Sequence[Tensor],
) -> list[Difference]:
    def named(output: Any) -> Outputs:
        return dict(zip(names, tensor_leaves(output), strict=True))

    def exact() -> Outputs:
        again = tensor_leaves(run(module, inputs, tensors, seed=1))
        if not all(map(same_bits, again, reference.values())):
            raise ExportError("with another random seed the module gives other outputs, though in evaluation mode")
        return named(run_in_float64(module, inputs, tensors))

    reference: Outputs = {}
    try:
        reference.update(named(run(module, inputs, tensors)))
        return differences(reference, exported(tensors), exact)
    except ExportError as error:
        place = "" if size is None else f" at batch size {size}"
        raise ExportError(f"the exported network doesn't compute what eager computes{place}: {error}") from error


def _undecided(found: Sequence[Difference]) -> list[str]:
    """Outputs of which no comparison said anything so far."""
    names = dict.fromkeys(d.name for d in found)
    return [name for name in names if not any(d.conclusive for d in found if d.name == name)]
