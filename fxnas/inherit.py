"""Carrying weights from a supernet to the fixed model, and back.

Both have the same weights under different names: `conv1.conv3x3.weight` of a supernet is `conv1.weight` once conv3x3
has taken the place of the choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.errors import ArchitectureError, nearest
from fxnas.fixed import FixedLayerChoice

__all__ = ["WeightTable", "inherit", "weight_table"]

StateDict = Mapping[str, Any]


@dataclass(frozen=True)
class WeightTable(Mapping[str, str | None]):
    """Name in the supernet → name in the fixed model, None where the weight isn't part of it. Prints as a table."""

    rows: tuple[tuple[str, str | None], ...]

    def __getitem__(self, name: str) -> str | None:
        return dict(self.rows)[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        rows = [("supernet", "fixed model"), *((name, fixed or "-") for name, fixed in self.rows)]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {fixed}" for name, fixed in rows)


def inherit(
    state_dict: StateDict,
    architecture: Architecture,
    *,
    fixed: nn.Module | None = None,
    into: StateDict | None = None,
) -> dict[str, Any]:
    """Maps the weights of a supernet to the names of the fixed model; with `into`, the other way.

    Args:
        state_dict: of the supernet; with `into`, of the fixed model.
        architecture: the one that the fixed model has. Its space has to come from a model (`graph.space`, or
            `fxnas.nn.space_of(model)`), which knows where each choice stands.
        fixed: the fixed model. The weights are then checked against it. It is needed where a LayerChoice returns a mask
            or a list: only the model tells that its candidate has kept its name.
        into: state dict of the supernet, whose remaining weights fill the result.

    Returns:
        A new state dict that shares the tensors: of the fixed model, or with `into` of the supernet.

    Raises:
        ArchitectureError: a weight is missing, unexpected, or of another shape.
    """
    if into is None:
        table = weight_table(state_dict, architecture, fixed=fixed)
        result = {new: state_dict[old] for old, new in table.rows if new is not None}
        return result if fixed is None else _fitted(result, fixed.state_dict(), "the fixed model")
    table = weight_table(into, architecture, fixed=fixed)
    wanted = {new: into[old] for old, new in table.rows if new is not None}
    weights = _fitted(state_dict, wanted, "the architecture in the supernet")
    return {old: into[old] if new is None else weights[new] for old, new in table.rows}


def weight_table(names: Iterable[str], architecture: Architecture, *, fixed: nn.Module | None = None) -> WeightTable:
    """The names of a supernet's weights beside those of the fixed model; print it to see what is carried over.

    Args:
        names: names of the supernet's weights, such as its state dict.
        architecture: as in `inherit`.
        fixed: as in `inherit`.

    Raises:
        ArchitectureError: a name below a choice is none of its candidates.
    """
    places = {
        path: (choice, architecture.get(key, choice.default))
        for key, choice in architecture.choices.items()
        if choice.kind == "layer_choice"
        for path in choice.paths or (key,)  # the default key is the path
    }
    return WeightTable(tuple((name, _renamed(name, places, fixed)) for name in names))


def _renamed(name: str, places: Mapping[str, tuple[Choice, tuple[int, ...]]], fixed: nn.Module | None) -> str | None:
    parts = name.split(".")
    kept: list[str] = []
    for i, part in enumerate(parts):
        choice, decision = places.get(".".join(parts[:i]), (None, ()))
        if choice is not None:
            if part not in choice.candidates:
                raise ArchitectureError(
                    f"weight {name!r} is not of the supernet: below choice {choice.key!r} stand its candidates "
                    f"{list(choice.candidates)}, not {part!r}"
                )
            if choice.candidates.index(part) not in decision:
                return None
            if not _keeps_name(choice, kept, fixed):
                continue
        kept.append(part)
    return ".".join(kept)


def _keeps_name(choice: Choice, place: list[str], fixed: nn.Module | None) -> bool:
    """Whether a chosen candidate stays below its choice, instead of taking its place."""
    module = fixed
    for name in place if module is not None else ():
        module = None if module is None else module._modules.get(name)
    return choice.n_chosen != 1 or isinstance(module, FixedLayerChoice)


def _fitted(weights: StateDict, wanted: StateDict, whose: str) -> dict[str, Any]:
    """The weights, checked against the names and shapes that are wanted."""
    for name, value in weights.items():
        if name not in wanted:
            raise ArchitectureError(
                f"weight {name!r} is unexpected, {whose} has none of that name{nearest(name, wanted)}"
            )
        if _shape(value) != _shape(wanted[name]):
            raise ArchitectureError(f"weight {name!r} is {_shape(value)}, but in {whose} it is {_shape(wanted[name])}")
    # Of tied weights a safetensors file holds only one.
    held: dict[tuple[object, ...], Any] = {
        memory: value for name, value in weights.items() if (memory := _memory(wanted[name])) is not None
    }
    fitted = {name: weights[name] if name in weights else held.get(_memory(wanted[name]) or ()) for name in wanted}
    for name, value in fitted.items():
        if value is None and name not in weights:
            raise ArchitectureError(f"weight {name!r} of {whose} is missing{nearest(name, weights)}")
    return fitted


def _memory(value: object) -> tuple[object, ...] | None:
    """Where a tensor lies, equal for tied weights; None for what lies nowhere."""
    if not isinstance(value, Tensor) or value.is_meta or not value.numel():
        return None
    return (value.device, value.data_ptr(), value.dtype, value.shape, value.stride())


def _shape(value: object) -> list[int] | None:
    return list(value.shape) if isinstance(value, Tensor) else None
