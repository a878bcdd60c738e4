"""Tables of costs as files: measured elsewhere, or a cost model that was saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from numbers import Integral, Real
from typing import Any

from fxnas.choice import Choice
from fxnas.conditions import ALWAYS, NEVER, Condition, all_of, any_of, chosen, negate, present
from fxnas.costs.model import CostModel
from fxnas.errors import SearchSpaceError, nearest, shown
from fxnas.files import load_json
from fxnas.space import SearchSpace

_MEMBERS = ("unit", "base", "costs", "conditions", "joint")


def table(source: object, space: SearchSpace) -> CostModel:
    """A cost model from a table of costs per candidate.

        {"unit": "ms", "base": 1.5, "costs": {"layer0": {"conv": 0.7, "skip": 0.1}, "layer1": [0.9, 0.2]}}

    `costs` has an entry for every choice, or is a list of these in the order of the space. An entry has a number for
    every candidate, under its name or in a list. `base` (0 if absent) is what every architecture costs. A file that
    `CostModel.save` wrote may have joint terms besides.

    Args:
        source: the path of a JSON file, JSON text, or the object itself.
        space: the space that the costs are for.

    Raises:
        SearchSpaceError: the file can't be read; a key or a candidate is missing or unknown; a cost is no finite
            number. The message names the key.
    """
    value, file = load_json(source, error=SearchSpaceError, what="cost table")
    try:
        return _table(value, space)
    except SearchSpaceError as problem:
        raise SearchSpaceError(f"cost table: {problem}{f' ({file})' if file else ''}") from None


def to_json(model: CostModel) -> dict[str, Any]:
    """A cost model as plain data, in the form that `table` reads."""
    costs = {key: _named(model.space[key], values) for key, values in model.costs.items()}
    written: dict[str, Any] = {"unit": model.unit, "base": model.base, "costs": costs}
    if model.joint:
        places: dict[Condition, int] = {}
        written["conditions"] = [_part(part, places) for term in model.joint for part in _placed(term.when, places)]
        written["joint"] = [[places[term.when], term.cost] for term in model.joint]
    return written


def _named(choice: Choice, costs: list[float]) -> dict[str, float] | list[float]:
    if "" in choice.candidates or len(set(choice.candidates)) < len(costs):
        return costs
    return dict(zip(choice.candidates, costs, strict=True))


def _placed(condition: Condition, places: dict[Condition, int]) -> Iterator[Condition]:
    for part in condition._parts(places):
        places[part] = len(places)
        yield part


def _part(part: Condition, places: Mapping[Condition, int]) -> list[object]:
    if part.atom is not None:
        return ["chosen", part.atom.key, part.atom.candidate]
    return [part.kind, *(places[term] for term in part.terms)]


# -- reading


def _table(value: object, space: SearchSpace) -> CostModel:
    if not isinstance(value, Mapping):
        raise SearchSpaceError(f'an object with "unit" and "costs" is needed, got {shown(value)}')
    for name in value:
        if name not in _MEMBERS:
            raise SearchSpaceError(f"{shown(name)} is unknown{nearest(str(name), _MEMBERS)}")
    unit = value.get("unit")
    if not isinstance(unit, str) or "costs" not in value:
        raise SearchSpaceError(f'"unit" (a string) and "costs" are needed, got unit {shown(unit)}')
    terms: list[tuple[Condition, float]] = [(ALWAYS, _number(value.get("base", 0), "base"))]
    entries = _matched(value["costs"], list(space), "choice", "costs")
    for choice, entry in zip(space.values(), entries, strict=True):
        names = [name or str(i) for i, name in enumerate(choice.candidates)]
        costs = _matched(entry, names, "candidate", f"choice {shown(choice.key)}")
        for i, cost in enumerate(costs):
            number = _number(cost, f"choice {shown(choice.key)}, candidate {shown(names[i])}")
            terms.append((chosen(choice.key, i, len(names), choice.n_chosen), number))
    return CostModel(space, [*terms, *_joint(value, space)], unit)


def _matched(entry: object, names: list[str], what: str, where: str) -> list[object]:
    """The values for all names, in their order."""
    if isinstance(entry, Mapping):
        for name in entry:
            if name not in names:
                raise SearchSpaceError(f"{where}: there is no {what} {shown(name)}{nearest(str(name), names)}")
        for name in names:
            if name not in entry:
                raise SearchSpaceError(f"{where}: {what} {shown(name)} is missing")
        return [entry[name] for name in names]
    if not isinstance(entry, Sequence) or isinstance(entry, str | bytes) or len(entry) != len(names):
        got = f"{len(entry)}" if isinstance(entry, list | tuple) else shown(entry)
        known = ", ".join(map(shown, names[:8])) + (", …" if len(names) > 8 else "")
        raise SearchSpaceError(f"{where}: an entry for each {what} is needed ({len(names)}: {known}), got {got}")
    return list(entry)


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value):
        raise SearchSpaceError(f"{where}: a finite number is needed, got {shown(value)}")
    return int(value) if isinstance(value, Integral) else float(value)


def _joint(value: Mapping[str, Any], space: SearchSpace) -> Iterator[tuple[Condition, float]]:
    conditions: list[Condition] = []
    for written in value.get("conditions", ()):
        conditions.append(_condition(written, conditions, space))
    for term in value.get("joint", ()):
        if not isinstance(term, list) or len(term) != 2:
            raise SearchSpaceError(f"joint: pairs of a condition's number and a cost are needed, got {shown(term)}")
        yield _at(term[0], conditions), _number(term[1], "joint")


def _condition(written: object, known: list[Condition], space: SearchSpace) -> Condition:
    match written:
        case ["chosen", str(key), int(candidate) | (None as candidate)] if key in space:
            count, n_chosen = len(space[key].candidates), space[key].n_chosen
            if candidate is None:
                return present(key, count, n_chosen)
            if not isinstance(candidate, bool) and 0 <= candidate < count:
                return chosen(key, candidate, count, n_chosen)
        case ["not", number]:
            return negate(_at(number, known))
        case ["all" | "any" as kind, *numbers]:
            return (all_of if kind == "all" else any_of)([_at(number, known) for number in numbers])
        case ["true"] | ["false"]:
            return ALWAYS if written == ["true"] else NEVER
    raise SearchSpaceError(f"conditions: {shown(written)} is none of this space")


def _at(number: object, conditions: list[Condition]) -> Condition:
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(conditions):
        raise SearchSpaceError(f"conditions: there is no number {shown(number)} so far")
    return conditions[number]
