"""The trials of a search as one table: which columns, in which order. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_FIRST = ("trial", "state", "score", "objectives")
_LAST = ("source", "attempts", "seconds", "seed", "host", "pid", "hash", "error")


def table(rows: Sequence[Mapping[str, Any]], keys: Iterable[str]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows: one row a trial, a column for each metric and for each choice.

    Reports and tracebacks are left out.

    Args:
        rows: trials as plain data, `Trial.to_json` and "hash".
        keys: the choices of the space in order; one that plays no role in any trial has no column.

    Returns:
        The names of the columns, and one list of cells a trial; None where a trial has no such metric or choice.
    """
    metrics = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
    used = {key for row in rows for key in row["architecture"]}
    shown = [key for key in keys if key in used]
    columns = [*_FIRST, *(f"metric.{name}" for name in metrics), *_LAST, *(f"choice.{key}" for key in shown)]
    cells = [
        [
            *(row[name] for name in _FIRST),
            *(row["metrics"].get(name) for name in metrics),
            *(row[name] for name in _LAST),
            *(row["architecture"].get(key) for key in shown),
        ]
        for row in rows
    ]
    return columns, cells
