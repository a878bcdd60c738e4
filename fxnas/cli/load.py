"""Finds what the command line names: a model, an evaluator, example inputs, weights."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from fxnas.errors import FxnasError
from fxnas.named import load_object, module_of, users_code

if TYPE_CHECKING:
    from torch import nn

    from fxnas.graph import ChoiceGraph

SEED = 0  # of the weights that a model starts with, and of random example inputs


def load_model(name: str) -> nn.Module:
    """The model that a factory makes (seeded, so that every command sees the same weights), or that is named itself.

    Raises:
        FxnasError: there is no such factory, it raises, or it makes something else.
    """
    import torch
    from torch import nn

    found = load_object(name, what="model")
    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise FxnasError(f"model {name} is a {type(found).__name__}, not an nn.Module or a function that returns one")
    torch.manual_seed(SEED)
    with users_code(name):
        model = found()
    if not isinstance(model, nn.Module):
        raise FxnasError(f"{name}() returned a {type(model).__name__}, not an nn.Module")
    return model


def example_inputs(shapes: Sequence[str] | None, model: str) -> Any:
    """Random tensors of the given shapes, or what `example_inputs()` beside the model returns.

    Returns:
        A tuple of tensors, whatever the function returned, or None where there is neither.

    Raises:
        FxnasError: a shape is malformed, or the function raises.
    """
    if shapes:
        import torch

        generator = torch.Generator().manual_seed(SEED)
        return tuple(_tensor(shape, generator) for shape in shapes)
    module, _ = module_of(model, "model")
    function: Callable[[], Any] | None = getattr(module, "example_inputs", None)
    if function is None:
        return None
    with users_code(f"{model.rpartition(':')[0]}:example_inputs"):
        return function()


def load_traced(
    name: str, shapes: Sequence[str] | None, *, fixed_batch: bool = False
) -> tuple[nn.Module, ChoiceGraph, Any]:
    """The named model in eval mode, its graph, and the example inputs it was traced with.

    Raises:
        FxnasError: there are no example inputs, or anything that `load_model` and `fxnas.trace` raise.
    """
    from fxnas.trace import trace

    # An operator that refuses its inputs is an error of ours that names the line; torch logs a traceback besides.
    logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)
    model = load_model(name).eval()
    example = example_inputs(shapes, name)
    if example is None:
        raise FxnasError(
            f"tracing {name} needs example inputs: give --input 1x3x224x224 (once per argument), "
            "or write a function example_inputs() beside the model"
        )
    with redirect_stdout(sys.stderr):  # as for all code of users
        return model, trace(model, example, dynamic_batch=not fixed_batch), example


def make_graph(name: str, shapes: Sequence[str] | None, fixed_batch: bool) -> ChoiceGraph:
    """The graph alone, as a worker process makes it."""
    return load_traced(name, shapes, fixed_batch=fixed_batch)[1]


def _tensor(text: str, generator: Any) -> Any:
    """A random tensor: normal values, or for integers and booleans zeros and ones."""
    import torch

    shape, _, dtype_name = text.partition(":")
    dtype = getattr(torch, dtype_name or "float32", None)
    sizes = shape.split("x")
    if not isinstance(dtype, torch.dtype) or not all(size.isdecimal() for size in sizes):
        raise FxnasError(f"--input {text!r}: expected sizes and maybe a dtype, such as 1x3x224x224 or 2x16:int64")
    dimensions = [int(size) for size in sizes]
    if dtype.is_floating_point or dtype.is_complex:
        return torch.randn(dimensions, generator=generator).to(dtype)
    return torch.randint(0, 2, dimensions, generator=generator).to(dtype)
