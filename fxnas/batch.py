"""Making sure that a recording holds for every batch size: a second one, at another size, has to be the same."""

from __future__ import annotations

from typing import Any

from fxnas.errors import TraceError
from fxnas.program import identity, map_references
from fxnas.recording import Record, Recording
from fxnas.runs import Runner
from fxnas.tree import flatten

_OTHERS = tuple(n for n in range(11, 1000) if all(n % divisor for divisor in range(2, min(n, 32))))


def check_batch(runner: Runner, base: Recording) -> None:
    """Records the base run at another batch size and compares.

    Sizes that follow the batch are expressions in both. A number, a branch or a loop that differs has come from the
    batch size in a way that no graph holds: through `len(x)`, `range`, a comparison, `math.ceil`, …

    Raises:
        TraceError: something differs; the message names the line.
    """
    other = runner.record(base.decisions, batch=_unlike(base))
    known: dict[Record, Record] = {}
    for one, two in zip(base.records, other.records, strict=False):
        if one.token != two.token or not _same((one.args, one.kwargs), (two.args, two.kwargs), known):
            raise _refusal(one)
        known[two] = one
    if len(base.records) != len(other.records):
        raise _refusal(max(base.records, other.records, key=len)[min(len(base.records), len(other.records))])


def _unlike(base: Recording) -> int:
    """A batch size that no size of the model is a multiple of, so that nothing is taken to follow it by chance."""
    sizes = {size for record in base.records for size in record.meta.get("shape", ())}
    return next((other for other in _OTHERS if not any(size % other == 0 for size in sizes if size)), _OTHERS[-1])


def _same(one: Any, two: Any, known: dict[Record, Record]) -> bool:
    (mine, form), (theirs, other_form) = flatten(one), flatten(map_references(lambda r: known.get(r, r), two))
    pairs = zip(mine, theirs, strict=True)  # texts differ where an error message quotes a shape
    return form == other_form and all(identity(a) == identity(b) or (type(a) is type(b) is str) for a, b in pairs)


def _refusal(record: Record) -> TraceError:
    return TraceError(
        f"{record.frame or 'forward'}: what runs here depends on the batch size in a way that a graph can't follow; "
        "compute with x.size(0) (not len(x)) and + - * / // % only, without branches or loops over it, or pass "
        "dynamic_batch=False"
    )
