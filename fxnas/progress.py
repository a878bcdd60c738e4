"""The progress of a search in a terminal: done, failed, best, and the time left."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import Protocol

from fxnas.results import Trial


class Progress(Protocol):
    """What a search tells its display."""

    def __enter__(self) -> Progress: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def finished(self, trial: Trial) -> None:
        """A trial is finished."""

    def running(self, count: int) -> None:
        """So many trials are running."""

    def reported(self, values: Mapping[str, float]) -> None:
        """The running trial reports intermediate values."""


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def finished(self, trial: Trial) -> None:
        """Ignored."""

    def running(self, count: int) -> None:
        """Ignored."""

    def reported(self, values: Mapping[str, float]) -> None:
        """Ignored."""


class Bar:
    """A bar on standard error.

    Args:
        total: number of trials of the whole search.
        before: those already finished by an earlier run.
    """

    def __init__(self, total: int, before: list[Trial]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column
        from rich.text import Text

        class _Speed(ProgressColumn):
            """The average of this run and what is left at it: the speed of rich itself knows the last 30 s only."""

            def render(self, task: Task) -> Text:
                done, seconds = task.completed - len(before), task.elapsed
                if done < 1 or not seconds:
                    return Text("left -:--:--")
                left = timedelta(seconds=math.ceil((total - task.completed) * seconds / done))
                return Text.assemble(rate(done / seconds), " left ", (str(left), "progress.remaining"))

        console = Console(stderr=True)
        reports = Column(no_wrap=True, max_width=30)
        self._progress = RichProgress(
            TextColumn("search"),
            BarColumn(),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[state]}"),
            _Speed(table_column=Column(no_wrap=True)),
            *[TextColumn("{task.fields[running]}", "dim", markup=False, table_column=reports)] * (console.width >= 80),
            console=console,
        )
        self._best: float | None = None
        self._counts = {"running": 0, "failed": 0, "pruned": 0}
        self._task = self._progress.add_task("", total=total, state="", running="")
        for trial in before:
            self._count(trial)
        self._progress.update(self._task, completed=len(before), state=self._state())

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def finished(self, trial: Trial) -> None:
        """Advances the bar."""
        self._count(trial)
        self._progress.update(self._task, advance=1, state=self._state(), running="")

    def running(self, count: int) -> None:
        """Shows how many trials are running."""
        self._counts["running"] = count
        self._progress.update(self._task, state=self._state())

    def reported(self, values: Mapping[str, float]) -> None:
        """Shows what the running trial reports."""
        self._progress.update(self._task, running=" ".join(f"{name} {value:.4g}" for name, value in values.items()))

    def _count(self, trial: Trial) -> None:
        if trial.state in self._counts:
            self._counts[trial.state] += 1
        if trial.score is not None and (self._best is None or trial.score > self._best):
            self._best = trial.score

    def _state(self) -> str:
        best = [] if self._best is None else [f"best {self._best:.4g}"]
        return "  ".join(best + [f"{state} {count}" for state, count in self._counts.items() if count])


def rate(speed: float) -> str:
    """Trials a second in the unit of time that makes the number a short one: 8.3/s, 12/min, 1.5/h."""
    units = {"s": 1, "min": 60, "h": 3600, "d": 86400}
    unit = next((unit for unit, seconds in units.items() if speed * seconds >= 1), "d")
    number = speed * units[unit]
    return f"{number:.1f}/{unit}" if number < 9.95 else f"{number:.0f}/{unit}"


def display(show: bool | None, total: int, before: list[Trial]) -> Progress:
    """The display of a search: a bar if `show`, by default where standard error is a terminal."""
    if show is None:
        show = sys.stderr.isatty()
    return Bar(total, before) if show else Silent()
