"""What one mode alone runs, in a plain graph: `torch.cond` on `self.training`.

A plain graph computes all of its nodes. Where a node that only training needs is computed in evaluation too, nobody
takes its value; but a random number that it draws, or memory that it writes to, shows. Such nodes move, with all that
only their mode needs, into graphs of their own, which `torch.cond` runs in their mode and not in the other.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Collection, Container, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.fx import Graph, GraphModule, Node

from fxnas.ir.children import MODE, assemble
from fxnas.tracing.calls import DRAWS

_DRAWS = DRAWS | frozenset(
    {
        "binomial", "bernoulli_", "cauchy_", "exponential_", "geometric_", "log_normal_",
        "normal_", "random_", "uniform_", "dropout", "dropout_", "dropout1d", "dropout2d", "dropout3d",
        "alpha_dropout", "alpha_dropout_", "feature_dropout", "feature_dropout_", "feature_alpha_dropout",
        "feature_alpha_dropout_", "native_dropout", "rrelu", "rrelu_", "gumbel_softmax", "fractional_max_pool2d",
        "fractional_max_pool3d", "fractional_max_pool2d_with_indices", "fractional_max_pool3d_with_indices",
        "scaled_dot_product_attention", "multi_head_attention_forward", "lstm", "gru", "rnn_tanh", "rnn_relu", "random",
    }
)  # fmt: skip
_DRAWING = (nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)
_DIFFERING = (*_DRAWING, nn.modules.dropout._DropoutNd, nn.RReLU, nn.RNNBase, nn.MultiheadAttention)


def draws(node: Node) -> bool:
    """Whether a call of a function or method may draw random numbers in the mode that it was recorded in."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if node.op not in ("call_function", "call_method") or name.partition(".")[0] not in _DRAWS:
        return False
    follows = node.kwargs.get("training")
    return follows is not False and not isinstance(follows, Node)


def differs(module: nn.Module, training: bool) -> bool:
    """Whether a leaf module that one mode alone runs (True: training) draws or writes in the other."""
    parts = list(module.modules())
    if training:
        return any(isinstance(part, _DRAWING) for part in parts)
    return any(isinstance(part, _DIFFERING) or part._buffers for part in parts)


def split(graph: Graph, only: Mapping[Node, bool], taken: Collection[str]) -> dict[str, GraphModule]:
    """Moves the nodes that one mode alone needs into graphs of their own.

    Args:
        graph: a plain graph; it is edited.
        only: the nodes to move, each with its mode (True: training).
        taken: names that something else has.

    Returns:
        the modules to be added, by name.
    """
    made: dict[str, GraphModule] = {}
    mode = _mode(graph)
    for run in list(_runs(graph, only)):
        name = _name("training" if only[run[0]] else "evaluation", [*made, *taken])
        _move(run, only[run[0]], mode, name, made)
    return made


def _mode(graph: Graph) -> Node:
    """The node that reads the mode, at the front."""
    first = next(node for node in graph.nodes if node.op != "placeholder")
    known: Node | None = next((node for node in graph.nodes if node.op == "get_attr" and node.target == MODE), None)
    if known is None:
        with graph.inserting_before(first):
            return graph.create_node("get_attr", MODE, (), {}, MODE)
    if known is not first:
        first.prepend(known)
    return known


def _runs(graph: Graph, only: Mapping[Node, bool]) -> Iterator[list[Node]]:
    """Nodes of one mode that follow each other. Reads of attributes do nothing, and go before them."""
    run: list[Node] = []
    for node in list(graph.nodes):
        if node.op == "get_attr":
            if run:
                run[0].prepend(node)
        elif run and only.get(node) is only[run[0]]:
            run.append(node)
        else:
            if run:
                yield run
            run = [node] if node in only else []


def _move(run: list[Node], training: bool, mode: Node, name: str, made: dict[str, GraphModule]) -> None:
    graph, inside = run[0].graph, set(run)
    results = [node for node in run if any(user not in inside for user in node.users)]
    modules = {node: _module_node(node, run[0]) for node in run if node.op == "call_module"}
    operands = list(dict.fromkeys(value for n in run for value in (*n.all_input_nodes, *_listed(modules.get(n)))))
    operands = [value for value in operands if value not in inside]
    made[name] = _graph_module(operands, run, results, modules)
    made["not_" + name] = _graph_module(operands, [], results, {})
    with graph.inserting_before(run[0]):
        one, other = (graph.create_node("get_attr", path, (), {}, path) for path in (name, "not_" + name))
        branches = (one, other) if training else (other, one)
        call = graph.create_node("call_function", torch.cond, (mode, *branches, tuple(operands)), {}, name)
        call.meta = _notes(run)
        parts = [call]
        if len(results) != 1:
            parts = [graph.call_function(operator.getitem, (call, i)) for i in range(len(results))]
    for node, part in zip(results, parts, strict=True):
        part.meta.update(
            {note: node.meta[note] for note in ("frame", "shape", "dtype", "storages") if note in node.meta}
        )
        node.replace_all_uses_with(part, delete_user_cb=lambda user: user not in inside)
    for node in reversed(run):
        graph.erase_node(node)


def _listed(node: Node | None) -> list[Node]:
    return [] if node is None else [node]


def _module_node(call: Node, before: Node) -> Node:
    """The module itself, as a value: a graph inside of the graph has no modules of its own."""
    with call.graph.inserting_before(before):
        return call.graph.create_node("get_attr", call.target, (), {}, str(call.target).replace(".", "_"))


def _name(base: str, taken: Container[str]) -> str:
    names = (f"only_{base}{'' if i == 0 else f'_{i}'}" for i in itertools.count())
    return next(name for name in names if name not in taken and f"not_{name}" not in taken)


def _graph_module(
    operands: list[Node], run: list[Node], results: list[Node], modules: Mapping[Node, Node]
) -> GraphModule:
    """A function of the operands; without nodes to run its results are None."""
    inner = Graph()
    values = {value: inner.placeholder(value.name) for value in operands}
    for node in run:
        if node in modules:
            args, kwargs = torch.fx.map_arg((node.args, node.kwargs), values.__getitem__)
            copied = inner.create_node("call_method", "__call__", (values[modules[node]], *args), kwargs, node.name)
        else:
            copied = inner.node_copy(node, values.__getitem__)
        copied.meta, values[node] = dict(node.meta), copied
    found = tuple(values[node] if run else None for node in results)
    inner.output(found[0] if len(found) == 1 else found)
    return assemble(nn.Module(), inner, "Branch")


def _notes(run: list[Node]) -> dict[str, Any]:
    written = (number for node in run for number in node.meta.get("mutates", ()))
    return {
        "frame": run[0].meta.get("frame"),
        "mutates": tuple(dict.fromkeys(written)),
        "effect": any(node.meta.get("effect") for node in run),
    }
