"""Plain modules as graphs, even those whose notes are lost: from pickle, or from another tool."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import nn
from torch.fx import GraphModule, Node

from fxnas.errors import PassError
from fxnas.graph import ChoiceGraph
from fxnas.ir.supernet import Supernet
from fxnas.modules import attribute

_IN_PLACE = tuple(f"i{name.strip('_')}" for name in vars(operator) if hasattr(operator, f"i{name.strip('_')}"))


def as_choice_graph(graph: ChoiceGraph | GraphModule) -> ChoiceGraph:
    """The graph itself, or a materialized `GraphModule` as one.

    A graph of ours notes on its nodes which of them write to memory. Where there are no notes, every call that may do
    more than return a value counts as one that has to stay.

    Raises:
        PassError: it is neither.
    """
    if isinstance(graph, ChoiceGraph):
        return graph
    if isinstance(graph, Supernet):
        raise PassError("this is the module of a traced graph; passes take the ChoiceGraph that it belongs to")
    if not isinstance(graph, GraphModule):
        raise PassError(
            f"passes take a ChoiceGraph or a materialized GraphModule, not a {type(graph).__name__}; trace it first"
        )
    found = ChoiceGraph(graph, "materialized")
    if any("frame" in node.meta for node in graph.graph.nodes):
        return found
    noted = found.fork()
    for node in noted.graph.nodes:
        if _may_act(node, graph):
            node.meta["effect"] = True
    return noted


def _may_act(node: Node, module: GraphModule) -> bool:
    """Whether the call may do more than return a value."""
    if node.op == "call_module":
        return _module_may_act(attribute(module, str(node.target)))
    if node.op not in ("call_method", "call_function"):
        return False
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if node.op == "call_function" and (node.target is torch.cond or node.is_impure() or not _is_known(node.target)):
        return True
    if node.target in vars(operator).values():
        return name in ("setitem", "delitem", *_IN_PLACE)
    return name.endswith("_") or name == "setattr" or bool(node.kwargs.get("inplace")) or "out" in node.kwargs


def _module_may_act(module: nn.Module) -> bool:
    """It isn't torch's own, or works in place, or has statistics to update."""
    known = type(module).__module__.startswith("torch.nn.")
    return not known or bool(getattr(module, "inplace", False)) or bool(dict(module.named_buffers()))


def _is_known(function: Any) -> bool:
    """Whether the function comes from Python or torch; others may do anything."""
    origin = str(getattr(function, "__module__", None) or "builtins").partition(".")[0]
    return origin in ("torch", "builtins", "math", "operator", "_operator")
