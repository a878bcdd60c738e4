"""Python source of constant values, formed from the value itself, never from a `__repr__` that isn't Python's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import fx

Leaf = Callable[[Any], str]


class Unwritable(ValueError):
    """A value has no source form."""


def _refuse(value: Any) -> str:
    raise Unwritable(f"a {type(value).__name__} has no form in Python source")


def literal(value: Any, leaf: Leaf = _refuse) -> str:
    """The source of a value, at any depth of lists, tuples, dicts and slices.

    Args:
        value: the value.
        leaf: writes what is no constant, such as nodes of a graph.

    Raises:
        Unwritable: the value, or a part of it, is no constant and `leaf` refuses it.
    """
    if value is None or value is Ellipsis or isinstance(value, bool):
        return "..." if value is Ellipsis else str(value)
    if isinstance(value, np.generic):
        return literal(value.item(), leaf)
    for kind, write in _SCALARS:
        if isinstance(value, kind):
            return write(value)
    if isinstance(value, torch.Size):
        return f"torch.Size([{_joined(value, leaf)}])"
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return f"({_joined(value, leaf)}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{_joined(value, leaf)}]"
    if type(value) in (dict, fx.immutable_collections.immutable_dict):
        return "{" + ", ".join(f"{literal(key, leaf)}: {literal(item, leaf)}" for key, item in value.items()) + "}"
    if isinstance(value, slice):
        return f"slice({literal(value.start, leaf)}, {literal(value.stop, leaf)}, {literal(value.step, leaf)})"
    if isinstance(value, range):
        return f"range({value.start}, {value.stop}, {value.step})"
    return leaf(value)


def subscript(index: Any, leaf: Leaf = _refuse) -> str:
    """The source of an index between brackets: `:, 1:-1`."""
    if isinstance(index, tuple) and index and not hasattr(index, "_fields"):
        parts = ", ".join(_slice(part, leaf) for part in index)
        return parts + ("," if len(index) == 1 else "")
    return _slice(index, leaf)


def _slice(index: Any, leaf: Leaf) -> str:
    if not isinstance(index, slice):
        return literal(index, leaf)
    start, stop, step = ("" if part is None else literal(part, leaf) for part in (index.start, index.stop, index.step))
    return f"{start}:{stop}" + (f":{step}" if step else "")


def _joined(values: Any, leaf: Leaf) -> str:
    return ", ".join(literal(value, leaf) for value in values)


def _float(value: float) -> str:
    return float.__repr__(value) if math.isfinite(value) else f'float("{float.__repr__(value)}")'


def _text(value: str) -> str:
    """With double quotes, where Python's own form can be put between them as it is."""
    form = str.__repr__(value)
    return f'"{form[1:-1]}"' if form.startswith("'") and '"' not in form else form


def _complex(value: complex) -> str:
    return f"complex({_float(value.real)}, {_float(value.imag)})"


def _attribute(value: Any) -> str:
    """A constant of torch, such as `torch.float32`."""
    name = str(value).removeprefix("torch.")
    if getattr(torch, name, None) is not value:
        raise Unwritable(f"{value} is no constant of torch")
    return f"torch.{name}"


_SCALARS: tuple[tuple[Any, Callable[[Any], str]], ...] = (
    (int, int.__repr__),  # subclasses lose their own __repr__
    (float, _float),
    (complex, _complex),
    (str, _text),
    (bytes, bytes.__repr__),
    (torch.dtype, _attribute),
    (torch.layout, _attribute),
    (torch.memory_format, _attribute),
    (torch.device, lambda device: f"torch.device({str(device)!r})"),
)
