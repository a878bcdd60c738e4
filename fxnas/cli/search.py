"""`fxnas search`: search for the best architecture."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fxnas.cli import console
from fxnas.cli.load import load_object, load_traced
from fxnas.cli.options import FixedBatch, Inputs, Json
from fxnas.space import SearchSpace
from fxnas.strategies import RandomSearch, RegularizedEvolution, Strategy

if TYPE_CHECKING:
    from fxnas.results import SearchResult


class StrategyName(StrEnum):
    """The strategies that the command line offers."""

    random = "random"
    evolution = "evolution"


def search(
    model: Annotated[
        str,
        typer.Argument(
            help="path/to/file.py:factory, package.module:factory, or a search-space file (space.json).",
            show_default=False,
        ),
    ],
    evaluator: Annotated[
        str,
        typer.Option(
            "--evaluator",
            "-e",
            help="file.py:name (or a name beside the model) of a function (graph, architecture, report) -> score, "
            "higher is better; or of an object with a method `evaluate` like it.",
            show_default=False,
        ),
    ],
    trials: Annotated[int, typer.Option("--trials", "-n", min=1, help="Trials in all, the journal's included.")] = 20,
    strategy: Annotated[StrategyName, typer.Option("--strategy", "-s", help="What proposes.")] = StrategyName.evolution,
    population: Annotated[int, typer.Option(min=1, help="Members of the population (evolution).")] = 20,
    sample_size: Annotated[int, typer.Option(min=1, help="Members of a tournament (evolution).")] = 5,
    seed: Annotated[int, typer.Option(help="The same seed gives the same search.")] = 0,
    journal: Annotated[
        Path | None, typer.Option("--journal", "-j", help="Record trials here, and go on from it.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the best architecture here.", show_default=False)
    ] = None,
    inputs: Inputs = None,
    fixed_batch: FixedBatch = False,
    json: Json = False,
) -> None:
    """Search a model's space for the architecture with the highest score.

    For example:

      fxnas search net.py:Net -i 1x1x28x28 --evaluator net.py:score -n 50 -j search.jsonl -o best.json

      fxnas search space.json --evaluator table.py:lookup --strategy random --trials 200
    """
    from fxnas.search import search as run

    target: Any = _target(model, inputs, fixed_batch)
    space = target if isinstance(target, SearchSpace) else target.space
    scored_by = load_object(evaluator, what="evaluator", beside=model)
    result = run(
        target,
        _strategy(strategy, space, seed, population, sample_size),
        scored_by,
        trials=trials,
        journal=journal,
        progress=False if json else None,
    )
    if result.top(1) and output is not None:
        result.best_architecture.save(output)
    _show(result, output, json)
    if result.interrupted:
        raise typer.Exit(130)
    _ = result.best  # every trial failed: an error, told in one line


def _target(model: str, inputs: list[str] | None, fixed_batch: bool) -> Any:
    if model.endswith(".json"):
        return SearchSpace.load(model)
    return load_traced(model, inputs, fixed_batch=fixed_batch)[1]


def _strategy(name: StrategyName, space: SearchSpace, seed: int, population: int, sample_size: int) -> Strategy:
    if name is StrategyName.random:
        return RandomSearch(space, seed=seed)
    return RegularizedEvolution(space, seed=seed, population=population, sample_size=sample_size)


def _show(result: SearchResult, output: Path | None, json: bool) -> None:
    best = result.top(5)
    if json:
        console.print_json(
            {
                "best": best[0].to_json() if best else None,
                "trials": [trial.to_json() for trial in result.trials],
                "interrupted": result.interrupted,
            }
        )
        return
    rows = [
        (t.number, f"{t.score:.6g}", ", ".join(f"{k}={v}" for k, v in t.architecture.to_json().items())) for t in best
    ]
    console.print_table(("trial", "score", "architecture"), rows, title=str(result))
    if output is not None and best:
        console.print_text(f"best architecture written to {output}")
