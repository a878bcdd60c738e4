"""What is going to be exported: the inputs and outputs of a module by name, and whether the batch may vary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from fxnas.errors import ExportError, shown
from fxnas.exporters.inputs import TensorInputs, checked_names, read_inputs
from fxnas.exporters.outputs import Outputs, constant_outputs, named_outputs
from fxnas.exporters.report import Comparison, ExportReport, count_parameters, describe_files, describe_tensors
from fxnas.exporters.running import run
from fxnas.exporters.trials import check_batch

TRAINING = "the module is in training mode; it was exported in evaluation mode"
"""A note for reports."""


@dataclass(frozen=True)
class Plan:
    """The inputs and outputs of a module, as its export sees them.

    Attributes:
        module: the module.
        inputs: its example inputs.
        outputs: what it computes from them, by name.
        dynamic: whether the batch may vary.
        notes: what the user should know.
    """

    module: nn.Module
    inputs: TensorInputs
    outputs: Outputs
    dynamic: bool
    notes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the outputs."""
        return tuple(self.outputs)

    def report(
        self, path: Path, format: str, files: Sequence[Path], providers: Sequence[str], found: Comparison, *,
        opset: int | None = None, notes: Sequence[str] = (),
    ) -> ExportReport:  # fmt: skip
        """The report of an export that followed this plan."""
        batch = self.inputs.batch_size if self.dynamic else None
        return ExportReport(
            path=path,
            format=format,
            opset=opset,
            **found.errors,
            batch_sizes=found.batch_sizes,
            comparisons=found.runs,
            providers=tuple(providers),
            files=describe_files(files),
            inputs=describe_tensors(dict(zip(self.inputs.names, self.inputs.tensors, strict=True)), batch),
            outputs=describe_tensors(self.outputs, batch),
            parameters=count_parameters(self.module),
            notes=(*self.notes, *notes),
        )


def make_plan(
    module: nn.Module,
    example_inputs: Any,
    *,
    dynamic_batch: bool,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> Plan:
    """Runs a module once on its example inputs, and at another batch size, to see what there is to export.

    Args:
        module: the module; its flags stay as they are.
        example_inputs: its inputs.
        dynamic_batch: whether the batch may vary; without an input that has a batch it can't.
        input_names: names for the input tensors.
        output_names: names for the output tensors.

    Raises:
        ExportError: the module doesn't run, has no output tensor, or doesn't run at another batch size.
    """
    inputs = read_inputs(module, example_inputs, input_names)
    try:
        output = run(module, inputs, inputs.tensors)
    except Exception as error:
        raise ExportError(f"{type(module).__name__} fails on the example inputs: {error}") from error
    outputs = named_outputs(output)
    if not outputs:
        raise ExportError(f"{type(module).__name__} returns no tensor, but {shown(output)}")
    names = (
        _apart(outputs, inputs.names) if output_names is None else checked_names(output_names, len(outputs), "output")
    )
    if set(names) & set(inputs.names):
        raise ExportError(f"{sorted(set(names) & set(inputs.names))[0]!r} is the name of an input and of an output")
    dynamic = dynamic_batch and inputs.batch_size is not None
    if dynamic:
        check_batch(module, inputs)
    notes = tuple(_notes(inputs, constant_outputs(output), static=dynamic_batch and not dynamic))
    return Plan(module, inputs, dict(zip(names, outputs.values(), strict=True)), dynamic, notes)


@contextmanager
def os_errors(path: Path) -> Iterator[None]:
    """Turns errors of the file system into ExportError."""
    if not path.parent.is_dir():
        raise ExportError(f"can't write {path}: the folder {path.parent} does not exist")
    try:
        yield
    except OSError as error:
        raise ExportError(f"can't write {path}: {error.strerror or error}") from error


def _apart(outputs: Outputs, inputs: Sequence[str]) -> tuple[str, ...]:
    """Output names that no input has."""
    taken = {*outputs, *inputs}
    names = []
    for name in outputs:
        while name in inputs or (name not in outputs and name in taken):
            name += "_out"
        taken.add(name)
        names.append(name)
    return tuple(names)


def _notes(inputs: TensorInputs, constants: dict[str, Any], static: bool) -> Iterator[str]:
    for name, value in inputs.constants.items():
        if value is not None:
            yield f"input {name!r} is fixed to {shown(value)}"
    for name, value in constants.items():
        yield f"output {name!r} is no tensor but {shown(value)}; left out"
    if static:
        yield "no input has a batch dimension; all shapes are fixed"
