"""Timing two ways to do the same work against each other, in one run, turn by turn."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

Work = Callable[[], object]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Ratio:
    """The time of `ours` over that of `reference`: the median of the ratios of neighbouring turns."""

    name: str
    ratio: float
    ours_ms: float
    reference_ms: float
    goal: str = ""

    def __str__(self) -> str:
        line = f"{self.name:<58} {self.ratio:6.3f}   {self.ours_ms:9.3f} ms / {self.reference_ms:9.3f} ms"
        return f"{line}   {self.goal}".rstrip()


def compare(
    name: str,
    ours: Work,
    reference: Work,
    *,
    turns: int = 40,
    repeat: int = 1,
    goal: str = "",
    clock: Clock = time.perf_counter,
) -> Ratio:
    """Runs both in alternation and compares each turn with its neighbour, so that drift of the machine cancels.

    Args:
        name: what is compared.
        ours: the work, our way.
        reference: the same work, the other way.
        turns: how many pairs are timed, after a warm-up of a tenth.
        repeat: how often each is run in a turn.
        goal: printed beside the result.
        clock: in seconds; `time.thread_time` leaves out what other processes take, for work of one thread on the CPU.
    """
    for _ in range(max(turns // 10, 2)):
        ours()
        reference()
    gc.collect()
    gc.disable()
    pairs = []
    for turn in range(turns):
        first, second = (ours, reference) if turn % 2 else (reference, ours)
        one, other = _time(first, repeat, clock), _time(second, repeat, clock)
        pairs.append((one, other) if turn % 2 else (other, one))
    gc.enable()
    return Ratio(
        name,
        statistics.median(a / b for a, b in pairs),
        1e3 * statistics.median(a for a, _ in pairs) / repeat,
        1e3 * statistics.median(b for _, b in pairs) / repeat,
        goal,
    )


def milliseconds(work: Work, *, turns: int = 20) -> float:
    """The median time of one run, in milliseconds, after a warm-up."""
    work()
    return 1e3 * statistics.median(_time(work, 1) for _ in range(turns))


def _time(work: Work, repeat: int, clock: Clock = time.perf_counter) -> float:
    start = clock()
    for _ in range(repeat):
        work()
    return clock() - start
