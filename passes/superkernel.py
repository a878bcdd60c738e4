"""MergeKernels: candidates that are convolutions of nested sizes become one, whose outer shells come and go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.fx import Node

from fxnas.conditions import ALWAYS
from fxnas.errors import PassError
from fxnas.graph import ChoiceGraph
from fxnas.ir.liveness import guard_of
from fxnas.ir.supernet import Supernet
from fxnas.mixing import mix
from fxnas.modules import attribute, join
from fxnas.passes.alignment import CONVOLUTIONS
from fxnas.passes.base import Pass
from fxnas.passes.calls import single_argument
from fxnas.passes.kernels import Merger, Superkernel, mergers
from fxnas.passes.relax import mounted
from fxnas.shells import shelled


class MergeKernels(Pass):
    """Replaces each choice by its largest candidate, with gates on what the smaller ones don't have.

    For a choice of one of several layers that are the same chain of operations, where convolutions differ in the size
    of the kernel (a 3×3 kernel is the core of a 5×5 one, with paddings that center both at the same place) or in the
    number of channels between two of them (few channels come first among many; the rest is cut off where the next
    convolution reads them, since up to there channels don't see each other). Sizes vary together or in every
    combination. One candidate more may have no weights, such as an identity or zeros: what is left when everything is
    dropped. Other layers of the chain, such as batch norms, are shared.

    With gates of one and zero the graph computes what the candidate computes of the sliced weights (see `fill`), but
    for rounding: sums have more terms, which are zero.

    Args:
        gates: for each key that leaves something to choose the modules whose calls give the gates: one for each axis of
            its superkernel, shape [shells], the first of them that of the core; and where a candidate drops everything
            one more, shape [2]: the weights of the kernel and of what is left without it.

    Raises:
        PassError: some choice can't be merged; the message names each key, and why.
    """

    requires = ("traced",)
    ensures = "relaxed"

    def __init__(self, gates: Mapping[str, Sequence[nn.Module]]) -> None:
        self.gates = gates

    def rewrite(self, graph: ChoiceGraph) -> bool:
        """Merges every choice that leaves something to choose."""
        found = mergers(graph)
        for key, merger in found.items():
            wanted = len(merger.superkernel.axes) + (merger.superkernel.drop is not None)
            if len(self.gates.get(key, ())) != wanted:
                raise PassError(
                    f"{self}: the superkernel of {key!r} takes {wanted} gates, got {len(self.gates.get(key, ()))}"
                )
        calls = iter(mounted(graph, [gate for key in found for gate in self.gates[key]]))
        for key, merger in found.items():
            _merge(merger, [next(calls) for _ in self.gates[key]], graph)
        if isinstance(graph.module, Supernet):
            graph.module.forget()
        return bool(found)


def superkernels(graph: ChoiceGraph) -> dict[str, Superkernel]:
    """The superkernel of each key that leaves something to choose: what `MergeKernels` would merge.

    Raises:
        PassError: some choice can't be merged; the message names each key, and why.
    """
    return {key: merger.superkernel for key, merger in mergers(graph).items()}


def _merge(merger: Merger, gates: Sequence[Node], graph: ChoiceGraph) -> None:
    superkernel, largest = merger.superkernel, merger.largest
    gating: dict[str, list[tuple[Node, Any]]] = {}
    for gate, axis in zip(gates, superkernel.axes, strict=False):
        for shells in axis:
            gating.setdefault(shells.path, []).append((gate, shells.sizes))
    for place in merger.places:
        node, drop = place.node, superkernel.drop
        for i in (largest,) if drop is None else (largest, drop):
            for each in place.regions[i]:
                _free(each, superkernel.key, i)
        for each in place.regions[largest]:
            if each.op == "call_module" and str(each.target) in gating:
                _gate(each, gating[str(each.target)], graph)
        options: Any = node.args[0]
        new = options[largest]
        if drop is not None:
            names: Any = node.kwargs["candidates"]
            details: Any = {"key": superkernel.key, "candidates": (names[largest], names[drop]), "n_chosen": None}
            with node.graph.inserting_before(node):
                both = (new, options[drop])
                new = node.graph.create_node("call_function", mix, (both, gates[-1]), details, node.name)
            new.meta = dict(node.meta)
        node.replace_all_uses_with(new)
        node.graph.erase_node(node)


def _free(node: Node, key: str, candidate: int) -> None:
    """What ran for one candidate runs always."""
    guard = guard_of(node).under(key, (candidate,))
    if guard is ALWAYS:
        node.meta.pop("guard", None)
    else:
        node.meta["guard"] = guard


def _gate(node: Node, gating: Sequence[tuple[Node, Any]], graph: ChoiceGraph) -> None:
    path = str(node.target)
    convolution: Any = attribute(graph.module, path)
    made = node.graph
    notes = {note: node.meta[note] for note in ("frame", "guard") if note in node.meta}
    with made.inserting_before(node):
        weight = made.create_node("get_attr", join(path, "weight"))
        bias = None if convolution.bias is None else made.create_node("get_attr", join(path, "bias"))
        parts = [weight, *(() if bias is None else (bias,))]
        for gate, sizes in gating:
            weight = made.call_function(shelled, (weight, gate, sizes))
            parts.append(weight)
        arguments = (
            single_argument(node), weight, bias, convolution.stride, convolution.padding, convolution.dilation,
            convolution.groups,
        )  # fmt: skip
        new = made.create_node("call_function", CONVOLUTIONS[type(convolution)], arguments, {}, node.name)
    for part in parts:
        part.meta = dict(notes)
    new.meta = dict(node.meta)
    node.replace_all_uses_with(new)
    made.erase_node(node)
