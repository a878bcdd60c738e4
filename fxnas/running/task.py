"""One trial in whatever process it runs: from an architecture and a seed to an outcome, whatever goes wrong."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from fxnas.errors import shown
from fxnas.evaluators.base import Report, TrialPruned, Verdict, judged
from fxnas.evaluators.seeded import seeded
from fxnas.objectives import Objective
from fxnas.running.source import Source

# Faults of the surroundings, which a second attempt may not meet; everything else would only happen again.
_PASSING = {getattr(errno, name, 0) for name in ("EIO", "ESTALE", "EAGAIN", "ENETDOWN", "ENETUNREACH", "EHOSTUNREACH")}
_MOST_TEXT = 32_768  # characters kept of a traceback
_MOST_LINE = 1000  # and of the error in one line


@dataclass(frozen=True)
class Task:
    """What travels to where a trial runs.

    Attributes:
        number: of the trial.
        seed: of the trial.
        architecture: what to evaluate; its JSON where it leaves the process.
        limits: ends the trial early.
        objectives: the metrics that are the objectives; empty where the evaluator returns a list of objectives, or only
            a score.
        live: a file for the reports, which the search reads while the trial runs; None where it hears them itself.
    """

    number: int
    seed: int
    architecture: Mapping[str, Any]
    limits: Verdict | None = None
    objectives: tuple[Objective, ...] = ()
    live: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What comes back, plain data: see `fxnas.results.Trial`.

    Attributes:
        passing: whether the fault is one of the surroundings, so that another attempt makes sense.
    """

    state: Literal["done", "failed", "pruned"]
    score: float | None = None
    objectives: tuple[float, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    reports: Sequence[Mapping[str, float]] = ()
    seconds: float = 0.0
    host: str | None = None
    pid: int | None = None
    error: str | None = None
    traceback: str | None = None
    passing: bool = False


def run(source: Source, task: Task, listener: Callable[[Mapping[str, float]], None] | None = None) -> Outcome:
    """Evaluates a trial. Only KeyboardInterrupt passes through; all else that is raised is its outcome."""
    report = Report(task.number, task.seed, listener, task.limits)
    start = time.perf_counter()  # the wall clock may be set back
    try:
        outcome = _evaluate(source, task, report)
    except KeyboardInterrupt:
        raise
    except TrialPruned as end:
        outcome = Outcome("pruned", error=str(end))
    except BaseException as error:  # whatever goes wrong in a trial is the trial's result
        outcome = _failure(error)
    return replace(
        outcome,
        reports=report.values,
        seconds=time.perf_counter() - start,
        host=socket.gethostname(),
        pid=os.getpid(),
    )


def _evaluate(source: Source, task: Task, report: Report) -> Outcome:
    bench = source.bench()
    architecture = bench.architecture(task.architecture)
    with seeded(task.seed):
        result = bench.evaluate(bench.graph, architecture, report)
    return Outcome("done", *judged(result, task.objectives))


def _failure(error: BaseException) -> Outcome:
    passing = isinstance(error, ConnectionError) or (isinstance(error, OSError) and error.errno in _PASSING)
    told = "".join(traceback.format_exception(error))
    return Outcome("failed", error=_summary(error), traceback=_storable(told[-_MOST_TEXT:]), passing=passing)


def _summary(error: BaseException) -> str:
    """The error in one line."""
    try:
        text = str(error).strip()
    except Exception:  # a hostile __str__ must not hide the failure
        text = shown(error)
    first = text.splitlines()[0] if text else ""
    if len(first) > _MOST_LINE:
        first = f"{first[:_MOST_LINE]}…"
    return _storable(f"{type(error).__name__}: {first}" if first else type(error).__name__)


def _storable(text: str) -> str:
    """Text that UTF-8 can hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def broken_device(outcome: Outcome) -> bool:
    """Whether a process shouldn't run further trials: after an error of CUDA every later call fails too."""
    if outcome.state != "failed" or "torch" not in sys.modules:
        return False
    told = outcome.error or ""
    return told.startswith("AcceleratorError") or ("CUDA" in told and "out of memory" not in told)
