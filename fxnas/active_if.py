"""When something is active, as JSON: the `_active_if` of a search-space file. Free of torch.

A condition is a list of parts; the last one is the condition itself. A part names others by their places before it:

    [{"chosen": ["outer", "deep"]}]                                          # outer = deep
    [{"chosen": ["outer", "deep"]}, {"present": "skip"}, {"all": [0, 1]}]    # and skip chooses something
    [{"chosen": ["outer", 0]}, {"not": 0}]                                   # a candidate by its index
    [{"any": []}]                                                            # never; "all" of no parts is always

So a condition of any depth is flat, and what several parts share stands there once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from fxnas.choice import Choice
from fxnas.conditions import Condition, Part, from_parts, parts_of
from fxnas.errors import ArchitectureError, SearchSpaceError, nearest, shown

MOST_PARTS = 10_000
_OPERATORS = ("chosen", "present", "not", "all", "any")


def as_json(conditions: Iterable[Condition], choices: Mapping[str, Choice]) -> tuple[list[dict[str, Any]], list[int]]:
    """The parts of conditions, each once, and the place of each condition among them.

    Args:
        conditions: over `choices`; of one alone, its place is the last one.
        choices: give the candidates their names; one whose name doesn't identify it is written as its index.
    """
    parts, places = parts_of(conditions)
    return [_written(part, choices) for part in parts], places


def from_json(key: str, value: object, choices: Mapping[str, Choice]) -> Condition:
    """The condition that `as_json` wrote.

    Args:
        key: whose condition it is, for messages.
        value: parsed JSON.
        choices: what it may depend on.

    Raises:
        SearchSpaceError: naming the choice, the part and what is wrong with it.
    """
    return all_from_json(f"choice {shown(key)}: _active_if", value, choices)[-1]


def all_from_json(what: str, value: object, choices: Mapping[str, Choice]) -> list[Condition]:
    """The condition that each part of a list is.

    Args:
        what: what the list is, for messages.
        value: parsed JSON.
        choices: what the conditions may depend on.

    Raises:
        SearchSpaceError: naming the part and what is wrong with it.
    """
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MOST_PARTS:
        _refuse(what, f'a list of 1 to {MOST_PARTS:,} parts is needed, [{{"chosen": ["key", "candidate"]}}]', value)
    return from_parts(_read(f"{what}, part {place}", place, part, choices) for place, part in enumerate(value))


def _written(part: Part, choices: Mapping[str, Choice]) -> dict[str, Any]:
    kind, atom, terms = part
    if atom is not None:
        name, candidate, _, _ = atom
        return {"present": name} if candidate is None else {"chosen": [name, choices[name].written((candidate,))]}
    if kind == "not":
        return {"not": terms[0]}
    return {"all" if kind in ("all", "true") else "any": list(terms)}


def _read(where: str, place: int, part: object, choices: Mapping[str, Choice]) -> Part:
    if not isinstance(part, Mapping) or len(part) != 1:
        _refuse(where, f"an object with one of {', '.join(_OPERATORS)} is needed", part)
    ((operator, operand),) = part.items()
    match operator:
        case "chosen" if isinstance(operand, list | tuple) and len(operand) == 2:
            choice = _choice(where, operand[0], choices)
            return "atom", _atom(choice, _candidate(where, choice, operand[1])), ()
        case "chosen":
            _refuse(where, "a key and a candidate are needed", operand)
        case "present":
            return "atom", _atom(_choice(where, operand, choices), None), ()
        case "not":
            return "not", None, (_place(where, operand, place),)
        case "all" | "any" if isinstance(operand, list | tuple) and len(operand) != 1:
            constant = "true" if operator == "all" else "false"
            terms = tuple(_place(where, each, place) for each in operand)
            return (operator, None, terms) if terms else (constant, None, ())  # type: ignore[return-value]
        case "all" | "any":
            _refuse(where, "a list of two or more earlier parts is needed, or of none", operand)
    hint = nearest(operator, _OPERATORS) if isinstance(operator, str) else ""
    _refuse(where, f"one of {', '.join(_OPERATORS)} is needed", operator, hint)


def _atom(choice: Choice, candidate: int | None) -> tuple[str, int | None, int, int | None]:
    return choice.key, candidate, len(choice.candidates), choice.n_chosen


def _choice(where: str, name: object, choices: Mapping[str, Choice]) -> Choice:
    if not isinstance(name, str) or name not in choices:
        hint = nearest(name, choices) if isinstance(name, str) else ""
        _refuse(where, "the key of a choice of this space is needed", name, hint)
    return choices[name]


def _candidate(where: str, choice: Choice, candidate: object) -> int:
    try:
        return choice.forms().candidate(candidate)
    except ArchitectureError as problem:
        raise SearchSpaceError(f"{where}: {problem}") from None


def _place(where: str, value: object, before: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < before:
        _refuse(where, "the place of an earlier part is needed", value)
    return value


def _refuse(where: str, what: str, got: object, hint: str = "") -> NoReturn:
    raise SearchSpaceError(f"{where}: {what}, got {shown(got)}{hint}")
