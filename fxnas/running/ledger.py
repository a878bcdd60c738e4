"""The trials of a search in the order of their numbers, the study and the strategy kept in step with them.

The study is a log, and the strategy a function of it. Trial k is proposed when the strategy has been told of the trials
0..k-in_flight, neither more nor less, in the order of their numbers; how many that were is recorded with it. So what is
proposed doesn't depend on how long trials take or on who runs them; a search that goes on, and a second driver of the
same study, repeat the same asks and tells and arrive at the same strategy.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fxnas.architecture import Architecture
from fxnas.errors import SearchSpaceError
from fxnas.evaluators.base import seed_of
from fxnas.results import Trial
from fxnas.running.task import Outcome
from fxnas.stopping import Limits, StoppingRule
from fxnas.strategies.base import Strategy
from fxnas.study import Study


class Ledger:
    """What is known of the trials. All methods but `sync` and `limits` belong inside a transaction of the study.

    Args:
        study: begun with the strategy's space and settings.
        strategy: not yet asked, unless the study is empty.
        total: how many trials the search has in all.
        in_flight: how many trials may be proposed and not yet told.
        reuse: give an architecture that was evaluated before its earlier outcome.

    Attributes:
        trials: all of them, in order.
        failures: the trials that failed one after another, the last ones in order; since this search began.
    """

    def __init__(self, study: Study, strategy: Strategy, *, total: int, in_flight: int, reuse: bool) -> None:
        self.trials: list[Trial] = []
        self.failures: list[Trial] = []
        self._study = study
        self._strategy = strategy
        self._space = strategy.space
        self._total = total
        self._in_flight = in_flight
        self._reuse = reuse
        self._told = 0  # the strategy was told of so many trials, the first ones
        self._ended = 0  # so many trials are finished, the first ones
        self._told_at: list[int] = []
        self._repeated: list[bool] = []
        self._unfinished: set[int] = set()
        self._same: dict[Architecture, list[int]] = {}
        self._exhausted = False

    @property
    def complete(self) -> bool:
        """Whether every trial of the search is finished."""
        return not self._unfinished and (len(self.trials) >= self._total or self._exhausted)

    @property
    def finished(self) -> list[Trial]:
        """The finished trials, in order."""
        return [trial for trial in self.trials if trial.finished]

    def sync(self) -> None:
        """Takes in what other drivers, or an earlier run, have written.

        Raises:
            SearchSpaceError: the study is damaged.
        """
        if not self._study.changed():
            return
        for row in self._study.rows(len(self.trials), self._unfinished):
            try:
                trial = Trial.from_json(row, self._space)
                self._take_in(trial, row)
            except ValueError as error:
                raise SearchSpaceError(f"study {self._study.path}, trial {row['trial']}: {error}") from error

    def propose(self) -> bool:
        """Adds the next trial if it is time for it; False if not."""
        number = len(self.trials)
        told = max(self._told, number - self._in_flight + 1)
        if number >= self._total or told > self._ended or self._exhausted:
            return False
        self._tell(told)
        if self._strategy.done:
            self._exhausted = True
            return False
        trial = Trial(
            number,
            self._space.canonical(self._strategy.ask()),
            "waiting",
            seed=seed_of(self._strategy.seed, number),
        )
        repeated = not self._reuse
        self._append(trial, told, repeated)
        self._study.add(trial, told=told, repeated=repeated)
        return True

    def settle(self) -> list[Trial]:
        """Gives waiting trials the outcome of an earlier one of the same architecture; returns them, finished."""
        settled: list[Trial] = []
        for number in sorted(self._unfinished):
            source = self._source(number)
            if self.trials[number].state == "waiting" and source is not None:
                trial = _copied(self.trials[number], source)
                self._study.finish(trial)
                self._replace(trial)
                settled.append(trial)
        return settled

    def start(self) -> Trial | None:
        """Takes the first trial that can be evaluated; None if there is none."""
        for number in sorted(self._unfinished):
            if self.trials[number].state != "waiting" or self._blocked(number) or not self._study.claim(number):
                continue
            trial = self.trials[number]
            self.trials[number] = replace(trial, state="running", attempts=trial.attempts + 1)
            return self.trials[number]
        return None

    def retry(self, number: int) -> Trial:
        """Counts another attempt of a running trial."""
        self._study.retry(number)
        trial = self.trials[number]
        self.trials[number] = replace(trial, attempts=trial.attempts + 1)
        return self.trials[number]

    def finish(self, number: int, outcome: Outcome) -> Trial:
        """Records an outcome."""
        trial = replace(
            self.trials[number],
            state=outcome.state,
            score=outcome.score,
            objectives=outcome.objectives,
            metrics=outcome.metrics,
            reports=outcome.reports,
            seconds=outcome.seconds,
            host=outcome.host,
            pid=outcome.pid,
            error=outcome.error,
            traceback=outcome.traceback,
        )
        self._study.finish(trial)
        self._replace(trial)
        return trial

    def tell_all(self) -> None:
        """Tells the strategy of every trial that all before it are finished of."""
        self._tell(self._ended)

    def limits(self, number: int, rule: StoppingRule) -> Limits:
        """What the reports of a trial have to reach."""
        return rule.limits(self.trials[: self._told_at[number]])

    def _take_in(self, trial: Trial, row: dict[str, Any]) -> None:
        if trial.number < len(self.trials):
            self._replace(trial)
            return
        if trial.number != len(self.trials):
            raise SearchSpaceError(f"trial {len(self.trials)} is missing")
        if not self._told <= row["told"] <= self._ended:
            raise SearchSpaceError(f"proposed after {row['told']} trials, of which {self._ended} are finished")
        if not self.trials and self._strategy.asked:
            raise SearchSpaceError(
                f"going on with it needs a new strategy: this one has already been asked {self._strategy.asked} times"
            )
        self._tell(row["told"])
        self._strategy.replay(trial.architecture)
        self._append(trial, row["told"], row["repeated"])

    def _append(self, trial: Trial, told: int, repeated: bool) -> None:
        self.trials.append(trial)
        self._told_at.append(told)
        self._repeated.append(repeated)
        self._same.setdefault(trial.architecture, []).append(trial.number)
        self._unfinished.add(trial.number)
        self._replace(trial)

    def _replace(self, trial: Trial) -> None:
        self.trials[trial.number] = trial
        if not trial.finished:
            return
        self._unfinished.discard(trial.number)
        while self._ended < len(self.trials) and self.trials[self._ended].finished:
            last = self.trials[self._ended]
            self.failures = [*self.failures, last] if last.state == "failed" else []
            self._ended += 1

    def _tell(self, told: int) -> None:
        for trial in self.trials[self._told : told]:
            self._strategy.tell(trial.architecture, trial.reward)
        self._told = max(self._told, told)

    def _earlier(self, number: int) -> list[Trial]:
        if self._repeated[number]:
            return []
        same = self._same[self.trials[number].architecture]
        return [self.trials[other] for other in same if other < number]

    def _blocked(self, number: int) -> bool:
        """Whether an earlier trial of the same architecture isn't finished."""
        return not all(trial.finished for trial in self._earlier(number))

    def _source(self, number: int) -> Trial | None:
        """The earlier trial whose outcome is this one's too; a failed one may succeed at a second attempt."""
        earlier = self._earlier(number)
        if not all(trial.finished for trial in earlier):
            return None
        return next((trial for trial in earlier if trial.state != "failed"), None)


def _copied(trial: Trial, source: Trial) -> Trial:
    found = {name: getattr(source, name) for name in ("state", "score", "objectives", "metrics", "error")}
    return replace(trial, source=source.number, **found)
