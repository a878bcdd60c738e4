"""What `fxnas.search` asks of an evaluator, and what a trial knows about itself."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from fxnas.architecture import Architecture
from fxnas.errors import FxnasError, nearest, shown
from fxnas.objectives import Objective

Score = float | Mapping[str, float] | Sequence[float]


class TrialPruned(Exception):
    """Ends a trial early, from inside a report; let it pass."""


class Verdict(Protocol):
    """Decides whether a trial goes on; `fxnas.stopping.Limits` is one."""

    def verdict(self, report: Mapping[str, float]) -> str | None:
        """Why the trial ends at this report, or None if it goes on."""


class Report:
    """Which trial this is, and where it reports what it sees on the way.

    Attributes:
        number: the number of the trial in its search, from 0.
        seed: what every random decision of the trial follows from; a function of the search's seed and the number.
        values: what was reported, in order.
    """

    def __init__(
        self,
        number: int,
        seed: int,
        listener: Callable[[Mapping[str, float]], None] | None = None,
        limits: Verdict | None = None,
    ) -> None:
        self.number = number
        self.seed = seed
        self.values: list[dict[str, float]] = []
        self._listener = listener
        self._limits = limits

    def __call__(self, /, **values: float) -> None:
        """Records intermediate values, `report(epoch=3, loss=0.2)`, and shows them in the progress of the search.

        Raises:
            TrialPruned: the search's stopping rule ends the trial here.
            FxnasError: a value isn't a number.
        """
        numbers = {name: _number(name, value) for name, value in values.items()}
        self.values.append(numbers)
        if self._listener is not None:
            self._listener(numbers)
        reason = self._limits.verdict(numbers) if self._limits is not None else None
        if reason is not None:
            raise TrialPruned(reason)


def check_timeout(timeout: object) -> None:
    """Makes sure that a time-out is a number of seconds, or None.

    Raises:
        FxnasError: it isn't.
    """
    number = not isinstance(timeout, bool) and isinstance(timeout, int | float)
    if timeout is not None and not (number and timeout > 0):  # type: ignore[operator]  # NaN is none either
        raise FxnasError(f"timeout is a number of seconds, got {shown(timeout)}")


def seed_of(search_seed: int, number: int) -> int:
    """The seed of trial `number` in a search with the seed `search_seed`: 32 bits."""
    digest = hashlib.sha256(f"{search_seed}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


class Evaluator(Protocol):
    """Finds out how good an architecture is. Any object with this method is an evaluator.

    Where it also has `settings`, plain data by name, a study that was begun with it goes on with the same ones only.
    """

    def evaluate(self, graph: Any, architecture: Architecture, report: Report) -> Score:
        """Evaluates one architecture.

        Args:
            graph: what was given to `fxnas.search`: the ChoiceGraph, or a bare SearchSpace.
            architecture: what to evaluate, in canonical form.
            report: number and seed of the trial; call it with intermediate values. Python, NumPy and torch are
                seeded with the trial's seed where they were imported before.

        Returns:
            The score, higher is better; several metrics by name, among them "score" (one metric alone is the score), or
            all objectives that the search names; or a sequence of scores, one for each objective, the first of which is
            the score. An exception, or a score that isn't finite, makes the trial a failed one.
        """


def settings_of(evaluator: object) -> dict[str, object] | None:
    """The `settings` of an evaluator as JSON has them; None where it has none, as functions and names.

    Raises:
        FxnasError: they aren't plain data.
    """
    settings = getattr(evaluator, "settings", None)
    if not isinstance(settings, Mapping):
        return None
    try:
        written: dict[str, object] = json.loads(json.dumps(dict(settings), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise FxnasError(f"settings of {type(evaluator).__name__}: plain data by name is needed ({error})") from error
    return written


def evaluation(evaluator: Evaluator | Callable[..., Score]) -> Callable[[Any, Architecture, Report], Score]:
    """The evaluating function of an evaluator, or of a plain function.

    A plain function takes (graph, architecture, report), as `Evaluator.evaluate` does, or only (graph, architecture),
    or only (architecture).

    Raises:
        FxnasError: it is neither.
    """
    evaluate = getattr(evaluator, "evaluate", evaluator)
    if not callable(evaluate):
        raise FxnasError(f"an evaluator is a function or has a method `evaluate`, got {shown(evaluator)}")
    match _positionals(evaluate):
        case 1:
            return lambda graph, architecture, report: evaluate(architecture)
        case 2:
            return lambda graph, architecture, report: evaluate(graph, architecture)
        case 3:
            return evaluate
    raise FxnasError(
        f"an evaluator takes (graph, architecture, report), (graph, architecture) or (architecture); "
        f"{getattr(evaluate, '__qualname__', shown(evaluate))} takes {inspect.signature(evaluate)}"
    )


def _positionals(function: Callable[..., Score]) -> int:
    """How many positional arguments to give: those without a default, up to three where there are more."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C, no signature to read
        return 3
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 3
    required = [p for p in parameters if p.default is p.empty]
    if any(p.kind is p.KEYWORD_ONLY for p in required):
        return -1
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in required)


class Judged(NamedTuple):
    """What an evaluator's result comes to.

    Attributes:
        score: higher is better: the metric "score"; without one, the first objective.
        objectives: each higher is better; empty where there is only a score.
        metrics: by name, as plain numbers; empty where none were named.
    """

    score: float
    objectives: tuple[float, ...]
    metrics: dict[str, float]


def judged(result: Score, wanted: Sequence[Objective] = ()) -> Judged:
    """Score, objectives and metrics of what an evaluator returned.

    Args:
        result: what `Evaluator.evaluate` returns.
        wanted: the objectives that the search names, which are metrics.

    Raises:
        FxnasError: there is no score in it, one of the objectives is missing, or one of these isn't a finite number.
    """
    if isinstance(result, Mapping):
        return _judged_metrics(metrics_of(result), wanted)
    if not isinstance(result, Sequence) or isinstance(result, str) or not result:
        score = _finite("score", result)
        return Judged(score, _named({"score": score}, wanted), {})
    several = tuple(_finite(f"objective {i}", value) for i, value in enumerate(result))
    return Judged(several[0], _named({"score": several[0]}, wanted) or several, {})


def metrics_of(result: Mapping[str, float]) -> dict[str, float]:
    """Metrics as plain numbers.

    Raises:
        FxnasError: one of them isn't a number.
    """
    return {str(name): _number(str(name), value) for name, value in result.items()}


def _judged_metrics(metrics: dict[str, float], wanted: Sequence[Objective]) -> Judged:
    objectives = _named(metrics, wanted)
    if objectives and "score" not in metrics:
        return Judged(objectives[0], objectives, metrics)
    if "score" not in metrics and len(metrics) != 1:
        names = ", ".join(metrics) or "nothing"
        raise FxnasError(
            f'the evaluator returned {names}: one of several metrics must be called "score", unless the search names '
            'its objectives, such as ("accuracy", "latency_ms")'
        )
    name = "score" if "score" in metrics else next(iter(metrics))
    return Judged(_finite(name, metrics[name]), objectives, metrics)


def _named(metrics: Mapping[str, float], wanted: Sequence[Objective]) -> tuple[float, ...]:
    """The objectives that are metrics, each higher is better."""
    for name, _ in wanted:
        if name not in metrics:
            raise FxnasError(
                f"objective {shown(name)}: the evaluator returned {', '.join(metrics)}{nearest(name, metrics)}"
            )
    return tuple(sign * _finite(name, metrics[name]) for name, sign in wanted)


def _finite(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise FxnasError(f"the evaluator returned {name} = {shown(value)}; a score is a number") from error
    if not math.isfinite(number):
        raise FxnasError(f"the evaluator returned {name} = {number}; a score is finite")
    return number


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise FxnasError(f"the evaluator returned {name} = {shown(value)}; a {name} is a number") from error
