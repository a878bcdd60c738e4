"""How example inputs become the arguments of `forward`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from fxnas.errors import TraceError


def bind_inputs(model: nn.Module | Callable[..., Any], example_inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Splits example inputs into positional and keyword arguments.

    Args:
        model: the module (its `forward` is asked for parameter names) or a function.
        example_inputs: one of
            a tuple: the positional arguments;
            a dict whose keys `forward` takes as keywords: the keyword arguments;
            a pair of a tuple and such a dict: both;
            anything else (a tensor, a list, a dict batch, None): the only argument.

    Returns:
        `(args, kwargs)`.

    Raises:
        TraceError: `forward` does not take these arguments.
    """
    signature = signature_of(model)
    args, kwargs = _split(signature, example_inputs)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TraceError(
            f"the example inputs do not fit {_name(model)}{signature}: {error}; "
            "give a tuple of positional arguments, a dict of keyword arguments, or a pair of both"
        ) from error
    return args, kwargs


def signature_of(model: nn.Module | Callable[..., Any]) -> inspect.Signature:
    """The signature of `forward`, without `self`."""
    return inspect.signature(model.forward if isinstance(model, nn.Module) else model)


def _name(model: nn.Module | Callable[..., Any]) -> str:
    return f"{type(model).__name__}.forward" if isinstance(model, nn.Module) else getattr(model, "__name__", "forward")


def _split(signature: inspect.Signature, example: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(example, tuple) and not hasattr(example, "_fields"):
        if len(example) == 2 and isinstance(example[0], tuple) and _are_keywords(signature, example[1], example[0]):
            return example[0], dict(example[1])
        return example, {}
    if _are_keywords(signature, example):
        return (), dict(example)
    return (example,), {}


def _are_keywords(signature: inspect.Signature, value: Any, args: tuple[Any, ...] = ()) -> bool:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return False
    parameters = signature.parameters.values()
    if set(value) <= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}:
        return True
    return any(p.kind is p.VAR_KEYWORD for p in parameters) and _binds(signature, args, value)


def _binds(signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True
