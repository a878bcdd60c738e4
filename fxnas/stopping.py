"""Rules that end a trial early: each turns the trials so far into the least value that goes on, step by step.

A rule looks only at trials that the strategy had been told of when it proposed the one in question. So what is pruned
doesn't depend on how long each trial takes or on the number of workers, and a worker needs only the limits to decide.
"""

from __future__ import annotations

import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fxnas.errors import FxnasError, shown
from fxnas.objectives import Objective, objective
from fxnas.results import Trial


@dataclass
class Limits:
    """What the reports of one trial have to reach; higher is better.

    Attributes:
        metric: the reported value that is looked at.
        step: the reported value that tells how far the trial is.
        least: step → the value that the best report up to it has to reach.
    """

    metric: Objective
    step: str
    least: Mapping[float, float]
    best: float = field(default=-math.inf, init=False)

    def verdict(self, report: Mapping[str, float]) -> str | None:
        """Why a trial that reports this ends here, or None if it goes on."""
        name, sign = self.metric
        if name not in report or self.step not in report:
            return None
        value = sign * report[name]
        self.best = max(self.best, value) if not math.isnan(value) else self.best
        least = self.least.get(report[self.step], -math.inf)
        if self.best >= least:
            return None
        place = f"{self.step} {report[self.step]:g}"
        return f"{name} {sign * self.best:.6g} at {place}, {sign * least:.6g} was needed"


class StoppingRule(ABC):
    """Ends trials that do worse than others did at the same step.

    A trial that never reports the two values is never ended. A subclass writes `least(curves, ended)`.

    Args:
        metric: the reported value to compare, `report(epoch=3, loss=0.2)`. A leading "-" says that lower is better, "+"
            that higher is; without one, lower is better for a value called like a cost (see `fxnas.objectives`).
        step: the reported value that tells how far the trial is.

    Raises:
        FxnasError: an argument can't be used.
    """

    def __init__(self, metric: str = "score", *, step: str = "epoch") -> None:
        for what, name in (("metric", metric), ("step", step)):
            if not isinstance(name, str):
                raise FxnasError(f"{what} is the name of a reported value, got {shown(name)}")
        self.metric = objective(metric)
        self.step = step

    @property
    def settings(self) -> dict[str, object]:
        """What the rule is, as plain data; a study goes on with the same one only."""
        return {
            "name": type(self).__name__,
            "metric": str(self.metric),
            "step": self.step,
        }

    def limits(self, trials: Sequence[Trial]) -> Limits:
        """What the next trial has to reach after these."""
        own = [trial for trial in trials if trial.source is None]
        done = [self._curve(trial) for trial in own if trial.state == "done"]
        ended = [self._curve(trial) for trial in own if trial.state == "pruned"]
        return Limits(self.metric, self.step, self.least(done, ended))

    @abstractmethod
    def least(
        self, done: Sequence[Mapping[float, float]], ended: Sequence[Mapping[float, float]]
    ) -> dict[float, float]:
        """Step → the least value that goes on.

        Args:
            done: of each trial that ended by itself: step → value, higher is better.
            ended: the same of each pruned trial.
        """

    def _curve(self, trial: Trial) -> dict[float, float]:
        name, sign = self.metric
        reports = [r for r in trial.reports if name in r and self.step in r]
        return {r[self.step]: sign * r[name] for r in reports if math.isfinite(r[name])}


class MedianRule(StoppingRule):
    """The median stopping rule of Golovin et al. 2017 (Google Vizier, KDD 2017).

    A trial ends where its best value so far is below the median of the running averages that finished trials had there.

    Args:
        metric: see `StoppingRule`.
        step: see `StoppingRule`.
        first_trials: so many finished trials are needed before any is ended.
        first_steps: no trial is ended before this step.
    """

    def __init__(
        self,
        metric: str = "score",
        *,
        step: str = "epoch",
        first_trials: int = 5,
        first_steps: float = 0,
    ) -> None:
        super().__init__(metric, step=step)
        _check_least("first_trials", first_trials, 1)
        self.first_trials = first_trials
        self.first_steps = first_steps

    @property
    def settings(self) -> dict[str, object]:
        """Also the trials and steps that are left alone."""
        return super().settings | {"first_trials": self.first_trials, "first_steps": self.first_steps}

    def least(
        self, done: Sequence[Mapping[float, float]], ended: Sequence[Mapping[float, float]]
    ) -> dict[float, float]:
        """The medians."""
        averages: dict[float, list[float]] = {}
        for curve in done:
            for count, step in enumerate(sorted(curve), 1):
                past = [value for other, value in curve.items() if other <= step]
                averages.setdefault(step, []).append(math.fsum(past) / count)
        return {
            step: statistics.median(values)
            for step, values in averages.items()
            if step >= self.first_steps and len(values) >= self.first_trials
        }


class SuccessiveHalving(StoppingRule):
    """Asynchronous successive halving, arXiv:1810.05934, in its stopping form.

    At the steps `first`, `first`·η, `first`·η², … a trial goes on if it is among the best 1/η of all that came so far.

    Args:
        metric: see `StoppingRule`.
        step: see `StoppingRule`.
        first: the first step at which trials are ended.
        eta: η; the paper's value is 4.
    """

    def __init__(
        self,
        metric: str = "score",
        *,
        step: str = "epoch",
        first: int = 1,
        eta: int = 4,
    ) -> None:
        super().__init__(metric, step=step)
        _check_least("first", first, 1)
        _check_least("eta", eta, 2)
        self.first = first
        self.eta = eta

    @property
    def settings(self) -> dict[str, object]:
        """Also the rungs."""
        return super().settings | {"first": self.first, "eta": self.eta}

    def least(
        self, done: Sequence[Mapping[float, float]], ended: Sequence[Mapping[float, float]]
    ) -> dict[float, float]:
        """The value of the worst that would still be among the best 1/η, at each rung."""
        curves = [*done, *ended]
        result: dict[float, float] = {}
        rung = self.first
        while values := [_best_by(curve, rung) for curve in curves if rung in curve]:
            kept = max(1, (len(values) + 1) // self.eta)
            result[rung] = sorted(values, reverse=True)[kept - 1]
            rung *= self.eta
        return result


def _best_by(curve: Mapping[float, float], step: float) -> float:
    return max(value for other, value in curve.items() if other <= step)


def _check_least(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise FxnasError(f"{name} is a whole number from {least}, got {shown(value)}")
