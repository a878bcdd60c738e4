"""The search loop: ask for an architecture, evaluate it, record it, tell the strategy."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fxnas.architecture import Architecture
from fxnas.errors import FxnasError, SearchSpaceError, shown
from fxnas.evaluators.base import Evaluator, Report, Score, evaluation, objectives_of, score_and_metrics
from fxnas.journal import Journal
from fxnas.progress import Progress, display
from fxnas.results import SearchResult, Trial
from fxnas.space import SearchSpace
from fxnas.strategies.base import Strategy

__all__ = ["SearchResult", "Trial", "search"]


def search(
    graph: Any,
    strategy: Strategy,
    evaluator: Evaluator | Callable[..., Score],
    *,
    trials: int,
    journal: str | Path | None = None,
    reuse: bool = True,
    max_consecutive_failures: int = 5,
    progress: bool | None = None,
    callbacks: Iterable[Callable[[Trial], None]] = (),
) -> SearchResult:
    """Searches for the architecture with the highest score.

    Each trial asks the strategy for an architecture, evaluates it, writes the outcome to the journal, and tells the
    strategy. A trial that fails is recorded, and the search goes on. Ctrl-C ends the search with what it has so far.

    Args:
        graph: a ChoiceGraph, or a bare SearchSpace where the evaluator needs no model.
        strategy: what proposes; made for this space.
        evaluator: an `Evaluator`, or a function of (graph, architecture, report), (graph, architecture) or
            (architecture) that returns the score, several metrics among them "score", or one score for each of several
            objectives, for strategies that take them (`Nsga2`).
        trials: how many trials the search has in all, those of the journal included; fewer where the strategy is done.
        journal: a file to record the trials in. If it exists, the search goes on where that one stopped: the strategy
            sees and is told each recorded trial again, and nothing recorded is evaluated again.
        reuse: give an architecture that was evaluated before its earlier score, without evaluating it again.
        max_consecutive_failures: so many failed trials one after another end the search with an error.
        progress: show a progress bar; by default where standard error is a terminal.
        callbacks: called with each new trial when it is finished.

    Returns:
        The trials and the best of them.

    Raises:
        SearchSpaceError: the strategy or the journal belongs to another space, or the journal to another strategy.
        FxnasError: too many trials failed in a row, or an argument can't be used.
    """
    space = _space_of(graph, strategy)
    _check_positive(trials=trials, max_consecutive_failures=max_consecutive_failures)
    evaluate = evaluation(evaluator)
    with ExitStack() as stack:
        record = stack.enter_context(Journal(journal, space, strategy.settings)) if journal is not None else None
        finished = _replay(record, strategy) if record is not None else []
        bar = stack.enter_context(display(progress, trials, finished))
        scored: dict[Architecture, Trial] = {}
        for trial in finished:
            _remember(trial, scored)
        failures: list[Trial] = []
        try:
            for number in range(len(finished), trials):
                if strategy.done:
                    break
                architecture = space.canonical(strategy.ask())
                known = scored.get(architecture) if reuse else None
                trial = _reused(known, number) if known else _run(evaluate, graph, architecture, strategy, number, bar)
                finished.append(trial)
                _remember(trial, scored)
                if record is not None:
                    record.append(trial)
                strategy.tell(architecture, trial.reward)
                bar.finished(trial)
                for callback in callbacks:
                    callback(trial)
                failures = [*failures, trial] if trial.status == "failed" else []
                if len(failures) == max_consecutive_failures:
                    raise _hopeless(failures)
        except KeyboardInterrupt:
            return SearchResult(finished, interrupted=True)
    return SearchResult(finished)


def _space_of(graph: Any, strategy: Strategy) -> SearchSpace:
    space = graph if isinstance(graph, SearchSpace) else getattr(graph, "space", None)
    if not isinstance(space, SearchSpace):
        raise SearchSpaceError(
            f"search takes a ChoiceGraph or a SearchSpace, got a {type(graph).__name__}; "
            "a model becomes a graph by fxnas.trace(model, example_inputs)"
        )
    if not isinstance(strategy, Strategy):
        raise SearchSpaceError(f"a strategy is a fxnas.strategies.Strategy, got {shown(strategy)}")
    if strategy.space != space:
        raise SearchSpaceError(
            f"the strategy was made for another space ({len(strategy.space)} choices, this one has {len(space)}): "
            f"make it with {type(strategy).__name__}(graph.space)"
        )
    return space


def _check_positive(**values: int) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise FxnasError(f"{name} is a whole number above 0, got {shown(value)}")


def _replay(journal: Journal, strategy: Strategy) -> list[Trial]:
    """Takes the strategy to where the recorded search stopped."""
    if journal.trials and strategy.asked:
        raise SearchSpaceError(
            f"journal {journal.path} holds {len(journal.trials)} trials, and going on with them needs a new strategy: "
            f"this one has already been asked {strategy.asked} times"
        )
    for trial in journal.trials:
        strategy.replay(trial.architecture)
        strategy.tell(trial.architecture, trial.reward)
    return list(journal.trials)


def _remember(trial: Trial, scored: dict[Architecture, Trial]) -> None:
    """Keeps a score for the next trial of the same architecture; a failed one may succeed at a second attempt."""
    if trial.status == "done":
        scored.setdefault(trial.architecture, trial)


def _reused(known: Trial, number: int) -> Trial:
    return Trial(number, known.architecture, "reused", known.score, known.metrics, objectives=known.objectives)


def _run(
    evaluate: Callable[[Any, Architecture, Report], Score],
    graph: Any,
    architecture: Architecture,
    strategy: Strategy,
    number: int,
    bar: Progress,
) -> Trial:
    start = time.perf_counter()
    report = Report.of(strategy.seed, number, bar.reported)
    try:
        result = evaluate(graph, architecture, report)
        score, metrics = score_and_metrics(result)
    except Exception as error:  # whatever goes wrong in a trial is the trial's result
        seconds = time.perf_counter() - start
        summary = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        return Trial(
            number, architecture, "failed", None, {}, seconds, summary, "".join(traceback.format_exception(error))
        )
    seconds = time.perf_counter() - start
    return Trial(number, architecture, "done", score, metrics, seconds, objectives=objectives_of(result))


def _hopeless(failures: list[Trial]) -> FxnasError:
    first = failures[0]
    return FxnasError(
        f"the search stopped: {len(failures)} trials failed one after another. "
        f"The first of them, trial {first.number}:\n{first.traceback}"
    )
