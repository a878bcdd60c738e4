"""A search space as an indented text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fxnas.choice import Choice
from fxnas.conditions import ALWAYS, Condition
from fxnas.errors import shown

_MAX_ATOMS = 12  # a longer condition is told by the keys it depends on


def outline(choices: Mapping[str, Choice], scopes: Sequence[str]) -> str:
    """One line for every scope and choice; what stands in a scope is indented below it."""
    lines: list[str] = []
    opened: tuple[str, ...] = ()
    for choice in choices.values():
        path = choice.paths[0] if choice.paths else choice.key
        inside = tuple(scope for scope in sorted(set(scopes), key=len) if _within(path, scope))
        common = _common(opened, inside)
        lines += [f"{'  ' * depth}{_plain(inside[depth])}/" for depth in range(common, len(inside))]
        lines.append("  " * len(inside) + _row(choice, choices))
        opened = inside
    return "\n".join(lines)


def describe(condition: Condition, choices: Mapping[str, Choice]) -> str:
    """A condition in words, with the names of candidates."""
    if condition.atom is not None:
        atom = condition.atom
        if atom.candidate is None:
            return f"{_plain(atom.key)} chooses something"
        written = choices[atom.key].written((atom.candidate,))
        return f"{_plain(atom.key)} = {_plain(str(written))}"
    if condition.kind in ("true", "false"):
        return str(condition)
    parts = [describe(t, choices) if t.atom else f"({describe(t, choices)})" for t in condition.terms]
    if condition.kind == "not":
        return f"not {parts[0]}"
    return (" and " if condition.kind == "all" else " or ").join(parts)


def _within(path: str, scope: str) -> bool:
    return scope == "" or path == scope or path.startswith(scope + ".")


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    depth = 0
    while depth < min(len(one), len(other)) and one[depth] == other[depth]:
        depth += 1
    return depth


def _row(choice: Choice, choices: Mapping[str, Choice]) -> str:
    names = " | ".join(_plain(name) if name else str(i) for i, name in enumerate(choice.candidates))
    number = "any of" if choice.n_chosen is None else f"{choice.n_chosen} of"
    row = f"{_plain(choice.key)}: {number} {names}"
    if choice.active is ALWAYS:
        return row
    return f"{row}   {_when(choice.active, choices)}"


def _when(condition: Condition, choices: Mapping[str, Choice]) -> str:
    if len(list(condition.atoms())) <= _MAX_ATOMS:
        return f"if {describe(condition, choices)}"
    keys = [_plain(key) for key in condition.keys]
    return f"depending on {', '.join(keys[:_MAX_ATOMS])}{', …' if len(keys) > _MAX_ATOMS else ''}"


def _plain(name: str) -> str:
    return name if name.isprintable() and name else shown(name)
