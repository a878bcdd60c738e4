"""Runs every node of a graph on tensors without data, once for each form that its inputs can have.

What a node costs depends on the shapes that it meets, and these may depend on decisions: a concatenation of any number
of inputs has as many widths. So a value here is a list of *alternatives*, each with the condition under which it is
what flows; values of one form (shapes, strides, dtypes) are one alternative, which nearly always leaves a single one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import Node
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree

from fxnas.conditions import ALWAYS, NEVER, TRAINING_KEY, Condition, all_of, negate
from fxnas.costs.alternatives import (
    MOST_FORMS,
    Alternative,
    Call,
    Measure,
    Seen,
    is_possible,
    merged,
    place,
    same_merged,
    unmeasured,
)  # fmt: skip
from fxnas.costs.reductions import Reduction
from fxnas.costs.signatures import Signatures
from fxnas.errors import PassError
from fxnas.graph import ChoiceGraph
from fxnas.ir.liveness import is_choose, is_switch, switch_condition
from fxnas.modules import attribute, submodule


def walk(graph: ChoiceGraph, measure: Measure, *, batch: int | None, training: bool = False) -> list[Seen]:
    """Runs every call of a graph and measures it.

    Args:
        graph: a traced graph; it is left as it is.
        measure: runs a call on fake tensors; gives its value and whatever is to be known of it.
        batch: the batch size; None: that of the example inputs.
        training: the mode of the modules, and which side of a branch on it counts.

    Returns:
        one entry for each node and distinct measurement, in graph order.

    Raises:
        PassError: a node can't be run without data; the message names it and the user's line.
    """
    needed = in_mode(graph.conditions(), training)
    placeholders = [node for node in graph.graph.nodes if node.op == "placeholder"]
    inputs = list(_bound(placeholders, *resized_inputs(graph, batch)))
    with _in_mode(graph.module, training), torch.enable_grad():
        return list(_Walk(graph, measure, needed, training, inputs).run())


def in_mode(conditions: Mapping[Node, Condition], training: bool) -> dict[Node, Condition]:
    """The conditions in one mode."""
    memo: dict[Condition, Condition] = {}
    return {
        node: condition.substitute(lambda atom: training if atom.key == TRAINING_KEY else None, memo)
        for node, condition in conditions.items()
    }


def resized_inputs(graph: ChoiceGraph, batch: int | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The example inputs as `(args, kwargs)`; their tensors may have another batch size, and no content then.

    Raises:
        PassError: the graph has no example inputs.
    """
    if graph.example_inputs is None:
        raise PassError("the graph has no example inputs: trace the model again")
    leaves, form = pytree.tree_flatten(graph.example_inputs)
    old = next((leaf.shape[0] for leaf in leaves if isinstance(leaf, Tensor) and leaf.dim()), None)
    if batch is not None and old is not None:
        leaves = [_resized(leaf, batch) if _has_batch(leaf, old) else leaf for leaf in leaves]
    args, kwargs = pytree.tree_unflatten(leaves, form)
    return args, kwargs


def _bound(placeholders: list[Node], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
    rest, named = list(args), dict(kwargs)
    for node in placeholders:
        name = str(node.target)
        if name.startswith("**"):
            yield named
        elif name.startswith("*"):
            yield tuple(rest)
            rest = []
        elif name in named:
            yield named.pop(name)
        else:
            yield rest.pop(0) if rest else next(iter(node.args), None)


def _has_batch(leaf: object, batch: int) -> bool:
    return isinstance(leaf, Tensor) and leaf.dim() > 0 and leaf.shape[0] == batch


def _resized(tensor: Tensor, batch: int) -> Tensor:
    return torch.empty((batch, *tensor.shape[1:]), dtype=tensor.dtype, device=tensor.device)


@contextmanager
def _in_mode(module: nn.Module, training: bool) -> Iterator[None]:
    """Modules in one mode; what hooks assign to them, tensors without data, is taken back."""
    parts = list(module.modules())
    saved = [tuple(map(dict, _tables(part))) for part in parts]
    try:
        for part in parts:
            part.training = training
        yield
    finally:
        for part, tables in zip(parts, saved, strict=True):
            for now, before in zip(_tables(part), tables, strict=True):
                if len(now) != len(before) or any(now.get(name) is not value for name, value in before.items()):
                    now.clear()
                    now.update(before)


def _tables(module: nn.Module) -> tuple[dict[str, Any], ...]:
    return module.__dict__, module._parameters, module._buffers


class _Walk:
    def __init__(
        self,
        graph: ChoiceGraph,
        measure: Measure,
        needed: dict[Node, Condition],
        training: bool,
        inputs: list[Any],
    ) -> None:
        self.module, self.nodes, self.space = graph.module, list(graph.graph.nodes), graph.space
        self.measure, self.needed, self.training = measure, needed, training
        self.fakes = FakeTensorMode(allow_non_fake_inputs=True)
        self.inputs = iter(inputs)
        self.values: dict[Node, list[Alternative]] = {}
        self.known: dict[tuple[Any, str], tuple[Any, Any]] = {}
        self.described = Signatures()

    def run(self) -> Iterator[Seen]:
        for node in self.nodes:
            needed = self.needed[node]
            if node.op == "placeholder":
                self.values[node] = [Alternative(ALWAYS, self._fake(next(self.inputs)))]
            elif needed is NEVER or node.op == "output":
                continue
            elif node.op == "get_attr":
                self.values[node] = [Alternative(ALWAYS, self._fake(attribute(self.module, str(node.target))))]
            elif is_switch(node):
                self.values[node] = merged(self._switch(node, needed), node)
            elif is_choose(node):
                with self.fakes:
                    reduction = Reduction(self, node, needed)
                    yield from reduction.measured()
                    self.values[node] = merged(reduction.alternatives(), node)
            else:
                yield from self._call(node, needed)

    def _fake(self, value: Any) -> Any:
        return pytree.tree_map_only(Tensor, self.fakes.from_tensor, value)

    def _switch(self, node: Node, needed: Condition) -> Iterator[Alternative]:
        condition = switch_condition(node)
        if node.kwargs["key"] == TRAINING_KEY:
            condition = ALWAYS if self.training else NEVER
        for side, when in zip(node.args, (condition, negate(condition)), strict=True):
            yield from self.alternatives(side, all_of([needed, when]), when)

    def alternatives(self, value: Any, needed: Condition, when: Condition = ALWAYS) -> Iterator[Alternative]:
        """What an argument can be where `needed` holds, each under `when` and its own condition."""
        for condition, values in self._combinations(_nodes_in(value), needed):
            yield Alternative(all_of([when, condition]), map_arg(value, values.__getitem__))

    def _combinations(self, nodes: list[Node], needed: Condition) -> list[tuple[Condition, dict[Node, Any]]]:
        """The values that nodes have together."""
        found: list[tuple[Condition, dict[Node, Any]]] = [] if needed is NEVER else [(ALWAYS, {})]
        for node in nodes:
            found = [
                (both, {**values, node: other.value})
                for condition, values in found
                for other in self.values[node]
                if (both := all_of([condition, other.when])) is not NEVER
                and (other.when is ALWAYS or all_of([needed, both]) is not NEVER)
            ]
            if len(found) > MOST_FORMS:
                raise PassError(f"{place(node)}: more than {MOST_FORMS} combinations of shapes meet")
        return found

    def _call(self, node: Node, needed: Condition) -> Iterator[Seen]:
        results: list[Seen] = []
        values: list[Alternative] = []
        for condition, inputs in self._combinations(node.all_input_nodes, needed):
            when = all_of([needed, condition])
            try:
                with self.fakes:
                    value, measured = self._measured(self._bound(node, inputs))
            except Exception as error:
                if is_possible(when, self.space):
                    raise unmeasured(node, error) from error
                continue
            values.append(Alternative(condition, value))
            results.append(Seen(node, when, measured, value))
        self.values[node] = merged(values, node)
        yield from same_merged(results, needed)

    def _measured(self, call: Call) -> tuple[Any, Any]:
        """Equal calls are measured once."""
        function = None if call.node.op == "call_module" else call.function
        key = (function, self.described(call))
        if key not in self.known:
            self.known[key] = self.measure(call)
        return self.known[key]

    def _bound(self, node: Node, inputs: Mapping[Node, Any]) -> Call:
        args, kwargs = map_arg((node.args, node.kwargs), inputs.__getitem__)
        if node.meta.get("mutates"):  # another alternative reads what was there before
            args, kwargs = pytree.tree_map_only(Tensor, torch.clone, (args, kwargs))
        if node.op == "call_module":
            return Call(node, submodule(self.module, str(node.target)), args, kwargs)
        if node.op == "call_method":
            return Call(node, getattr(type(args[0]), str(node.target)), args, kwargs)
        assert callable(node.target)
        return Call(node, node.target, args, kwargs)


def _nodes_in(value: Any) -> list[Node]:
    found: dict[Node, None] = {}
    map_arg(value, lambda node: found.setdefault(node))
    return list(found)
