"""`fxnas export`: one architecture of a model as a file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from fxnas.cli import console
from fxnas.cli.load import load_traced
from fxnas.cli.options import ArchitectureFile, FixedBatch, Inputs, Json, Model, Weights
from fxnas.cli.weights import load_child


class Format(StrEnum):
    """The formats that the command line offers."""

    onnx = "onnx"
    module = "module"
    pt2 = "pt2"


def export(
    model: Model,
    output: Annotated[Path, typer.Option("--output", "-o", help="File, or folder for a module.", show_default=False)],
    format: Annotated[Format, typer.Option("--format", "-f", help="What to write.")] = Format.onnx,
    architecture: ArchitectureFile = None,
    weights: Weights = None,
    inputs: Inputs = None,
    fixed_batch: FixedBatch = False,
    json: Json = False,
) -> None:
    """Materialize an architecture and export it; what was written is loaded again, run and compared.

    For example:

      fxnas export net.py:Net -i 1x1x28x28 -a best.json -w weights.safetensors -o net.onnx

      fxnas export net.py:Net -i 1x1x28x28 -a best.json --format module -o net
    """
    module, graph, example = load_traced(model, inputs, fixed_batch=fixed_batch)
    child = load_child(graph, module, architecture, weights)
    options = {} if format is Format.module else {"dynamic_batch": not fixed_batch}
    report = exporter(format)(child, example, output, **options)
    if json:
        console.print_json(report.to_json())
    else:
        console.print_text(str(report))


def exporter(format: Format) -> Any:
    """The exporting function of a format."""
    from fxnas import exporters

    names = {Format.onnx: "export_onnx", Format.module: "export_module", Format.pt2: "export_program"}
    return getattr(exporters, names[format])
