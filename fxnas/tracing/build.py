"""From a merged program to an fx graph."""

from __future__ import annotations

import inspect
import math
import operator
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch.fx import Graph, Node

from fxnas import ops
from fxnas.choice import Choice
from fxnas.conditions import ALWAYS, NEVER, TRAINING_KEY, Condition, all_of
from fxnas.errors import TraceError
from fxnas.inputs import signature_of
from fxnas.ir.children import MODE
from fxnas.ir.liveness import erase_dead, is_choose, is_switch, needs
from fxnas.nn import choice_paths
from fxnas.tracing.learn import select
from fxnas.tracing.program import Listing, Program, Select, Step, identity
from fxnas.tracing.recording import Attribute, Constant, Expression, size_of
from fxnas.tracing.runs import FAKE_BATCH, PLAIN, Runner
from fxnas.tree import map_leaves


def build_graph(program: Program, runner: Runner) -> tuple[Graph, dict[str, torch.Tensor]]:
    """The graph of a program, without dead nodes, and the tensors that it refers to but the model doesn't hold.

    Raises:
        TraceError: a batch size has become a plain number.
    """
    builder = _Builder(program, runner)
    for step in program.steps:
        builder.add(step)
    graph = builder.graph
    _keep_deciding(graph, _keep_updates(graph))
    erase_dead(graph)
    return graph, builder.constants


def _keep_updates(graph: Graph) -> dict[Node, Condition]:
    """Keeps a batch norm whose output nobody takes, in no architecture: it is called for its statistics.

    Where some architecture takes it, the others don't run it, like all that only an unchosen option needs.

    Returns:
        when each node is needed then.
    """
    conditions = needs(graph)
    for node in reversed(graph.nodes):
        if node.meta.pop("updates", False) and conditions[node] is NEVER:
            node.meta["effect"] = True
            conditions = needs(graph)
    return conditions


def _keep_deciding(graph: Graph, conditions: Mapping[Node, Condition]) -> None:
    """Keeps a choice that no value depends on, where a write to memory does."""
    choices = [node for node in graph.nodes if is_choose(node) or is_switch(node)]
    if not choices:
        return
    asked = dict.fromkeys(key for condition in conditions.values() for key in condition.keys)
    decided = {node.kwargs["key"] for node in choices if conditions[node] is not NEVER}
    for key in asked:
        if key not in decided and key != TRAINING_KEY:
            next(node for node in choices if node.kwargs["key"] == key).meta["effect"] = True


class _Builder:
    def __init__(self, program: Program, runner: Runner) -> None:
        self.program, self.runner = program, runner
        self.graph = Graph()
        self.constants: dict[str, torch.Tensor] = {}
        self.paths = choice_paths(runner.model)
        self._nodes: dict[Any, Node] = {}  # by id of a step, or by what else a value is known by
        self._frame: str | None = None
        self._placeholders: list[Step] = []

    def add(self, step: Step) -> None:
        """Adds the node of a step, after those that its arguments need."""
        self._frame = step.record.frame
        if step.record.op == "placeholder":
            self._placeholders.append(step)
            return
        if self._placeholders:
            self._add_placeholders()
        args, kwargs = map_leaves(self._value, step.args), map_leaves(self._value, step.kwargs)
        self._nodes[id(step)] = node = self._node(step, args, kwargs)
        node.meta.update(self._meta(step))

    def _node(self, step: Step, args: Any, kwargs: dict[str, Any]) -> Node:
        record = step.record
        if record.op == "output":
            output: Node = self.graph.output(args[0])
            return output
        if record.op in ("choose", "switch"):
            function = ops.choose if record.op == "choose" else ops.switch
            details = {**kwargs, "paths": self.paths[kwargs["key"]]}
            return self._create("call_function", function, args, details, record.target or "choice")
        return self._create(record.op, record.target, args, kwargs, _name_of(record.target))

    def _create(self, op: str, target: Any, args: Any, kwargs: Any, name: str) -> Node:
        return self.graph.create_node(
            op, target, args, kwargs, name=re.sub(r"\W+", "_", name, flags=re.ASCII) or "value"
        )

    def _meta(self, step: Step) -> dict[str, Any]:
        record = step.record
        meta: dict[str, Any] = {"frame": record.frame}
        if "shape" in record.meta:
            meta["shape"] = tuple(map(self._real_size, record.meta["shape"]))
            meta["dtype"] = record.meta["dtype"]
        if record.storages:
            meta["storages"] = record.storages
        if record.mutates or record.effect:
            meta.update(mutates=tuple(dict.fromkeys(record.mutates)), effect=record.effect)
        if record.meta.get("updates"):
            meta["updates"] = True
        guard = all_of([record.guard, step.guard])
        if guard is not ALWAYS:
            meta["guard"] = guard
        return meta

    def _real_size(self, size: int) -> int:
        batch = self.runner.example_batch
        if batch is None or not self.runner.fake or size % FAKE_BATCH:
            return size
        return size // FAKE_BATCH * batch

    # -- arguments

    def _value(self, value: Any) -> Any:
        if isinstance(value, Step):
            return self._nodes[id(value)]
        if isinstance(value, Attribute):
            return self._once(value, lambda: self._attribute(value))
        if isinstance(value, Constant):
            return self._once(value, lambda: self._constant(value))
        if isinstance(value, Expression):
            return self._once(identity(value), lambda: self._expression(value))
        if isinstance(value, Select):
            return self._once(("select", id(value)), lambda: self._switch(value))  # several may share a side
        if isinstance(value, Listing):
            return self._listing(value)
        if isinstance(value, int | float) and self._is_batch(value):
            raise TraceError(
                f"{self._frame}: the batch size reaches this call as a plain number ({value} for a batch of "
                f"{FAKE_BATCH}); compute it from tensor sizes with + - * / // % only, or pass dynamic_batch=False"
            )
        return value

    def _is_batch(self, value: float) -> bool:
        if (
            self.runner.example_batch is None
            or not self.runner.fake
            or isinstance(value, bool)
            or not math.isfinite(value)
        ):
            return False
        if isinstance(value, int):
            return value != 0 and value % FAKE_BATCH == 0 and abs(value) < 2**31
        scaled = abs(value) * FAKE_BATCH
        return 0 < abs(value) < 1 and scaled < 1000 and abs(scaled - round(scaled)) < 1e-9

    def _once(self, key: Any, make: Any) -> Node:
        if key not in self._nodes:
            self._nodes[key] = make()
        return self._nodes[key]

    def _attribute(self, value: Attribute) -> Node:
        node = self._create("get_attr", value.path, (), {}, value.path)
        node.meta["storages"] = value.storages
        return node

    def _constant(self, value: Constant) -> Node:
        name = f"_constant{len(self.constants)}"
        self.constants[name] = value.tensor
        return self._create("get_attr", name, (), {}, "constant")

    def _expression(self, value: Expression) -> Node:
        operands = tuple(self._value(operand) for operand in value.operands)
        if value.function is size_of:
            return self._create("call_method", "size", operands, {}, "size")
        return self._create("call_function", value.function, operands, {}, _name_of(value.function))

    def _switch(self, value: Select) -> Node:
        present, absent = self._value(value.present), self._value(value.absent)
        key = ("switch", value.condition, *(id(v) if isinstance(v, Node) else identity(v) for v in (present, absent)))
        return self._once(key, lambda: self._switch_node(value.condition, present, absent))

    def _switch_node(self, condition: Condition, present: Any, absent: Any) -> Node:
        atom = condition.atom
        assert atom is not None
        choice = self.runner.choices.get(atom.key)
        details = {
            "key": atom.key,
            "candidate": atom.candidate,
            **_details(choice),
            "paths": self.paths.get(atom.key, ()),
        }
        node = self._create("call_function", ops.switch, (present, absent), details, "switch")
        values = [value for value in (present, absent) if isinstance(value, Node)]
        node.meta["frame"] = self._frame
        node.meta["storages"] = tuple(dict.fromkeys(s for v in values for s in v.meta.get("storages", ())))
        for name in ("shape", "dtype"):
            if values and name in values[0].meta:
                node.meta[name] = values[0].meta[name]
        return node

    def _listing(self, value: Listing) -> Any:
        """A list built element by element: `switch(there, items + [element], items)`."""
        result: Any = []
        for condition, item in value.items:
            element = self._value(item)
            if condition is ALWAYS and not isinstance(result, Node):
                result = [*result, element]
                continue
            if isinstance(result, Node):
                longer: Any = self._create("call_function", operator.add, (result, [element]), {}, "items")
            else:
                longer = [*result, element]
            result = longer if condition is ALWAYS else self._select_list(condition, longer, result)
        return result if isinstance(result, Node) else value.kind(result)

    def _select_list(self, condition: Condition, longer: Any, result: Any) -> Node:
        chosen = select(condition, _Made(longer), _Made(result))
        made = self._nested(chosen)
        assert isinstance(made, Node)
        return made

    def _nested(self, value: Any) -> Any:
        if isinstance(value, _Made):
            return value.value
        return self._switch_node(value.condition, self._nested(value.present), self._nested(value.absent))

    # -- inputs

    def _add_placeholders(self) -> None:
        """Placeholders in the order of the signature, so that the graph is called as the model is."""
        given = {step.record.target.strip("*"): step for step in self._placeholders}
        self._placeholders = []
        parameters = signature_of(self.runner.model).parameters
        last = max((i for i, name in enumerate(parameters) if name in given), default=-1)
        skipped = {n: p.default for n, p in list(parameters.items())[:last] if n not in given and _is_plain(p.default)}
        order = [*(n for n in parameters if n in given or n in skipped), *(n for n in given if n not in parameters)]
        constants = {name: step.record.meta["constants"] for name, step in given.items()}
        constants |= {name: [((), default)] for name, default in skipped.items()}
        fixed = {name: found[0][1] for name, found in constants.items() if found and found[0][0] == ()}
        defaults = _defaults(order, fixed, parameters)
        for name in order:
            target = given[name].record.target if name in given else name
            node = self.graph.create_node("placeholder", target, defaults.get(name, ()), {}, name=name)
            if name in given:
                self._nodes[id(given[name])] = node
                node.meta.update(self._meta(given[name]))
        if self.program.fixed_mode is not None:
            self._check_mode(self.program.fixed_mode)
        for node in [node for node in self.graph.nodes if node.op == "placeholder"]:
            for path, value in constants[str(node.target).strip("*")]:
                self._check_constant(node, path, value)
            if node.args == (None,) and not constants[str(node.target)]:
                self._check_given(node)

    def _check_mode(self, training: bool) -> None:
        mode = self._create("get_attr", MODE, (), {}, MODE)
        message = (
            "training and evaluation differ too much for one graph: this one was traced in "
            f"{'training' if training else 'evaluation'} mode; trace the model in the other mode to run it there "
            f"({self.program.reason})"
        )
        self._check(mode, training, message)

    def _check(self, node: Node, value: Any, message: str) -> None:
        same = operator.is_ if value is None else operator.eq
        agrees = self._create("call_function", same, (node, value), {}, "same")
        effect = self._create("call_function", torch._assert, (agrees, message), {}, "check")
        effect.meta["effect"] = True

    def _check_given(self, node: Node) -> None:
        given = self._create("call_function", operator.is_not, (node, None), {}, "given")
        message = f"argument {node.target} was given when the model was traced: give it"
        self._create("call_function", torch._assert, (given, message), {}, "check").meta["effect"] = True

    def _check_constant(self, node: Node, path: tuple[Any, ...], value: Any) -> None:
        if not _is_plain(value):
            return
        name = str(node.target).strip("*") + "".join(f"[{key!r}]" for key in path)
        for key in path:
            node = self._create("call_function", operator.getitem, (node, key), {}, "constant")
        self._check(node, value, f"argument {name} was {value!r} when the model was traced, and is part of the graph")


class _Made:
    """A value that is made already, as a leaf of nested selections."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _details(choice: Choice | None) -> dict[str, Any]:
    if choice is None:
        return {"kind": "training", "candidates": ("training",), "n_chosen": None}
    return {"kind": choice.kind, "candidates": choice.candidates, "n_chosen": choice.n_chosen}


def _defaults(
    order: list[str], fixed: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter]
) -> dict[str, tuple[Any, ...]]:
    """Defaults of trailing arguments, as far as an argument whose value is part of the graph needs them."""
    defaults: dict[str, tuple[Any, ...]] = {}
    for name in reversed(order):
        parameter = parameters[name]
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = parameter.default
        if parameter.kind is parameter.KEYWORD_ONLY and default is parameter.empty:
            default = None  # fx has no keyword-only arguments: a check demands it instead
        if not _is_plain(default):
            break
        defaults[name] = (default,)
    first = min((order.index(name) for name in fixed if name in defaults), default=len(order))
    return {name: default for name, default in defaults.items() if order.index(name) >= first}


def _is_plain(value: Any) -> bool:
    return isinstance(value, PLAIN) or (isinstance(value, tuple) and all(map(_is_plain, value)))


def _name_of(target: Any) -> str:
    return target if isinstance(target, str) else getattr(target, "__name__", "call")
