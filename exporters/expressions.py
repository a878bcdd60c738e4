"""The source of one node of a graph: a call, an operator, an index, an attribute, or a statement."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.fx.node import map_aggregate

from fxnas.exporters.classes import Classes
from fxnas.exporters.functions import public_name
from fxnas.exporters.identifiers import is_plain
from fxnas.exporters.literals import Unwritable, literal, subscript

BINARY: dict[Any, str] = {
    operator.add: "+", operator.sub: "-", operator.mul: "*", operator.truediv: "/", operator.floordiv: "//",
    operator.mod: "%", operator.pow: "**", operator.matmul: "@", operator.and_: "&", operator.or_: "|",
    operator.xor: "^", operator.lshift: "<<", operator.rshift: ">>", operator.lt: "<", operator.le: "<=",
    operator.gt: ">", operator.ge: ">=", operator.eq: "==", operator.ne: "!=", operator.is_: "is",
    operator.is_not: "is not",
}  # fmt: skip
"""Functions that are operators between two values."""
_UNARY: dict[Any, str] = {operator.neg: "-", operator.invert: "~", operator.pos: "+", operator.not_: "not "}
AUGMENTED: dict[Any, str] = {
    operator.iadd: "+=", operator.isub: "-=", operator.imul: "*=", operator.itruediv: "/=", operator.ifloordiv: "//=",
    operator.imod: "%=", operator.ipow: "**=", operator.imatmul: "@=", operator.iand: "&=", operator.ior: "|=",
    operator.ixor: "^=", operator.ilshift: "<<=", operator.irshift: ">>=",
}  # fmt: skip
"""Functions that are statements where their first argument is a variable: `x += y`."""

_HERE: Any = object()  # stands for the device of the network


@dataclass(frozen=True)
class Source:
    """A piece of source.

    Attributes:
        text: the expression, or statement.
        compound: an operator outside, which needs parentheses inside another.
        statement: it has no value.
        parts: for a call, what stands before the arguments, and the arguments, for breaking long lines.
    """

    text: str
    compound: bool = False
    statement: bool = False
    parts: tuple[str, tuple[str, ...]] | None = None

    @property
    def operand(self) -> str:
        """The text as part of a larger expression."""
        return f"({self.text})" if self.compound else self.text

    def lines(self, prefix: str, width: int) -> list[str]:
        """The source after `prefix` (`x = `), a call over several lines where it is too long for one."""
        line = f"{prefix}{self.text}"
        if len(line) <= width or self.parts is None:
            return [line]
        head, arguments = self.parts
        return [f"{prefix}{head}(", *(f"    {argument}," for argument in arguments), ")"]


class Expressions:
    """Writes nodes.

    Args:
        module: the expression for the module at a path.
        attribute: the expression for what a get_attr node reads.
        classes: writes output classes.
        value: the source for a node that was written before.
        device: the device of the network, and what it is called: a graph that was recorded on a device names it, and is
            to follow the network to another.

    Attributes:
        names_device: whether a node was written that names the device of the network.
    """

    def __init__(
        self,
        module: Callable[[str], str],
        attribute: Callable[[str], str],
        classes: Classes,
        value: Callable[[fx.Node], Source],
        device: tuple[torch.device | None, str],
    ) -> None:
        self._module = module
        self._attribute = attribute
        self._classes = classes
        self._value = value
        self._home, self._device = device
        self.names_device = False

    def of(self, node: fx.Node) -> Source:
        """The source of a node.

        Raises:
            Unwritable: it calls a function without a public name, or has an argument that is no constant.
        """
        match node.op:
            case "call_module":
                return self._call(self._module(str(node.target)), node.args, node.kwargs)
            case "get_attr":
                return Source(self._attribute(str(node.target)))
            case "call_method":
                return self._method(str(node.target), node.args, node.kwargs)
            case "output":
                return Source(self.argument(node.args[0]))
        return self._function(node.target, node.args, node.kwargs)

    def argument(self, value: Any) -> str:
        """The source of an argument: constants and nodes, nested as they may be."""
        return literal(map_aggregate(value, self._marked), self._leaf)

    def _marked(self, value: Any) -> Any:
        return _HERE if isinstance(value, torch.device) and value == self._home else value

    def _leaf(self, value: Any) -> str:
        if value is _HERE:
            self.names_device = True
            return self._device
        if isinstance(value, fx.Node):
            return self._value(value).text
        if hasattr(value, "_fields"):
            name = self._classes.name_of(type(value))
            if name is not None:
                return f"{name}({', '.join(map(self.argument, value))})"
        name = (self._classes.name_of(value) or public_name(value)) if callable(value) else None
        if name is None:
            raise Unwritable(f"an argument of class {type(value).__qualname__} has no form in Python source")
        return name

    def _operand(self, value: Any) -> str:
        if isinstance(value, fx.Node):
            return self._value(value).operand
        text = self.argument(value)
        return f"({text})" if text.startswith("-") or isinstance(value, int | float) else text

    def _side(self, value: Any) -> str:
        """A side of an operator, where numbers need no parentheses but negative ones."""
        if isinstance(value, int | float) and not self.argument(value).startswith("-"):
            return self.argument(value)
        return self._operand(value)

    def _call(self, head: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Source:
        odd = {name: value for name, value in kwargs.items() if not is_plain(name)}
        written = [self.argument(value) for value in args]
        written += [f"{name}={self.argument(value)}" for name, value in kwargs.items() if name not in odd]
        written += [f"**{self.argument(odd)}"] if odd else []
        return Source(f"{head}({', '.join(written)})", parts=(head, tuple(written)))

    def _method(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Source:
        owner, rest = self._operand(args[0]), args[1:]
        if name == "__call__":
            return self._call(owner, rest, kwargs)
        head = f"{owner}.{name}" if is_plain(name) else f"getattr({owner}, {literal(name)})"
        return self._call(head, rest, kwargs)

    def _function(self, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Source:
        special = None if kwargs else self._special(target, args)
        if special is not None:
            return special
        name = self._classes.name_of(target) or public_name(target)
        if name is None:
            shown = f"{getattr(target, '__module__', '?')}.{getattr(target, '__qualname__', type(target).__name__)}"
            raise Unwritable(f"the function {shown} has no public name in torch")
        method = name.removeprefix("torch.Tensor.")
        if method != name and args and is_plain(method):
            return self._method(method, args, kwargs)
        return self._call(name, args, kwargs)

    def _special(self, target: Any, args: Sequence[Any]) -> Source | None:
        """Operators, indices and attributes in Python's own notation."""
        match args:
            case (one,) if target in _UNARY:
                return Source(f"{_UNARY[target]}{self._operand(one)}", compound=True)
            case (left, right) if target in BINARY:
                return Source(f"{self._side(left)} {BINARY[target]} {self._side(right)}", compound=True)
            case (owner, index) if target is operator.getitem:
                return Source(f"{self._operand(owner)}[{subscript(index, self._leaf)}]")
            case (owner, str() as name) if target is getattr and is_plain(name):
                return Source(f"{self._operand(owner)}.{name}")
            case (owner, index, value) if target is operator.setitem and isinstance(owner, fx.Node):
                place = f"{self._operand(owner)}[{subscript(index, self._leaf)}]"
                return Source(f"{place} = {self.argument(value)}", statement=True)
            case (owner, str() as name, value) if target is setattr and is_plain(name) and isinstance(owner, fx.Node):
                return Source(f"{self._operand(owner)}.{name} = {self.argument(value)}", statement=True)
        return None
