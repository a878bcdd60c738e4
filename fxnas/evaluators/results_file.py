"""The results of a trial's program, read while it runs: lines of JSON, see `fxnas.trial`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fxnas.errors import FxnasError, nearest, shown
from fxnas.evaluators.base import Report, Score, judged, metrics_of
from fxnas.files import parse_json
from fxnas.lines import Lines

_KINDS = ("intermediate", "final")


class ResultsFile:
    """What a trial has reported so far.

    Args:
        path: the file; it need not exist.
        report: is called with each intermediate result.

    Attributes:
        final: the final result, once it has come.
    """

    def __init__(self, path: Path, report: Report) -> None:
        self.final: Score | None = None
        self._lines = Lines(path)
        self._report = report
        self._line = 0
        self._epoch = 0

    def read(self, *, ended: bool = False) -> None:
        """Takes in what was written since the last call.

        Args:
            ended: nothing will follow, so that a last line needs no end.

        Raises:
            TrialPruned: the search ends the trial here.
            FxnasError: a line isn't a result, or a second final one.
        """
        for line in self._lines.read(ended=ended):
            self._line += 1
            if line.strip():
                self._take(line)

    def _take(self, line: bytes) -> None:
        what = f"results, line {self._line}"
        result = parse_json(line, error=FxnasError, what=what)
        if not isinstance(result, Mapping) or len(result) != 1:
            raise FxnasError(f'{what}: {{"intermediate": …}} or {{"final": …}} is needed, got {shown(result)}')
        ((kind, value),) = result.items()
        if kind not in _KINDS:
            raise FxnasError(
                f"{what}: a result is one of {', '.join(_KINDS)}, got {shown(kind)}{nearest(kind, _KINDS)}"
            )
        if kind == "final":
            self._take_final(_with_nan(value), what)
        elif isinstance(value, Mapping):
            self._report(**_with_nan(value))
        else:
            self._epoch += 1
            self._report(epoch=self._epoch, score=_with_nan(value))

    def _take_final(self, value: Any, what: str) -> None:
        if self.final is not None:
            raise FxnasError(f"{what}: a second final result; of several processes only one shall report it")
        if isinstance(value, Mapping) and "score" not in value and len(value) > 1:
            metrics_of(value)  # which of them are objectives is known to the search alone
        else:
            judged(value)
        self.final = value


def _with_nan(value: Any) -> Any:
    """The value with NaN for null."""
    if isinstance(value, Mapping):
        return {name: _with_nan(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_nan(each) for each in value]
    return math.nan if value is None else value
