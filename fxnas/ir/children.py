"""Plain `GraphModule`s: what a graph refers to, mounted under names that torch.fx can write into source."""

from __future__ import annotations

import copy
import keyword
import linecache
import re
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.fx import Graph, GraphModule
from torch.fx.graph_module import _loader

from fxnas.ir.reduction import reduce_module
from fxnas.modules import attribute, join, submodule

MODE = "training"
"""The target of a node that reads `self.training`: the one attribute of a graph that is no module and no tensor."""

_RESERVED = frozenset(GraphModule(nn.Module(), Graph()).__dict__) | frozenset(dir(GraphModule))


class SafeNames:
    """Paths whose every part torch.fx can write into source, one for each path of a model.

    Ordinary identifiers and numbers keep their names. Others ("class", a quote, the name of an attribute of
    `nn.Module`) get a generated one that no sibling has.
    """

    def __init__(self, root: nn.Module) -> None:
        self.root = root
        self.odd: dict[str, str] = {}  # safe path → the user's, where they differ
        self._safe: dict[str, str] = {"": ""}
        self._taken: dict[str, set[str]] = {}

    def __call__(self, path: str) -> str:
        """The safe path."""
        if path not in self._safe:
            owner, _, name = path.rpartition(".")
            self._safe[path] = safe = join(self(owner), self._name(owner, name))
            if safe != path:
                self.odd[safe] = path
        return self._safe[path]

    def _name(self, owner: str, name: str) -> str:
        if is_safe(name):
            return name
        if owner not in self._taken:
            module = submodule(self.root, owner)
            self._taken[owner] = {*module._modules, *module._parameters, *module._buffers, *module.__dict__}
        base = "m_" + re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
        candidates = (base if i == 0 else f"{base}_{i}" for i in range(len(self._taken[owner]) + 1))
        safe = next(c for c in candidates if c not in self._taken[owner])
        self._taken[owner].add(safe)
        return safe


def is_safe(name: str) -> bool:
    """Whether torch.fx can write the name as an attribute, and `GraphModule` has no such attribute itself."""
    if name.isdigit() and name.isascii():
        return True
    return name.isidentifier() and name.isascii() and not keyword.iskeyword(name) and name not in _RESERVED


def mount(source: nn.Module, graph: Graph, name_of: Callable[[str], str], copied: Callable[[Any], Any]) -> nn.Module:
    """A tree of plain modules that holds what the graph refers to, and nothing else.

    Args:
        source: the module that the graph's targets are paths in.
        graph: the graph; its targets are left as they are.
        name_of: the path in the new tree for a path in `source`.
        copied: gives the module or tensor to mount for one of `source`.
    """
    root = nn.Module()
    root.training = source.training
    for path in sorted(_targets(graph), key=lambda p: isinstance(attribute(source, p), Tensor)):
        found = attribute(source, path)
        if isinstance(found, nn.Module | Tensor):
            _place(root, source, path, name_of, copied)
        elif path != MODE:
            setattr(root, name_of(path), found)
    return root


def _targets(graph: Graph) -> Iterator[str]:
    yield from dict.fromkeys(str(node.target) for node in graph.nodes if node.op in ("call_module", "get_attr"))


def _place(
    root: nn.Module, source: nn.Module, path: str, name_of: Callable[[str], str], copied: Callable[[Any], Any]
) -> None:
    target, original, walked = root, source, ""
    *owners, last = path.split(".")
    for name in owners:
        original = original._modules[name]  # type: ignore[assignment]
        walked = join(walked, name)
        safe = name_of(walked).rpartition(".")[2]
        if safe not in target._modules:
            container = nn.Module()
            container.training = original.training
            target._modules[safe] = container
        target = target._modules[safe]  # type: ignore[assignment]
    safe = name_of(path).rpartition(".")[2]
    found = attribute(source, path)
    if isinstance(found, nn.Module):
        target._modules[safe] = copied(found)
    elif safe not in target._parameters and safe not in target._buffers:
        _place_tensor(target, original, safe, last, copied(found))


def _place_tensor(target: nn.Module, original: nn.Module, safe: str, name: str, tensor: Tensor) -> None:
    if name in original._parameters:
        target._parameters[safe] = tensor  # type: ignore[assignment]
    else:
        persistent = name in original._buffers and name not in original._non_persistent_buffers_set
        target.register_buffer(safe, tensor, persistent=persistent)


def assemble(root: nn.Module, graph: Graph, name: str) -> GraphModule:
    """A `GraphModule` of a graph and the tree that holds its targets, whose source is given back when it dies."""
    words = re.sub(r"\W+", "_", name, flags=re.ASCII)
    module = GraphModule({}, Graph(), words if words.isidentifier() and not keyword.iskeyword(words) else "Model")
    module._modules.update(root._modules)
    module._parameters.update(root._parameters)
    module._buffers.update(root._buffers)
    module._non_persistent_buffers_set |= root._non_persistent_buffers_set
    for key, value in root.__dict__.items():
        if key not in module.__dict__:
            module.__dict__[key] = value
    module.training = root.training
    _release(module)
    module.graph = graph
    _own(module)
    return module


def share(module: GraphModule, graph: Graph) -> GraphModule:
    """A plain `GraphModule` of another graph over the same leaf modules and tensors."""
    shared = assemble(mount(module, graph, lambda path: path, lambda found: found), graph, type(module).__name__)
    shared.meta = copy.copy(module.meta)
    return shared


def recompile(module: GraphModule) -> None:
    """Writes the source of a plain `GraphModule` anew, and gives the old one back."""
    _release(module)
    module.recompile()
    _release_at_death(module)


def _own(module: GraphModule) -> None:
    """What torch.fx does otherwise, for this module and its deep copies."""
    type(module).__reduce__ = reduce_module  # type: ignore[method-assign,assignment]  # a class of this one instance
    module._deepcopy_hooks = [partial(_own_copy, _transient(module))]
    _release_at_death(module)


def _own_copy(transient: tuple[tuple[str, str], ...], copied: GraphModule) -> None:
    for path, name in transient:
        submodule(copied, path)._non_persistent_buffers_set.add(name)
    _own(copied)


def _transient(module: GraphModule) -> tuple[tuple[str, str], ...]:
    return tuple((path, name) for path, part in module.named_modules() for name in part._non_persistent_buffers_set)


def _release_at_death(module: GraphModule) -> None:
    # torch.fx keeps each generated source for ever, and so does linecache.
    weakref.finalize(module, _forget, module.forward.__code__.co_filename)


def _release(module: GraphModule) -> None:
    _forget(module.forward.__code__.co_filename)


def _forget(filename: str) -> None:
    _loader.eval_cache.pop(filename, None)
    linecache.cache.pop(filename, None)


def replace(root: nn.Module, path: str, new: nn.Module) -> None:
    """Puts a module at a path, through copies of the containers on the way: those of another graph stay as they are."""
    *owners, name = path.split(".")
    for owner in owners:
        container = copy.copy(root._modules[owner])
        assert container is not None
        container.__dict__["_modules"] = dict(container._modules)
        root._modules[owner] = container
        root = container
    root._modules[name] = new


def prune(module: GraphModule, graph: Graph) -> int:
    """Takes out of a plain `GraphModule` the modules and tensors that its graph doesn't refer to.

    Returns:
        how many were taken out.
    """
    return _prune(module, tuple(tuple(path.split(".")) for path in _targets(graph)))


def _prune(module: nn.Module, paths: tuple[tuple[str, ...], ...]) -> int:
    if () in paths:
        return 0  # a node uses the module itself
    removed = 0
    for table in (module._modules, module._parameters, module._buffers):
        for name in [name for name in table if not any(path[0] == name for path in paths)]:
            del table[name]
            removed += 1
    for name, child in module._modules.items():
        if child is not None:
            removed += _prune(child, tuple(path[1:] for path in paths if path[0] == name))
    return removed
