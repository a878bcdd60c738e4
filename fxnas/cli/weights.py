"""Weights files on the command line, and the child that they and an architecture make."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fxnas.architecture import Architecture
from fxnas.errors import ArchitectureError, FxnasError, nearest

if TYPE_CHECKING:
    from torch import Tensor, fx, nn

    from fxnas.graph import ChoiceGraph


def load_child(graph: ChoiceGraph, model: nn.Module, architecture: Path | None, weights: Path | None) -> fx.GraphModule:
    """Materializes the architecture in a file (by default the default one), with the weights of a file.

    Args:
        graph: traced from `model`.
        model: gets the weights.
        architecture: an architecture file.
        weights: a safetensors file of the supernet, of the child, or of the model that the architecture was applied to.

    Raises:
        ArchitectureError: the architecture doesn't fit the model, or the weights don't fit both.
        FxnasError: the weights can't be read.
    """
    from fxnas.passes.materialize import materialize

    chosen = graph.space.default if architecture is None else Architecture.from_json(architecture, graph.space)
    if weights is not None:
        _load(model, chosen, read_weights(weights), needed=list(materialize(graph, chosen).state_dict()))
    return materialize(graph, chosen)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name.

    Raises:
        FxnasError: it can't be read as one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise FxnasError(f"weights {path}: no such file")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise FxnasError(f"weights {path} can't be read as safetensors: {error}") from error


def _load(model: nn.Module, architecture: Architecture, weights: Mapping[str, Tensor], needed: list[str]) -> None:
    from fxnas.inherit import inherit
    from fxnas.retrain import apply_fixed_architecture

    own = model.state_dict()
    if not weights.keys() <= own.keys():  # names of the fixed model
        fixed = apply_fixed_architecture(copy.deepcopy(model), architecture)
        weights = inherit(weights, architecture, fixed=fixed, into=own)
    # of tensors that share storage a safetensors file holds one
    given = {own[name].data_ptr() for name in weights}
    for name in needed:
        if name in own and name not in weights and own[name].data_ptr() not in given:
            raise ArchitectureError(f"the weights lack {name!r}, which the architecture uses{nearest(name, weights)}")
    for name, value in weights.items():
        if value.shape != own[name].shape:
            raise ArchitectureError(f"weight {name!r} is {list(value.shape)}, the model's is {list(own[name].shape)}")
    model.load_state_dict(weights, strict=False)
