"""The command `fxnas`. One file per command; torch is imported only inside the commands that need it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from fxnas.cli import console, cost, demo, doctor, export, oneshot, report, search, space, study, trace, verify

app = typer.Typer(
    name="fxnas",
    help="Neural architecture search as a compiler: PyTorch models with choices in, verified ONNX out.",
    epilog="A model is named as path/to/file.py:factory or package.module:factory. "
    "Start with: fxnas demo. Each command has its own --help with examples.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (
    *(trace.trace, space.space, cost.cost, search.search, oneshot.oneshot, report.report, export.export, verify.verify),
    *(doctor.doctor, demo.demo),
):
    app.command()(command)
app.add_typer(study.app, name="study")


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=console.version)
    ] = False,
) -> None:
    console.DEBUG = debug


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits: 0 well, 1 an error that the user can mend, 2 wrong usage, 130 interrupted.

    Args:
        arguments: what follows the command's name; by default those of the process.
    """
    with console.errors_explained():
        app(None if arguments is None else list(arguments))
