"""What a choice gives, and what its reduction costs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Protocol

import torch
from torch.fx import Node

from fxnas import ops
from fxnas.conditions import ALWAYS, NEVER, Condition, all_of, any_of, negate
from fxnas.costs.alternatives import MOST_FORMS, Alternative, Call, Measure, Seen, form, merged, place, same_merged
from fxnas.errors import PassError
from fxnas.ir.liveness import option_condition


class Values(Protocol):
    """What a walk knows."""

    measure: Measure

    def alternatives(self, value: Any, needed: Condition) -> Iterator[Alternative]:
        """What an argument can be where `needed` holds."""


class Reduction:
    """What a `choose` gives.

    Its *states* are what it may have to reduce: lists of options, told apart by their forms.
    """

    def __init__(self, walk: Values, node: Node, needed: Condition) -> None:
        details: Any = node.kwargs
        self.walk, self.node, self.needed = walk, node, needed
        self.count, self.n_chosen, self.reduction = (
            len(details["candidates"]),
            details["n_chosen"],
            details["reduction"],
        )
        self.taken = [option_condition(node, i) for i in range(self.count)]
        self.options: list[list[Alternative]] = []
        if self.reduction != "mask":
            options: Any = node.args[0]
            whens = [all_of([needed, taken]) for taken in self.taken]
            self.options = [merged(walk.alternatives(o, when), node) for o, when in zip(options, whens, strict=True)]
        alike = merged(itertools.chain.from_iterable(self.options), node)
        self.alike = alike[0].value if len(alike) == 1 else None  # where all options have one form

    def measured(self) -> list[Seen]:
        """What the reduction itself costs."""
        if self.alike is not None or self.reduction == "mask":
            counts = range(self.count + 1) if self.n_chosen is None and self.options else [self.n_chosen or 0]
            found = [self._run([self.alike] * count) for count in counts]
            if all(one.measured == found[-1].measured for one in found):
                return found[-1:]
        return same_merged([self._run(parts, when) for when, parts in self.states], self.needed)

    def _run(self, parts: list[Any], when: Condition = ALWAYS) -> Seen:
        reduce: Any = ops.mask if self.reduction == "mask" else ops.reduce_outputs
        args = ((), self.count) if self.reduction == "mask" else (parts, self.reduction)
        value, measured = self.walk.measure(Call(self.node, reduce, args, {}))
        return Seen(self.node, all_of([self.needed, when]), measured, value)

    def alternatives(self) -> Iterable[Alternative]:
        """What it can give."""
        if self.reduction == "mask":
            return [Alternative(ALWAYS, torch.empty(self.count, dtype=torch.bool))]
        if self.alike is not None and self.n_chosen is None and self.reduction in ("sum", "mean"):
            something = any_of(self.taken)
            value = ops.reduce_outputs([self.alike, self.alike], self.reduction)
            return [Alternative(something, value), Alternative(negate(something), None)]
        return [Alternative(when, ops.reduce_outputs(parts, self.reduction)) for when, parts in self.states]

    @cached_property
    def states(self) -> list[tuple[Condition, list[Any]]]:
        """The lists of options, each with its condition."""
        if self.n_chosen == 1:
            taken = zip(self.taken, self.options, strict=True)
            found = [Alternative(all_of([when, o.when]), o.value) for when, options in taken for o in options]
            return [(one.when, [one.value]) for one in merged(found, self.node)]
        if self.alike is not None and self.n_chosen is not None:
            return [(ALWAYS, [self.alike] * self.n_chosen)]
        return self._folded()

    def _folded(self) -> list[tuple[Condition, list[Any]]]:
        """Takes or leaves one option after the other."""
        states: list[tuple[Condition, list[Any]]] = [(ALWAYS, [])]
        for taken, options in zip(self.taken, self.options, strict=True):
            following: dict[object, tuple[Condition, list[Any]]] = {}
            for condition, parts in states:
                _join(following, all_of([condition, negate(taken)]), parts)
                for option in options:
                    _join(following, all_of([condition, taken, option.when]), [*parts, option.value])
            states = list(following.values())
            if len(states) > MOST_FORMS:
                raise PassError(f"{place(self.node)}: more than {MOST_FORMS} combinations of shapes meet")
        return [state for state in states if self.n_chosen in (None, len(state[1]))]


def _join(states: dict[object, tuple[Condition, list[Any]]], condition: Condition, parts: list[Any]) -> None:
    if condition is not NEVER:
        forms = sorted(map(form, parts), key=repr)
        before = states.get(key := repr(forms), (NEVER, parts))
        states[key] = (any_of([before[0], condition]), before[1])
