"""The body of a generated `forward`: a graph as straight code with few names.

A value that is used once, by the very next node, is written inside it, so that the order of evaluation stays the
graph's. A value that takes over from one that isn't needed any more takes over its name too, as people write it:
`x = f(x)`. It also frees the memory of the old one.
"""

from __future__ import annotations

import itertools
import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from fxnas.errors import ExportError
from fxnas.exporters.classes import Classes
from fxnas.exporters.expressions import AUGMENTED, BINARY, Expressions, Source
from fxnas.exporters.functions import BUILTINS
from fxnas.exporters.identifiers import Scope, is_plain
from fxnas.exporters.layout import Layout, unique_modules
from fxnas.exporters.literals import Unwritable, literal
from fxnas.modules import attribute

_WIDTH = 100
_INLINE = 72  # longer expressions get a name
_IMPORTS = {
    "torch": "import torch", "F": "import torch.nn.functional as F", "math": "import math",
    "operator": "import operator", **{name: f"from builtins import {name}" for name in BUILTINS},
}  # fmt: skip
_NUMBERS = ("size", "dim", "numel", "shape", "ndim", "device", "dtype", "stride", "item", "ndimension", "nelement")
_GENERIC = ("x", "input", "inputs")  # other arguments keep their names to themselves


@dataclass(frozen=True)
class _Reads:
    """What a piece of source reads.

    Attributes:
        counts: how many nodes in it read each variable.
        heirs: the variables whose name its value may take over: those of the first argument, or of an operator's sides.
    """

    counts: dict[fx.Node, int]
    heirs: tuple[fx.Node, ...]


@dataclass(frozen=True)
class Forward:
    """The code of a `forward`.

    Attributes:
        signature: its parameters, without `self`.
        lines: its body, without indentation.
        notes: what the user should know.
        functions: the functions that it calls.
    """

    signature: str
    lines: tuple[str, ...]
    notes: tuple[str, ...]
    functions: tuple[str, ...]


def forward(root: fx.GraphModule, layout: Layout, classes: Classes, scope: Scope) -> Forward:
    """Writes a graph as the body of a function.

    Args:
        root: the module of the graph.
        layout: the expressions for its parts.
        classes: collects the output classes.
        scope: gives out local names.

    Raises:
        ExportError: a node can't be written.
    """
    return _Writer(root, layout, classes, scope).write()


class _Writer:
    def __init__(self, root: fx.GraphModule, layout: Layout, classes: Classes, scope: Scope) -> None:
        self._root = root
        self._layout = layout
        self._scope = scope
        for node in root.graph.find_nodes(op="placeholder"):
            scope.take(str(node.target).lstrip("*"))
        home, self._tensor = _home(root, layout)
        self._device = scope.fresh("device")
        self._expressions = Expressions(layout.module, self._attribute, classes, self._source, (home, self._device))
        self._sources: dict[fx.Node, Source] = {}
        self._waiting: dict[fx.Node, _Reads] = {}  # to be written inside the next node
        self._variables: dict[fx.Node, str] = {}
        self._order = {node: i for i, node in enumerate(root.graph.nodes)}
        self._numbers: set[fx.Node] = set()
        self._left = {node: len(node.users) for node in root.graph.nodes}  # users that are still to be written
        self._parameters: list[str] = []
        self._lines: list[str] = []
        self._notes: list[str] = []
        self._classes = classes
        self._functions: list[str] = []

    def write(self) -> Forward:
        if type(self._root.graph._codegen) is not fx.graph.CodeGen:
            raise ExportError("the graph has a calling convention of its own; export a plain torch.fx.GraphModule")
        steps = [node for node in self._root.graph.nodes if node.op not in ("placeholder", "get_attr")]
        following = dict(itertools.pairwise(steps))
        for node in self._root.graph.nodes:
            try:
                self._write(node, following.get(node))
            except Unwritable as error:
                raise ExportError(
                    f"node {node.name!r} can't be written as Python source: {error}. Use functions of torch there, or "
                    "export_onnx or export_program"
                ) from error
        if self._expressions.names_device:
            self._lines.insert(0, f"{self._device} = {self._tensor}.device")
        return Forward(", ".join(self._parameters), tuple(self._lines), tuple(self._notes), tuple(self._functions))

    def _write(self, node: fx.Node, following: fx.Node | None) -> None:
        if node.op == "placeholder":
            self._parameter(node)
            return
        source = self._branches(node) if node.target is torch.cond else self._expressions.of(node)
        if node.op == "get_attr":
            self._sources[node] = source
            return
        reads = self._reads(node)
        if self._fits_inside(node, following, source):
            self._sources[node], self._waiting[node] = source, reads
            return
        self._emit(node, source, reads)
        for value, count in reads.counts.items():
            self._left[value] -= count

    def _branches(self, node: fx.Node) -> Source:
        """What one mode alone runs: a call of a function of its own, under a condition."""
        mode, *branches, operands = node.args
        one, other = (self._branch(branch.target, operands) for branch in branches)  # type: ignore[union-attr]
        return Source(f"{one} if {self._expressions.argument(mode)} else {other}", compound=True)

    def _branch(self, path: Any, operands: Any) -> str:
        module = attribute(self._root, path)
        first, *more = [node for node in module.graph.nodes if node.op != "placeholder"]
        if not more:
            return self._expressions.argument(first.args[0])
        inner = _Writer(module, Layout(module, frozenset()), self._classes, Scope()).write()
        name = self._scope.fresh(path)
        self._functions += [*inner.functions, "\n    ".join([f"def {name}({inner.signature}):", *inner.lines])]
        return f"{name}({', '.join(map(self._expressions.argument, operands))})"

    def _emit(self, node: fx.Node, source: Source, reads: _Reads) -> None:
        if node.op == "output":
            self._lines += source.lines("return ", _WIDTH)
        elif node.target in AUGMENTED and self._dies(node.args[0], reads):
            target: Any = node.args[0]
            name = self._variables[target]
            self._lines.append(f"{name} {AUGMENTED[node.target]} {self._expressions.argument(node.args[1])}")
            self._bind(node, name)
        elif not node.users or source.statement:
            self._lines += source.lines("", _WIDTH)
        else:
            self._assign(node, source, reads)

    def _parameter(self, node: fx.Node) -> None:
        target = str(node.target).lstrip("*")
        stars = str(node.target)[: len(str(node.target)) - len(target)]
        usable = is_plain(target) and target != "self"
        name = self._scope.take(target) if usable else self._scope.fresh(target)
        default = f"={literal(node.args[0])}" if node.args else ""
        self._parameters.append(f"{stars}{name}{default}")
        if not usable:
            self._notes.append(f"input {target!r} is called {name!r} in the source")
        if name in _IMPORTS:  # the body needs this name for what it means everywhere
            shadowing = name
            name = self._scope.fresh(f"{shadowing}_input")
            self._lines += [f"{name} = {shadowing}", _IMPORTS[shadowing]]
        self._bind(node, name)

    def _bind(self, node: fx.Node, name: str) -> None:
        self._variables[node] = name
        self._sources[node] = Source(name)

    def _source(self, node: fx.Node) -> Source:
        return self._sources[node]

    def _attribute(self, path: str) -> str:
        owner_path, _, name = path.rpartition(".")
        if name == "training":
            return f"{self._layout.module(owner_path)}.training"
        value = attribute(self._root, path)
        if isinstance(value, fx.GraphModule):
            return ""  # a branch, which is no value
        if isinstance(value, torch.nn.Module):
            return self._layout.module(path)
        if not isinstance(value, torch.Tensor):
            return literal(value)
        owner: Any = self._root if not owner_path else attribute(self._root, owner_path)
        return self._layout.tensor(owner, name)

    def _reads(self, node: fx.Node) -> _Reads:
        """What the source of a node reads, counting what is written inside it."""
        counts: dict[fx.Node, int] = {}
        heirs: tuple[fx.Node, ...] = ()
        ancestors = _ancestors(node)
        for value in node.all_input_nodes:
            own = _Reads({value: 1}, (value,)) if value in self._variables else _Reads({}, ())
            inner = self._waiting.pop(value, own)
            for variable, count in inner.counts.items():
                counts[variable] = counts.get(variable, 0) + count
            heirs += inner.heirs if value in ancestors else ()
        return _Reads(counts, heirs)

    def _dies(self, value: Any, reads: _Reads) -> bool:
        """Whether a variable is read here for the last time."""
        return isinstance(value, fx.Node) and value in self._variables and self._left[value] == reads.counts[value]

    def _fits_inside(self, node: fx.Node, following: fx.Node | None, source: Source) -> bool:
        limit = _INLINE if following is not None and following.op != "output" else _WIDTH - 8
        if following is None or following.target is torch.cond:  # what a branch is given is computed in any case
            return False
        if list(node.users) != [following] or len(source.text) > limit:
            return False
        uses = 0

        def count(value: fx.Node) -> fx.Node:
            nonlocal uses
            uses += value is node
            return value

        fx.map_arg((following.args, following.kwargs), count)
        return uses == 1 and not (following.target in AUGMENTED and following.args[0] is node)

    def _assign(self, node: fx.Node, source: Source, reads: _Reads) -> None:
        if self._is_number(node):
            self._numbers.add(node)
        name = self._inherited(node, reads) or self._scope.fresh(self._hint(node))
        self._lines += source.lines(f"{name} = ", _WIDTH)
        self._bind(node, name)

    def _inherited(self, node: fx.Node, reads: _Reads) -> str | None:
        """The name of the oldest value of the same sort that is read here for the last time."""
        number = node in self._numbers
        dying = [v for v in reads.heirs if self._dies(v, reads) and (v in self._numbers) is number and not _is_named(v)]
        if _is_part(node) or _has_parts(node) or not dying:
            return None
        return self._variables[min(dying, key=self._order.__getitem__)]

    def _is_number(self, node: fx.Node) -> bool:
        """Whether a value is a size or the like, going by what makes it; names only depend on it."""
        if node.op == "call_method":
            return node.target in _NUMBERS
        if node.target is getattr:
            return node.args[1] in _NUMBERS
        inputs = node.all_input_nodes
        known = getattr(node.target, "__module__", None) in ("_operator", "builtins", "math")
        return known and bool(inputs) and all(value in self._numbers for value in inputs)

    def _hint(self, node: fx.Node) -> str:
        """What a value may be called: the place of its module, the key it was read with, or what was done."""
        match node.op:
            case "call_module":
                owner, _, name = str(node.target).rpartition(".")
                return owner or name
            case "call_method":
                return str(node.target)
        if node.target is getattr or _is_part(node):
            owner_node, key = node.args[0], node.args[1]
            called = self._variables.get(owner_node, "part") if isinstance(owner_node, fx.Node) else "part"
            return str(key) if isinstance(key, str) else f"{called}_{key}"
        if node.target is operator.getitem:
            return "part"
        name = getattr(node.target, "__name__", node.name)
        return name.lower() if isinstance(node.target, type) else name


def _home(root: fx.GraphModule, layout: Layout) -> tuple[torch.device | None, str]:
    """The device of a network, and the expression for a tensor on it; None where it has none or several."""
    tensors = [
        (tensor, layout.tensor(module, name))
        for module in unique_modules(root)
        for name, tensor in (*module._parameters.items(), *module._buffers.items())
        if tensor is not None
    ]
    devices = {tensor.device for tensor, _ in tensors}
    return (devices.pop(), tensors[0][1]) if len(devices) == 1 else (None, "")


def _ancestors(node: fx.Node) -> list[fx.Node]:
    """The nodes whose value goes on in this one: the first argument (or what it lists), both operands."""
    first = node.args if node.target in BINARY else node.args[:1]
    found: list[fx.Node] = []
    fx.map_arg(first, found.append)
    return found


def _is_part(node: fx.Node) -> bool:
    """Whether a node takes one value out of several: `outputs[0]`, `batch["image"]`."""
    return node.target is operator.getitem and type(node.args[1]) in (int, str)


def _has_parts(node: fx.Node) -> bool:
    return bool(node.users) and all(_is_part(user) and user.args[0] is node for user in node.users)


def _is_named(node: fx.Node) -> bool:
    """Whether a name says what is in it: an argument called `mask`, or what was read by a key."""
    return (node.op == "placeholder" and node.target not in _GENERIC) or (
        _is_part(node) and isinstance(node.args[1], str)
    )
