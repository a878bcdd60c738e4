"""ONNX files that ONNX Runtime has run and compared with the module before anyone gets them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from fxnas import __version__
from fxnas.errors import ExportError
from fxnas.exporters import onnx_file
from fxnas.exporters.architecture import ArchitectureLike, architecture_of
from fxnas.exporters.checks import check_exportable
from fxnas.exporters.onnx_graph import onnx_graph, set_metadata
from fxnas.exporters.onnx_session import Session
from fxnas.exporters.outputs import Outputs
from fxnas.exporters.plan import TRAINING, Plan, make_plan, os_errors
from fxnas.exporters.report import ExportReport, describe_tensors
from fxnas.exporters.running import evaluating
from fxnas.exporters.tracing import check_names
from fxnas.exporters.trials import compare_runs


def export_onnx(
    module: nn.Module,
    example_inputs: Any,
    path: str | Path,
    *,
    dynamic_batch: bool = True,
    opset: int | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    architecture: ArchitectureLike | None = None,
    external_data: bool | None = None,
) -> ExportReport:
    """Writes a module as an ONNX file, in evaluation mode.

    The file is checked by onnx, run by ONNX Runtime (on the GPU where torch sees one) and compared with the module on
    the example and other inputs, at several batch sizes; only then it takes its name. The module is left as it was.

    Args:
        module: the result of `fxnas.materialize`, or any module without open choices.
        example_inputs: inputs as for `fxnas.trace`. What is no tensor becomes part of the network.
        path: where to; an existing file is replaced.
        dynamic_batch: let dimension 0 vary for every tensor input where it has the size of the first input's.
        opset: version of the ONNX operator set; None takes what torch recommends.
        input_names: names for the input tensors, in order; default: parameter names and dict keys.
        output_names: names for the output tensors, in order; default: "output", "output_0", … and dict keys.
        architecture: goes into the metadata; default: what a materialized graph knows about itself.
        external_data: keep the weights in a file beside; None: only from 2 GB on, where they don't fit inside.

    Returns:
        What was written, and how far it is from the module.

    Raises:
        ExportError: the module has open choices, can't be translated, or the file computes something else; nothing is
            written then.
    """
    check_names(check_exportable(module))
    final = Path(os.path.realpath(path))
    training = module.training
    with os_errors(final), evaluating(module):
        plan = make_plan(
            module, example_inputs, dynamic_batch=dynamic_batch, input_names=input_names, output_names=output_names
        )
        if training:
            plan = replace(plan, notes=(TRAINING, *plan.notes))
        model = onnx_graph(module, plan.inputs, plan.names, dynamic=plan.dynamic, opset=opset)
        model.producer_name, model.producer_version = "fxnas", __version__
        set_metadata(model, _metadata(plan, *architecture_of(module, architecture)))
        with onnx_file.written(model, final, external_data) as temporary:
            report = _compared(plan, temporary, plan.inputs.names)
    return replace(report, path=Path(path), files=_final_files(report, final))


def verify_onnx(
    path: str | Path, module: nn.Module, example_inputs: Any, *, architecture: ArchitectureLike | None = None
) -> ExportReport:
    """Checks that an ONNX file computes what a module computes, as `export_onnx` does after writing.

    Args:
        path: the file; it may come from anywhere, and is checked before ONNX Runtime sees it.
        module: the network that it should be; compared in evaluation mode.
        example_inputs: inputs of the module.
        architecture: what the metadata should say; default: what a materialized graph knows about itself.

    Raises:
        ExportError: it is no legal ONNX file, says that it has another architecture, or computes something else.
    """
    check_exportable(module)
    file = Path(path)
    model = onnx_file.check(file)
    _check_fingerprint(model, module, architecture)
    session = Session(file)
    with evaluating(module):
        plan = make_plan(module, example_inputs, dynamic_batch=False)
        names = _matched(plan.inputs.names, session.inputs, "inputs")
        dynamic = _varies(plan, names, session)
        plan = make_plan(module, example_inputs, dynamic_batch=dynamic)
        return _compared(plan, file, names)


def _compared(plan: Plan, path: Path, names: Sequence[str]) -> ExportReport:
    """Checks and runs a file, whose inputs are called `names`, against the module."""
    model = onnx_file.check(path)
    session = Session(path)
    outputs = _matched(plan.names, session.outputs, "outputs")
    _matched(names, session.inputs, "inputs")

    def exported(tensors: Sequence[Tensor]) -> Outputs:
        computed = session.run(names, tensors)
        return {name: computed[other] for name, other in zip(plan.names, outputs, strict=True)}

    found = compare_runs(plan.module, plan.inputs, plan.names, exported, dynamic=plan.dynamic)
    files = [path, *onnx_file.data_files(path)]
    return plan.report(path, "onnx", files, session.providers, found, opset=onnx_file.opset_of(model))


def _matched(ours: Sequence[str], theirs: Sequence[str], what: str) -> tuple[str, ...]:
    """Their name for each of ours: the same, or where they use others, the one at the same place."""
    if len(ours) != len(theirs):
        raise ExportError(f"the file has the {what} {list(theirs)}, the module has {list(ours)}")
    return tuple(ours if set(ours) == set(theirs) else theirs)


def _varies(plan: Plan, names: Sequence[str], session: Session) -> bool:
    """Whether the file takes any batch size."""
    shapes = dict(zip(session.inputs, session.shapes, strict=True))
    batched = [shapes[name] for name, is_batch in zip(names, plan.inputs.batched, strict=True) if is_batch]
    return bool(batched) and all(shape and not isinstance(shape[0], int) for shape in batched)


def _final_files(report: ExportReport, final: Path) -> tuple[Any, ...]:
    model, *data = report.files
    return (replace(model, name=final.name), *data)


def _metadata(plan: Plan, architecture: Mapping[str, Any], fingerprint: str) -> dict[str, str]:
    batch = plan.inputs.batch_size if plan.dynamic else None
    inputs = describe_tensors(dict(zip(plan.inputs.names, plan.inputs.tensors, strict=True)), batch)
    return {
        "fxnas.architecture": json.dumps(architecture),
        "fxnas.fingerprint": fingerprint,
        "fxnas.inputs": json.dumps([asdict(info) for info in inputs]),
        "fxnas.outputs": json.dumps([asdict(info) for info in describe_tensors(plan.outputs, batch)]),
        "fxnas.version": __version__,
        "onnx.version": onnx.__version__,
        "torch.version": torch.__version__,
    }


def _check_fingerprint(model: onnx.ModelProto, module: nn.Module, given: ArchitectureLike | None) -> None:
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    known = given is not None or "fxnas" in getattr(module, "meta", {})
    if not known or "fxnas.fingerprint" not in metadata:
        return
    architecture, fingerprint = architecture_of(module, given)
    if metadata["fxnas.fingerprint"] != fingerprint:
        raise ExportError(
            f"the file holds the architecture {metadata.get('fxnas.architecture', '?')}, "
            f"expected {json.dumps(architecture)}"
        )
