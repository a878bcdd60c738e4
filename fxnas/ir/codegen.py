"""Python source for a graph with choices: what the decisions don't need stands in an `if` and does not run.

The source is made of generated identifiers and literals. A user's name is never written as code: modules whose name is
no plain attribute are looked up by a string literal, functions and other objects are globals with names of our own.
"""

from __future__ import annotations

import itertools
import keyword
import math
import operator
import re
from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn
from torch.fx import Graph, Node

from fxnas import mixing, ops
from fxnas.conditions import ALWAYS, TRAINING_KEY, Condition
from fxnas.ir.children import MODE
from fxnas.ir.liveness import is_choose, is_mix, is_switch

_INFIX = {
    operator.add: "+", operator.sub: "-", operator.mul: "*", operator.truediv: "/", operator.floordiv: "//",
    operator.mod: "%", operator.pow: "**", operator.matmul: "@", operator.lt: "<", operator.le: "<=", operator.gt: ">",
    operator.ge: ">=", operator.eq: "==", operator.ne: "!=", operator.and_: "&", operator.or_: "|", operator.xor: "^",
}  # fmt: skip


def is_plain(owner: nn.Module, name: str) -> bool:
    """Whether `owner.name` finds the registered child, parameter or buffer of that name."""
    if not name.isidentifier() or not name.isascii() or keyword.iskeyword(name):
        return False
    return name not in owner.__dict__ and not hasattr(type(owner), name)


class Source:
    """Writes the forward function of a graph.

    Args:
        graph: the graph.
        root: the module that holds what the graph refers to; `self` of the function.
        conditions: the condition of each node.
        keys: the keys of the decisions, in the order of `self._picks`.
        regions: the conditions, in the order of the lists in `self._live`.

    Attributes:
        text: the source.
        names: the globals that it uses.
    """

    def __init__(
        self,
        graph: Graph,
        root: nn.Module,
        conditions: dict[Node, Condition],
        keys: Sequence[str],
        regions: Sequence[Condition],
    ) -> None:
        self.root, self.conditions = root, conditions
        self.names: dict[str, Any] = {}
        self._global_of: dict[int, str] = {}
        self._taken = {node.name for node in graph.nodes} | {str(node.target).strip("*") for node in graph.nodes}
        self._self, self._live = self._reserve("self"), self._reserve("_live")
        self._keys = {key: self._reserve(f"_pick{i}") for i, key in enumerate(keys)}
        self._regions = {condition: i for i, condition in enumerate(regions)}
        self.text = "\n".join(self._lines(graph)) + "\n"

    def _lines(self, graph: Graph) -> Iterator[str]:
        nodes = list(graph.nodes)
        placeholders = [node for node in nodes if node.op == "placeholder"]
        yield f"def forward({', '.join([self._self, *map(self._parameter, placeholders)])}):"
        for node in placeholders:
            if node.name != str(node.target).strip("*"):
                yield f"    {node.name} = {str(node.target).strip('*')}"
        if self._keys:
            yield f"    {', '.join(self._keys.values())}, = {self._self}._picks"
        if self._regions:
            yield f"    {self._live} = {self._self}._live[1 if {self._self}.training else 0]"
        last = _last_uses(nodes)
        region: Condition = ALWAYS
        freed: list[str] = []
        for node in nodes:
            if node.op == "placeholder":
                continue
            condition = self.conditions[node]
            if condition is not region:
                if freed:
                    yield f"    {' = '.join(freed)} = None"
                region, freed = condition, []
                if condition is not ALWAYS:
                    yield f"    if {self._live}[{self._regions[condition]}]:  # {condition}"
            yield f"    {'' if region is ALWAYS else '    '}{self._statement(node)}"
            freed += [used.name for used in last.get(node, ())]
            if region is ALWAYS and freed and node.op != "output":
                yield f"    {' = '.join(freed)} = None"
                freed = []

    def _parameter(self, node: Node) -> str:
        return f"{node.target}={self._expression(node.args[0])}" if node.args else str(node.target)

    def _statement(self, node: Node) -> str:
        if node.op == "output":
            return f"return {self._expression(node.args[0])}"
        return f"{node.name} = {self._call(node)}"

    def _call(self, node: Node) -> str:
        if is_choose(node):
            return self._choose(node)
        if is_mix(node):
            return self._mix(node)
        if is_switch(node):
            present, absent = map(self._expression, node.args)
            return f"{present} if {self._test(node)} else {absent}"
        if node.op == "get_attr":
            return self._attribute(str(node.target))
        if node.op == "call_module":
            return f"{self._attribute(str(node.target))}({self._arguments(node.args, node.kwargs)})"
        if node.op == "call_method":
            rest = self._arguments(node.args[1:], node.kwargs)
            return f"{self._expression(node.args[0])}.{node.target}({rest})"
        return self._function_call(node)

    def _function_call(self, node: Node) -> str:
        infix = _INFIX.get(node.target)  # type: ignore[arg-type]
        if infix is not None and len(node.args) == 2 and not node.kwargs:
            return f"{self._expression(node.args[0])} {infix} {self._expression(node.args[1])}"
        if node.target is operator.getitem and isinstance(node.args[0], Node):
            return f"{node.args[0].name}[{self._expression(node.args[1])}]"
        return f"{self._global(node.target)}({self._arguments(node.args, node.kwargs)})"

    def _choose(self, node: Node) -> str:
        details, pick = node.kwargs, self._keys[str(node.kwargs["key"])]
        if details["reduction"] == "mask":
            count = len(details["candidates"])  # type: ignore[arg-type]
            return f"{self._global(ops.mask)}({pick}, {count}, {self._expression(details['device'])})"
        options = [self._expression(option) for option in node.args[0]]  # type: ignore[union-attr]
        if details["n_chosen"] == 1 and details["reduction"] != "none":
            tests = "".join(f"{option} if {pick}[0] == {i} else " for i, option in enumerate(options[:-1]))
            return tests + options[-1]
        return f"{self._global(ops.reduce_outputs)}({self._running(options, pick)}, {details['reduction']!r})"

    def _mix(self, node: Node) -> str:
        key, options, weights = str(node.kwargs["key"]), node.args[0], self._expression(node.args[1])
        outputs = self._running([self._expression(option) for option in options], self._keys[key])  # type: ignore[union-attr]
        return f"{self._global(mixing.weighted_sum)}({outputs}, {weights}, {self._keys[key]}, {key!r})"

    def _running(self, options: Sequence[str], pick: str) -> str:
        """Code for the list of what runs; what doesn't is not even named."""
        return f"[{', '.join(f'*([{option}] if {i} in {pick} else [])' for i, option in enumerate(options))}]"

    def _test(self, node: Node) -> str:
        key, candidate = str(node.kwargs["key"]), node.kwargs["candidate"]
        if key == TRAINING_KEY:
            return f"{self._self}.training"
        return self._keys[key] if candidate is None else f"{candidate} in {self._keys[key]}"

    # -- expressions

    def _attribute(self, path: str) -> str:
        """Code that finds what stands at a path."""
        if path == MODE:
            return f"{self._self}.{MODE}"
        code, module = self._self, self.root
        *owners, name = path.split(".")
        for owner in owners:
            code += f".{owner}" if is_plain(module, owner) else f"._modules[{owner!r}]"
            module = module._modules[owner]  # type: ignore[assignment]
        if is_plain(module, name):
            return f"{code}.{name}"
        tables = (("_modules", module._modules), ("_parameters", module._parameters), ("_buffers", module._buffers))
        table = next((label for label, content in tables if name in content), "__dict__")
        return f"{code}.{table}[{name!r}]"

    def _arguments(self, args: Sequence[Any], kwargs: dict[str, Any]) -> str:
        parts = [self._expression(value) for value in args]
        odd = {key: value for key, value in kwargs.items() if not key.isidentifier() or keyword.iskeyword(key)}
        parts += [f"{key}={self._expression(value)}" for key, value in kwargs.items() if key not in odd]
        if odd:
            parts.append("**{" + ", ".join(f"{key!r}: {self._expression(value)}" for key, value in odd.items()) + "}")
        return ", ".join(parts)

    def _expression(self, value: Any) -> str:
        if isinstance(value, Node):
            return value.name
        if isinstance(value, tuple):
            return self._tuple(value)
        if isinstance(value, list):
            return f"[{', '.join(map(self._expression, value))}]"
        if isinstance(value, dict):
            return "{" + ", ".join(f"{self._expression(k)}: {self._expression(v)}" for k, v in value.items()) + "}"
        if isinstance(value, slice):
            return f"{self._global(slice)}({', '.join(map(self._expression, (value.start, value.stop, value.step)))})"
        if value is None or value is Ellipsis or type(value) in (bool, int, str):
            return "..." if value is Ellipsis else repr(value)
        if type(value) is float and math.isfinite(value):
            return repr(value)
        return self._global(value)

    def _tuple(self, value: tuple[Any, ...]) -> str:
        items = "".join(f"{self._expression(item)}, " for item in value)
        return f"{self._global(type(value))}({items})" if hasattr(value, "_fields") else f"({items.rstrip()})"

    def _global(self, value: Any) -> str:
        """A global of our own naming that holds the value."""
        if id(value) not in self._global_of:
            words = re.sub(r"\W+", "_", str(getattr(value, "__name__", "")), flags=re.ASCII).strip("_")
            self._global_of[id(value)] = name = self._reserve(f"_{words or 'constant'}")
            self.names[name] = value
        return self._global_of[id(value)]

    def _reserve(self, base: str) -> str:
        """A name that nothing else has."""
        candidates = itertools.chain([base], (f"{base}_{i}" for i in itertools.count(1)))
        name = next(candidate for candidate in candidates if candidate not in self._taken)
        self._taken.add(name)
        return name


def _last_uses(nodes: list[Node]) -> dict[Node, list[Node]]:
    """The node that uses a value last → the values, so that their memory can be given back."""
    last: dict[Node, Node] = {}
    for node in nodes:
        for used in node.all_input_nodes:
            last[used] = node
    found: dict[Node, list[Node]] = {}
    for used, node in last.items():
        found.setdefault(node, []).append(used)
    return found
