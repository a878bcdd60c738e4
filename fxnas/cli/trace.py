"""`fxnas trace`: the graph of a model and its choices."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fxnas.choice import Choice
from fxnas.cli import console
from fxnas.cli.load import load_traced
from fxnas.cli.options import FixedBatch, Inputs, Json, Model


def trace(
    model: Model,
    inputs: Inputs = None,
    fixed_batch: FixedBatch = False,
    text: Annotated[bool, typer.Option("--text", help="Print only the graph, one line per node.")] = False,
    json: Json = False,
) -> None:
    """Trace a model and print its graph and its choices.

    For example:

      fxnas trace net.py:Net --input 1x1x28x28

      fxnas trace mypackage.models:bert --input 2x16:int64 --input 2x16:int64 --json
    """
    graph = load_traced(model, inputs, fixed_batch=fixed_batch)[1]
    if json:
        choices = [described(choice) for choice in graph.space.values()]
        console.print_json({"graph": graph.text(), "choices": choices, "size": graph.space.size})
        return
    console.print_text(graph.text())
    if text:
        return
    columns = ("key", "kind", "candidates", "chosen", "part of an architecture")
    rows = [
        (c.key, c.kind, ", ".join(map(repr, c.candidates)), "any" if c.n_chosen is None else c.n_chosen, c.active)
        for c in graph.space.values()
    ]
    console.print_table(columns, rows, title=f"{len(rows)} choices, {graph.space.size:,} architectures")


def described(choice: Choice) -> dict[str, Any]:
    """A choice as plain data."""
    return {
        "key": choice.key,
        "kind": choice.kind,
        "candidates": list(choice.candidates),
        "n_chosen": choice.n_chosen,
        "active": str(choice.active),
        "paths": list(choice.paths),
    }
