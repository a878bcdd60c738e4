"""A graph as text: one stable line for each node, wiring only."""

from __future__ import annotations

from typing import Any

from torch.fx import Graph, Node

from fxnas.conditions import TRAINING_KEY
from fxnas.ir.liveness import is_choose, is_mix, is_switch


def graph_text(graph: Graph) -> str:
    """What tests compare, the command line prints and error notes quote.

    Example:
        >>> print(graph.text())  # doctest: +SKIP
        %x = input
        %conv1_conv3x3 = conv1.conv3x3(%x)
        %conv1_conv5x5 = conv1.conv5x5(%x)
        %conv1 = choose 'conv1' 1 of (conv3x3: %conv1_conv3x3, conv5x5: %conv1_conv5x5)
        return %conv1
    """
    return "\n".join(map(node_text, graph.nodes)) + "\n"


def node_text(node: Node) -> str:
    """The line of one node."""
    if node.op == "output":
        return f"return {_value(node.args[0])}"
    return f"%{node.name} = {_call(node)}"


def _call(node: Node) -> str:
    if node.op == "placeholder":
        return f"input {node.target}" + (f" = {_value(node.args[0])}" if node.args else "")
    if node.op == "get_attr":
        return f"attribute {_name(str(node.target))}"
    if is_choose(node):
        return _choose(node)
    if is_mix(node):
        return f"mix {node.kwargs['key']!r} of ({_options(node)}) by {_value(node.args[1])}"
    if is_switch(node):
        present, absent = map(_value, node.args)
        return f"switch {_condition(node)} then {present} else {absent}"
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "call")
    name = f".{name}" if node.op == "call_method" else _name(str(name))
    arguments = [*map(_value, node.args), *(f"{_name(key)}={_value(value)}" for key, value in node.kwargs.items())]
    return f"{name}({', '.join(arguments)})"


def _choose(node: Node) -> str:
    details: Any = node.kwargs
    taken = "any" if details["n_chosen"] is None else str(details["n_chosen"])
    if details["reduction"] == "mask":
        return f"mask {details['key']!r} {taken} of {len(details['candidates'])}"
    how = "" if details["n_chosen"] == 1 and details["reduction"] != "none" else f" {details['reduction']}"
    return f"choose {details['key']!r} {taken} of ({_options(node)}){how}"


def _options(node: Node) -> str:
    named: Any = zip(node.kwargs["candidates"], node.args[0], strict=True)  # type: ignore[arg-type]
    return ", ".join(f"{_name(name)}: {_value(option)}" if name else _value(option) for name, option in named)


def _condition(node: Node) -> str:
    if node.kwargs["key"] == TRAINING_KEY:
        return "training"
    candidate = node.kwargs["candidate"]
    return f"{node.kwargs['key']!r}" + ("" if candidate is None else f" has {candidate}")


def _name(name: str) -> str:
    return name if all(part.isidentifier() or part.isdigit() for part in name.split(".")) else repr(name)


def _value(value: Any) -> str:
    if isinstance(value, Node):
        return f"%{value.name}"
    if isinstance(value, tuple):
        return "(" + "".join(f"{_value(item)}, " for item in value).rstrip() + ")"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, slice):
        return ":".join("" if part is None else _value(part) for part in (value.start, value.stop, value.step))
    return repr(value)
