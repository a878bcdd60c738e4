"""Runs every node of a graph on tensors without data, once for each form that its inputs can have.

What a node costs depends on the shapes that it meets, and these may depend on decisions: a concatenation of any number
of inputs has as many widths. So a value here is a list of *alternatives*, each with the condition under which it is
what flows; values of one form (shapes, strides, dtypes) are one alternative, which nearly always leaves a single one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import Node
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree

from fxnas import ops
from fxnas.conditions import ALWAYS, NEVER, TRAINING_KEY, Condition, all_of, any_of, negate
from fxnas.counting.tautology import always_true
from fxnas.errors import PassError
from fxnas.graph import ChoiceGraph
from fxnas.ir.liveness import is_choose, is_switch, option_condition, switch_condition
from fxnas.modules import attribute, submodule
from fxnas.space import SearchSpace

MOST_FORMS = 256


class Alternative(NamedTuple):
    """A value, and when it is what flows."""

    when: Condition
    value: Any


class Call(NamedTuple):
    """A call to be run: of a function, of a method by its name, or of a module."""

    node: Node
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def run(self) -> Any:
        """What it returns."""
        return self.function(*self.args, **self.kwargs)


Measure = Callable[[Call], tuple[Any, Any]]
"""Runs a call; gives its value, and what is to be known of it."""


class Seen(NamedTuple):
    """What was measured at a node.

    Attributes:
        node: the node.
        when: under which decisions the node runs, and with these inputs.
        measured: what `measure` returned.
        value: what the node gives then, without data.
    """

    node: Node
    when: Condition
    measured: Any
    value: Any


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
                    reduction = _Reduction(self, node, needed)
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
                    value, measured = self.measure(self._bound(node, inputs))
            except Exception as error:
                if is_possible(when, self.space):
                    raise unmeasured(node, error) from error
                continue
            values.append(Alternative(condition, value))
            results.append(Seen(node, when, measured, value))
        self.values[node] = merged(values, node)
        yield from same_merged(results, needed)

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


class _Reduction:
    """What a `choose` gives.

    Its *states* are what it may have to reduce: lists of options, told apart by their forms.
    """

    def __init__(self, walk: _Walk, node: Node, needed: Condition) -> None:
        details: Any = node.kwargs
        self.walk, self.node, self.needed = walk, node, needed
        self.count, self.n_chosen, self.reduction = (
            len(details["candidates"]),
            details["n_chosen"],
            details["reduction"],
        )
        self.taken = [option_condition(node, i) for i in range(self.count)]
        self.options: list[list[Alternative]] = []
        if self.reduction != "mask":
            options: Any = node.args[0]
            whens = [all_of([needed, taken]) for taken in self.taken]
            self.options = [merged(walk.alternatives(o, when), node) for o, when in zip(options, whens, strict=True)]
        alike = merged(itertools.chain.from_iterable(self.options), node)
        self.alike = alike[0].value if len(alike) == 1 else None  # where all options have one form

    def measured(self) -> list[Seen]:
        """What the reduction itself costs."""
        if self.alike is not None or self.reduction == "mask":
            counts = range(self.count + 1) if self.n_chosen is None and self.options else [self.n_chosen or 0]
            found = [self._run([self.alike] * count) for count in counts]
            if all(one.measured == found[-1].measured for one in found):
                return found[-1:]
        return same_merged([self._run(parts, when) for when, parts in self.states], self.needed)

    def _run(self, parts: list[Any], when: Condition = ALWAYS) -> Seen:
        reduce: Any = ops.mask if self.reduction == "mask" else ops.reduce_outputs
        args = ((), self.count) if self.reduction == "mask" else (parts, self.reduction)
        value, measured = self.walk.measure(Call(self.node, reduce, args, {}))
        return Seen(self.node, all_of([self.needed, when]), measured, value)

    def alternatives(self) -> Iterable[Alternative]:
        """What it can give."""
        if self.reduction == "mask":
            return [Alternative(ALWAYS, torch.empty(self.count, dtype=torch.bool))]
        if self.alike is not None and self.n_chosen is None and self.reduction in ("sum", "mean"):
            something = any_of(self.taken)
            value = ops.reduce_outputs([self.alike, self.alike], self.reduction)
            return [Alternative(something, value), Alternative(negate(something), None)]
        return [Alternative(when, ops.reduce_outputs(parts, self.reduction)) for when, parts in self.states]

    @cached_property
    def states(self) -> list[tuple[Condition, list[Any]]]:
        """The lists of options, each with its condition."""
        if self.n_chosen == 1:
            taken = zip(self.taken, self.options, strict=True)
            found = [Alternative(all_of([when, o.when]), o.value) for when, options in taken for o in options]
            return [(one.when, [one.value]) for one in merged(found, self.node)]
        if self.alike is not None and self.n_chosen is not None:
            return [(ALWAYS, [self.alike] * self.n_chosen)]
        return self._folded()

    def _folded(self) -> list[tuple[Condition, list[Any]]]:
        """Takes or leaves one option after the other."""
        states: list[tuple[Condition, list[Any]]] = [(ALWAYS, [])]
        for taken, options in zip(self.taken, self.options, strict=True):
            following: dict[object, tuple[Condition, list[Any]]] = {}
            for condition, parts in states:
                _join(following, all_of([condition, negate(taken)]), parts)
                for option in options:
                    _join(following, all_of([condition, taken, option.when]), [*parts, option.value])
            states = list(following.values())
            if len(states) > MOST_FORMS:
                raise PassError(f"{place(self.node)}: more than {MOST_FORMS} combinations of shapes meet")
        return [state for state in states if self.n_chosen in (None, len(state[1]))]


def _join(states: dict[object, tuple[Condition, list[Any]]], condition: Condition, parts: list[Any]) -> None:
    if condition is not NEVER:
        forms = sorted(map(form, parts), key=repr)
        before = states.get(key := repr(forms), (NEVER, parts))
        states[key] = (any_of([before[0], condition]), before[1])


def same_merged(seen: list[Seen], needed: Condition) -> list[Seen]:
    """One entry where all measurements are equal."""
    same = bool(seen) and all(other.measured == seen[0].measured for other in seen)
    return [seen[0]._replace(when=needed)] if same else seen


def merged(alternatives: Iterable[Alternative], node: Node) -> list[Alternative]:
    """One alternative for each form; a single one is what flows always."""
    found: dict[object, Alternative] = {}
    for when, value in alternatives:
        if when is not NEVER:
            known = found.get(key := form(value), Alternative(NEVER, value))
            found[key] = Alternative(any_of([known.when, when]), known.value)
    if len(found) > MOST_FORMS:
        raise PassError(f"{place(node)}: has more than {MOST_FORMS} shapes, depending on decisions")
    if len(found) == 1:
        return [Alternative(ALWAYS, next(iter(found.values())).value)]
    return list(found.values())


def form(value: Any) -> object:
    """What values have in common that cost the same: the layout of tensors, and all else as it is.

    Strides are part of it: whether a reshape copies, or a view is possible at all, depends on them.
    """
    leaves, structure = pytree.tree_flatten(value)
    return (structure, tuple(map(_form, leaves)))


def _form(leaf: Any) -> object:
    if isinstance(leaf, Tensor):
        strides = tuple(stride if size > 1 else 0 for size, stride in zip(leaf.shape, leaf.stride(), strict=True))
        return (tuple(leaf.shape), strides, leaf.dtype, leaf.device)
    if isinstance(leaf, bool | int | float | str | torch.dtype | torch.device | None):
        return (type(leaf), leaf)
    return id(leaf)


def is_possible(condition: Condition, space: SearchSpace) -> bool:
    """Whether some decisions fulfil a condition."""
    sizes = {key: (len(choice.candidates), choice.n_chosen) for key, choice in space.items()}
    return not always_true(negate(condition), sizes)


def place(node: Node) -> str:
    """The user's line and the node, for messages."""
    target = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.target)
    return f"{node.meta.get('frame') or 'the graph'}: node {node.name} ({target})"


def unmeasured(node: Node, error: Exception, how: str = "on tensors without data") -> PassError:
    """The error for a node that can't be run."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    return PassError(
        f"{place(node)} can't be measured {how}: {type(error).__name__}: {first}; a custom operator "
        "needs torch.library.register_fake, a graph traced with dynamic_batch=False needs batch=None"
    )


def _nodes_in(value: Any) -> list[Node]:
    found: dict[Node, None] = {}
    map_arg(value, lambda node: found.setdefault(node))
    return list(found)
