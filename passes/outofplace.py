"""In-place calls made out of place, with results that are the same to the last bit."""

from __future__ import annotations

import copy
import operator
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.fx.node import map_arg
from torch.nn import functional as F

from fxnas.graph import ChoiceGraph
from fxnas.ir.children import replace
from fxnas.ir.liveness import is_choose, is_switch
from fxnas.ir.writes import renumber
from fxnas.modules import attribute

# What is listed here is elementwise, and gives the same values, gradients and strides out of place. Others don't:
# dropout draws other numbers on a GPU, the gradient of ELU is computed from its result when in place, masked_fill
# changes the memory format. Those run in place on a copy.
_MODULES = (
    nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.LeakyReLU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardsigmoid,
)  # fmt: skip
_FUNCTIONS = (F.relu, F.relu6, F.hardtanh, F.leaky_relu, F.silu, F.mish, F.hardswish, F.hardsigmoid)
_METHODS = frozenset(
    {
        "abs_", "add_", "clamp_", "clamp_max_", "clamp_min_", "cos_", "div_", "exp_", "log_", "mul_", "neg_", "pow_",
        "reciprocal_", "relu_", "rsqrt_", "sigmoid_", "sin_", "sqrt_", "square_", "sub_", "tanh_",
    }
)  # fmt: skip
_OPERATORS = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    operator.ipow: operator.pow,
}
_KEEPERS = (nn.Identity, nn.Flatten, nn.Unflatten, nn.modules.dropout._DropoutNd)
_KEEPS_LAYOUT = frozenset(
    {
        "contiguous",
        "detach",
        "view",
        "view_as",
        "reshape",
        "flatten",
        "unflatten",
        "transpose",
        "permute",
        "t",
        "squeeze",
        "unsqueeze",
    }
)


def written_value(write: Node) -> Node | None:
    """The argument that an in-place call writes to; None where it isn't one plain value."""
    places = (write.kwargs.get("out"), *write.args[:1], write.kwargs.get("input"))
    value = next((place for place in places if isinstance(place, Node)), None)
    if value is None or not set(write.meta["mutates"]) <= set(value.meta.get("storages", ())):
        return None
    return value


def take_out_of_place(write: Node, value: Node, graph: ChoiceGraph) -> None:
    """Makes an in-place call leave `value` as it is: by its out-of-place form, or by a copy that it writes to."""
    new = 1 + max(number for node in write.graph.nodes for number in (*node.meta.get("storages", ()), -1))
    if is_dense(value, graph) and _has_other_form(write, graph):
        write.meta = {note: what for note, what in write.meta.items() if note not in ("mutates", "effect")}
    else:
        write.replace_input_with(value, _copy(write, value, new, is_dense(value, graph)))
        write.meta["mutates"] = (new,)
    renumber(write, new)


def is_dense(value: Node, graph: ChoiceGraph) -> bool:
    """Whether the value is known to fill its memory: only then a new tensor gets the same strides.

    Sums and other reductions add up in an order that depends on the strides.
    """
    memory = set(value.meta.get("storages", ()))
    node, shared = value.prev, False
    while node.op != "root" and not shared:
        shared, node = not memory.isdisjoint(node.meta.get("storages", ())), node.prev
    if not shared:
        return True
    sources = [used for used in value.all_input_nodes if not memory.isdisjoint(used.meta.get("storages", ()))]
    return bool(sources) and _keeps_layout(value, graph) and all(is_dense(source, graph) for source in sources)


def _keeps_layout(node: Node, graph: ChoiceGraph) -> bool:
    """Whether the call gives all of the memory that it is given, in some order."""
    if node.meta.get("mutates") or is_choose(node) or is_switch(node):
        return True
    if node.op == "call_module":
        return isinstance(attribute(graph.module, str(node.target)), _KEEPERS)
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op in ("call_function", "call_method") and name in _KEEPS_LAYOUT


def _has_other_form(write: Node, graph: ChoiceGraph) -> bool:
    """Gives the call its out-of-place form, if it has one."""
    if write.op == "call_module":
        return _replace_module(write, graph)
    if write.target in _FUNCTIONS and write.kwargs.get("inplace") is True:
        write.kwargs = {**write.kwargs, "inplace": False}
        return True
    other: Any = _OPERATORS.get(write.target)  # type: ignore[arg-type]
    if write.op == "call_method" and write.target in _METHODS:
        other = str(write.target).removesuffix("_")
    if other is None or not _keeps_dtype(write, other):
        return False
    write.target = other
    return True


def _replace_module(write: Node, graph: ChoiceGraph) -> bool:
    module = attribute(graph.module, str(write.target))
    calls = sum(node.op == "call_module" and node.target == write.target for node in write.graph.nodes)
    if type(module) not in _MODULES or calls > 1:  # the other calls have to stay in place
        return False
    repaired = copy.copy(module)
    repaired.inplace = False
    replace(graph.module, str(write.target), repaired)
    return True


def _keeps_dtype(write: Node, other: Any) -> bool:
    """Whether the out-of-place form has the dtype of the value: half += float stays half, half + float is float."""
    try:
        args, kwargs = map_arg((write.args, write.kwargs), _on_meta)
        result = getattr(Tensor, other)(*args, **kwargs) if isinstance(other, str) else other(*args, **kwargs)
        return bool(result.dtype == write.meta["dtype"] and tuple(result.shape) == write.meta["shape"])
    except Exception:  # a value without notes, or another form with other arguments: a copy is right in any case
        return False


def _on_meta(node: Node) -> Tensor:
    return torch.empty(node.meta["shape"], dtype=node.meta["dtype"], device="meta")


def _copy(write: Node, value: Node, new: int, dense: bool) -> Node:
    """A copy of the value, in memory `new`, with the same strides."""
    before = write.prev
    with write.graph.inserting_before(write):
        if dense:
            copied = write.graph.call_method("clone", (value,))
        else:
            size, stride = (write.graph.call_method(name, (value,)) for name in ("size", "stride"))
            empty = write.graph.call_method("new_empty_strided", (value, size, stride))
            copied = write.graph.call_method("copy_", (empty, value))
            copied.meta["mutates"] = empty.meta["storages"] = (new,)
    notes = {note: what for note, what in write.meta.items() if note in ("frame", "guard")}
    while before.next is not write:
        before = before.next
        before.meta.update(notes)
    copied.meta.update({note: value.meta[note] for note in ("shape", "dtype") if note in value.meta}, storages=(new,))
    return copied
