"""The public name of a function, by which generated source calls it; it counts only if it leads to that function."""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import resolve_name

_NAMESPACES: tuple[tuple[str, Any], ...] = (
    ("F", F), ("torch", torch), ("torch.linalg", torch.linalg), ("torch.fft", torch.fft),
    ("torch.special", torch.special), ("torch.Tensor", torch.Tensor), ("math", math), ("operator", operator),
)  # fmt: skip
BUILTINS = (
    "abs", "all", "any", "bool", "complex", "dict", "divmod", "enumerate", "float", "getattr", "hasattr", "int",
    "isinstance", "iter", "len", "list", "max", "min", "next", "pow", "range", "reversed", "round", "set", "setattr",
    "slice", "sorted", "str", "sum", "tuple", "zip",
)  # fmt: skip
"""Python's own functions that a graph may call."""
_HOMES = ("torch._C", "torch.functional", "torch.nn", "torch.amp", "torch._ops", "torch.autograd.grad_mode")
_NEVER = frozenset({"torch.compile", "torch.load", "torch.save"})  # they touch files or code


def public_name(function: Any) -> str | None:
    """The name of a function in generated source, `F` standing for torch.nn.functional; None where there is none."""
    if isinstance(function, torch._ops.OpOverload | torch._ops.OpOverloadPacket):
        name = f"torch.ops.{str(function).replace('::', '.')}"
        return name if str(function).startswith("aten.") and _found(name) is function else None
    found = _index().get(id(function)) or _fallback(function)
    return found if found is not None and found not in _NEVER and _found(found) is function else None


@cache
def _index() -> dict[int, str]:
    """Names by identity; an earlier namespace, and a name without underscore, goes first."""
    names: dict[int, str] = {id(getattr(builtins, name)): name for name in BUILTINS}
    for private in (False, True):
        for prefix, space in _NAMESPACES:
            for name, value in _functions(space):
                if name.startswith("_") is private:
                    names.setdefault(id(value), f"{prefix}.{name}")
    return names


def _functions(space: Any) -> Iterator[tuple[str, Any]]:
    for name in sorted(vars(space) if isinstance(space, ModuleType) else dir(space)):
        value = getattr(space, name, None)
        if callable(value) and not isinstance(value, ModuleType):
            yield name, value


def _fallback(function: Any) -> str | None:
    """A name inside torch that is no public one, such as `torch._C._nn.…`, or `None`."""
    try:
        known: Any = resolve_name(function)
    except TypeError:  # not hashable
        return None
    if isinstance(known, str):
        return known
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    return f"{module}.{name}" if any(module == home or module.startswith(f"{home}.") for home in _HOMES) else None


def _found(name: str) -> Any:
    """What a dotted name leads to; None where it leads nowhere."""
    first, *rest = name.split(".")
    value: Any = {"F": F, "torch": torch, "math": math, "operator": operator}.get(first, getattr(builtins, first, None))
    for part in rest:
        value = getattr(value, part, None)
    return value
