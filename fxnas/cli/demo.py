"""`fxnas demo`: the main job on scikit-learn's digits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fxnas.cli import console
from fxnas.cli.options import Json

if TYPE_CHECKING:
    from fxnas.demo import DemoResult


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files.")] = Path("fxnas-demo"),
    trials: Annotated[int, typer.Option("--trials", "-n", min=1, help="Architectures to try.")] = 12,
    seed: Annotated[int, typer.Option(help="The same seed gives the same search.")] = 0,
    json: Json = False,
) -> None:
    """Search, retrain and export a network for scikit-learn's digits, in about a minute.

    For example:

      fxnas demo

      fxnas demo --trials 24 -o /tmp/demo
    """
    from fxnas.demo import run_demo

    say = (lambda line: None) if json else console.print_text
    result = run_demo(output, trials=trials, seed=seed, progress=False if json else None, say=say)
    if json:
        console.print_json(result.to_json())
    else:
        _show(result)


def _show(result: DemoResult) -> None:
    share = result.parameters / result.supernet_parameters
    rows = [
        *((f"choice {key}", _written(decision)) for key, decision in result.architecture.items()),
        ("parameters", f"{result.parameters:,} of the supernet's {result.supernet_parameters:,} ({share:.0%})"),
        ("accuracy, torch", f"{result.torch_accuracy:.2%} of the test digits"),
        ("accuracy, ONNX Runtime", f"{result.onnx_accuracy:.2%} of the test digits"),
        ("max error, ONNX Runtime", f"{result.max_error:.2g}"),
        ("file sizes", f"module {result.module_bytes / 1000:.0f} kB, ONNX {result.onnx_bytes / 1000:.0f} kB"),
        ("time", f"{result.seconds:.0f} s"),
    ]
    console.print_table(("", "result"), rows)


def _written(decision: object) -> str:
    """A decision in words: the only input of the skip connection has no name."""
    if decision == []:
        return "nothing"
    return f"input {decision}" if isinstance(decision, int) else str(decision)
