"""Whether a freshly made module is like a given one, and what has to be set on it to be so."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fxnas.exporters.literals import Unwritable, literal

_OF_MODULE = frozenset(
    nn.Module().__dict__
)  # tables of nn.Module, the flag `training` among them: looked at one by one
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


@dataclass(frozen=True)
class Repair:
    """An attribute that the constructor doesn't set as it is.

    Attributes:
        path: the names of the children that lead to its module.
        attribute: its name.
        value: its value, a constant.
    """

    path: tuple[str, ...]
    attribute: str
    value: Any


def repairs(made: nn.Module, wanted: nn.Module, path: tuple[str, ...] = ()) -> tuple[Repair, ...]:
    """What has to be set on `made` so that it is like `wanted`, but for the values of its tensors.

    Raises:
        Unwritable: they differ in something that can't be set.
    """
    place = f" of its part {'.'.join(path)!r}" if path else ""
    if type(made) is not type(wanted):
        raise Unwritable(f"the class{place} is {type(wanted).__name__}, the constructor makes {type(made).__name__}")
    check_plain(wanted, place)
    for what, ours, theirs in (
        ("parameters", *_shapes("_parameters", made, wanted)),
        ("buffers", *_shapes("_buffers", made, wanted)),
    ):
        if ours != theirs:
            raise Unwritable(f"the {what}{place} are {theirs}, the constructor makes {ours}")
    if made._non_persistent_buffers_set != wanted._non_persistent_buffers_set:
        raise Unwritable(f"other buffers{place} are part of the state dict than its constructor decides")
    if list(made._modules) != list(wanted._modules):
        raise Unwritable(f"the modules{place} are {list(wanted._modules)}, the constructor makes {list(made._modules)}")
    found = list(_attributes(made, wanted, path, place))
    for name, child in wanted._modules.items():
        mine = made._modules[name]
        if (mine is None) is not (child is None):
            raise Unwritable(f"the module {name!r}{place} is there, or not, against its constructor")
        if mine is not None and child is not None:
            found += repairs(mine, child, (*path, name))
    return tuple(found)


def check_plain(module: nn.Module, place: str = "") -> None:
    """Checks that calling a module runs the code of its class and nothing else.

    Raises:
        Unwritable: it has hooks, or a method of its own.
    """
    for table in _HOOKS:
        if module.__dict__.get(table):
            raise Unwritable(
                f"hooks are registered{place} ({table.strip('_').replace('_', ' ')}); remove them before export"
            )
    own = [name for name in module.__dict__ if name not in _OF_MODULE and callable(getattr(type(module), name, None))]
    if own:
        raise Unwritable(f"the method {own[0]!r}{place} was replaced")


def _shapes(table: str, *modules: nn.Module) -> list[dict[str, tuple[int, ...] | None]]:
    return [
        {name: None if tensor is None else tuple(tensor.shape) for name, tensor in module.__dict__[table].items()}
        for module in modules
    ]


def _attributes(made: nn.Module, wanted: nn.Module, path: tuple[str, ...], place: str) -> list[Repair]:
    found = []
    for name, ours in made.__dict__.items():
        if name in _OF_MODULE or _is_cache(ours):
            continue
        if name not in wanted.__dict__:
            raise Unwritable(f"the attribute {name!r}{place} is missing")
        theirs = wanted.__dict__[name]
        if isinstance(theirs, Tensor):
            raise Unwritable(f"the tensor {name!r}{place} is neither a parameter nor a buffer")
        if not _same(ours, theirs):
            literal(theirs)  # raises where it has no source
            found.append(Repair(path, name, theirs))
    return found


def _is_cache(value: Any) -> bool:
    """Lists of tensors (an LSTM's flat weights) only repeat what the parameters are."""
    return (
        isinstance(value, list)
        and all(isinstance(item, Tensor | weakref.ref) or item is None for item in value)
        and bool(value)
    )


def _same(ours: Any, theirs: Any) -> bool:
    if type(ours) is not type(theirs):
        return False
    if isinstance(ours, list | tuple):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    if isinstance(ours, bool | int | float | complex | str | bytes | torch.dtype | torch.device):
        return bool(ours == theirs) or (ours != ours and theirs != theirs)
    return ours is theirs or not callable(ours)
