"""Checks of the arguments that LayerChoice, InputChoice and MutableScope are built from."""

from __future__ import annotations

from typing import Any

from fxnas.ops import REDUCTIONS, Reduction

NO_KEY = ""
"""The source name of an input that comes from no choice and no scope."""


def checked_key(key: object) -> str | None:
    """The key, a non-empty string or None."""
    if key is not None and not isinstance(key, str):
        raise TypeError(f"a key is a string or None, got {key!r} ({type(key).__name__})")
    if key == NO_KEY:
        raise ValueError("a key is not empty; leave it out to take the path of the module")
    return key


def checked_reduction(reduction: Any) -> Reduction:
    """The reduction, one of `REDUCTIONS`."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is one of {', '.join(map(repr, REDUCTIONS))}, got {reduction!r}")
    known: Reduction = reduction
    return known


def checked_n_chosen(n_chosen: object, count: int) -> int | None:
    """How many of `count` candidates are chosen: 0..count, or None for any number."""
    if n_chosen is None:
        return None
    number = _integer(n_chosen, "n_chosen")
    if not 0 <= number <= count:
        raise ValueError(f"n_chosen of {count} candidates is 0..{count} or None, got {number}")
    return number


def checked_sources(n_candidates: object, choose_from: object) -> list[str]:
    """The source names of an input choice, from the number of inputs, their names, or both."""
    count = None if n_candidates is None else _integer(n_candidates, "n_candidates")
    if choose_from is None and count is None:
        raise ValueError("InputChoice needs n_candidates or choose_from")
    names = [NO_KEY] * (count or 0) if choose_from is None else _names(choose_from)
    if count is not None and count != len(names):
        raise ValueError(f"n_candidates={count} disagrees with the {len(names)} names of choose_from")
    if not names:
        raise ValueError("InputChoice needs at least one input, got none")
    return names


def _names(choose_from: object) -> list[str]:
    if not isinstance(choose_from, list | tuple):
        raise TypeError(f"choose_from is a list of source names, got {choose_from!r}")
    for name in choose_from:
        if not isinstance(name, str):
            raise TypeError(f"choose_from holds source names, got {name!r} ({type(name).__name__})")
    return list(choose_from)


def _integer(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} is an integer, got {value!r} ({type(value).__name__})")
    return value
