"""What a torch-level call is called in an fx graph: its op, its target, and what it may do beside returning a value."""

from __future__ import annotations

import operator
import types
from collections.abc import Callable
from typing import Any, Literal

import torch

CallOp = Literal["call_function", "call_method"]

_BINARY = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift",
    "lt", "le", "gt", "ge", "eq", "ne",
)  # fmt: skip
_UNARY = ("neg", "invert", "pos", "abs")
_IN_PLACE = tuple(f"i{name}" for name in _BINARY if hasattr(operator, f"i{name}"))
IN_PLACE = frozenset({"__setitem__", "__idiv__", *(f"__{name}__" for name in _IN_PLACE)})
"""Operators that write to their first operand."""
_ALIASES = {"div": "truediv", "idiv": "itruediv"}  # torch's own old spellings

READS = frozenset(
    {
        "__bool__", "__int__", "__float__", "__index__", "__complex__", "__contains__", "__array__", "__dlpack__",
        "item", "tolist", "numpy", "equal", "allclose", "is_nonzero", "is_same_size_nested",
    }
)  # fmt: skip
"""Functions that take a value out of a tensor into Python."""

EFFECTS = frozenset({"_set_grad_enabled", "_assert", "_assert_async", "manual_seed", "set_rng_state"})
"""Functions that are called for what they do: they return no tensor and have to stay."""

DRAWS = frozenset(
    {
        "rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "bernoulli", "normal",
        "multinomial", "poisson",
    }
)  # fmt: skip
"""Functions that give random numbers."""

RANDOM = DRAWS | {"empty", "empty_like", "empty_strided", "empty_permuted", "new_empty"}
"""Factories whose values nobody can know at trace time."""


SPLITS = frozenset({"unbind", "split", "chunk", "tensor_split", "hsplit", "vsplit", "dsplit", "split_with_sizes"})
"""Functions that give as many values as a size tells."""


def _operator(name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(operator, f"{name}_" if name in ("and", "or") else name)
    return function


def describe(function: Any, args: tuple[Any, ...]) -> tuple[CallOp, Any, tuple[Any, ...]]:
    """The fx op, target and arguments of a call that a `TorchFunctionMode` saw.

    Operators become functions of `operator`, property reads become `getattr`, tensor methods become `call_method`, and
    everything else `call_function`.
    """
    name = getattr(function, "__name__", "")
    if name == "__get__":
        return "call_function", getattr, (args[0], attribute_name(function))
    if name == "__set__":
        return "call_function", setattr, (args[0], attribute_name(function), args[1])
    if not _is_method(function, name):
        return "call_function", function, args
    if not (name.startswith("__") and name.endswith("__")):
        return "call_method", name, args
    return _operator_call(name, args)


def _operator_call(name: str, args: tuple[Any, ...]) -> tuple[CallOp, Any, tuple[Any, ...]]:
    base = _ALIASES.get(name[2:-2], name[2:-2])
    if base in ("getitem", "setitem"):
        return "call_function", getattr(operator, base), args
    if base in _BINARY or base in _UNARY or base in _IN_PLACE:
        return "call_function", _operator(base), args
    reflected = _ALIASES.get(base[1:], base[1:])
    if base.startswith("r") and reflected in _BINARY:
        return "call_function", _operator(reflected), (args[1], args[0])
    return "call_method", name, args


def attribute_name(accessor: Any) -> str:
    """The attribute that a descriptor's `__get__` or `__set__` stands for."""
    owner = accessor.__self__
    return str(getattr(owner, "__name__", None) or owner.fget.__name__)


def _is_method(function: Any, name: str) -> bool:
    if getattr(function, "__module__", None) == "torch._tensor":
        return True
    if isinstance(function, types.MethodDescriptorType | types.WrapperDescriptorType):
        return True
    return getattr(torch.Tensor, name, None) is function
