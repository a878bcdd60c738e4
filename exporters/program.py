"""Programs of torch.export (`.pt2`), loaded again and compared with the module before anyone gets them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from fxnas import __version__
from fxnas.errors import ExportError
from fxnas.exporters.architecture import ArchitectureLike, architecture_of
from fxnas.exporters.checks import check_exportable
from fxnas.exporters.nests import children, leaves
from fxnas.exporters.outputs import Outputs, tensor_leaves
from fxnas.exporters.plan import TRAINING, Plan, make_plan, os_errors
from fxnas.exporters.report import ExportReport
from fxnas.exporters.running import evaluating, untouched
from fxnas.exporters.tracing import check_name, check_names, export_tensors, quiet, root_cause, varying
from fxnas.exporters.trials import compare_runs
from fxnas.files import atomic_path

_OUTPUTS = (
    "torch.export doesn't know the class of the output: the program returns a dict of tensors, and its weights are "
    "called 'module.…'"
)


class _Plain(nn.Module):
    """The module with its output tensors in a dict."""

    def __init__(self, module: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.module = module
        self.names = tuple(names)
        self.train(module.training)

    def forward(self, *args: Any, **kwargs: Any) -> Outputs:
        return dict(zip(self.names, tensor_leaves(self.module(*args, **kwargs)), strict=True))


def export_program(
    module: nn.Module,
    example_inputs: Any,
    path: str | Path,
    dynamic_batch: bool = True,
    *,
    architecture: ArchitectureLike | None = None,
) -> ExportReport:
    """Writes a module as a program of torch.export, in evaluation mode. The module is left as it was.

    Args:
        module: the result of `fxnas.materialize`, or any module without open choices.
        example_inputs: inputs as for `fxnas.trace`.
        path: where to (`.pt2`); an existing file is replaced.
        dynamic_batch: let dimension 0 vary for every tensor input where it has the size of the first input's.
        architecture: stored as the extra file `fxnas.json`; default: what a materialized graph knows about itself.

    Returns:
        What was written, and how far it is from the module.

    Raises:
        ExportError: the module has open choices, can't be exported, or the file computes something else; nothing is
            written then.
    """
    check_names(check_exportable(module))
    final = Path(os.path.realpath(path))
    training = module.training
    with os_errors(final), evaluating(module):
        plan = make_plan(module, example_inputs, dynamic_batch=dynamic_batch)
        if training:
            plan = replace(plan, notes=(TRAINING, *plan.notes))
        _check_keys(plan)
        exported, notes = _exported(plan)
        described, fingerprint = architecture_of(module, architecture)
        extra = {
            "fxnas.json": json.dumps({"fxnas": __version__, "architecture": described, "fingerprint": fingerprint})
        }
        with atomic_path(final) as temporary:
            _save(exported, temporary, extra)
            found = compare_runs(module, plan.inputs, plan.names, _runner(plan, temporary), dynamic=plan.dynamic)
        device = str(plan.inputs.tensors[0].device)
        return replace(plan.report(final, "program", [final], [device], found, notes=notes), path=Path(path))


def _check_keys(plan: Plan) -> None:
    for path, _ in leaves(dict(plan.inputs.bound.arguments)):
        for key in path:
            check_name(str(key), "the key of an input", "use export_onnx or export_module")


def _exported(plan: Plan) -> tuple[torch.export.ExportedProgram, tuple[str, ...]]:
    tensors = export_tensors(plan.inputs, plan.dynamic)
    args, kwargs = plan.inputs.arguments(tensors)
    shapes: Any = torch.export.ShapesCollection()  # type: ignore[no-untyped-call]  # torch's own lack of types
    for tensor, batched in zip(tensors, plan.inputs.batched, strict=True):
        if batched and plan.dynamic:
            shapes[tensor] = varying(batched)
    try:
        with quiet(), untouched(plan.module):
            known = all(children(leaf) is None for leaf in pytree.tree_leaves(plan.module(*args, **kwargs)))
            module = plan.module if known else _Plain(plan.module, plan.names)
            exported = torch.export.export(module, args, kwargs, dynamic_shapes=shapes, strict=False)
    except Exception as error:
        raise ExportError(f"torch.export fails on {type(plan.module).__name__}: {root_cause(error)}") from error
    for node in exported.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    return exported, () if known else (_OUTPUTS,)


def _save(exported: torch.export.ExportedProgram, path: Path, extra: dict[str, Any]) -> None:
    try:
        with quiet(), open(path, "wb") as file:
            torch.export.save(exported, file, extra_files=extra)
    except Exception as error:
        raise ExportError(f"torch can't save the program: {root_cause(error)}") from error


def _runner(plan: Plan, path: Path) -> Any:
    try:
        with quiet(), open(path, "rb") as file:
            loaded = torch.export.load(file).module()
    except Exception as error:
        raise ExportError(f"torch can't load the program that it saved: {root_cause(error)}") from error

    def run(tensors: Sequence[Tensor]) -> Outputs:
        args, kwargs = plan.inputs.arguments([tensor.detach().clone() for tensor in tensors])
        with torch.no_grad():
            return dict(zip(plan.names, tensor_leaves(loaded(*args, **kwargs)), strict=True))

    return run
