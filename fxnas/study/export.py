"""A study as files for other programs: JSON lines and CSV. Free of torch."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

from fxnas.files import write_atomic
from fxnas.study import Study
from fxnas.trial_table import table


def json_lines(study: Study) -> str:
    """One JSON object a trial, in order: all that is recorded."""
    return "".join(json.dumps(row, allow_nan=False) + "\n" for row in study.rows())


def comma_separated(study: Study) -> str:
    """One row a trial, in order; a column for each metric and for each choice (empty where it plays no role).

    Several objectives and decisions of several candidates are JSON. Reports and tracebacks are left out.
    """
    columns, rows = table(study.rows(), study.described.get("space", {}))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
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


def _cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, list) else "" if value is None else value
