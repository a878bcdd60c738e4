"""`fxnas search`: search for the best architecture."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from fxnas.cli import console
from fxnas.cli.load import make_graph
from fxnas.cli.options import CommandLine, FixedBatch, Inputs, Json, StudyOption, check_outputs, refuse
from fxnas.cli.strategies import HELP, StrategyName, make_strategy, users_of
from fxnas.named import full_name
from fxnas.recipe import Recipe
from fxnas.space import SearchSpace
from fxnas.stopping import MedianRule, StoppingRule, SuccessiveHalving

if TYPE_CHECKING:
    from fxnas.evaluators.command import TrialCommand
    from fxnas.graph import ChoiceGraph
    from fxnas.results import SearchResult


class RuleName(StrEnum):
    """The stopping rules that the command line offers."""

    median = "median"
    halving = "halving"


RULES: dict[RuleName, Callable[[], StoppingRule]] = {RuleName.median: MedianRule, RuleName.halving: SuccessiveHalving}


def search(
    model: Annotated[
        str | None,
        typer.Argument(
            help="path/to/file.py:factory, package.module:factory, or a search-space file (space.json).",
            show_default=False,
        ),
    ] = None,
    evaluator: Annotated[
        str | None,
        typer.Option(
            "--evaluator",
            "-e",
            help="file.py:name (or a name beside the model) of a function (graph, architecture, report) -> score, "
            "higher is better; or of an object with a method `evaluate` like it.",
            show_default=False,
        ),
    ] = None,
    trial_command: CommandLine = None,
    space: Annotated[
        Path | None,
        typer.Option(
            help="The search-space file of --trial-command; `fxnas space --trial-command` writes it.",
            show_default=False,
        ),
    ] = None,
    trial_folder: Annotated[
        Path | None,
        typer.Option(
            help="Gets a folder for each trial of --trial-command: architecture, results, log. By default "
            "STUDY-trials, or fxnas-trials.",
            show_default=False,
        ),
    ] = None,
    trials: Annotated[int, typer.Option("--trials", "-n", min=1, help="Trials in all, the study's included.")] = 20,
    strategy: Annotated[StrategyName, typer.Option("--strategy", "-s", help=HELP)] = StrategyName.predictor,
    population: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"Members of the population ({users_of('population')}); 20 by default.", show_default=False
        ),
    ] = None,
    sample_size: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"Members of a tournament ({users_of('sample_size')}); 5 by default.", show_default=False
        ),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            help="A metric of the evaluator that the strategy is told, once for each (nsga2 takes several): "
            "--objective accuracy --objective latency_ms. A leading - says that lower is better (--objective=-x), + "
            "that higher is; without one, lower is for names of costs (latency_ms, flops, loss, …). The best trial has "
            "the highest metric 'score'; without one, it is the best in the first objective.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same search.")] = 0,
    study: StudyOption = None,
    workers: Annotated[int, typer.Option(min=0, help="Trials at a time, each in a process; 0: in this one.")] = 0,
    engine: Annotated[
        str | None,
        typer.Option(
            help='Where workers run: "ray", or the address of a Ray cluster; by default here.', show_default=False
        ),
    ] = None,
    in_flight: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Trials proposed and not yet told; by default as many as workers. Searches that share a study need as "
            "many as they have workers together.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(help="Seconds that a trial may take; needs workers or --trial-command.", show_default=False),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Threads that each worker computes in; 1 by default, or what OMP_NUM_THREADS says. More where there "
            "are more cores than workers.",
            show_default=False,
        ),
    ] = None,
    retries: Annotated[
        int, typer.Option(min=0, help="Further attempts of a trial whose process was killed or whose connection broke.")
    ] = 1,
    max_consecutive_failures: Annotated[
        int, typer.Option(min=1, help="So many failed trials one after another end the search.")
    ] = 5,
    stopping: Annotated[
        RuleName | None,
        typer.Option(
            help="Ends trials early by the score that they report for an epoch. median: of those below the median of "
            "finished trials; halving: of all but the best quarter at epoch 1, 4, 16, …",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the best architecture here.", show_default=False)
    ] = None,
    inputs: Inputs = None,
    fixed_batch: FixedBatch = False,
    json: Json = False,
) -> None:
    """Search a model's space, or that of a training script, for the architecture with the highest score.

    For example:

      fxnas search net.py:Net -i 1x1x28x28 --evaluator net.py:score -n 50 --study search.db -o best.json

      fxnas search space.json --evaluator table.py:lookup --strategy random --trials 200

      fxnas search net.py:Net -i 1x1x28x28 -e score -n 200 --workers 4 --timeout 600 --study search.db

      fxnas search --trial-command "python train.py" --space space.json -s ppo -n 50 --workers 2 --study search.db
    """
    from fxnas.search import search as run

    check_outputs(output=output)
    if trial_command is not None:
        refuse("takes no part beside --trial-command", MODEL=model, evaluator=evaluator)
        refuse("takes no part beside --trial-command", input=inputs, fixed_batch=fixed_batch)
        what = _of_command(trial_command, space, trial_folder or _beside(study), timeout)
    else:
        refuse("is for --trial-command", space=space, trial_folder=trial_folder)
        what = _of_model(model, evaluator, inputs, fixed_batch, workers, timeout)
    with redirect_stdout(sys.stderr):  # what trials print is not the result, which a script may read
        result = run(
            what.graph,
            make_strategy(strategy, what.space, seed, population=population, sample_size=sample_size),
            what.evaluator,
            trials=trials,
            workers=workers,
            engine=engine,
            study=study,
            in_flight=in_flight,
            timeout=what.timeout,
            threads=threads,
            retries=retries,
            max_consecutive_failures=max_consecutive_failures,
            stopping=None if stopping is None else RULES[stopping](),
            objectives=objective or (),
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


class _Searched(NamedTuple):
    """What `fxnas.search` gets, and what the strategy is made from."""

    graph: SearchSpace | ChoiceGraph | Recipe
    space: SearchSpace
    evaluator: str | TrialCommand
    timeout: float | None


def _of_command(command: str, space: Path | None, folder: Path, timeout: float | None) -> _Searched:
    from fxnas.evaluators.command import TrialCommand

    if space is None:
        raise typer.BadParameter(
            "--trial-command needs --space space.json; write it with: fxnas space --trial-command … -o space.json"
        )
    loaded = SearchSpace.load(space)
    return _Searched(loaded, loaded, TrialCommand(command, folder, timeout), None)


def _of_model(
    model: str | None,
    evaluator: str | None,
    inputs: list[str] | None,
    fixed_batch: bool,
    workers: int,
    timeout: float | None,
) -> _Searched:
    if model is None or evaluator is None:
        missing = "MODEL" if model is None else "--evaluator"
        raise typer.BadParameter(f"{missing} is missing; give a model and --evaluator, or --trial-command and --space")
    named = full_name(evaluator, model)
    if model.endswith(".json"):
        space = SearchSpace.load(model)
        return _Searched(space, space, named, timeout)
    graph = make_graph(model, inputs, fixed_batch)
    recipe = Recipe("fxnas.cli.load:make_graph", (model, inputs, fixed_batch))
    return _Searched(recipe if workers else graph, graph.space, named, timeout)


def _beside(study: Path | None) -> Path:
    return Path("fxnas-trials") if study is None else study.with_name(f"{study.name}-trials")


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
    if rows:
        console.print_table(("trial", "score", "architecture"), rows, title=str(result))
    else:
        console.print_text(str(result))
    if output is not None and best:
        console.print_text(f"best architecture written to {output}")
