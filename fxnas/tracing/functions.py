"""The results of common functions without running them: what `leaves` does for layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fxnas.tracing.fakes import is_plain, new_value, write

Rule = Callable[..., Tensor | None]


def result_of(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """What `function(*args, **kwargs)` gives on fake tensors, without running it; None where no rule is sure.

    The result has the shape, dtype, strides, device, `requires_grad` and `is_leaf` that the function's has. A function
    that works in place gives its first argument, whose version it raises.
    """
    rule = _RULES.get(function)
    return None if rule is None else rule(*args, **kwargs)


def _binary(x: Any = None, y: Any = None, *more: Any, **options: Any) -> Tensor | None:
    """Two tensors of one form, or a tensor and a number."""
    return new_value(x, x.shape, _tensors(y)) if not (more or options) and _agree(x, y) else None


def _binary_in_place(x: Any = None, y: Any = None, *more: Any, **options: Any) -> Tensor | None:
    if more or options or not _agree(x, y):
        return None
    for other in _tensors(y):
        if other.untyped_storage()._cdata == x.untyped_storage()._cdata or other.requires_grad > x.requires_grad:
            return None
    return write(x)


def _agree(x: Any, y: Any) -> bool:
    if not is_plain(x) or not x.is_floating_point():
        return False
    return (
        type(y) is float
        or (type(y) is int and abs(y) < 2**31)
        or (is_plain(y) and (x.shape, x.dtype, x.fake_mode) == (y.shape, y.dtype, y.fake_mode))
    )


def _tensors(value: Any) -> tuple[Tensor, ...]:
    return (value,) if isinstance(value, Tensor) else ()


def _unary(x: Any = None, inplace: Any = False, *more: Any, **options: Any) -> Tensor | None:
    fits = not (inplace or more or options) and is_plain(x) and x.is_floating_point()
    return new_value(x, x.shape) if fits else None


def _concatenate(tensors: Any = None, dim: Any = 0, *more: Any, **options: Any) -> Tensor | None:
    if more or options or type(dim) is not int or not isinstance(tensors, tuple | list) or len(tensors) < 2:
        return None
    first, *others = tensors
    if not all(map(is_plain, tensors)) or not -first.dim() <= dim < first.dim():
        return None
    shape = list(first.shape)
    for other in others:
        rest = [*other.shape[: dim % first.dim()], *other.shape[dim % first.dim() + 1 :]]
        if other.dim() != first.dim() or other.dtype != first.dtype or other.fake_mode is not first.fake_mode:
            return None
        if rest != [*shape[: dim % first.dim()], *shape[dim % first.dim() + 1 :]]:
            return None
        shape[dim] += other.shape[dim]
    return new_value(first, shape, others)


_RULES: dict[Any, Rule] = {
    **dict.fromkeys((torch.add, torch.sub, torch.mul, Tensor.add, Tensor.sub, Tensor.mul), _binary),
    **dict.fromkeys((Tensor.add_, Tensor.sub_, Tensor.mul_), _binary_in_place),
    **dict.fromkeys((torch.relu, torch.sigmoid, torch.tanh, Tensor.relu, Tensor.sigmoid, Tensor.tanh), _unary),
    **dict.fromkeys((F.relu, F.silu), _unary),
    torch.cat: _concatenate,
}
