"""Networks and passes for the tests of passes: a function of layers and an input as a graph, small edits of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

import fxnas
from fxnas.graph import ChoiceGraph
from fxnas.passes import Materialize, Pass

X = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))


class Apply(nn.Module):
    """A network given by a function of itself, for its layers, and the input."""

    def __init__(self, function: Any, **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


class Candidate(nn.Module):
    """A candidate given by a function of its input."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def traced(function: Any, **layers: nn.Module) -> ChoiceGraph:
    """The graph of a network, with its choices open."""
    return fxnas.trace(Apply(function, **layers), X)


def plain(function: Any, **layers: nn.Module) -> ChoiceGraph:
    """The graph of a network without choices, materialized."""
    return Materialize({})(traced(function, **layers)).graph


def choice(*candidates: Any, **options: Any) -> fxnas.LayerChoice:
    """A LayerChoice of modules and functions."""
    modules = [c if isinstance(c, nn.Module) else Candidate(c) for c in candidates]
    return fxnas.LayerChoice(modules, **options)


def nodes_of(graph: ChoiceGraph, target: Any) -> list[Node]:
    return [node for node in graph.graph.nodes if node.target == target]


class Nothing(Pass):
    """Changes nothing, and says so."""

    def rewrite(self, graph: ChoiceGraph) -> bool:
        return False


class Replace(Pass):
    """One function instead of another; `says` is what it reports."""

    def __init__(self, old: Any, new: Any, says: bool = True) -> None:
        self.old, self.new, self.says = old, new, says

    def rewrite(self, graph: ChoiceGraph) -> bool:
        found = nodes_of(graph, self.old)
        for node in found:
            node.target = self.new
        return bool(found) and self.says


class Edit(Pass):
    """A pass given by a function of the fork."""

    def __init__(self, edit: Any) -> None:
        self.edit = edit

    def rewrite(self, graph: ChoiceGraph) -> bool:
        return bool(self.edit(graph))


class Net(nn.Module):
    """The net of the guide, small: a choice of two convolutions and an optional skip."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = fxnas.LayerChoice({"small": nn.Conv2d(4, 4, 1), "large": nn.Conv2d(4, 4, 3, padding=1)})
        self.skip = fxnas.InputChoice(n_candidates=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.skip([x])
        x = self.conv(x)
        if skip is not None:
            x += skip
        result: Tensor = torch.relu(self.norm(x))
        return result


def net() -> ChoiceGraph:
    return fxnas.trace(Net(), X)
