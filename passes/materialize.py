"""Materialize: the network of one architecture, as a plain module."""

from __future__ import annotations

import copy
import itertools
import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from fxnas.architecture import Architecture
from fxnas.conditions import ALWAYS, NEVER, TRAINING, TRAINING_KEY, Atom, Condition, all_of, negate
from fxnas.graph import ChoiceGraph
from fxnas.ir.children import MODE, SafeNames, assemble, mount
from fxnas.ir.liveness import is_choose, is_switch, switch_condition
from fxnas.modules import attribute
from fxnas.passes.base import Pass
from fxnas.passes.modes import differs, draws, split


class Materialize(Pass):
    """Substitutes the chosen candidates, drops what nothing needs, and clones the weights that are left.

    Exact: outputs, gradients, buffers and random state are those of the graph set to this architecture, bit for bit.
    What one mode alone runs is computed in both where that doesn't show; where it draws random numbers or writes to
    memory, it moves into graphs of its own, which `torch.cond` runs in that mode (`only_training`, `only_evaluation`).
    The result refers to nothing of fxnas. `module.meta["fxnas"]` holds plain data: the architecture, the space, the
    fingerprint, and the user's paths where a name had to be replaced.

    Copies and pickles of it are equal to it, and load without fxnas. What was loaded from a pickle belongs to torch.fx
    alone: pickled once more, it loses writes to buffers and its mode; export it, or pickle the original.

    Args:
        architecture: an Architecture, or a mapping in any of the JSON forms.
    """

    requires = ("traced",)
    ensures = "materialized"

    def __init__(self, architecture: Mapping[str, Any]) -> None:
        self.architecture = architecture

    def rewrite(self, graph: ChoiceGraph) -> bool:
        """Not used: the result is built anew."""
        raise NotImplementedError

    def transform(self, graph: ChoiceGraph) -> tuple[ChoiceGraph, bool]:
        """Builds the child.

        Raises:
            ArchitectureError: it is no architecture of the graph's space.
        """
        space, given = graph.space, self.architecture
        architecture = given if isinstance(given, Architecture) else Architecture.from_json(given, space)
        complete = space.complete(architecture)
        canonical = space.canonical(complete)
        substitution = _Substitution(graph, complete)
        plain = substitution.run()
        names = SafeNames(graph.module)
        memo: dict[int, Any] = {}
        root = mount(graph.module, plain, names, lambda found: copy.deepcopy(found, memo))
        paths = _rename(plain, names)
        if substitution.acts:
            root._modules.update(split(plain, substitution.only, [*root._modules, *root._parameters, *root._buffers]))
        module = assemble(root, plain, type(graph.module).__name__)
        module.meta["fxnas"] = {
            "architecture": canonical.to_json(),
            "space": space.to_json(),
            "fingerprint": canonical.fingerprint,
            "paths": paths,
        }
        child = ChoiceGraph(module, "materialized", example_inputs=graph.example_inputs)
        self.check_result(child)
        return child, True

    def __str__(self) -> str:
        return f"Materialize({dict(self.architecture)})"


def materialize(graph: ChoiceGraph, architecture: Mapping[str, Any]) -> GraphModule:
    """The network of one architecture as a plain `GraphModule`; see `Materialize`.

    Args:
        graph: a traced graph; it is left as it is.
        architecture: an Architecture, or a mapping in any of the JSON forms.

    Raises:
        ArchitectureError: it is no architecture of the graph's space.
        PassError: the graph can't be materialized.
    """
    return Materialize(architecture)(graph).graph.module


def _rename(graph: Graph, names: SafeNames) -> dict[str, str]:
    """Gives the targets their safe names; returns the user's path of each."""
    paths: dict[str, str] = {}
    for node in graph.nodes:
        if node.op in ("call_module", "get_attr") and node.target != MODE:
            path = str(node.target)
            node.target = names(path)
            paths[names(path)] = path
    return paths


class _Substitution:
    """Copies what one architecture needs into a new graph.

    Attributes:
        only: the new nodes that one mode alone needs, each with that mode (True: training).
        acts: whether some of them must not run in the other one: they draw random numbers, or write to memory that is
            there in both.
    """

    def __init__(self, graph: ChoiceGraph, decisions: Mapping[str, tuple[int, ...]]) -> None:
        self.graph, self.decisions = graph, decisions
        self.new = Graph()
        self._value: dict[Node, Any] = {}
        self._mode: Node | None = None
        self.only: dict[Node, bool] = {}
        self.acts = False

    def run(self) -> Graph:
        """The new graph; its targets are those of the old one."""
        memo: dict[Condition, Condition] = {}
        conditions = self.graph.conditions()
        left = {node: conditions[node].substitute(self._truth, memo) for node in self.graph.graph.nodes}
        always: set[int] = set()  # storages that are there in both modes
        for node, condition in left.items():
            if condition is NEVER:
                continue
            last = next(reversed(self.new.nodes), None)
            self._value[node] = self._switched(node, condition) if is_switch(node) else self._copy(node)
            self._follow_mode(self._value[node], condition)
            if condition is ALWAYS:
                always.update(node.meta.get("storages", ()))
            else:
                self._note_mode(node, last, condition, always)
        return self.new

    def _note_mode(self, node: Node, last: Node | None, needed: Condition, always: set[int]) -> None:
        """What only one mode needs, and whether it shows where it is computed in the other."""
        training = self._only(needed, training=True)
        made = itertools.takewhile(lambda new: new is not last, reversed(self.new.nodes))
        for new in [new for new in made if new.op != "get_attr"]:
            self.only[new] = training
            self.acts = self.acts or draws(new) or self._is_changed(new, training)
        self.acts = self.acts or node.meta.get("effect", False) or not always.isdisjoint(node.meta.get("mutates", ()))

    def _is_changed(self, new: Node, training: bool) -> bool:
        return new.op == "call_module" and differs(attribute(self.graph.module, str(new.target)), training)

    def _follow_mode(self, copied: Any, needed: Condition) -> None:
        """A dropout that only training needs is computed in evaluation too: as one that does and draws nothing."""
        if isinstance(copied, Node) and copied.kwargs.get("training") is True and self._only(needed, training=True):
            copied.kwargs = {**copied.kwargs, "training": self._mode_before(copied)}

    def _only(self, needed: Condition, training: bool) -> bool:
        """Whether one mode alone needs a value."""
        return needed is not ALWAYS and all_of([needed, negate(TRAINING) if training else TRAINING]) is NEVER

    def _mode_before(self, node: Node) -> Node:
        if self._mode is None:
            with self.new.inserting_before(node):
                self._mode = self.new.create_node("get_attr", MODE, (), {}, MODE)
        return self._mode

    def _truth(self, atom: Atom) -> bool | None:
        return None if atom.key == TRAINING_KEY else atom.holds(self.decisions)

    def _copy(self, node: Node) -> Any:
        if is_choose(node):
            return self._chosen(node)
        args = [self._mapped(arg) for arg in node.args]
        if node.target is operator.add and all(isinstance(arg, list) for arg in args):
            return [*args[0], *args[1]]
        if node.target is operator.getitem and isinstance(args[0], list | tuple) and isinstance(args[1], int):
            return args[0][args[1]]
        copied = self.new.create_node(
            node.op, node.target, tuple(args), {k: self._mapped(v) for k, v in node.kwargs.items()}, node.name
        )
        copied.meta = {key: value for key, value in node.meta.items() if key != "guard"}
        return copied

    def _mapped(self, value: Any) -> Any:
        if isinstance(value, Node):
            return self._value[value]
        if isinstance(value, tuple):
            items = [self._mapped(item) for item in value]
            return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
        if isinstance(value, list):
            return [self._mapped(item) for item in value]
        if isinstance(value, dict):
            return {key: self._mapped(item) for key, item in value.items()}
        if isinstance(value, slice):
            return slice(self._mapped(value.start), self._mapped(value.stop), self._mapped(value.step))
        return value

    # -- choices

    def _chosen(self, node: Node) -> Any:
        details: Any = node.kwargs
        decision = self.decisions[details["key"]]
        if details["reduction"] == "mask":
            bits = [i in decision for i in range(len(details["candidates"]))]
            kwargs = {"dtype": torch.bool, "device": self._mapped(details["device"])}
            return self.new.create_node("call_function", torch.tensor, (bits,), kwargs, node.name)
        options = [self._mapped(node.args[0][i]) for i in decision]  # type: ignore[index]
        return self._reduced(options, details["reduction"], node)

    def _reduced(self, options: list[Any], reduction: str, node: Node) -> Any:
        """As `ops.reduce_outputs`, node by node."""
        if reduction == "none":
            return options
        if len(options) < 2:
            return options[0] if options else None
        if reduction == "concat":
            return self._call(node, torch.cat, (options,), dim=1)
        total = options[0]
        for option in options[1:]:
            total = self._call(node, operator.add, (total, option))
        return total if reduction == "sum" else self._call(node, operator.truediv, (total, len(options)))

    def _call(self, node: Node, function: Any, args: tuple[Any, ...], **kwargs: Any) -> Node:
        made = self.new.create_node("call_function", function, args, kwargs, node.name)
        made.meta = {key: node.meta[key] for key in ("frame", "shape", "dtype") if key in node.meta}
        return made

    def _switched(self, node: Node, needed: Condition) -> Any:
        condition = switch_condition(node)
        if condition is not TRAINING:
            side = 0 if condition.holds(self.decisions) else 1
            return self._mapped(node.args[side])
        for side, training in enumerate((True, False)):
            if self._only(needed, training):
                return self._mapped(node.args[side])
        present, absent = map(self._mapped, node.args)
        if self._mode is None:
            self._mode = self.new.create_node("get_attr", MODE, (), {}, MODE)
        if (present, absent) == (True, False):
            return self._mode
        return self._call(node, operator.getitem, ((absent, present), self._mode))
