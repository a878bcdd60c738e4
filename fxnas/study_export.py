"""A study as files for other programs: JSON lines and CSV. Free of torch."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fxnas.files import write_atomic
from fxnas.study import Study

_FIRST = ("trial", "state", "score", "objectives")
_LAST = ("source", "attempts", "seconds", "seed", "host", "pid", "hash", "error")


def json_lines(study: Study) -> str:
    """One JSON object a trial, in order: all that is recorded."""
    return "".join(json.dumps(row, allow_nan=False) + "\n" for row in study.rows())


def comma_separated(study: Study) -> str:
    """One row a trial, in order; a column for each metric and for each choice (empty where it plays no role).

    Several objectives and decisions of several candidates are JSON. Reports and tracebacks are left out.
    """
    rows = study.rows()
    metrics = _names(rows, "metrics")
    keys = [key for key in study.described.get("space", {}) if any(key in row["architecture"] for row in rows)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_FIRST, *(f"metric.{name}" for name in metrics), *_LAST, *(f"choice.{key}" for key in keys)])
    for row in rows:
        writer.writerow(
            [
                *(_cell(row[name]) for name in _FIRST),
                *(_cell(row["metrics"].get(name)) for name in metrics),
                *(_cell(row[name]) for name in _LAST),
                *(_cell(row["architecture"].get(key)) for key in keys),
            ]
        )
    return text.getvalue()


FORMATS: dict[str, Callable[[Study], str]] = {"jsonl": json_lines, "csv": comma_separated}


def export_study(study: Study, path: str | Path, format: str = "jsonl") -> None:
    """Writes a study to a file, whole or not at all.

    Args:
        study: what to write.
        path: where to; an existing file is replaced.
        format: "jsonl" or "csv".

    Raises:
        ExportError: the file can't be written.
        SearchSpaceError: the study is damaged.
    """
    write_atomic(path, FORMATS[format](study))


def _names(rows: Sequence[Mapping[str, Any]], member: str) -> list[str]:
    """The names that any row has, in the order of their first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row[member]))


def _cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, list) else "" if value is None else value
