"""`fxnas search`: search for the best architecture."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fxnas.cli import console
from fxnas.cli.load import make_graph
from fxnas.cli.options import FixedBatch, Inputs, Json
from fxnas.named import full_name
from fxnas.recipe import Recipe
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
    trials: Annotated[int, typer.Option("--trials", "-n", min=1, help="Trials in all, the study's included.")] = 20,
    strategy: Annotated[StrategyName, typer.Option("--strategy", "-s", help="What proposes.")] = StrategyName.evolution,
    population: Annotated[int, typer.Option(min=1, help="Members of the population (evolution).")] = 20,
    sample_size: Annotated[int, typer.Option(min=1, help="Members of a tournament (evolution).")] = 5,
    seed: Annotated[int, typer.Option(help="The same seed gives the same search.")] = 0,
    study: Annotated[
        Path | None, typer.Option("--study", "-d", help="Record trials here, and go on from it.", show_default=False)
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Trials at a time, each in a process; 0: in this one.")] = 0,
    in_flight: Annotated[
        int | None,
        typer.Option(
            min=1, help="Trials proposed and not yet told; by default as many as workers.", show_default=False
        ),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds that a trial may take; needs workers.", show_default=False)
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

      fxnas search net.py:Net -i 1x1x28x28 --evaluator net.py:score -n 50 --study search.db -o best.json

      fxnas search space.json --evaluator table.py:lookup --strategy random --trials 200

      fxnas search net.py:Net -i 1x1x28x28 -e score -n 200 --workers 4 --timeout 600 --study search.db
    """
    from fxnas.search import search as run

    graph: Any = _graph(model, inputs, fixed_batch)
    space = graph if isinstance(graph, SearchSpace) else graph.space
    in_workers = workers and not isinstance(graph, SearchSpace)
    result = run(
        Recipe("fxnas.cli.load:make_graph", (model, inputs, fixed_batch)) if in_workers else graph,
        _strategy(strategy, space, seed, population, sample_size),
        full_name(evaluator, model),
        trials=trials,
        workers=workers,
        study=study,
        in_flight=in_flight,
        timeout=timeout,
        progress=False if json else None,
    )
    best = result.top(1)
    if best and output is not None:
        best[0].architecture.save(output)
    _show(result, output, json)
    if result.interrupted:
        raise typer.Exit(130)
    if not best:
        _ = result.best  # every trial failed: an error, told in one line


def _graph(model: str, inputs: list[str] | None, fixed_batch: bool) -> Any:
    if model.endswith(".json"):
        return SearchSpace.load(model)
    return make_graph(model, inputs, fixed_batch)


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
    rows = [(t.number, f"{t.score:.6g}", console.one_line(t.architecture.to_json())) for t in best]
    console.print_table(("trial", "score", "architecture"), rows, title=str(result))
    if output is not None and best:
        console.print_text(f"best architecture written to {output}")
