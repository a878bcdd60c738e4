"""Which memory a call may write to, and whose memory its result may share, in whatever mode and layout it is run later.

The recorded run shows one case only: a dropout writes in place in training mode alone, and a reshape gives a view or a
copy by the strides of its input.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from fxnas.tracing.calls import IN_PLACE
from fxnas.tree import tensors

_COPIES_OR_VIEWS = frozenset(
    {
        # by the strides
        "reshape", "reshape_as", "flatten", "ravel", "contiguous", "sum_to_size",
        # by the device, and where the dtype is right already
        "to", "type", "type_as", "float", "double", "half", "bfloat16", "int", "long", "short", "bool", "byte", "char",
        "cfloat", "cdouble", "chalf", "cpu", "cuda", "asarray", "as_tensor", "to_dense",
        # by the mode
        "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout", "feature_alpha_dropout",
    }
)  # fmt: skip
_COPYING_OR_VIEWING = (nn.Flatten, nn.modules.dropout._DropoutNd)
_NEVER_IN_PLACE = (nn.AlphaDropout, nn.FeatureAlphaDropout)  # whatever they are told
_STATISTICS = {  # function → the places of the running mean and variance, and of the flag (with its default) to update
    "batch_norm": (1, 2, 5, "training", False),
    "instance_norm": (1, 2, 5, "use_input_stats", True),
}


def written_arguments(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors among the arguments that a function or method may write to."""
    name = getattr(function, "__name__", "").partition(".")[0]
    written = tensors(kwargs.get("out"))
    position = _place_of_inplace(function)
    inplace = kwargs.get("inplace", args[position] if position is not None and len(args) > position else False)
    if inplace or name == "__set__" or name in IN_PLACE or (name.endswith("_") and not name.endswith("__")):
        written += _first(args, kwargs)
    if name in _STATISTICS:
        written += tensors(list(_statistics(function, name, args, kwargs)))
    written += tensors(list(_by_schema(function, args, kwargs)))
    return written


def written_inputs(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors among the arguments that a leaf module may write to."""
    writes = getattr(module, "inplace", False) is True and not isinstance(module, _NEVER_IN_PLACE)
    return _first(args, kwargs)[:1] if writes else []


def updated(module: nn.Module) -> list[Tensor]:
    """The tensors of its own that a leaf module may write to: statistics, and an embedding's rows of bounded norm."""
    bounded = (m.weight for m in module.modules() if getattr(m, "max_norm", None) is not None)
    return [*module.buffers(), *(weight for weight in bounded if isinstance(weight, Tensor))]


def is_copy_or_view(called: Any) -> bool:
    """Whether the result of a function, or of a leaf module, is now the memory of its input and now its own."""
    if isinstance(called, nn.Module):
        return isinstance(called, _COPYING_OR_VIEWING)
    return getattr(called, "__name__", "").partition(".")[0] in _COPIES_OR_VIEWS


def _first(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors of the first argument; those of a list are written to one and all."""
    return tensors(args[0] if args else kwargs.get("input", kwargs.get("self")))


def _place_of_inplace(function: Any) -> int | None:
    return _signature_inplace(function) if getattr(function, "__module__", None) == F.__name__ else None


@cache
def _signature_inplace(function: Callable[..., Any]) -> int | None:
    names = list(inspect.signature(function).parameters)
    return names.index("inplace") if "inplace" in names else None


def _statistics(function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
    mean, var, flag, flag_name, default = _STATISTICS[name]
    if getattr(function, "__module__", None) != F.__name__:  # torch.batch_norm: weight and bias come first
        mean, var = mean + 2, var + 2
    if kwargs.get(flag_name, args[flag] if len(args) > flag else default):
        yield kwargs.get("running_mean", args[mean] if len(args) > mean else None)
        yield kwargs.get("running_var", args[var] if len(args) > var else None)


def _by_schema(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
    """What an operator of `torch.ops` says about itself."""
    schema = getattr(function, "_schema", None)
    for place, argument in enumerate(schema.arguments if schema is not None else ()):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield args[place] if place < len(args) else kwargs.get(argument.name)
