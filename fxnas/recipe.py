"""How a process makes an object for itself: a name and plain arguments travel, never the object."""

from __future__ import annotations

import inspect
import os
import sys
from dataclasses import dataclass, field, fields
from functools import reduce
from typing import Any

from fxnas.errors import FxnasError, shown
from fxnas.evaluators.seeded import seeded
from fxnas.named import load_object

_LIBRARIES = {"numpy", "torch"}
SEED = 0  # what a made model starts with: the same weights in every process


@dataclass(frozen=True)
class Recipe:
    """Names an object, or a function that makes it.

    Args:
        name: `path/to/file.py:name` or `package.module:name`. What is named there is the object itself; a class, or a
            function that is given arguments or takes none, is called for it, with Python, NumPy and torch seeded so
            that every process makes the same.
        arguments: of the function; plain data.
    """

    name: str
    arguments: tuple[Any, ...] = field(default=(), hash=False)  # lists and dicts are plain data too

    @classmethod
    def of(cls, value: object, *, what: str) -> Recipe:
        """The recipe that `value` is or is named by.

        Args:
            value: a recipe, a name, a function or class that can be imported by its name, or a frozen dataclass of
                plain values, which is made anew from them.
            what: what it makes, for messages ("graph").

        Raises:
            FxnasError: it is none of these; says what to do.
        """
        if isinstance(value, Recipe):
            return value
        if isinstance(value, str):
            place, colon, name = value.rpartition(":")
            return cls(f"{os.path.abspath(place)}:{name}" if place.endswith(".py") else f"{place}{colon}{name}")
        if inspect.isfunction(value) or inspect.isclass(value):
            module, name = value.__module__, value.__qualname__
            if _found(module, name) is value:
                return cls(f"{module}:{name}")
        if (values := _plain_values(value)) is not None:
            return cls(f"{type(value).__module__}:{type(value).__qualname__}", values)
        raise FxnasError(
            f"a worker process makes its own {what}, and {shown(value)} can't be imported there: give a function "
            f'at the top level of a module that returns the {what}, or its name "path/to/file.py:function"'
        )

    def make(self, *, what: str) -> Any:
        """The object.

        Args:
            what: what it is, for messages.

        Raises:
            FxnasError: there is no such object.
        """
        found = load_object(self.name, what=what)
        if not self.arguments and not inspect.isclass(found) and not _takes_nothing(found):
            return found
        before = _LIBRARIES & sys.modules.keys()
        with seeded(SEED):
            made = found(*self.arguments)
        if _LIBRARIES & sys.modules.keys() == before:
            return made
        with seeded(SEED):  # the call has imported what can't be seeded before it is imported
            return found(*self.arguments)


def _found(module: str, name: str) -> object:
    try:
        return reduce(getattr, name.split("."), sys.modules.get(module))
    except AttributeError:
        return None


def _plain_values(value: Any) -> tuple[Any, ...] | None:
    """The arguments that make a frozen dataclass; None for all else, and where one of them isn't plain."""
    kind = type(value)
    settings = getattr(kind, "__dataclass_params__", None)
    if settings is None or not settings.frozen or _found(kind.__module__, kind.__qualname__) is not kind:
        return None
    values = tuple(getattr(value, each.name) for each in fields(value))
    return values if _is_plain(values) else None


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float)


def _takes_nothing(function: object) -> bool:
    if not inspect.isfunction(function):
        return False
    parameters = inspect.signature(function).parameters.values()
    return not [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
