"""Identifiers for generated source. Names of a model are data: only what is formed here becomes a name there."""

from __future__ import annotations

import builtins
import keyword
import re

RESERVED = frozenset(
    {
        *keyword.kwlist, *keyword.softkwlist, *dir(builtins), "torch", "nn", "F", "math", "operator", "self", "json",
        "dataclass", "NamedTuple", "hashlib", "Path", "load_tensors", "Model", "load", "FOLDER", "FILES", "STRIDES",
    }
)  # fmt: skip
"""Names that mean something in a generated file."""


def is_plain(name: object) -> bool:
    """Whether a name can stand in source as an identifier and stays what it is there.

    Names that aren't ASCII may be changed by Python (NFKC), and `__name` is mangled inside a class.
    """
    if not (isinstance(name, str) and name.isascii() and name.isidentifier()) or keyword.iskeyword(name):
        return False
    return not name.startswith("__") or name.endswith("__")


def identifier(text: str) -> str:
    """A legal identifier that resembles `text`."""
    word = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_")[:60]
    return f"value_{word}".rstrip("_") if not word or word[0].isdigit() else word


class Scope:
    """The local names of a function, each given out once.

    Args:
        taken: names that are not to be given out.
    """

    def __init__(self, taken: frozenset[str] = RESERVED) -> None:
        self._taken = set(taken)

    def take(self, name: str) -> str:
        """Gives out exactly `name`, even a reserved one."""
        self._taken.add(name)
        return name

    def fresh(self, hint: str) -> str:
        """Gives out a new name that resembles `hint`."""
        base = identifier(hint)
        name, number = base, 1
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        return self.take(name)
