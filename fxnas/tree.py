"""Nested arguments: tuples, named tuples, lists, dicts and slices around leaves.

Unlike `torch.utils._pytree`, None is a leaf: an absent value and a present one then stand in the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from torch import Tensor

LEAF: Hashable = "*"


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same structure with `function` applied to every leaf. A `torch.Size` becomes a tuple."""
    if isinstance(tree, tuple):
        items = [map_leaves(function, item) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
    if isinstance(tree, list):
        return [map_leaves(function, item) for item in tree]
    if isinstance(tree, dict):
        return {key: map_leaves(function, item) for key, item in tree.items()}
    if isinstance(tree, slice):
        return slice(*(map_leaves(function, part) for part in (tree.start, tree.stop, tree.step)))
    return function(tree)


def tensors(tree: Any) -> list[Tensor]:
    """The tensors of a nest of tuples, lists and dicts, from left to right."""
    found: list[Tensor] = []
    _collect(tree, found)
    return found


def _collect(tree: Any, found: list[Tensor]) -> None:
    if isinstance(tree, Tensor):
        found.append(tree)
    elif isinstance(tree, tuple | list):
        for item in tree:
            _collect(item, found)
    elif isinstance(tree, dict):
        for item in tree.values():
            _collect(item, found)


def flatten(tree: Any) -> tuple[list[Any], Hashable]:
    """The leaves from left to right, and a structure that compares equal for trees of the same form."""
    leaves: list[Any] = []
    return leaves, _structure(tree, leaves)


def _structure(tree: Any, leaves: list[Any]) -> Hashable:
    if isinstance(tree, (tuple, list)):
        kind = type(tree) if hasattr(tree, "_fields") else (tuple if isinstance(tree, tuple) else list)
        return (kind, *(_structure(item, leaves) for item in tree))
    if isinstance(tree, dict):
        return (dict, tuple(tree), *(_structure(item, leaves) for item in tree.values()))
    if isinstance(tree, slice):
        return (slice, *(_structure(part, leaves) for part in (tree.start, tree.stop, tree.step)))
    leaves.append(tree)
    return LEAF


def unflatten(leaves: list[Any], structure: Any) -> Any:
    """The inverse of `flatten`."""
    rest = iter(leaves)
    return _build(structure, rest)


def _build(structure: Any, rest: Any) -> Any:
    if structure == LEAF:
        return next(rest)
    kind = structure[0]
    if kind is dict:
        return {key: _build(part, rest) for key, part in zip(structure[1], structure[2:], strict=True)}
    items = [_build(part, rest) for part in structure[1:]]
    if kind is list:
        return items
    return tuple(items) if kind is tuple else kind(*items)
