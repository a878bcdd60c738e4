"""Relax: the candidates of each choice are mixed, where one of them was chosen."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.fx import Node

from fxnas import mixing
from fxnas.conditions import ALWAYS, NEVER, Condition, all_of, any_of, chosen, negate, present
from fxnas.errors import PassError
from fxnas.graph import ChoiceGraph
from fxnas.ir.liveness import guard_of, is_choose, is_switch, switch_condition
from fxnas.ir.supernet import Supernet
from fxnas.passes.aliases import crossings
from fxnas.passes.base import Pass, around, line_of

PRESENT, ABSENT = 0, 1


class Relax(Pass):
    """Replaces each choice by the weighted sum of its candidates' outputs.

    The weights of a key are the inclusion probabilities of its candidates: what a mixture, a module, gives when it is
    called without arguments, once in each run of the graph. With weights of one and zero the graph computes what the
    materialized network computes.

    * One of several candidates: Σ wᵢ · outputᵢ; likewise for a fixed number that are summed.
    * A mean over k chosen: the same, divided by k; over any number: divided by Σ wᵢ.
    * Any number of inputs: the sum, divided by the probability that there is one, since it is used only then.
    * The two sides of a branch on whether there is one: their sum, weighted by that probability.

    In-place calls that would change what another candidate reads have to be repaired before: `RepairInPlace`. A chosen
    value is one of the options itself, a mixture is a copy: a write to either that the other shows can't be kept. Where
    no input is chosen and nothing asks for that, the output of an InputChoice is None; here it is still the mixture.

    Which options run is a decision of the relaxed graph's module, under the key of the choice: any subset of the
    candidates; all run until `module.decide` says otherwise. The two sides of a branch go by `side_key`.

    Args:
        mixtures: for each key of the space the module whose call gives the weights, shape [candidates].

    Raises:
        PassError: a choice can't be mixed: a concatenation or list of some of several candidates, a mask, or a branch
            between values that are no tensors; or a write would be lost. The message names the key and the user's line.
    """

    requires = ("traced",)
    ensures = "relaxed"

    def __init__(self, mixtures: Mapping[str, nn.Module]) -> None:
        self.mixtures = mixtures

    def rewrite(self, graph: ChoiceGraph) -> bool:
        """Replaces choices and branches, in graph order."""
        self._check_covered(graph)
        self._check_aliases(graph)
        keys = list(graph.space)
        weights = dict(zip(keys, mounted(graph, [self.mixtures[key] for key in keys]), strict=True))
        modified = False
        for node in list(graph.graph.nodes):
            if "guard" in node.meta:
                node.meta["guard"] = _relaxed(guard_of(node))
            if is_choose(node) or is_switch(node):
                modified = self._replace(node, weights) or modified
        if isinstance(graph.module, Supernet):
            graph.module.forget()  # what one architecture runs; now everything does
        return modified

    def _check_covered(self, graph: ChoiceGraph) -> None:
        missing = [key for key in graph.space if key not in self.mixtures]
        if missing:
            raise PassError(f"{self}: no mixture for the keys {missing}; one is needed for each key of the space")

    def _check_aliases(self, graph: ChoiceGraph) -> None:
        for node in filter(is_choose, graph.graph.nodes):
            crossing = None if _is_decided(node) else next(crossings(node), None)
            if crossing is not None:
                seen = f"{crossing.reader} reads" if crossing.reader is not None else "others see"
                raise PassError(
                    f"{self}: {line_of(crossing.write)}: {crossing.write} writes in place what {seen} on the other "
                    f"side of the choice {node.kwargs['key']!r}; a mixture is a copy:\n{around(crossing.write)}"
                )

    def _replace(self, node: Node, weights: dict[str, Node]) -> bool:
        key = str(node.kwargs["key"])
        if key not in weights or _is_decided(node):
            return False
        with node.graph.inserting_before(node):
            new = self._mixed(node, weights[key]) if is_choose(node) else _sides(node, weights[key])
        new.meta = dict(node.meta)
        node.replace_all_uses_with(new)
        node.graph.erase_node(node)
        return True

    def _mixed(self, node: Node, weights: Node) -> Node:
        details: Any = node.kwargs
        n_chosen, reduction = details["n_chosen"], details["reduction"]
        if reduction == "mask" or (n_chosen != 1 and reduction in ("concat", "none")):
            what = {"mask": "a mask", "concat": "a concatenation", "none": "a list"}[reduction]
            raise PassError(f"{self}: {line_of(node)}: {what} of {details['key']!r} can't be mixed:\n{around(node)}")
        averaged = reduction == "mean" and n_chosen != 1
        scaled = _scaled(weights, n_chosen, averaged)
        mixed = _mix(node, node.args[0], scaled, details["key"], details["candidates"])
        if averaged:  # at the end, as eager Python does: 1/3 of each of three is something else
            count = node.graph.call_function(mixing.number, (weights,)) if n_chosen is None else n_chosen
            return node.graph.call_function(mixing.divided, (mixed, count))
        return node.graph.call_function(list, ((mixed,),)) if reduction == "none" else mixed


def side_key(key: str, candidate: int | None) -> str:
    """The key that decides which sides of a branch run, `PRESENT` or `ABSENT` or both.

    Args:
        key: the key of the choice that the branch asks for.
        candidate: the candidate that it asks for; None: whether there is any.
    """
    return f"{key}\0{'' if candidate is None else candidate}"


def mounted(graph: ChoiceGraph, modules: Sequence[nn.Module]) -> list[Node]:
    """A call of each module at the start of the graph; they lie in one container, under a name that is free."""
    root, first = graph.module, next(n for n in graph.graph.nodes if n.op != "placeholder")
    taken = {*root._modules, *root._parameters, *root._buffers, *root.__dict__}
    names = itertools.chain(["mixtures"], (f"mixtures_{i}" for i in itertools.count()))
    name = next(name for name in names if name not in taken)
    root._modules[name] = nn.ModuleList(modules)
    with graph.graph.inserting_before(first):
        return [graph.graph.call_module(f"{name}.{i}") for i in range(len(modules))]


def _is_decided(node: Node) -> bool:
    """Nothing is open: all candidates are taken, or none, or always the same side."""
    if is_switch(node):
        return switch_condition(node) in (ALWAYS, NEVER)
    return node.kwargs["n_chosen"] in (0, len(node.kwargs["candidates"]))  # type: ignore[arg-type]


def _scaled(weights: Node, n_chosen: int | None, averaged: bool) -> Node:
    if n_chosen is not None:
        return weights
    return weights.graph.call_function(mixing.summands if averaged else mixing.given_presence, (weights,))


def _mix(node: Node, options: Any, weights: Node, key: Any, candidates: Any) -> Node:
    details = {"key": key, "candidates": tuple(candidates), "n_chosen": None}
    return node.graph.create_node("call_function", mixing.mix, (options, weights), details, node.name)


def _sides(node: Node, weights: Node) -> Node:
    key, candidate = str(node.kwargs["key"]), node.kwargs["candidate"]
    probabilities = node.graph.call_function(mixing.sides, (weights, candidate))
    return _mix(node, tuple(node.args), probabilities, side_key(key, candidate), ("present", "absent"))  # type: ignore[arg-type]


def _relaxed(condition: Condition) -> Condition:
    """Under which decisions of the relaxed graph something runs, in place of a condition of the traced one."""
    if condition.kind == "not":
        return _absent(condition.terms[0])
    if condition.kind in ("all", "any"):
        return (all_of if condition.kind == "all" else any_of)(map(_relaxed, condition.terms))
    atom = condition.atom
    if atom is None or atom.key.startswith("\0"):
        return condition
    if atom.candidate is None:
        return present(atom.key, atom.count, None)
    return chosen(atom.key, atom.candidate, atom.count, None)


def _absent(condition: Condition) -> Condition:
    """The same for the opposite of a condition."""
    if condition.kind in ("all", "any"):
        return (any_of if condition.kind == "all" else all_of)(map(_absent, condition.terms))
    atom = condition.atom
    if atom is None or atom.key.startswith("\0"):
        return negate(condition)
    return chosen(side_key(atom.key, atom.candidate), ABSENT, 2, None)
