"""The parameters of an architecture."""

from __future__ import annotations

from torch import nn
from torch.fx import Node

from fxnas.conditions import Condition, any_of
from fxnas.costs.model import CostModel
from fxnas.costs.walk import in_mode
from fxnas.graph import ChoiceGraph
from fxnas.modules import attribute, submodule


def params(graph: ChoiceGraph) -> CostModel:
    """How many numbers the parameters of the materialized network hold: `sum(p.numel() for p in child.parameters())`.

    A parameter counts where a node that uses it is needed, in either mode; once, however often it is used or tied.

    Args:
        graph: a traced graph.
    """
    uses: dict[nn.Parameter, list[Condition]] = {}
    for mode in (False, True):
        for node, condition in in_mode(graph.conditions(), mode).items():
            for parameter in _parameters(graph.module, node):
                uses.setdefault(parameter, []).append(condition)
    terms = [(any_of(dict.fromkeys(conditions)), parameter.numel()) for parameter, conditions in uses.items()]
    return CostModel(graph.space, terms, "parameters")


def _parameters(module: nn.Module, node: Node) -> list[nn.Parameter]:
    path = str(node.target)
    if node.op == "call_module":
        return list(submodule(module, path).parameters())
    if node.op != "get_attr":
        return []
    owner, _, name = path.rpartition(".")
    found = attribute(module, path)
    if isinstance(found, nn.Module):
        return list(found.parameters())
    return [found] if name in submodule(module, owner)._parameters and found is not None else []
