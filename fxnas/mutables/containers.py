"""An ordered container of named modules: what a LayerChoice is before anything is chosen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

from torch import nn

Candidates = Iterable[nn.Module] | Mapping[str, nn.Module]


class AnyNames(nn.Module):
    """A module whose children may have the names of its attributes."""

    def __setattr__(self, name: str, value: Any) -> None:
        # nn.Module refuses `self.training = …` where a child happens to be named "training".
        if not isinstance(value, nn.Module) and name in self.__dict__.get("_modules", ()):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)


class NamedModules(AnyNames):
    """Modules under fixed names, which are the first components of their state-dict names.

    The modules lie in `_modules` and are looked up there only, so that a name may be anything that a state dict can
    hold: "forward", "key", "class", "a b". Names are given once; the others keep theirs when a module is deleted.

    Args:
        candidates: a list, tuple or `nn.ModuleList` (named "0", "1", …), or a dict or `nn.ModuleDict` (its names).

    Raises:
        TypeError: for anything else, for a candidate that is no module and for a name that is no string.
        ValueError: for no candidates and for a name that is "" or contains ".".
    """

    def __init__(self, candidates: Candidates) -> None:
        super().__init__()
        self._modules.update(_checked(candidates, type(self).__name__))

    @property
    def names(self) -> list[str]:
        """The names, in order."""
        return list(self._modules)

    def candidates(self) -> list[nn.Module]:
        """The modules, in order."""
        return list(self)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[nn.Module]:
        return (module for module in self._modules.values() if module is not None)

    @overload
    def __getitem__(self, index: int | str) -> nn.Module: ...

    @overload
    def __getitem__(self, index: slice) -> list[nn.Module]: ...

    def __getitem__(self, index: int | str | slice) -> nn.Module | list[nn.Module]:
        """The module at a position or name; a list of modules for a slice."""
        if isinstance(index, slice):
            return self.candidates()[index]
        return self.candidates()[self._position(index)]

    def __setitem__(self, index: int | str, module: nn.Module) -> None:
        """Replaces the module at a position or an existing name."""
        name = self.names[self._position(index)]
        self._modules[name] = _module(module, name, type(self).__name__)

    def __delitem__(self, index: int | str | slice) -> None:
        """Removes modules; the others keep their names.

        Raises:
            ValueError: nothing would be left.
        """
        names = self.names
        gone = names[index] if isinstance(index, slice) else [names[self._position(index)]]
        if len(gone) == len(names):
            raise ValueError(
                f"{type(self).__name__} needs a candidate: can't delete {', '.join(map(repr, gone))}, the last"
            )
        self._check_removal(len(names) - len(gone))
        for name in gone:
            del self._modules[name]
        self._removed(names)

    def _check_removal(self, left: int) -> None:
        """Refuses, by raising, that `left` modules are left. For subclasses."""

    def _removed(self, before: list[str]) -> None:
        """Called after a removal with the names before it. For subclasses."""

    def _position(self, index: int | str) -> int:
        names = self.names
        if isinstance(index, str):
            if index not in self._modules:
                raise KeyError(f"{type(self).__name__} has no candidate {index!r}, only {', '.join(map(repr, names))}")
            return names.index(index)
        if isinstance(index, bool) or not hasattr(index, "__index__"):
            raise TypeError(f"{type(self).__name__} is indexed by position, name or slice, not by {index!r}")
        if not -len(names) <= index < len(names):
            raise IndexError(f"{type(self).__name__} has candidates 0..{len(names) - 1}, not {index}")
        return range(len(names))[index]


def _checked(candidates: object, owner: str) -> dict[str, nn.Module]:
    if isinstance(candidates, Mapping | nn.ModuleDict):
        pairs = list(candidates.items())
    elif isinstance(candidates, list | tuple | nn.ModuleList):
        pairs = [(str(i), module) for i, module in enumerate(candidates)]
    else:
        raise TypeError(f"{owner} takes a list or a dict of candidate modules, not {type(candidates).__name__}")
    if not pairs:
        raise ValueError(f"{owner} needs at least one candidate, got none")
    return {_name(name, owner): _module(module, name, owner) for name, module in pairs}


def _name(name: object, owner: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"candidate names of {owner} are strings, got {name!r} ({type(name).__name__})")
    if not name or "." in name:
        raise ValueError(
            f"a candidate name of {owner} stands in state-dict names: not empty and without '.', got {name!r}"
        )
    return name


def _module(module: object, name: object, owner: str) -> nn.Module:
    if not isinstance(module, nn.Module):
        raise TypeError(f"candidate {name!r} of {owner} is a {type(module).__name__}, not an nn.Module")
    return module
