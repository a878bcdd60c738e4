"""Runs that try the decisions which meet in one place of a program in all their combinations.

An explanation that fits every run so far may still be wrong, where no run has decided the choices that matter in just
that way. Which choices can matter at a step is known, though: those that its arguments, and the guards of what it uses,
depend on. Few at a time are tried in every combination; one run serves many steps at once, as in a covering array
(Cohen, Dalal, Fredman and Patton 1997), so that the number of runs hardly grows with the number of choices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations, product
from typing import Any

from fxnas.conditions import Condition
from fxnas.tracing.learn import Assignment, Steering
from fxnas.tracing.program import Listing, Program, Select, Step
from fxnas.tracing.recording import Expression
from fxnas.tree import flatten

_WHOLE = 4  # so many literals are tried in all combinations
_TRIPLES = 8  # of so many, every three; of more, every three neighbours

Group = tuple[int, ...]  # indices of literals
Pattern = tuple[Group, tuple[bool, ...]]


class Cover:
    """The combinations that are still to be tried.

    Args:
        steering: what can be decided.
    """

    def __init__(self, steering: Steering) -> None:
        self.steering = steering
        self._impossible: set[Pattern] = set()

    def next_run(self, program: Program, tried: Iterable[tuple[bool, ...]]) -> dict[str, tuple[int, ...]] | None:
        """Decisions that cover as many open combinations as fit together; None when none is open.

        Args:
            program: after learning.
            tried: the truths of all literals in each run so far.
        """
        runs = list(tried)
        assignment: dict[int, bool] = {}
        for pattern in self._open(_groups(program, self.steering), runs):
            wanted = dict(zip(*pattern, strict=True))
            if any(assignment.get(literal, truth) is not truth for literal, truth in wanted.items()):
                continue
            if self._possible(assignment, wanted):
                assignment |= wanted
            elif not self._possible({}, wanted):
                self._impossible.add(pattern)
        return self.steering.realize(assignment) if assignment else None

    def _open(self, groups: Iterable[Group], runs: list[tuple[bool, ...]]) -> Iterator[Pattern]:
        for group in groups:
            seen = {tuple(truths[literal] for literal in group) for truths in runs}
            for row in product((True, False), repeat=len(group)):
                if row not in seen and (group, row) not in self._impossible:
                    yield group, row

    def _possible(self, assignment: Assignment, wanted: Assignment) -> bool:
        """Whether there are decisions for both. Keys are independent: only those of `wanted` have to be looked at."""
        keys = {self.steering.key(literal) for literal in wanted}
        concerned = {i: truth for i, truth in assignment.items() if self.steering.key(i) in keys}
        return self.steering.realize({**concerned, **wanted}) is not None


def _groups(program: Program, steering: Steering) -> list[Group]:
    """The literals that meet in one place, few at a time."""
    index = {literal.atom.identity: i for i, literal in enumerate(steering.literals) if literal.atom is not None}
    found: dict[Group, None] = {}
    for step in program.steps:
        atoms = (atom.identity for condition in _conditions(step) for atom in condition.atoms())
        together = sorted({index[atom] for atom in atoms if atom in index})
        if len(together) <= _WHOLE:
            found[tuple(together)] = None
        elif len(together) <= _TRIPLES:
            found.update(dict.fromkeys(combinations(together, 3)))
        else:
            found.update(dict.fromkeys(zip(together, together[1:], together[2:], strict=False)))
    return [group for group in found if group]


def _conditions(step: Step) -> Iterator[Condition]:
    """What decides whether a step runs, what it is given, and whether that is there."""
    yield step.guard
    pending: list[Any] = flatten((step.args, step.kwargs))[0]
    seen: set[int] = set()  # the sides of several choices may be one value
    while pending:
        value = pending.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Step):
            yield value.guard
        elif isinstance(value, Select):
            yield value.condition
            pending += (value.present, value.absent)
        elif isinstance(value, Listing):
            for condition, item in value.items:
                yield condition
                pending.append(item)
        elif isinstance(value, Expression):
            pending += value.operands
