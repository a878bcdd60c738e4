"""Aligning a further run with the steps known so far.

Instructions are known by their program location. One that occurs once in both sequences is an anchor; between anchors
the cheapest alignment is found by dynamic programming (Needleman and Wunsch 1970), where arguments tell the rounds of a
loop apart.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from typing import Any

from fxnas.tracing.program import Step, identity, map_references
from fxnas.tracing.recording import Record
from fxnas.tree import flatten

_SKIP = 0.5  # a step or record that has no partner
_SKIP_ABSENT = 0.1  # a step that would have used a value that this run doesn't have: expected
_USES_ABSENT = 3.0  # matching such a step nevertheless
_OTHER_FORM = 0.3
_OTHER_ARGUMENT = 0.68
_OTHER_OPTIONS = 0.9  # of one choice: less than a skip on both sides, however many of them differ
_OTHER_ROUND = 0.35  # of a loop, where an argument agrees all the same
_ALIEN_ROUND = 0.8  # where none does
_LATER_ARGUMENT = 0.3  # … that another step of the gap computes: this run may well skip that one

Pair = tuple[int | None, int | None]


def align(
    steps: list[Step], records: list[Record], run: int, absent: Callable[[Any], bool]
) -> tuple[list[Step], dict[Record, Step]]:
    """Merges `records` into `steps`.

    Args:
        steps: the steps known so far.
        records: a further run.
        run: its number, under which each step notes its arguments.
        absent: whether a step's value is None in this run.

    Returns:
        the longer sequence of steps, and the step of every record.
    """
    partner: dict[Record, Step] = {}
    pairs: list[Pair] = []
    last_step = last_record = 0
    for i, j in [*_anchors(steps, records), (len(steps), len(records))]:
        gap = _Gap(steps[last_step:i], records[last_record:j], partner, absent)
        for x, y in gap.ordered_pairs():
            pairs.append((None if x is None else x + last_step, None if y is None else y + last_record))
            if x is not None and y is not None:
                partner[records[y + last_record]] = steps[x + last_step]
        if i < len(steps):
            pairs.append((i, j))
            partner[records[j]] = steps[i]
        last_step, last_record = i + 1, j + 1
    merged = []
    for at, other in pairs:
        step = steps[at] if at is not None else Step(records[other])  # type: ignore[index]
        merged.append(step)
        if other is not None:
            partner[records[other]] = step
    _renumber_storages(steps, records, partner)
    for record in records:
        args, kwargs = map_references(lambda r: partner[r], (record.args, record.kwargs))
        partner[record].variants[run] = (args, kwargs)
    return merged, partner


def _renumber_storages(steps: list[Step], records: list[Record], partner: dict[Record, Step]) -> None:
    """Each run numbers its storages anew: gives the run's the numbers that the known steps have."""
    if not steps:
        return
    known = set(steps)
    numbers: dict[int, int] = {}
    free = 1 + max(
        (number for step in steps for number in (*step.record.storages, *step.record.mutates, -1)), default=-1
    )
    for record in records:
        kept = partner[record].record
        if partner[record] in known:
            for mine, theirs in zip(record.storages, kept.storages, strict=False):
                numbers.setdefault(mine, theirs)
        for number in record.storages + record.mutates:
            if number < 0:
                numbers[number] = number
            elif number not in numbers:
                numbers[number] = free
                free += 1
        storages, mutates = (tuple(numbers[n] for n in group) for group in (record.storages, record.mutates))
        if partner[record] in known:
            storages, mutates = (*kept.storages, *storages), (*kept.mutates, *mutates)
        kept.storages, kept.mutates = tuple(dict.fromkeys(storages)), tuple(dict.fromkeys(mutates))
        kept.effect = kept.effect or record.effect


def _anchors(steps: list[Step], records: list[Record]) -> list[tuple[int, int]]:
    """Places of tokens that occur once on both sides, in the same round of their loops.

    Of these the longest set whose order agrees (patience sorting).
    """
    here, there = Counter(step.token for step in steps), Counter(record.token for record in records)
    place = {record.token: j for j, record in enumerate(records)}
    once = ((i, s) for i, s in enumerate(steps) if here[s.token] == 1 and there.get(s.token) == 1)
    pairs = [(i, place[s.token]) for i, s in once if records[place[s.token]].rounds == s.record.rounds]
    tails: list[int] = []
    chain: list[list[tuple[int, int]]] = []
    back: dict[tuple[int, int], tuple[int, int] | None] = {}
    for pair in pairs:
        at = bisect_left(tails, pair[1])
        back[pair] = chain[at - 1][-1] if at else None
        if at == len(tails):
            tails.append(pair[1])
            chain.append([pair])
        else:
            tails[at] = pair[1]
            chain[at].append(pair)
    best: list[tuple[int, int]] = []
    link = chain[-1][-1] if chain else None
    while link is not None:
        best.append(link)
        link = back[link]
    return best[::-1]


class _Gap:
    """The cheapest alignment of two short sequences."""

    def __init__(
        self, steps: list[Step], records: list[Record], partner: dict[Record, Step], absent: Callable[[Any], bool]
    ) -> None:
        self.steps, self.records, self.partner, self.absent = steps, records, partner, absent
        self.uses_absent = [self._uses_absent(step) for step in steps]
        self.inside = set(map(id, steps))

    def _uses_absent(self, step: Step) -> bool:
        return any(
            self.absent(leaf)
            for variant in step.variants.values()
            for leaf in flatten(variant)[0]
            if isinstance(leaf, Step)
        )

    def pairs(self) -> list[Pair]:
        """(index of step, index of record) in order; None for what has no partner."""
        n, m = len(self.steps), len(self.records)
        if not n or not m:
            return [*((i, None) for i in range(n)), *((None, j) for j in range(m))]
        cost = [[_SKIP * j for j in range(m + 1)]]
        for i in range(n):
            row = [cost[-1][0] + self._skip(i)]
            for j in range(m):
                row.append(min(self._ways(cost[-1], row, i, j))[0])
            cost.append(row)
        return self._trace(cost)

    def _skip(self, i: int) -> float:
        return _SKIP_ABSENT if self.uses_absent[i] else _SKIP

    def _ways(self, above: list[float], row: list[float], i: int, j: int) -> list[tuple[float, int]]:
        ways = [(above[j + 1] + self._skip(i), 1), (row[j] + _SKIP, 2)]
        match = self._match(i, j)
        return ways if match is None else [(above[j] + match, 0), *ways]

    def _match(self, i: int, j: int) -> float | None:
        step, record = self.steps[i], self.records[j]
        if step.token != record.token:
            return None
        known = flatten(next(iter(step.variants.values())))
        given = flatten((record.args, record.kwargs))
        other_round = self._other_round(step, record, known[0], given[0])
        if self.uses_absent[i] and not any(leaf is None for leaf in given[0]):
            return _USES_ABSENT
        if known[1] != given[1]:
            return _OTHER_FORM + other_round
        if self.uses_absent[i]:
            return other_round
        difference = sum(self._difference(a, b) for a, b in zip(known[0], given[0], strict=True))
        return other_round + (min(difference, _OTHER_OPTIONS) if record.op == "choose" else difference)

    def _other_round(self, step: Step, record: Record, known: list[Any], given: list[Any]) -> float:
        if step.record.rounds == record.rounds:
            return 0.0
        partners = (self.partner.get(value) for value in given if isinstance(value, Record))
        return _OTHER_ROUND if any(partner in known for partner in partners) else _ALIEN_ROUND

    def _difference(self, known: Any, given: Any) -> float:
        if self._alike(known, given):
            return 0.0
        return _LATER_ARGUMENT if id(known) in self.inside else _OTHER_ARGUMENT

    def _alike(self, known: Any, given: Any) -> bool:
        if isinstance(given, Record):
            partner = self.partner.get(given)
            if partner is not None:
                return known is partner
            return isinstance(known, Step) and known.token == given.token
        return identity(known) == identity(map_references(lambda r: self.partner.get(r, r), given))

    def ordered_pairs(self) -> list[Pair]:
        """`pairs`, where what has no partner stands in the order of the program."""
        ordered: list[Pair] = []
        steps: list[int] = []
        records: list[int] = []
        for i, j in [*self.pairs(), (-1, -1)]:
            if i is not None and j is not None:
                ordered += self._merged(steps, records)
                steps, records = [], []
                if i >= 0:
                    ordered.append((i, j))
            elif i is not None:
                steps.append(i)
            elif j is not None:
                records.append(j)
        return ordered

    def _merged(self, steps: list[int], records: list[int]) -> list[Pair]:
        merged: list[Pair] = []
        steps, records = list(steps), list(records)
        while steps and records:
            if _earlier(self.records[records[0]], self.steps[steps[0]].record):
                merged.append((None, records.pop(0)))
            else:
                merged.append((steps.pop(0), None))
        return [*merged, *((i, None) for i in steps), *((None, j) for j in records)]

    def _trace(self, cost: list[list[float]]) -> list[Pair]:
        i, j, pairs = len(self.steps), len(self.records), []
        while i and j:
            way = min(self._ways(cost[i - 1], cost[i], i - 1, j - 1))[1]
            pairs.append(((i - 1) if way != 2 else None, (j - 1) if way != 1 else None))
            i, j = i - (way != 2), j - (way != 1)
        pairs += [(k, None) for k in reversed(range(i))] + [(None, k) for k in reversed(range(j))]
        return pairs[::-1]


def _earlier(one: Record, other: Record) -> bool:
    """Whether one record surely stands before another in the program: by rounds of loops, then by instructions."""
    for mine, theirs, my_rounds, their_rounds in zip(
        reversed(one.where), reversed(other.where), reversed(one.rounds), reversed(other.rounds), strict=False
    ):
        if mine[0] != theirs[0]:
            return False
        shared = min(len(my_rounds), len(their_rounds))
        if my_rounds[:shared] != their_rounds[:shared]:
            return my_rounds[:shared] < their_rounds[:shared]
        if mine[1] != theirs[1]:
            return mine[1] < theirs[1]
    return False
