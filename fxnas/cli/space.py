"""`fxnas space`: the search space of a model or a training script, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fxnas.cli import console
from fxnas.cli.load import example_inputs, load_model, load_traced
from fxnas.cli.options import CommandLine, Inputs, Json, OptionalModel, refuse
from fxnas.space import SearchSpace


def space(
    model: OptionalModel = None,
    inputs: Inputs = None,
    trial_command: CommandLine = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            help="Seconds that --trial-command may take until it has written its space; by default any number.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Print the search space of a model or of a training script, or write it as a search-space file.

    Example inputs are optional: with them the model is traced, and choices that it never runs are errors.

    A script is run until it calls get_and_apply_next_architecture(model), and stops there.

    For example:

      fxnas space net.py:Net -o space.json

      fxnas space net.py:Net --json

      fxnas space --trial-command "python train.py" -o space.json
    """
    found = _space(model, inputs, trial_command, timeout)
    if output is not None:
        found.save(output)
    if json:
        console.print_json(found.to_json())
        return
    console.print_text(found.tree())
    written = f", written to {output}" if output is not None else ""
    console.print_text(f"{len(found)} choices, {found.size:,} architectures{written}")


def _space(model: str | None, inputs: list[str] | None, command: str | None, timeout: float | None) -> SearchSpace:
    if command is not None:
        from fxnas.evaluators.command import TrialCommand

        refuse("takes no part beside --trial-command", MODEL=model, input=inputs)
        return TrialCommand(command, timeout=timeout).space()
    refuse("is for --trial-command", timeout=timeout)
    if model is None:
        raise typer.BadParameter("MODEL is missing; give a model, or --trial-command")
    if example_inputs(inputs, model) is not None:
        return load_traced(model, inputs)[1].space
    from fxnas.nn import space_of

    return space_of(load_model(model))
