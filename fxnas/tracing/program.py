"""The merged program: one sequence of steps that gives every recorded run when its conditions are resolved."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fxnas.conditions import ALWAYS, Condition
from fxnas.tracing.recording import Attribute, Constant, Expression, Record, Recording
from fxnas.tree import flatten, map_leaves

Decisions = Mapping[str, tuple[int, ...]]


@dataclass(eq=False, slots=True)
class Step:
    """One instruction: a record of the first run that has it, and its arguments in every run that has it.

    After learning, `guard` says when it runs and `args`/`kwargs` hold values: steps, constants, `Select`s, `Listing`s.
    """

    record: Record
    variants: dict[int, tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=dict)
    guard: Condition = ALWAYS
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Step {self.record.op} {self.record.target}>"

    @property
    def token(self) -> tuple[Any, ...]:
        """What has to agree for a record to be this step."""
        return self.record.token


@dataclass(frozen=True, slots=True)
class Select:
    """`present` where the condition holds, else `absent`."""

    condition: Condition
    present: Any
    absent: Any


@dataclass(frozen=True, slots=True)
class Listing:
    """A list or tuple whose elements are there under conditions."""

    kind: type
    items: tuple[tuple[Condition, Any], ...]


def identity(value: Any) -> Hashable:
    """Equal for values that mean the same: by identity for steps, by content for the rest."""
    if isinstance(value, Step | Record):
        return id(value)
    if isinstance(value, Expression):
        return (value.function, *map(identity, value.operands))
    if isinstance(value, Attribute | Constant | Select | Listing):
        return value
    return (type(value).__name__, repr(value))


def map_references(function: Callable[[Any], Any], tree: Any) -> Any:
    """Applies `function` to each record or step of nested arguments, inside of expressions too."""

    def leaf(value: Any) -> Any:
        if isinstance(value, Expression):
            return Expression(value.function, tuple(leaf(operand) for operand in value.operands))
        return function(value) if isinstance(value, Record | Step) else value

    return map_leaves(leaf, tree)


@dataclass(slots=True)
class Program:
    """Steps in order of execution, and the runs that they were merged from.

    With `fixed_mode` the program is only right in that mode (True: training), for a `reason`.
    """

    steps: list[Step]
    runs: list[Recording]
    fixed_mode: bool | None = None
    reason: str = ""

    def specialize(self, decisions: Decisions) -> list[tuple[Step, tuple[Any, ...], dict[str, Any]]]:
        """The steps that run under `decisions`, with the arguments that they then have."""
        memo: dict[Condition, bool] = {}

        def resolve(value: Any) -> Any:
            while isinstance(value, Select):
                value = value.present if value.condition.holds(decisions, memo) else value.absent
            if isinstance(value, Listing):
                items = (resolve(item) for condition, item in value.items if condition.holds(decisions, memo))
                return value.kind(items)
            if isinstance(value, Expression):
                return Expression(value.function, tuple(resolve(operand) for operand in value.operands))
            return value

        running = (step for step in self.steps if step.guard.holds(decisions, memo))
        return [(step, map_leaves(resolve, step.args), map_leaves(resolve, step.kwargs)) for step in running]

    def mismatch(self, run: Recording, is_absent: Callable[[Any, Decisions], bool]) -> Record | None:
        """The first record of a run that the program gets wrong, or None."""
        special = self.specialize(run.decisions)
        steps: dict[Any, Step] = {}
        for (step, args, kwargs), record in zip(special, run.records, strict=False):
            given = map_references(lambda r: steps.get(r, r), (record.args, record.kwargs))
            if step.token != record.token or not _same((args, kwargs), given, run.decisions, is_absent):
                return record
            steps[record] = step
        return None if len(special) == len(run.records) else run.records[min(len(special), len(run.records)) - 1]


def _same(one: Any, other: Any, decisions: Decisions, is_absent: Callable[[Any, Decisions], bool]) -> bool:
    (mine, form), (theirs, other_form) = flatten(one), flatten(other)
    return form == other_form and all(
        identity(a) == identity(b) or (b is None and is_absent(a, decisions)) for a, b in zip(mine, theirs, strict=True)
    )


def unique(values: Iterable[Any]) -> list[Any]:
    """The values without repetition, by `identity`, in order."""
    return list({identity(value): value for value in values}.values())
