"""Nested inputs and outputs: their leaves, how these are named, and how others take their place."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Path = tuple[str | int, ...]


def children(value: Any) -> dict[str | int, Any] | None:
    """The parts of a dict, dataclass, namedtuple, list or tuple by name or position; None for a leaf."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    return None


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Each leaf of a nest with its path, in order."""
    parts = children(value)
    if parts is None:
        yield path, value
        return
    for name, part in parts.items():
        yield from leaves(part, (*path, name if isinstance(name, int) else str(name)))


def replaced(value: Any, replace: Callable[[Any], Any]) -> Any:
    """The same nest with `replace(leaf)` in place of each leaf, in the order of `leaves`."""
    parts = children(value)
    if parts is None:
        return replace(value)
    new = {name: replaced(part, replace) for name, part in parts.items()}
    kind: Any = type(value)
    if dataclasses.is_dataclass(value):
        return kind(**{str(name): part for name, part in new.items()})
    if isinstance(value, Mapping):
        return kind(new)
    return kind(*new.values()) if hasattr(value, "_fields") else kind(new.values())


def names(paths: Sequence[Path], single: str) -> list[str]:
    """A name for each leaf, each different.

    A leaf is called by the last key of its path where no other leaf has the same, else by the whole path with dots.

    Args:
        paths: the paths of the leaves.
        single: what a leaf without a path is called; the positions of a plain tuple are appended to it.
    """
    last = Counter(path[-1] for path in paths if path)
    return _unique([_name(path, single, bool(path) and last[path[-1]] == 1) for path in paths])


def _name(path: Path, single: str, unambiguous: bool) -> str:
    if not path:
        return single
    if unambiguous and isinstance(path[-1], str) and path[-1]:
        return path[-1]
    first = f"{single}_{path[0]}" if isinstance(path[0], int) else path[0]
    return ".".join((first, *map(str, path[1:])))


def _unique(given: list[str]) -> list[str]:
    """Keys of different types or with dots may still meet: 1 and "1", "a.b" and "a" in "b"."""
    taken: set[str] = set()
    for i, name in enumerate(given):
        number = 1
        while given[i] in taken:
            number += 1
            given[i] = f"{name}_{number}"
        taken.add(given[i])
    return given
