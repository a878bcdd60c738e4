"""Names of a package that are imported when they are first used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(package: str, defined_in: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package whose names are defined in modules that take long to import.

    Args:
        package: its `__name__`.
        defined_in: each public name, and the module that defines it.
    """
    own = vars(sys.modules[package])

    def find(name: str) -> Any:
        if name not in defined_in:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        own[name] = value = getattr(import_module(defined_in[name]), name)
        return value

    def names() -> list[str]:
        return sorted({*own, *defined_in})

    return find, names
