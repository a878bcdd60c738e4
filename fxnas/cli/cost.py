"""`fxnas cost`: what architectures of a model cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fxnas.architecture import Architecture
from fxnas.cli import console
from fxnas.cli.load import load_traced
from fxnas.cli.options import ArchitectureFile, FixedBatch, Inputs, Json, Model
from fxnas.counting.outline import describe

if TYPE_CHECKING:
    from fxnas.costs import CostModel
    from fxnas.graph import ChoiceGraph


def cost(
    model: Model,
    architecture: ArchitectureFile = None,
    inputs: Inputs = None,
    batch: Annotated[int, typer.Option("--batch", "-b", min=1, help="The batch size that is counted for.")] = 1,
    fixed_batch: FixedBatch = False,
    json: Json = False,
) -> None:
    """Print what each candidate costs, and what an architecture costs: parameters, FLOPs, activation memory.

    FLOPs are 2 x multiply-adds of convolutions, matrix products and attention. Rows that begin with "if" are what
    decisions cost together. With --fixed-batch the batch size is that of the example inputs.

    For example:

      fxnas cost net.py:Net -i 1x1x28x28

      fxnas cost net.py:Net -i 1x1x28x28 -a best.json --json
    """
    graph = load_traced(model, inputs, fixed_batch=fixed_batch)[1]
    space = graph.space
    chosen = space.default if architecture is None else Architecture.from_json(architecture, space)
    models = _models(graph, None if fixed_batch else batch)
    if json:
        from fxnas.costs.lookup import to_json

        console.print_json({
            "architecture": chosen.to_json(),
            "costs": {name: model(chosen) for name, model in models.items()},
            "tables": {name: to_json(model) for name, model in models.items()},
        })  # fmt: skip
        return
    columns = ("choice", "candidate", "parameters", "FLOPs", "activations, bytes")
    console.print_table(columns, _rows(models), title=f"{len(space)} choices, {space.size:,} architectures")
    whose = "the default" if architecture is None else architecture
    total = ", ".join(f"{model(chosen):,} {model.unit}" for model in models.values())
    console.print_text(f"{whose}: {total}\n{console.one_line(chosen.to_json())}")


def _models(graph: ChoiceGraph, batch: int | None) -> dict[str, CostModel]:
    from fxnas import costs

    return {
        "params": costs.params(graph),
        "flops": costs.flops(graph, batch=batch),
        "memory": costs.memory(graph, batch=batch),
    }


def _rows(models: dict[str, CostModel]) -> list[tuple[Any, ...]]:
    """Costs of every architecture, of candidates, and of decisions that come together."""
    first, *_ = models.values()
    rows: list[tuple[Any, ...]] = [("(always)", "", *(f"{model.base:,}" for model in models.values()))]
    for prices in zip(*(model.per_candidate() for model in models.values()), strict=True):
        rows.append((prices[0].key, prices[0].candidate, *(f"{price.cost:,}" for price in prices)))
    together = dict.fromkeys(term.when for model in models.values() for term in model.joint)
    for when in together:
        amounts = [sum(term.cost for term in model.joint if term.when is when) for model in models.values()]
        rows.append(("if", describe(when, first.space), *(f"{amount:,}" for amount in amounts)))
    return rows
