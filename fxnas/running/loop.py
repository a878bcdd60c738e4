"""The loop of a search: propose, start, wait, record, until every trial is finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace

from fxnas.errors import FxnasError
from fxnas.progress import Progress
from fxnas.results import Trial
from fxnas.running.interrupts import Interrupts
from fxnas.running.ledger import Ledger
from fxnas.running.live import LIVE_SECONDS, Live
from fxnas.running.task import Outcome
from fxnas.study import Study

BACKOFF_SECONDS = 1.0  # before the second attempt of a trial; doubled before each further one
POLL_SECONDS = 0.1  # how often to look what other drivers have done
_SETTLED_AT_ONCE = 100  # trials that need no evaluation, in one transaction

Submit = Callable[[Executor, Trial], "Future[Outcome]"]


@dataclass
class Loop:
    """One driver's part in a search.

    Attributes:
        study: where the trials are recorded.
        ledger: the trials, and the strategy in step with them.
        engine: where they run.
        submit: hands a trial to the engine.
        capacity: how many trials run at a time.
        retries: how many further attempts a trial gets after a fault of the surroundings.
        timeout: seconds that a trial may take, for messages.
        max_failures: so many failed trials one after another end the search.
        live: what the running trials have reported.
        progress: shows the search.
        callbacks: called with each trial that is finished.
        interrupts: whether the search is asked to end.
    """

    study: Study
    ledger: Ledger
    engine: Executor
    submit: Submit
    capacity: int
    retries: int
    timeout: float | None
    max_failures: int
    live: Live
    progress: Progress
    callbacks: Sequence[Callable[[Trial], None]]
    interrupts: Interrupts
    _running: dict[Future[Outcome], int] = field(default_factory=dict)
    _again: dict[int, float] = field(default_factory=dict)  # trial → when its next attempt begins

    def run(self) -> None:
        """Runs until all trials are finished, or the search is asked to end and the running ones are.

        Raises:
            FxnasError: too many trials failed one after another, or the study can't be written.
        """
        try:
            while not self.ledger.complete and (self._running or not self.interrupts.asked):
                started = self._start()
                if self._running:
                    self._collect()
                elif not started and not self.ledger.complete:
                    time.sleep(POLL_SECONDS)  # another driver's turn
                if len(self.ledger.failures) >= self.max_failures:
                    raise _hopeless(self.ledger.failures)
        finally:
            with suppress(FxnasError), self.study.writing():  # what can't be written is known by the lock
                self.study.release()

    def _start(self) -> bool:
        """Proposes and starts as many trials as there is room for; False if nothing could be done."""
        if self.interrupts.asked:
            return False
        self._start_again()
        if self._busy >= self.capacity:
            return False
        started: list[Trial] = []
        settled: list[Trial] = []
        with self.study.writing():
            if not self._running:
                self.study.release_orphans()
            self.ledger.sync()
            while self._busy + len(started) < self.capacity and len(settled) < _SETTLED_AT_ONCE:
                settled += self.ledger.settle()
                if (trial := self.ledger.start()) is not None:
                    started.append(trial)
                elif not self.ledger.propose():
                    break
        for trial in settled:
            self._finished(trial)
        for trial in started:
            self._submit(trial)
        return bool(settled or started)

    @property
    def _busy(self) -> int:
        return len(self._running) + len(self._again)

    def _start_again(self) -> None:
        now = time.monotonic()
        due = [number for number, when in self._again.items() if when <= now]
        for number in due:
            del self._again[number]
            with self.study.writing():
                trial = self.ledger.retry(number)
            self._submit(trial)

    def _submit(self, trial: Trial) -> None:
        self.progress.running(len(self._running) + 1)  # in this process it runs before there is a future
        try:
            future = self.submit(self.engine, trial)
        except RuntimeError as error:  # what executors raise that were shut down or have lost their workers
            name = type(self.engine).__name__
            raise FxnasError(f"the engine, a {name}, takes no more trials ({error}); go on with a new one") from error
        self._running[future] = trial.number

    def _collect(self) -> None:
        """Waits until a trial ends or there may be room for another, and records what ended."""
        patience = POLL_SECONDS if self._again or self._busy < self.capacity else LIVE_SECONDS
        ended, _ = wait(self._running, timeout=patience, return_when=FIRST_COMPLETED)
        self.live.poll()
        if not ended:
            return
        futures = {self._running.pop(future): future for future in ended}
        outcomes = {number: self._outcome(number, future) for number, future in sorted(futures.items())}
        recorded: list[Trial] = []
        with self.study.writing(durable=True):
            for number, outcome in outcomes.items():
                if outcome is not None:
                    recorded.append(self.ledger.finish(number, outcome))
        for trial in recorded:
            self._finished(trial)

    def _outcome(self, number: int, future: Future[Outcome]) -> Outcome | None:
        """The outcome of a trial that ended; None if it is tried again."""
        reports = self.live.end(number)
        error = future.exception()
        if error is None:
            outcome = future.result()
        else:
            from fxnas.running.faults import asks_for_renewal, outcome_of

            if asks_for_renewal(error):
                self._submit(self.ledger.trials[number])
                return None
            outcome = replace(outcome_of(error, self.timeout), reports=reports)
        attempts = self.ledger.trials[number].attempts
        if outcome.passing and attempts <= self.retries and not self.interrupts.asked:
            self._again[number] = time.monotonic() + BACKOFF_SECONDS * 2 ** (attempts - 1)
            return None
        return outcome

    def _finished(self, trial: Trial) -> None:
        self.progress.finished(trial)
        self.progress.running(len(self._running))
        for callback in self.callbacks:
            callback(trial)


def _hopeless(failures: Sequence[Trial]) -> FxnasError:
    first = failures[0]
    return FxnasError(
        f"the search stopped: {len(failures)} trials failed one after another. "
        f"The first of them, trial {first.number}, {first.architecture.to_json()}:\n{first.traceback or first.error}"
    )
