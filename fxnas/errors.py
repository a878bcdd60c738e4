"""The errors that fxnas raises, each also a built-in, and how their messages show what was given.

A message names the value, the legal set, the place and the way out.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable

__all__ = [
    "ArchitectureError",
    "ExportError",
    "FxnasError",
    "PassError",
    "SearchSpaceError",
    "TraceError",
    "nearest",
    "shown",
]


class FxnasError(Exception):
    """The base of every error that fxnas raises on purpose."""


class TraceError(FxnasError, RuntimeError):
    """A model can't be represented as a graph of choices."""


class SearchSpaceError(FxnasError, ValueError):
    """Choices contradict each other, or a search-space file is malformed."""


class ArchitectureError(FxnasError, ValueError):
    """An architecture doesn't fit its search space."""


class PassError(FxnasError, RuntimeError):
    """A pass broke its contract, or was given a graph that it can't take."""


class ExportError(FxnasError, RuntimeError):
    """A file could not be written, or doesn't compute what the graph computes."""


class _Shortener(reprlib.Repr):
    """`reprlib.Repr` that survives integers too long to be printed."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxtuple, self.maxdict = 3, 8, 8, 4
        self.maxstring = self.maxother = self.maxlong = 60

    def repr_int(self, x: int, level: int) -> str:
        if x.bit_length() > 200:
            return f"an integer of {x.bit_length()} bits"
        return super().repr_int(x, level)


_shortener = _Shortener()


def shown(value: object) -> str:
    """A short printable form of any value, for use in a message; it never raises."""
    try:
        return _shortener.repr(value)
    except Exception:  # a hostile __repr__ or __len__ must not hide the error that is being worded
        return f"a {type(value).__name__}"


def nearest(name: str, legal: Iterable[str]) -> str:
    """The words `, did you mean 'conv3x3'?`, or none where no legal name is similar to `name`."""
    if len(name) > 200:  # similarity is quadratic, and nobody mistypes that much
        return ""
    found = difflib.get_close_matches(name, list(legal), n=1)
    return f", did you mean {shown(found[0])}?" if found else ""
