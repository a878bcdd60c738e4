"""How a plain `GraphModule` is taken apart for copies in other processes and files.

torch.fx keeps the source of a `GraphModule` and traces it again when it is loaded. Writes to buffers, reads of
`self.training` and checks of arguments are lost then, since they are no calls on traced values. Here the graph's nodes
are kept, as calls of torch.fx that make them again: who loads them needs torch and nothing else.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

_NOTES = ("frame", "shape", "dtype", "storages", "mutates", "effect")
_MADE_ANEW = (frozenset(GraphModule(nn.Module(), Graph()).__dict__) - frozenset(nn.Module().__dict__)) - {"meta"}


class _Call:
    """Becomes the result of a call where it is loaded."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], *state: Any) -> None:
        self.reduced = (function, args, *state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def reduce_module(module: GraphModule) -> tuple[Any, ...]:
    """`__reduce__` of a plain `GraphModule`: its graph node by node, its modules and tensors as they are."""
    state = {name: value for name, value in module.__dict__.items() if name not in _MADE_ANEW}
    graph = _Call(Graph, ())
    shell = nn.Module()
    shell.__dict__.update(state, _nodes=_calls(module.graph, graph))  # made before the graph is compiled
    return GraphModule, (shell, graph, type(module).__name__), state


def _target(target: Any) -> Any:
    """Some functions of torch.nn.functional, such as `max_pool2d`, are known by their public names alone."""
    module, name = str(getattr(target, "__module__", None)), getattr(target, "__name__", "")
    hidden = "<locals>" in getattr(target, "__qualname__", "")
    if not hidden or getattr(sys.modules.get(module), name, None) is not target:
        return target
    return _Call(getattr, (_Call(importlib.import_module, (module,)), name))


def _calls(graph: Graph, made: _Call) -> list[_Call]:
    """A call of `Graph.create_node` for each node, in order."""
    calls: dict[Node, _Call] = {}

    def call_of(node: Node) -> Any:
        return calls[node]

    for node in graph.nodes:
        args, kwargs = map_arg((node.args, node.kwargs), call_of)
        notes = {name: node.meta[name] for name in _NOTES if name in node.meta}
        details = (made, node.op, _target(node.target), args, kwargs, node.name, node.type)
        calls[node] = _Call(Graph.create_node, details, {"meta": notes})
    return list(calls.values())
