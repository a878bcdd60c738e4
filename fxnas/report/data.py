"""What the page of a report is told of a study: plain data, column by column, with every number as it is recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fxnas import __version__
from fxnas.choice import Choice
from fxnas.conditions import Part, parts_of
from fxnas.errors import FxnasError, SearchSpaceError, nearest, shown
from fxnas.objectives import Objective, is_cost, objective
from fxnas.report.layout import layout
from fxnas.space import SearchSpace
from fxnas.study import Study
from fxnas.wiring import Wiring

FORMAT = 1
_MOST_TEXT = 500  # characters kept of an error


def report_data(study: Study, *, front: Sequence[str] = (), title: str | None = None) -> dict[str, Any]:
    """The data of a report.

    Hosts, processes and tracebacks are left out: reports are passed on, and these tell of the machine.

    Args:
        study: what to report on.
        front: the names of two columns that the Pareto front is drawn over: "score", "seconds", metrics, "objective 1"
            and so on. A leading "-" says that lower is better, "+" that higher is; without one the name decides (see
            `fxnas.objectives`). By default the first two objectives, or the score and the first other metric; the page
            can show others, and change the directions.
        title: what the page is headed; by default the study's file name without ending.

    Returns:
        "choices", "columns" (numbers by trial, None where there is none, the score first), "trials", and what else the
        page says. A decision is the number of a candidate, a list of them where not exactly one is chosen, or None
        where the choice plays no role.

    Raises:
        FxnasError: the study has not begun, or there is no such column.
        SearchSpaceError: the study is damaged.
    """
    described = study.described
    if not described:
        raise FxnasError(f"study {study.path} has not begun: there is nothing to report")
    space = SearchSpace.from_json(described["space"])
    rows = study.rows()
    columns = list(_columns(rows))
    errors = {row["error"]: None for row in rows if row["error"] is not None}
    numbered = {error: number for number, error in enumerate(errors)}
    return {
        "fxnas": __version__,
        "format": FORMAT,
        "title": Path(study.path).stem if title is None else title,
        "strategy": described["strategy"],
        "choices": [
            {"key": key, "kind": choice.kind, "candidates": choice.candidates, "n_chosen": choice.n_chosen}
            for key, choice in space.items()
        ],
        "columns": columns,
        "front": _front(columns, front, _names_of_the_score(rows)),
        "errors": [_cut(error) for error in errors],
        "graph": _graph(described.get("wiring"), space, study.path),
        "trials": {
            "number": [row["trial"] for row in rows],
            "state": [row["state"] for row in rows],
            "source": [row["source"] for row in rows],
            "error": [numbered.get(row["error"]) for row in rows],
            "decisions": [_decisions(choice, rows, study.path) for choice in space.values()],
        },
    }


def _graph(wiring: object, space: SearchSpace, path: str) -> dict[str, Any] | None:
    """The graph and where it stands in its picture; conditions are parts, by their places among them.

    A part is ["chosen", number of a choice, candidate], ["present", number of a choice], ["not", place],
    ["all", places …] or ["any", places …].
    """
    if wiring is None:
        return None
    try:
        found = Wiring.from_json(wiring, space)
    except SearchSpaceError as error:
        raise SearchSpaceError(f"study {path}: {error}") from error
    placed = layout(found)
    parts, places = parts_of(found.conditions)
    numbers = {key: number for number, key in enumerate(space)}
    when = iter(places)
    return {
        "width": placed.width,
        "rows": placed.rows,
        "nodes": [
            {"label": box.label, "kind": box.kind, "detail": box.detail, "x": x, "row": row, "when": next(when)}
            for box, (x, row) in zip(found.boxes, placed.boxes, strict=True)
        ],
        "edges": [
            {"from": wire.source, "to": wire.target, "when": next(when), "bends": bends}
            for wire, bends in zip(found.wires, placed.bends, strict=True)
        ],
        "parts": [_part(part, numbers) for part in parts],
    }


def _part(part: Part, numbers: Mapping[str, int]) -> list[Any]:
    kind, atom, terms = part
    if atom is not None:
        key, candidate, _, _ = atom
        return ["present", numbers[key]] if candidate is None else ["chosen", numbers[key], candidate]
    return [{"true": "all", "false": "any"}.get(kind, kind), *terms]


def _columns(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each name once: what is called like an earlier column, or only repeats one, has no column of its own."""
    scores = [row["score"] for row in rows]
    metrics = []
    yield {"name": "score", "values": scores}
    taken = {"score", "seconds"}
    for name in dict.fromkeys(name for row in rows for name in row["metrics"]):
        values = [row["metrics"].get(name) for row in rows]
        if name not in taken and values != scores:
            metrics.append(values)
            yield {"name": name, "values": values}
        taken.add(name)
    for place in range(1, max((len(row["objectives"]) for row in rows), default=0)):
        if (name := f"objective {place}") not in taken:
            values = [row["objectives"][place] if place < len(row["objectives"]) else None for row in rows]
            if values in metrics or [value and -value for value in values] in metrics:
                continue
            yield {"name": name, "values": values}
    yield {"name": "seconds", "values": [row["seconds"] or None for row in rows]}


def _names_of_the_score(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """The metrics that have no column of their own, since they are the score."""
    scores = [row["score"] for row in rows]
    names = {name for row in rows for name in row["metrics"]} - {"score", "seconds"}
    return {name for name in names if [row["metrics"].get(name) for row in rows] == scores}


def _front(
    columns: Sequence[Mapping[str, Any]], wanted: Sequence[str], scores: set[str]
) -> list[dict[str, Any]] | None:
    names = [column["name"] for column in columns]
    if wanted:
        if len(wanted) != 2:
            raise FxnasError(f"the front is drawn over two columns, got {len(wanted)}: {shown(list(wanted))}")
        return [_axis(objective(name), names, scores) for name in wanted]
    negated = [value and -value for value in columns[0]["values"]]  # the score may be an objective to minimize
    ranked = sorted(columns, key=lambda column: column["values"] == negated)
    others = [column["name"] for column in ranked if column["name"] not in ("score", "seconds")]
    objectives = [name for name in others if name.startswith("objective ")]
    other = next(iter(objectives or others), None)
    if other is None:
        return None
    lower = other not in objectives and is_cost(other)
    return [{"column": 0, "lower": False}, {"column": names.index(other), "lower": lower}]


def _axis(wanted: Objective, names: Sequence[str], scores: set[str]) -> dict[str, Any]:
    name = "score" if wanted.name in scores else wanted.name
    if name not in names:
        raise FxnasError(f"there is no column {shown(name)}; known: {', '.join(names)}{nearest(name, names)}")
    return {"column": names.index(name), "lower": wanted.lower}


def _decisions(choice: Choice, rows: Sequence[Mapping[str, Any]], path: str) -> list[Any]:
    """One decision a trial; each form is read once, for there are few and trials are many."""
    read: dict[str, int | list[int]] = {}
    found: list[Any] = []
    for row in rows:
        if choice.key not in row["architecture"]:
            found.append(None)
            continue
        written = row["architecture"][choice.key]
        if repr(written) not in read:
            try:
                decision = choice.parse(written)
            except ValueError as error:
                raise SearchSpaceError(f"study {path}, trial {row['trial']}: {error}") from error
            read[repr(written)] = decision[0] if len(decision) == 1 else list(decision)
        found.append(read[repr(written)])
    return found


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
