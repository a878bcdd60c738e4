"""Folders with a network as readable Python source and its weights; they load without fxnas."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import fx

from fxnas import __version__
from fxnas.errors import ExportError
from fxnas.exporters.architecture import ArchitectureLike, architecture_of
from fxnas.exporters.checks import check_graph_module
from fxnas.exporters.equality import check_same_module, compare_exactly
from fxnas.exporters.imported import imported
from fxnas.exporters.plan import Plan, make_plan, os_errors
from fxnas.exporters.report import ExportReport, describe_files, describe_tensors
from fxnas.exporters.source import FILES, model_source
from fxnas.exporters.weights import save_weights
from fxnas.files import MANIFEST, atomic_folder, json_text, read_json

_ZEROS = "an output was nothing but zeros for every input tried; its comparison shows little"


def export_module(
    module: fx.GraphModule,
    example_inputs: Any,
    folder: str | Path,
    *,
    architecture: ArchitectureLike | None = None,
) -> ExportReport:
    """Writes a network as a folder: `model.py`, `weights.safetensors`, `architecture.json` and `manifest.json`.

    `model.py` is readable source that needs torch and safetensors only. Its `load(device="cpu")` checks the files
    against the manifest and returns the network: the same state dict, train/eval flags, frozen parameters and dtypes,
    and outputs equal bit for bit, which was checked before the folder took its name.

    Args:
        module: the result of `fxnas.materialize`; it is left as it was.
        example_inputs: inputs as for `fxnas.trace`.
        folder: where to; an earlier export is replaced.
        architecture: what `architecture.json` holds; default: what a materialized graph knows about itself.

    Returns:
        What was written.

    Raises:
        ExportError: the graph isn't materialized, something in it has no source form (the message names it and the way
            out), or the folder can't be written; nothing is written then.
    """
    graph_module = check_graph_module(module)
    final = Path(os.path.realpath(folder))
    with os_errors(final):
        plan = make_plan(graph_module, example_inputs, dynamic_batch=False)
        source = model_source(graph_module)
        described, fingerprint = architecture_of(graph_module, architecture)
        with atomic_folder(final) as temporary:
            (temporary / "model.py").write_text(source.text, encoding="utf-8")
            (temporary / "architecture.json").write_text(json_text(described), encoding="utf-8")
            save_weights(graph_module, temporary / "weights.safetensors")
            manifest = _manifest(plan, temporary, fingerprint)
            (temporary / MANIFEST).write_text(json_text(manifest), encoding="utf-8")
            report = _compared(graph_module, plan, temporary, source.notes)
        return replace(report, path=Path(folder))


def verify_module(
    folder: str | Path,
    module: fx.GraphModule,
    example_inputs: Any,
    *,
    architecture: ArchitectureLike | None = None,
) -> ExportReport:
    """Checks that an exported folder holds exactly this network.

    The code in the folder is run only if it is, letter by letter, what fxnas writes for this network.

    Args:
        folder: the folder; it may come from anywhere.
        module: the network that it should be.
        example_inputs: inputs of the module.
        architecture: what `architecture.json` should hold; default: what a materialized graph knows about itself.

    Raises:
        ExportError: a file is missing, damaged or another one, or the network in the folder is another one.
    """
    graph_module = check_graph_module(module)
    place = Path(folder)
    _check_files(place)
    source = model_source(graph_module)
    _check_source(source.text, (place / "model.py").read_bytes().decode(errors="replace"))
    _check_architecture(place, graph_module, architecture)
    plan = make_plan(graph_module, example_inputs, dynamic_batch=False)
    return _compared(graph_module, plan, place, source.notes)


def _compared(module: fx.GraphModule, plan: Plan, folder: Path, notes: Sequence[str]) -> ExportReport:
    """Loads the folder and compares it with the network."""
    device = str(plan.inputs.tensors[0].device)
    try:
        with imported(folder / "model.py") as code:
            loaded = code.load(device)
    except Exception as error:  # whatever generated code may raise is a failed export
        raise ExportError(f"the exported network can't be loaded: {error}") from error
    check_same_module(module, loaded)
    found = compare_exactly(module, loaded, plan.inputs, plan.names)
    extra = [] if all(d.conclusive for d in found.found) else [_ZEROS]
    files = [folder / name for name in (*FILES, MANIFEST)]
    return plan.report(folder, "module", files, [device], found, notes=[*notes, *extra])


def _manifest(plan: Plan, folder: Path, fingerprint: str) -> dict[str, Any]:
    files = describe_files(folder / name for name in FILES)
    inputs = dict(zip(plan.inputs.names, plan.inputs.tensors, strict=True))
    return {
        "fxnas": __version__,
        "torch": torch.__version__,
        "safetensors": safetensors.__version__,
        "fingerprint": fingerprint,
        "inputs": [asdict(info) for info in describe_tensors(inputs, None)],
        "outputs": [asdict(info) for info in describe_tensors(plan.outputs, None)],
        "files": {file.name: {"size": file.size, "sha256": file.sha256} for file in files},
    }


def _check_files(folder: Path) -> None:
    """Checks sizes and hashes against the manifest."""
    manifest = read_json(folder / MANIFEST, error=ExportError, what="manifest")
    expected = manifest.get("files") if isinstance(manifest, Mapping) else None
    for name in FILES:
        if not (folder / name).is_file():
            raise ExportError(f"{folder / name} is missing")
        entry = expected.get(name) if isinstance(expected, Mapping) else None
        (found,) = describe_files([folder / name])
        if entry != {"size": found.size, "sha256": found.sha256}:
            raise ExportError(
                f"{folder / name} is not the file of the manifest: it is damaged, edited or from another export"
            )


def _check_source(ours: str, theirs: str) -> None:
    if ours == theirs:
        return
    pairs = itertools.zip_longest(ours.split("\n"), theirs.split("\n"), fillvalue="")
    number, (our, their) = next((i, pair) for i, pair in enumerate(pairs, 1) if pair[0] != pair[1])
    raise ExportError(
        f"model.py is not what fxnas {__version__} writes for this network (line {number} is {their.strip()!r}, "
        f"expected {our.strip()!r}); its code was not run"
    )


def _check_architecture(folder: Path, module: fx.GraphModule, given: ArchitectureLike | None) -> None:
    theirs = read_json(folder / "architecture.json", error=ExportError, what="architecture")
    ours, _ = architecture_of(module, given)
    if theirs != json.loads(json.dumps(ours)):
        raise ExportError(f"the folder holds the architecture {json.dumps(theirs)}, expected {json.dumps(ours)}")
