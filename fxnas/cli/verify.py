"""`fxnas verify`: does an exported file compute what the model computes?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fxnas.cli import console
from fxnas.cli.load import load_traced
from fxnas.cli.options import ArchitectureFile, FixedBatch, Inputs, Json, Model, Weights
from fxnas.cli.weights import load_child
from fxnas.errors import ExportError


def verify(
    file: Annotated[
        Path, typer.Argument(help="What was exported: an .onnx file, or the folder of a module.", show_default=False)
    ],
    model: Model,
    architecture: ArchitectureFile = None,
    weights: Weights = None,
    inputs: Inputs = None,
    fixed_batch: FixedBatch = False,
    json: Json = False,
) -> None:
    """Run an exported file beside its model, with the same architecture and weights, and compare.

    For example:

      fxnas verify net.onnx net.py:Net -i 1x1x28x28 -a best.json -w weights.safetensors
    """
    check = verifier(file)
    module, graph, example = load_traced(model, inputs, fixed_batch=fixed_batch)
    child = load_child(graph, module, architecture, weights)
    report = check(file, child, example)
    if json:
        console.print_json(report.to_json())
    else:
        console.print_text(str(report).replace("exported", "verified", 1))


def verifier(file: Path) -> Any:
    """The verifying function for a file, by its name.

    Raises:
        ExportError: nothing can be done with it.
    """
    from fxnas import exporters

    if not file.exists():
        raise ExportError(f"{file} does not exist")
    if file.is_dir():
        return exporters.verify_module
    if file.suffix == ".onnx":
        return exporters.verify_onnx
    if file.suffix == ".pt2":
        raise ExportError(
            f"{file} can't be verified safely: loading a .pt2 file may run what its author put into it. It was "
            "compared when it was exported; export again, or verify an ONNX file or a module's folder"
        )
    raise ExportError(f"{file} is neither an .onnx file nor a module's folder")
