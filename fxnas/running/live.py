"""Intermediate reports on their way into the study while trials run.

A worker appends them to a file, which the search reads again and again. So what a trial has reported is known before it
ends, and is still known when its worker is killed. Where a worker doesn't see the file, on another machine, its reports
come with the outcome.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from fxnas.errors import FxnasError
from fxnas.lines import Lines, append_line
from fxnas.progress import Progress
from fxnas.results import Trial
from fxnas.study import Study

_PREFIX = "fxnas-reports-"
LIVE_SECONDS = 0.5  # how often new reports are looked for and recorded; a trial may report more often


class Live:
    """What the running trials of a search have reported; leave the `with` block and its files are removed.

    Args:
        study: where to record it.
        progress: shows it.
    """

    def __init__(self, study: Study, progress: Progress) -> None:
        self._study = study
        self._progress = progress
        self._folder: tempfile.TemporaryDirectory[str] | None = None  # made for the first worker
        self._lines: dict[int, Lines] = {}
        self._heard: dict[int, list[dict[str, float]]] = {}
        self._new: set[int] = set()
        self._due = 0.0

    def __enter__(self) -> Live:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def file(self, trial: Trial) -> str:
        """The file for a worker to append the reports of this attempt to."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
        path = Path(self._folder.name, f"{trial.number}-{trial.attempts}")
        path.touch()
        self._lines[trial.number] = Lines(path)
        self._heard[trial.number] = []
        return str(path)

    def hear(self, number: int, values: Mapping[str, float]) -> None:
        """Takes a report in, from a trial in this process."""
        self._take(number, values)
        if len(self._heard[number]) == 1:  # the next one may take hours
            self._due = 0.0
        self._record()

    def poll(self) -> None:
        """Takes in what workers have written."""
        for number in list(self._lines):
            self._read(number)
        self._record()

    def end(self, number: int) -> list[dict[str, float]]:
        """All that a trial has reported in its last attempt; nothing follows."""
        self._read(number)
        self._new.discard(number)
        if (lines := self._lines.pop(number, None)) is not None:
            lines.path.unlink(missing_ok=True)
        return self._heard.pop(number, [])

    def _read(self, number: int) -> None:
        if number in self._lines:
            for line in self._lines[number].read():
                with suppress(ValueError):  # a disk that was full has cut it short
                    if isinstance(values := json.loads(line), dict):
                        self._take(number, values)

    def _take(self, number: int, values: Mapping[str, float]) -> None:
        self._heard.setdefault(number, []).append(dict(values))
        self._new.add(number)
        self._progress.reported(values)

    def _record(self) -> None:
        if not self._new or time.monotonic() < self._due:
            return
        # A study that can't be written now is met again when the trial ends, which is told then.
        with suppress(FxnasError), self._study.writing():
            for number in sorted(self._new):
                self._study.report(number, self._heard[number])
            self._new.clear()
        self._due = time.monotonic() + LIVE_SECONDS


class Told:
    """In a worker: appends each report to the file that the search reads, if this machine has it."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self, values: Mapping[str, float]) -> None:
        """Appends a report."""
        with suppress(OSError):  # another machine, or a search that has ended
            append_line(self._path, json.dumps(values).encode(), create=False)

    def clear(self) -> None:
        """Removes the files of the search, which was killed and can't."""
        folder = Path(self._path).parent
        if folder.name.startswith(_PREFIX):
            shutil.rmtree(folder, ignore_errors=True)
