"""The search: ask for an architecture, evaluate it, record it, tell the strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fxnas.errors import FxnasError, SearchSpaceError, shown
from fxnas.evaluators.base import Evaluator, check_timeout, settings_of
from fxnas.objectives import Objective, objectives_of
from fxnas.progress import display
from fxnas.recipe import Recipe
from fxnas.results import SearchResult, Trial
from fxnas.running.in_process import InProcess
from fxnas.running.interrupts import Interrupts
from fxnas.running.ledger import Ledger
from fxnas.running.live import Live
from fxnas.running.loop import Loop, Submit
from fxnas.running.source import Given, Made, given, made
from fxnas.running.task import Outcome, Task, run
from fxnas.space import SearchSpace
from fxnas.stopping import StoppingRule
from fxnas.strategies.base import Strategy
from fxnas.study import Study
from fxnas.wiring import Wiring

__all__ = ["SearchResult", "Trial", "search"]


def search(
    graph: Any,
    strategy: Strategy,
    evaluator: Evaluator | Callable[..., Any] | Recipe | str,
    *,
    trials: int,
    workers: int = 0,
    study: str | Path | Study | None = None,
    engine: Executor | str | None = None,
    in_flight: int | None = None,
    timeout: float | None = None,
    threads: int | None = None,
    retries: int = 1,
    stopping: StoppingRule | None = None,
    objectives: Sequence[str] = (),
    reuse: bool = True,
    max_consecutive_failures: int = 5,
    progress: bool | None = None,
    callbacks: Iterable[Callable[[Trial], None]] = (),
) -> SearchResult:
    """Searches for the architecture with the highest score.

    Each trial asks the strategy for an architecture, evaluates it, records the outcome in the study, and tells the
    strategy. Whatever a trial dies of is recorded as its outcome, and the search goes on. Ctrl-C ends the search when
    the running trials have ended, a second one ends it at once; unfinished trials are run by the next search of the
    same study.

    Trial k is proposed when the strategy was told of the trials 0..k-in_flight, in the order of their numbers. So the
    trials are the same at any number of workers, however long each takes, and however often the search was stopped, if
    `in_flight` is the same and the evaluator is a function of the architecture and the trial's seed.

    Args:
        graph: a ChoiceGraph, or a bare SearchSpace where the evaluator needs no model. With workers: a bare
            SearchSpace, or a function at the top level of a module that makes the graph, or its name
            `path/to/file.py:function`, or a `fxnas.recipe.Recipe`. Each process makes its own graph; only an
            architecture and a seed travel.
        strategy: what proposes; made for this space.
        evaluator: an `Evaluator`, or a function of (graph, architecture, report), (graph, architecture) or
            (architecture) that returns the score, or several metrics, among them "score" or all `objectives`. With
            workers: such a function at the top level of a module, a function without arguments that makes an evaluator,
            the name of either or of an evaluator, or an evaluator of plain data such as `TrialCommand`.
        trials: how many trials the search has in all, those of the study included.
        workers: how many trials run at a time, each in a process of its own; 0: one after another in this process.
        study: a file (or `sqlite:///path`) to record the trials in. If it exists, the search goes on where that one
            stopped, and nothing recorded is evaluated again; several searches may share it. None: in memory.
        engine: runs the trials, in place of fxnas's own processes; `workers` tells how many at a time. "ray", or the
            address of a Ray cluster (see `fxnas.running.ray_engine.RayEngine`), or any executor.
        in_flight: how many trials may be proposed and not yet told; by default as many as workers. Larger, workers wait
            less for each other; smaller, the strategy knows more. Searches that share a study need as many as they
            have workers together.
        timeout: seconds that a trial may take; then its worker is killed, and the trial is failed. Needs workers.
        threads: in how many threads each worker computes; None: as `OMP_NUM_THREADS` says, else in one. So workers
            don't take the cores from each other, and since sums depend on the number of threads in their last digits,
            scores don't depend on the number of workers. Give more where there are more cores than workers. Needs
            workers; on Ray, `RayEngine(cpus=…)` says it.
        retries: how many further attempts a trial gets, after a pause, where not the evaluator failed but what is
            around it: its process was killed, or a connection broke.
        stopping: ends trials early by what they report.
        objectives: the metrics that the strategy is told, such as ("accuracy", "latency_ms"). A leading "-" says that
            lower is better, "+" that higher is; without one, lower is better for a metric called like a cost (see
            `fxnas.objectives`). The score of a trial, by which one is the best, is its metric "score", and without one
            the first objective. Not needed where the evaluator returns a list of objectives.
        reuse: give an architecture that was evaluated before its earlier outcome, without evaluating it again. One
            whose trials have all failed is evaluated again when it is proposed again, for what failed may be mended.
        max_consecutive_failures: so many failed trials one after another end the search with an error.
        progress: show a progress bar; by default where standard error is a terminal.
        callbacks: called with each new trial when it is finished.

    Returns:
        The trials and the best of them.

    Raises:
        SearchSpaceError: the strategy or the study belongs to another space, or the study to another strategy, stopping
            rule, evaluator or objectives.
        FxnasError: too many trials failed in a row, the study can't be used, or an argument can't be used.
    """
    _check_strategy(strategy)
    _check_counts(trials=(trials, 1), workers=(workers, 0), retries=(retries, 0))
    in_flight = max(1, workers) if in_flight is None else in_flight
    _check_counts(max_consecutive_failures=(max_consecutive_failures, 1), in_flight=(in_flight, 1))
    _check_own(workers, engine, timeout, threads)
    wanted = _wanted(objectives, strategy)
    source = _source(graph, evaluator, strategy, alone=workers == 0)
    with ExitStack() as stack:
        record = stack.enter_context(_opened(study))
        record.begin(strategy.space, strategy.settings, _setup(evaluator, stopping, wanted))
        if (wiring := _wiring(strategy, source)) is not None:  # so that a report can draw the architectures
            record.keep_wiring(wiring.to_json(strategy.space))
        ledger = Ledger(record, strategy, total=trials, in_flight=in_flight, reuse=reuse)
        with record.writing():
            record.release_orphans()
            ledger.sync()
        ledger.failures = []  # what an earlier run met may be mended
        bar = stack.enter_context(display(progress, trials, ledger.finished))
        interrupts = stack.enter_context(Interrupts())
        live = stack.enter_context(Live(record, bar))
        runner = stack.enter_context(_engine(engine, workers, source, timeout, threads))
        loop = Loop(
            record,
            ledger,
            runner,
            _submitting(source, ledger, stopping, wanted, live),
            capacity=max(1, workers),
            retries=retries,
            timeout=timeout,
            max_failures=max_consecutive_failures,
            live=live,
            progress=bar,
            callbacks=tuple(callbacks),
            interrupts=interrupts,
        )
        try:
            loop.run()
        except KeyboardInterrupt:
            return SearchResult(ledger.finished, interrupted=True)
        finally:
            ledger.tell_all()
        return SearchResult(ledger.finished, interrupted=interrupts.asked and not ledger.complete)


def _source(graph: Any, evaluator: Any, strategy: Strategy, *, alone: bool) -> Given | Made:
    source = given(graph, evaluator) if alone else made(graph, evaluator, strategy.space)
    space = source.given.space if isinstance(source, Given) else source.graph
    if isinstance(space, SearchSpace) and strategy.space != space:
        raise SearchSpaceError(
            f"the strategy was made for another space ({len(strategy.space)} choices, this one has {len(space)}): "
            f"make it with {type(strategy).__name__}(graph.space)"
        )
    return source


def _wiring(strategy: Strategy, source: Given | Made) -> Wiring | None:
    """What is connected to what, where this process knows it."""
    given = source.given.space.wiring if isinstance(source, Given) else None
    return strategy.space.wiring or given


def _submitting(
    source: Given | Made,
    ledger: Ledger,
    stopping: StoppingRule | None,
    objectives: tuple[Objective, ...],
    live: Live,
) -> Submit:
    """How a trial is handed to the engine."""

    def submit(engine: Executor, trial: Trial) -> Future[Outcome]:
        limits = None if stopping is None else ledger.limits(trial.number, stopping)
        if isinstance(source, Given):
            task = Task(trial.number, trial.seed, trial.architecture, limits, objectives)
            return engine.submit(run, source, task, partial(live.hear, trial.number))
        from fxnas.running.worker import evaluate

        architecture = trial.architecture.to_json()
        task = Task(trial.number, trial.seed, architecture, limits, objectives, live.file(trial))
        return engine.submit(evaluate, source, task)

    return submit


def _setup(evaluator: object, stopping: StoppingRule | None, objectives: Sequence[Objective]) -> dict[str, object]:
    return {
        "stopping rule": None if stopping is None else stopping.settings,
        "objectives": list(map(str, objectives)),
        "evaluator": settings_of(evaluator),
    }


@contextmanager
def _opened(study: str | Path | Study | None) -> Iterator[Study]:
    """The study; one that was handed over stays open."""
    if isinstance(study, Study):
        yield study
        return
    with Study(study) as own:
        yield own


@contextmanager
def _engine(
    engine: Executor | str | None, workers: int, source: Given | Made, timeout: float | None, threads: int | None
) -> Iterator[Executor]:
    """The executor; one that was handed over goes on after the search."""
    own: Executor
    if isinstance(engine, Executor):
        yield engine
        return
    if isinstance(source, Given):
        yield InProcess()
        return
    if engine is not None:
        from fxnas.running.ray_engine import RayEngine

        own = RayEngine(None if engine == "ray" else engine, workers=workers)
    else:
        from fxnas.running.processes import Processes

        own = Processes(workers, source, timeout=timeout, threads=threads)
    try:
        yield own
    finally:
        own.shutdown(cancel_futures=True)


def _check_strategy(strategy: object) -> None:
    if not isinstance(strategy, Strategy):
        raise SearchSpaceError(f"a strategy is a fxnas.strategies.Strategy, got {shown(strategy)}")


def _check_counts(**values: tuple[int, int]) -> None:
    for name, (value, least) in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise FxnasError(f"{name} is a whole number from {least}, got {shown(value)}")


def _wanted(objectives: object, strategy: Strategy) -> tuple[Objective, ...]:
    if isinstance(objectives, str) or not isinstance(objectives, Sequence) or not all(map(_is_text, objectives)):
        raise FxnasError(f'objectives are names of metrics, ("score", "latency_ms"), got {shown(objectives)}')
    if objectives and strategy.objectives not in (None, len(objectives)):
        raise FxnasError(
            f"{type(strategy).__name__} takes {strategy.objectives} number(s) as a reward, and the search names "
            f"{len(objectives)} objectives ({', '.join(objectives)}): Nsga2 takes any number, and "
            f"OptunaSampler(…, objectives={len(objectives)}) so many"
        )
    return objectives_of(objectives)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _check_own(workers: int, engine: object, timeout: object, threads: int | None) -> None:
    """The engine, and what only fxnas's own processes can do."""
    if engine is not None and not (isinstance(engine, Executor | str) and workers):
        raise FxnasError(
            'an engine is "ray", the address of a Ray cluster or a concurrent.futures.Executor, and needs workers=1 or '
            f"more, got {shown(engine)}"
        )
    check_timeout(timeout)
    own = workers > 0 and engine is None
    if timeout is not None and not own:
        raise FxnasError("a time-out needs a process that can be killed: give workers=1 or more, and no engine")
    if threads is not None:
        _check_counts(threads=(threads, 1))
        if not own:
            raise FxnasError(
                "threads are those of workers: give workers=1 or more, and no engine; on Ray RayEngine(cpus=…) says "
                "it, in this process torch.set_num_threads"
            )
