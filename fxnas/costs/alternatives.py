"""Values that depend on decisions: what may flow through a node, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from fxnas.conditions import ALWAYS, NEVER, Condition, any_of, negate
from fxnas.counting.tautology import always_true
from fxnas.errors import PassError
from fxnas.passes.base import line_of
from fxnas.space import SearchSpace

MOST_FORMS = 256


class Alternative(NamedTuple):
    """A value, and when it is what flows."""

    when: Condition
    value: Any


class Call(NamedTuple):
    """A call to be run: of a function, of a method by its name, or of a module."""

    node: Node
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def run(self) -> Any:
        """What it returns."""
        return self.function(*self.args, **self.kwargs)


Measure = Callable[[Call], tuple[Any, Any]]
"""Runs a call; gives its value, and what is to be known of it."""


class Seen(NamedTuple):
    """What was measured at a node.

    Attributes:
        node: the node.
        when: under which decisions the node runs, and with these inputs.
        measured: what `measure` returned.
        value: what the node gives then, without data.
    """

    node: Node
    when: Condition
    measured: Any
    value: Any


def same_merged(seen: list[Seen], needed: Condition) -> list[Seen]:
    """One entry where all measurements are equal."""
    same = bool(seen) and all(other.measured == seen[0].measured for other in seen)
    return [seen[0]._replace(when=needed)] if same else seen


def merged(alternatives: Iterable[Alternative], node: Node) -> list[Alternative]:
    """One alternative for each form; a single one is what flows always."""
    found: dict[object, Alternative] = {}
    for when, value in alternatives:
        if when is not NEVER:
            known = found.get(key := form(value), Alternative(NEVER, value))
            found[key] = Alternative(any_of([known.when, when]), known.value)
    if len(found) > MOST_FORMS:
        raise PassError(f"{place(node)}: has more than {MOST_FORMS} shapes, depending on decisions")
    if len(found) == 1:
        return [Alternative(ALWAYS, next(iter(found.values())).value)]
    return list(found.values())


def form(value: Any) -> object:
    """What values have in common that cost the same: the layout of tensors, and all else as it is.

    Strides are part of it: whether a reshape copies, or a view is possible at all, depends on them.
    """
    leaves, structure = pytree.tree_flatten(value)
    return (structure, tuple(map(_form, leaves)))


def _form(leaf: Any) -> object:
    if isinstance(leaf, Tensor):
        strides = tuple(stride if size > 1 else 0 for size, stride in zip(leaf.shape, leaf.stride(), strict=True))
        return (tuple(leaf.shape), strides, leaf.dtype, leaf.device)
    if isinstance(leaf, bool | int | float | str | torch.dtype | torch.device | None):
        return (type(leaf), leaf)
    return id(leaf)


def is_possible(condition: Condition, space: SearchSpace) -> bool:
    """Whether some decisions fulfil a condition."""
    sizes = {key: (len(choice.candidates), choice.n_chosen) for key, choice in space.items()}
    return not always_true(negate(condition), sizes)


def place(node: Node) -> str:
    """The user's line and the node, for messages."""
    target = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.target)
    return f"{line_of(node)}: node {node.name} ({target})"


def unmeasured(node: Node, error: Exception, how: str = "on tensors without data") -> PassError:
    """The error for a node that can't be run."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    return PassError(
        f"{place(node)} can't be measured {how}: {type(error).__name__}: {first}; a custom operator "
        "needs torch.library.register_fake, a graph traced with dynamic_batch=False needs batch=None"
    )
