"""The progress of one-shot training: a bar in a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Write = Callable[[str], object]


class Display(Protocol):
    """What a trainer tells its display."""

    def step(self, step: int, epoch: int, numbers: Mapping[str, float]) -> None:
        """Some steps are done; `numbers` are the means since the epoch began."""

    def epoch(self, epoch: int, numbers: Mapping[str, float]) -> None:
        """An epoch is done."""

    def close(self) -> None:
        """The training ends."""


class Silent:
    """Shows nothing."""

    def step(self, step: int, epoch: int, numbers: Mapping[str, float]) -> None:
        """Ignored."""

    def epoch(self, epoch: int, numbers: Mapping[str, float]) -> None:
        """Ignored."""

    def close(self) -> None:
        """Ignored."""


class Lines:
    """A line on standard error for each call: what a log file holds.

    Args:
        total: steps of the whole training.
        done: steps that were done before.
        epochs: of the whole training.
        write: where a line goes to.
    """

    def __init__(self, total: int, done: int, epochs: int, write: Write | None = None) -> None:
        self.total, self.first, self.epochs = total, done, epochs
        self.began = time.monotonic()
        self.write = write or (lambda line: print(line, file=sys.stderr, flush=True))

    def step(self, step: int, epoch: int, numbers: Mapping[str, float]) -> None:
        """Writes steps, numbers and the time left."""
        done = step - self.first
        left = (time.monotonic() - self.began) / max(done, 1) * (self.total - step)
        self.write(f"epoch {epoch + 1}/{self.epochs}  step {step}/{self.total}  {shown(numbers)}  left {left:.0f} s")

    def epoch(self, epoch: int, numbers: Mapping[str, float]) -> None:
        """Writes the numbers of the epoch."""
        self.write(f"epoch {epoch + 1}/{self.epochs} done  {shown(numbers)}")

    def close(self) -> None:
        """Nothing is left to do."""


class Bar:
    """A bar on standard error, and above it a line for each epoch.

    Args:
        total: steps of the whole training.
        done: steps that were done before.
        epochs: of the whole training.
    """

    def __init__(self, total: int, done: int, epochs: int) -> None:
        self.epochs = epochs
        self.progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self.task = self.progress.add_task("", total=total, completed=done, epoch=f"1/{epochs}", numbers="")
        self.progress.start()

    def step(self, step: int, epoch: int, numbers: Mapping[str, float]) -> None:
        """Moves the bar."""
        place = f"{epoch + 1}/{self.epochs}"
        self.progress.update(self.task, completed=step, epoch=place, numbers=shown(numbers))

    def epoch(self, epoch: int, numbers: Mapping[str, float]) -> None:
        """Writes the numbers of the epoch above the bar."""
        self.progress.console.print(f"epoch {epoch + 1}/{self.epochs}  {shown(numbers)}", highlight=False)

    def close(self) -> None:
        """Leaves the bar as it is."""
        self.progress.stop()


def display(show: bool | None, total: int, done: int, epochs: int) -> Display:
    """The display of a training.

    Args:
        show: True or False; None: a bar where standard error is a terminal, else lines.
        total: steps of the whole training.
        done: steps that were done before.
        epochs: of the whole training.
    """
    if show is False:
        return Silent()
    return (Bar if sys.stderr.isatty() else Lines)(total, done, epochs)


def shown(numbers: Mapping[str, float]) -> str:
    """The numbers in one line."""
    return "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
