"""What a search has found: its trials, and the best of them. Free of torch."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from fxnas.architecture import Architecture
from fxnas.errors import FxnasError, SearchSpaceError, nearest, shown
from fxnas.objectives import objectives_of
from fxnas.space import SearchSpace
from fxnas.strategies.pareto import Point, first_front
from fxnas.trial_table import table

if TYPE_CHECKING:
    import pandas

State = Literal["waiting", "running", "done", "failed", "pruned"]


@dataclass(frozen=True)
class Trial:
    """One trial of a search.

    Attributes:
        number: its place in the search, from 0.
        architecture: what is evaluated, in canonical form.
        state: "waiting", "running", "done", "failed", or "pruned" where a stopping rule ended it early.
        score: higher is better: the metric "score"; without one, the only metric or the first objective (negated where
            lower is better). None unless the trial is done.
        objectives: what each objective earned, higher is better; empty where there is only a score.
        metrics: everything that the evaluator returned by name.
        reports: the intermediate values that the evaluator reported, in order.
        source: the earlier trial of the same architecture whose outcome this is; None where it was evaluated itself.
        attempts: how often its evaluation was begun.
        seconds: wall time of the evaluation.
        seed: what every random decision of the trial follows from.
        host: where it was evaluated.
        pid: the process that evaluated it.
        error: what went wrong, in one line.
        traceback: where it went wrong.
    """

    number: int
    architecture: Architecture
    state: State
    score: float | None = None
    objectives: tuple[float, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    reports: Sequence[Mapping[str, float]] = ()
    source: int | None = None
    attempts: int = 0
    seconds: float = 0.0
    seed: int = 0
    host: str | None = None
    pid: int | None = None
    error: str | None = None
    traceback: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The trial as plain data; what isn't finite is null."""
        return {
            "trial": self.number,
            "state": self.state,
            "architecture": self.architecture.to_json(),
            "source": self.source,
            "attempts": self.attempts,
            "seed": self.seed,
            **self.outcome(),
        }

    def outcome(self) -> dict[str, Any]:
        """What came out of the trial, as plain data: a part of `to_json`."""
        return {
            "state": self.state,
            "score": self.score,
            "objectives": list(self.objectives),
            "metrics": finite(self.metrics),
            "reports": [finite(report) for report in self.reports],
            "seconds": round(self.seconds, 3),
            "host": self.host,
            "pid": self.pid,
            "error": self.error,
            "traceback": self.traceback,
        }

    @property
    def finished(self) -> bool:
        """Whether the trial is done, failed or pruned."""
        return self.state not in ("waiting", "running")

    @property
    def reward(self) -> Any:
        """What the strategy is told: the objectives, one number where it is one; else the score; None unless done."""
        return self.objectives[0] if len(self.objectives) == 1 else self.objectives or self.score

    @classmethod
    def from_json(cls, value: object, space: SearchSpace) -> Trial:
        """The trial that `to_json` wrote; further members are ignored.

        Raises:
            SearchSpaceError: the value isn't a trial.
            ArchitectureError: its architecture isn't one of the space.
        """
        if not isinstance(value, Mapping):
            raise SearchSpaceError(f"a trial is a JSON object, got {shown(value)}")
        missing = [name for name in ("trial", "architecture", "state") if name not in value]
        if missing:
            raise SearchSpaceError(f"a trial has a number, an architecture and a state: {missing[0]!r} is missing")
        if not isinstance(value["architecture"], Mapping):  # a string would be taken for the name of a file
            raise SearchSpaceError(f"an architecture is a JSON object, got {shown(value['architecture'])}")
        if value["state"] not in get_args(State):
            raise SearchSpaceError(f"state {shown(value['state'])} is unknown: it is one of {get_args(State)}")
        score = _number(value.get("score"), "score")
        if (score is None) == (value["state"] == "done"):
            raise SearchSpaceError(f"a trial has a score where it is done, got {shown(score)} ({value['state']})")
        reports = value.get("reports") or []
        if not isinstance(reports, list):
            raise SearchSpaceError(f"reports are a list, got {shown(reports)}")
        return cls(
            number=_integer(value, "trial") or 0,
            architecture=space.canonical(Architecture.from_json(value["architecture"], space)),
            state=value["state"],
            score=score,
            objectives=_objectives(value.get("objectives") or []),
            metrics=_numbers(value.get("metrics") or {}, "metrics"),
            reports=[_numbers(report, "a report") for report in reports],
            source=_integer(value, "source"),
            attempts=_integer(value, "attempts") or 0,
            seconds=_number(value.get("seconds"), "seconds") or 0.0,
            seed=_integer(value, "seed") or 0,
            host=_text(value, "host"),
            pid=_integer(value, "pid"),
            error=_text(value, "error"),
            traceback=_text(value, "traceback"),
        )


@dataclass(frozen=True)
class SearchResult:
    """The outcome of a search.

    Attributes:
        trials: all finished trials, in the order of their numbers.
        interrupted: whether the search was stopped from outside before it was done.
    """

    trials: Sequence[Trial]
    interrupted: bool = False

    @property
    def best(self) -> Trial:
        """The trial with the highest `Trial.score`, the first of equals; of several objectives see `front` too.

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

    @property
    def front(self) -> list[Trial]:
        """The trials of different architectures that no other trial beats in every objective, in order."""
        return _front([(t.objectives or (t.score,), t) for t in self.trials if t.score is not None])

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of what was found: all but where, when and how long each trial ran."""
        left_out = {"attempts", "seconds", "host", "pid", "traceback"}
        found = [
            {name: part for name, part in trial.to_json().items() if name not in left_out} for trial in self.trials
        ]
        return hashlib.sha256(json.dumps(found, sort_keys=True, allow_nan=False).encode()).hexdigest()

    def top(self, n: int) -> list[Trial]:
        """The best `n` trials of different architectures, best first.

        Raises:
            FxnasError: `n` isn't a whole number from 0.
        """
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise FxnasError(f"n is a whole number from 0, got {shown(n)}")
        scored = [(trial.score, trial) for trial in self.trials if trial.score is not None]
        ranked = sorted(scored, key=lambda pair: (-pair[0], pair[1].number))
        distinct: dict[Architecture, Trial] = {}
        for _, trial in ranked:
            distinct.setdefault(trial.architecture, trial)
        return list(distinct.values())[:n]

    def pareto(self, *metrics: str) -> list[Trial]:
        """The Pareto front over metrics: the trials that no other trial beats in all of them.

            result.pareto("accuracy", "latency_ms")  # accurate and fast

        Trials without one of the metrics, or where it isn't finite, are left out.

        Args:
            metrics: their names as the evaluator gave them, or "score". A leading "-" says that lower is better, "+"
                that higher is; without one, lower is better for a metric called like a cost, such as latency_ms,
                flops, params or loss (see `fxnas.objectives`), and higher is for all others.

        Returns:
            Trials of different architectures, in the order of their numbers.

        Raises:
            FxnasError: no metric is named, or no trial has one of that name.
        """
        if not metrics or not all(isinstance(name, str) for name in metrics):
            given = ", ".join(map(shown, metrics)) or "none"
            raise FxnasError(f'a front needs names of metrics, pareto("score", "latency_ms"), got {given}')
        wanted = objectives_of(metrics)
        done = [({**t.metrics, "score": t.score}, t) for t in self.trials if t.score is not None]
        known = dict.fromkeys(["score", *(name for values, _ in done for name in values)])
        for name, _ in wanted:
            if done and name not in known:
                raise FxnasError(
                    f"no trial has a metric {shown(name)}; known: {', '.join(known)}{nearest(name, known)}"
                )
        points = [(tuple(sign * values.get(name, math.nan) for name, sign in wanted), trial) for values, trial in done]
        return _front([(point, trial) for point, trial in points if all(map(math.isfinite, point))])

    def to_frame(self) -> pandas.DataFrame:
        """All trials as a pandas DataFrame, with the rows and columns of `fxnas study export --format csv`.

        One row a trial, "metric.<name>" for each metric, "choice.<key>" for each choice; None or NaN elsewhere.

        Raises:
            FxnasError: pandas isn't installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise FxnasError("a data frame needs pandas: pip install 'fxnas[pandas]'") from error
        keys = self.trials[0].architecture.choices if self.trials else ()
        rows = [{**trial.to_json(), "hash": trial.architecture.fingerprint} for trial in self.trials]
        columns, values = table(rows, keys)
        return pandas.DataFrame(values, columns=columns)

    def __str__(self) -> str:
        counts = {state: sum(trial.state == state for trial in self.trials) for state in ("failed", "pruned")}
        told = "".join(f", {count} {state}" for state, count in counts.items() if count)
        found = self.top(1)
        best = f", best {found[0].score:.6g} in trial {found[0].number}" if found else ""
        count = len(self.trials)
        return f"{count} trial{'' if count == 1 else 's'}{told}{best}"


def _front(scored: Sequence[tuple[Point, Trial]]) -> list[Trial]:
    """Those that no other one beats, the first of each architecture."""
    best = [scored[i][1] for i in first_front([point for point, _ in scored])]
    return list({trial.architecture: trial for trial in reversed(best)}.values())[::-1]


def finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """Numbers by name as JSON can hold them: null for what isn't finite."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _objectives(values: object) -> tuple[float, ...]:
    if not isinstance(values, list) or None in values:
        raise SearchSpaceError(f"objectives are a list of numbers, got {shown(values)}")
    return tuple(_number(value, "objective") or 0.0 for value in values)


def _numbers(values: object, what: str) -> dict[str, float]:
    if not isinstance(values, Mapping):
        raise SearchSpaceError(f"{what} are numbers by name, got {shown(values)}")
    return {name: math.nan if value is None else _number(value, name) or 0.0 for name, value in values.items()}


def _number(number: object, name: str) -> float | None:
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= sys.float_info.max:
        raise SearchSpaceError(f"{name!r} is a finite number, got {shown(number)}")
    return float(number)


def _integer(value: Mapping[str, object], name: str) -> int | None:
    number = value.get(name)
    if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
        raise SearchSpaceError(f"{name!r} is an integer, got {shown(number)}")
    return number


def _text(value: Mapping[str, object], name: str) -> str | None:
    text = value.get(name)
    if text is not None and not isinstance(text, str):
        raise SearchSpaceError(f"{name!r} is text, got {shown(text)}")
    return text
