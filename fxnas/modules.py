"""The names of a model's modules and tensors, found without trusting attribute look-up.

A module may be called "forward" or hold a quote in its name: names are keys of `_modules`, never attributes here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from fxnas.errors import TraceError
from fxnas.nn import InputChoice, LayerChoice, MutableScope, named_choices

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
"""Where a module keeps what runs beside its `forward`."""


def join(path: str, name: str) -> str:
    """The path of a child."""
    return f"{path}.{name}" if path else name


def walk(model: nn.Module, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, nn.Module]]:
    """Every module once, with the path of its first registration, parents before children."""
    seen = set() if seen is None else seen
    if id(model) in seen:
        return
    seen.add(id(model))
    yield path, model
    for name, child in model._modules.items():
        if child is not None:
            yield from walk(child, join(path, name), seen)


def submodule(root: nn.Module, path: str) -> nn.Module:
    """The module at `path`; unlike `get_submodule`, any name works."""
    module = root
    for name in path.split(".") if path else ():
        child = module._modules[name]
        assert child is not None
        module = child
    return module


def attribute(root: nn.Module, path: str) -> Any:
    """The parameter, buffer, submodule or plain attribute at `path`."""
    owner, _, name = path.rpartition(".")
    module = submodule(root, owner)
    for table in (module._parameters, module._buffers, module._modules):
        if name in table:
            return table[name]
    return module.__dict__[name]


class ModulePaths:
    """Names by identity: `modules` and `tensors` (id → path), `keys` (id of a choice → its key)."""

    def __init__(self, model: nn.Module) -> None:
        self.modules: dict[int, str] = {}
        self.tensors: dict[int, str] = {}
        self._inner: set[int] = {id(model)}  # the root and whatever holds a choice: never one node
        for path, module in walk(model):
            self.modules[id(module)] = path
            self._add_tensors(path, module)
        self.choices = named_choices(model)
        self.keys = {id(module): key for key, places in self.choices.items() for _, module in places}
        for places in self.choices.values():
            for path, _ in places:
                self._mark_parents(model, path)

    def _add_tensors(self, path: str, module: nn.Module) -> None:
        for table in (module._parameters, module._buffers, module.__dict__):
            for name, value in table.items():
                if isinstance(value, Tensor):
                    if "." in name:
                        raise TraceError(
                            f"the tensor attribute {name!r} of {path or 'the model'} has a '.' in its name"
                        )
                    self.tensors.setdefault(id(value), join(path, name))

    def _mark_parents(self, model: nn.Module, path: str) -> None:
        parts = path.split(".") if path else []
        for i in range(len(parts)):
            self._inner.add(id(submodule(model, ".".join(parts[:i]))))

    def is_leaf(self, module: nn.Module) -> bool:
        """Whether a call of the module is one node: it comes from torch.nn, is no container, and holds no choice."""
        if id(module) in self._inner or isinstance(module, (*_CONTAINERS, LayerChoice, InputChoice, MutableScope)):
            return False
        return type(module).__module__.startswith(("torch.nn.", "torch.ao.nn."))

    @property
    def listed(self) -> set[str]:
        """Keys of choices that return lists of varying length: Python sees which elements there are."""
        return {
            key
            for key, places in self.choices.items()
            for _, module in places
            if module.reduction == "none" and module.n_chosen is None
        }
