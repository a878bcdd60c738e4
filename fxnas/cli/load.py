"""Finds what the command line names: a model, an evaluator, example inputs, weights."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fxnas.errors import FxnasError, nearest

if TYPE_CHECKING:
    from torch import nn

    from fxnas.graph import ChoiceGraph

SEED = 0  # of the weights that a model starts with, and of random example inputs


def load_object(name: str, *, what: str, beside: str | None = None) -> Any:
    """The object that `file.py:name` or `package.module:name` names.

    Args:
        name: where it is; only its own name if it stands in the module of `beside`.
        what: what it is, for messages ("model").
        beside: another such name.

    Raises:
        FxnasError: there is no such file or object, or the module raises.
    """
    module, attribute = _module_of(name, what, beside)
    try:
        return getattr(module, attribute)
    except AttributeError:
        known = [each for each in vars(module) if not each.startswith("_")]
        raise FxnasError(f"{what} {name}: no {attribute!r} there{nearest(attribute, known)}") from None


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
    with _users_code(name):
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
    module, _ = _module_of(model, "model", None)
    function: Callable[[], Any] | None = getattr(module, "example_inputs", None)
    if function is None:
        return None
    with _users_code(f"{model.rpartition(':')[0]}:example_inputs"):
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
    return model, trace(model, example, dynamic_batch=not fixed_batch), example


def _module_of(name: str, what: str, beside: str | None) -> tuple[ModuleType, str]:
    place, colon, attribute = name.rpartition(":")
    if not colon and beside is not None:
        place = beside.rpartition(":")[0]
    if not place or not attribute:
        raise FxnasError(f"{what} {name!r}: expected path/to/file.py:name or package.module:name")
    with _users_code(place):
        return (_file(Path(place), what) if place.endswith(".py") else _package(place)), attribute


def _file(path: Path, what: str) -> ModuleType:
    path = path.resolve()
    if not path.is_file():
        raise FxnasError(f"{what}: file {path} does not exist")
    known = next((m for m in sys.modules.values() if getattr(m, "__file__", None) == str(path)), None)
    if known is not None:
        return known
    _importable(path.parent)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # a .py file has both
    module = importlib.util.module_from_spec(spec)
    shadowed = sys.modules.get(path.stem)
    sys.modules[path.stem] = module  # dataclasses and pickling look their module up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    finally:
        if shadowed is not None:
            sys.modules[path.stem] = shadowed
    return module


def _package(name: str) -> ModuleType:
    _importable(Path.cwd())
    return importlib.import_module(name)


def _importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@contextmanager
def _users_code(name: str) -> Iterator[None]:
    """Names the file and line of an error in code that isn't ours."""
    try:
        yield
    except FxnasError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        frame = next((f for f in reversed(frames) if "site-packages" not in f.filename), frames[-1])
        place = f"{frame.filename}, line {frame.lineno}"
        raise FxnasError(f"{name} raised {type(error).__name__}: {error} ({place})") from error


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
