"""Making sure that a recording holds for every batch size: a second one, at another size, has to be the same."""

from __future__ import annotations

from typing import Any

from fxnas.errors import TraceError
from fxnas.tracing.program import identity, map_references
from fxnas.tracing.recording import Expression, Record, Recording, size_of
from fxnas.tracing.runs import At, Runner
from fxnas.tree import flatten

_EVEN, _ODD = 12, 11


def check_batch(runner: Runner, base: Recording) -> None:
    """Records the base run at two more batch sizes, the example's and one of the other parity, and compares.

    Sizes that follow the batch are expressions in the base run, and are computed with the sizes of the other. A number,
    a branch or a loop that differs has come from the batch size in a way that no graph holds: through `len(x)`,
    `range`, a comparison, `math.ceil`, …

    Raises:
        TraceError: something differs; the message names the line.
    """
    assert runner.example_batch is not None
    for batch in (runner.example_batch, _ODD if runner.example_batch % 2 == 0 else _EVEN):
        other = runner.record(base.decisions, At(batch, base))
        of_other: dict[Record, Record] = {}
        for one, two in zip(base.records, other.records, strict=False):
            if one.token != two.token or not _same((one.args, one.kwargs), (two.args, two.kwargs), of_other):
                raise _refusal(next((record for record in (one, two) if record.frame), base.records[-2]))
            of_other[one] = two
        if len(base.records) != len(other.records):
            longer = max(base.records, other.records, key=len)
            raise _refusal(longer[min(len(base.records), len(other.records))])


def _same(one: Any, two: Any, of_other: dict[Record, Record]) -> bool:
    (mine, form), (theirs, other_form) = flatten(map_references(lambda r: of_other.get(r, r), one)), flatten(two)
    return form == other_form and all(map(_alike, mine, theirs))


def _alike(expected: Any, given: Any) -> bool:
    if type(expected) is type(given) is str:
        return True  # texts differ where an error message quotes a shape
    if isinstance(expected, Expression) and isinstance(given, int | float):
        return bool(_computed(expected) == given)
    return identity(expected) == identity(given)


def _computed(value: Any) -> Any:
    """The number that an expression has in the run whose records it refers to."""
    if not isinstance(value, Expression):
        return value
    if value.function is size_of:
        tensor, dim = value.operands
        return tensor.meta["shape"][dim]
    return value.function(*map(_computed, value.operands))


def _refusal(record: Record) -> TraceError:
    return TraceError(
        f"{record.frame or 'forward'}: what runs here depends on the batch size in a way that a graph can't follow; "
        "compute with x.size(0) (not len(x)) and + - * / // % only, without branches or loops over it, or pass "
        "dynamic_batch=False"
    )
