"""The tensors among a module's example inputs: their names, their batch size, and how others take their place."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fxnas.errors import ExportError, TraceError, shown
from fxnas.exporters.nests import Path, leaves, names, replaced
from fxnas.inputs import bind_inputs, signature_of

_CONSTANTS = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.layout, slice)


@dataclass(frozen=True)
class TensorInputs:
    """Example inputs seen as a flat list of tensors; what is no tensor (a flag, None) is a constant.

    Attributes:
        bound: the example inputs by parameter of `forward`.
        names: a name for each tensor.
        tensors: the example tensors.
        constants: the values that are no tensors, by name.
    """

    bound: inspect.BoundArguments
    names: tuple[str, ...]
    tensors: tuple[Tensor, ...]
    constants: dict[str, Any] = field(default_factory=dict)

    @property
    def batch_size(self) -> int | None:
        """The size of dimension 0 of the first tensor that has one; None where no tensor has, or it is empty."""
        sizes = [tensor.shape[0] for tensor in self.tensors if tensor.ndim]
        return sizes[0] or None if sizes else None

    @property
    def batched(self) -> tuple[bool, ...]:
        """For each tensor whether its dimension 0 is the batch: it has the batch's size."""
        return tuple(tensor.ndim > 0 and tensor.shape[0] == self.batch_size for tensor in self.tensors)

    def arguments(self, tensors: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The positional and keyword arguments of `forward` with `tensors` in place of the example tensors."""
        remaining = iter(tensors)
        filled = replaced(
            dict(self.bound.arguments), lambda leaf: next(remaining) if isinstance(leaf, Tensor) else leaf
        )
        bound = inspect.BoundArguments(self.bound.signature, filled)
        return bound.args, bound.kwargs


def read_inputs(module: nn.Module, example_inputs: Any, given_names: Sequence[str] | None = None) -> TensorInputs:
    """Finds the tensors among example inputs.

    Args:
        module: whose `forward` takes the inputs.
        example_inputs: in any form that `fxnas.inputs.bind_inputs` knows.
        given_names: names for the tensors, in order; default: the parameter or the last key of each, where that is
            unambiguous.

    Raises:
        ExportError: `forward` doesn't take these inputs, they hold no tensor or an object that is neither tensor nor
            constant, or the given names don't fit.
    """
    signature = signature_of(module)
    try:
        args, kwargs = bind_inputs(module, example_inputs)
    except TraceError as error:
        raise ExportError(str(error)) from error
    bound = signature.bind(*args, **kwargs)
    found = [(_without_star(path, signature), leaf) for path, leaf in leaves(dict(bound.arguments))]
    called = dict(zip([path for path, _ in found], names([path for path, _ in found], "input"), strict=True))
    tensors = [(called[path], leaf) for path, leaf in found if isinstance(leaf, Tensor)]
    constants = {called[path]: leaf for path, leaf in found if not isinstance(leaf, Tensor)}
    for name, value in constants.items():
        if not isinstance(value, _CONSTANTS):
            raise ExportError(
                f"input {name!r} is {shown(value)}: neither a tensor nor a constant; nest tensors in dicts or lists"
            )
    if not tensors:
        raise ExportError("the example inputs hold no tensor")
    given = (
        tuple(name for name, _ in tensors) if given_names is None else checked_names(given_names, len(tensors), "input")
    )
    return TensorInputs(bound, given, tuple(leaf for _, leaf in tensors), constants)


def checked_names(given: Sequence[str], count: int, what: str) -> tuple[str, ...]:
    """The given names.

    Raises:
        ExportError: not `count` different, non-empty strings.
    """
    if len(given) != count or len(set(given)) < count or not all(isinstance(name, str) and name for name in given):
        raise ExportError(f"{what}_names: needs {count} different non-empty strings, got {shown(list(given))}")
    return tuple(given)


def _without_star(path: Path, signature: inspect.Signature) -> Path:
    """`**kwargs` is no part of a name."""
    parameter = signature.parameters[str(path[0])]
    return path[1:] if parameter.kind is parameter.VAR_KEYWORD and len(path) > 1 else path
