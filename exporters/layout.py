"""How source refers to the modules, parameters and buffers of a network: `self.stem.conv`, `self.layers[2].weight`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import nn
from torch.fx import GraphModule

from fxnas.exporters.identifiers import is_plain
from fxnas.exporters.literals import literal

Kind = Literal["module", "list", "dict"]

_TAKEN = frozenset(dir(nn.Module()))  # such an attribute is not found among the children
_TAKEN_IN_DICT = frozenset(dir(nn.ModuleDict()))


class Layout:
    """The expressions for all parts of a network, as a generated class builds it.

    Args:
        root: the network, which is `self`.
        built: whether a module, given by its identity, is made by a constructor; the others are containers, and are
            rebuilt as lists, dicts or plain modules of their children.
    """

    def __init__(self, root: nn.Module, built: frozenset[int]) -> None:
        self.root = root
        self.modules: dict[int, str] = {}
        self._built = built
        self._paths: dict[str, str] = {}
        for path, expression, module in self._walk("", "self", root):
            self._paths[path] = expression
            self.modules.setdefault(id(module), expression)

    def module(self, path: str) -> str:
        """The expression for the module at a path."""
        return self._paths[path]

    def is_built(self, module: nn.Module) -> bool:
        """Whether a constructor makes the module; it is a container else."""
        return id(module) in self._built

    def kind(self, module: nn.Module) -> Kind:
        """What holds the children of a module."""
        if isinstance(module, nn.ModuleList | nn.Sequential) and id(module) in self._built:
            return "list"
        names = [name for name, child in module._modules.items() if child is not None]
        distinct = len(set(map(id, module._modules.values()))) == len(names)
        bare = not (module._parameters or module._buffers) and len(names) == len(module._modules) and distinct
        if id(module) in self._built or module is self.root or not bare or not names:
            return "module"
        if names == [str(i) for i in range(len(names))]:
            return "list"
        if all(map(_is_attribute, names)):
            return "module"
        return "dict" if not any(name in _TAKEN_IN_DICT or not name for name in names) else "module"

    def child(self, parent: nn.Module, name: str) -> str:
        """The expression for a child of a module."""
        kind, expression = self.kind(parent), self.modules[id(parent)]
        if kind == "list":
            return f"{expression}[{int(name)}]"
        if kind == "dict":
            return f"{expression}[{literal(name)}]"
        return (
            f"{expression}.get_submodule({literal(name)})" if _is_added(name) else _member(expression, "_modules", name)
        )

    def assignment(self, parent: nn.Module, name: str, source: str) -> str:
        """The line that puts a child into a plain module."""
        if _is_added(name):
            return f"{self.modules[id(parent)]}.add_module({literal(name)}, {source})"
        return f"{_member(self.modules[id(parent)], '_modules', name)} = {source}"

    def tensor(self, owner: nn.Module, name: str) -> str:
        """The expression for a parameter or buffer of a module."""
        parameter = name in owner._parameters
        if _is_added(name):
            return f"{self.modules[id(owner)]}.{'get_parameter' if parameter else 'get_buffer'}({literal(name)})"
        return _member(self.modules[id(owner)], "_parameters" if parameter else "_buffers", name)

    def parameter_assignment(self, owner: nn.Module, name: str, source: str) -> str:
        """The line that makes `source` a parameter of a module."""
        if _is_added(name):
            return f"{self.modules[id(owner)]}.register_parameter({literal(name)}, {source})"
        return f"{self.tensor(owner, name)} = {source}"

    def buffer_assignment(self, owner: nn.Module, name: str, source: str) -> str:
        """The line that puts `source` in the place of a buffer of a module."""
        if _is_added(name):
            return f"setattr({self.modules[id(owner)]}, {literal(name)}, {source})"
        return f"{self.tensor(owner, name)} = {source}"

    def _walk(self, path: str, expression: str, module: nn.Module) -> Iterator[tuple[str, str, nn.Module]]:
        yield path, expression, module
        for name, child in module._modules.items():
            if child is not None and not isinstance(child, GraphModule):
                inner = f"{path}.{name}" if path else name
                yield from self._walk(inner, self.child(module, name), child)


def _member(owner: str, table: str, name: str) -> str:
    return f"{owner}.{name}" if _is_attribute(name) else f"{owner}.{table}[{literal(name)}]"


def _is_added(name: str) -> bool:
    """Names such as "0", which are no identifiers but nothing else's either."""
    return bool(name) and not is_plain(name) and name not in _TAKEN


def _is_attribute(name: str) -> bool:
    return is_plain(name) and name not in _TAKEN


def unique_modules(root: nn.Module) -> list[nn.Module]:
    """Every module once, parents before children; graphs inside of a graph are code, no parts."""
    found: dict[int, nn.Module] = {}

    def visit(module: nn.Module) -> None:
        if id(module) not in found:
            found[id(module)] = module
            for child in module._modules.values():
                if child is not None and not isinstance(child, GraphModule):
                    visit(child)

    visit(root)
    return list(found.values())
