"""What a search has found: its trials, and the best of them. Free of torch."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from fxnas.architecture import Architecture
from fxnas.errors import FxnasError, SearchSpaceError, shown
from fxnas.space import SearchSpace

Status = Literal["done", "reused", "failed"]


@dataclass(frozen=True)
class Trial:
    """One finished trial.

    Attributes:
        number: its place in the search, from 0.
        architecture: what was evaluated, in canonical form.
        status: "done"; "reused" where the score is that of an earlier trial of the same architecture; or "failed".
        score: higher is better, of several objectives the first; None if the trial failed.
        metrics: everything that the evaluator returned by name.
        seconds: wall time of the evaluation.
        error: what went wrong, in one line.
        traceback: where it went wrong.
        objectives: the score of each objective; empty where there is only one.
    """

    number: int
    architecture: Architecture
    status: Status
    score: float | None
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None
    traceback: str | None = None
    objectives: tuple[float, ...] = ()

    @property
    def reward(self) -> float | tuple[float, ...] | None:
        """What the strategy is told: all objectives where there are several, else the score."""
        return self.objectives or self.score

    def to_json(self) -> dict[str, object]:
        """The trial as plain data."""
        written: dict[str, object] = {
            "trial": self.number,
            "architecture": self.architecture.to_json(),
            "status": self.status,
            "score": self.score,
            "metrics": {name: value if math.isfinite(value) else None for name, value in self.metrics.items()},
            "seconds": round(self.seconds, 3),
            "error": self.error,
            "traceback": self.traceback,
        }
        return written | {"objectives": list(self.objectives)} if self.objectives else written

    @classmethod
    def from_json(cls, value: object, space: SearchSpace) -> Trial:
        """The trial that `to_json` wrote.

        Raises:
            SearchSpaceError: the value isn't a trial.
            ArchitectureError: its architecture isn't one of the space.
        """
        if not isinstance(value, Mapping):
            raise SearchSpaceError(f"a trial is a JSON object, got {shown(value)}")
        missing = [name for name in ("trial", "architecture", "status") if name not in value]
        if missing:
            raise SearchSpaceError(f"a trial has a number, an architecture and a status: {missing[0]!r} is missing")
        if not isinstance(value["architecture"], Mapping):  # a string would be taken for the name of a file
            raise SearchSpaceError(f"an architecture is a JSON object, got {shown(value['architecture'])}")
        if value["status"] not in get_args(Status):
            raise SearchSpaceError(f"status {shown(value['status'])} is unknown: it is one of {get_args(Status)}")
        score = _number(value, "score")
        if (score is None) != (value["status"] == "failed"):
            raise SearchSpaceError(f"a trial has a score unless it failed, got {shown(score)}")
        metrics = value.get("metrics") or {}
        if not isinstance(metrics, Mapping):
            raise SearchSpaceError(f"metrics are numbers by name, got {shown(metrics)}")
        objectives = _numbers(value, "objectives")
        return cls(
            number=value["trial"],
            architecture=space.canonical(Architecture.from_json(value["architecture"], space)),
            status=value["status"],
            score=score,
            metrics={name: math.nan if metrics[name] is None else _number(metrics, name) or 0.0 for name in metrics},
            seconds=_number(value, "seconds") or 0.0,
            error=_text(value, "error"),
            traceback=_text(value, "traceback"),
            objectives=objectives,
        )


@dataclass(frozen=True)
class SearchResult:
    """The outcome of a search.

    Attributes:
        trials: all finished trials, in order.
        interrupted: whether the search was stopped from outside before it was done.
    """

    trials: Sequence[Trial]
    interrupted: bool = False

    @property
    def best(self) -> Trial:
        """The trial with the highest score, the first of equals.

        Raises:
            FxnasError: no trial has a score.
        """
        found = self.top(1)
        if not found:
            first = next((trial.error for trial in self.trials if trial.error), None)
            raise FxnasError(f"none of {len(self.trials)} trials has a score{f'; the first: {first}' if first else ''}")
        return found[0]

    @property
    def best_architecture(self) -> Architecture:
        """The architecture of the best trial."""
        return self.best.architecture

    def top(self, n: int) -> list[Trial]:
        """The best `n` trials of different architectures, best first."""
        scored = [(trial.score, trial) for trial in self.trials if trial.score is not None]
        ranked = sorted(scored, key=lambda pair: (-pair[0], pair[1].number))
        distinct: dict[Architecture, Trial] = {}
        for _, trial in ranked:
            distinct.setdefault(trial.architecture, trial)
        return list(distinct.values())[:n]

    def __str__(self) -> str:
        failed = sum(trial.status == "failed" for trial in self.trials)
        found = self.top(1)
        best = f", best {found[0].score:.6g} in trial {found[0].number}" if found else ""
        return f"{len(self.trials)} trials{f', {failed} failed' if failed else ''}{best}"


def _number(value: Mapping[str, object], name: str) -> float | None:
    number = value.get(name)
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= sys.float_info.max:
        raise SearchSpaceError(f"{name!r} is a finite number, got {shown(number)}")
    return float(number)


def _numbers(value: Mapping[str, object], name: str) -> tuple[float, ...]:
    listed = value.get(name) or []
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise SearchSpaceError(f"{name!r} is a list of numbers, got {shown(listed)}")
    numbers = [_number({name: each}, name) for each in listed]
    if None in numbers:
        raise SearchSpaceError(f"{name!r} is a list of finite numbers, got {shown(listed)}")
    return tuple(number for number in numbers if number is not None)


def _text(value: Mapping[str, object], name: str) -> str | None:
    text = value.get(name)
    if text is not None and not isinstance(text, str):
        raise SearchSpaceError(f"{name!r} is text, got {shown(text)}")
    return text
