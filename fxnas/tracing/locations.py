"""Where in the user's program a recorded call stands."""

from __future__ import annotations

import dis
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from types import CodeType, FrameType
from typing import Any

import torch

from fxnas.tracing.recording import Rounds, Where

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
_OURS = tuple(_PACKAGE + name for name in ("tracing" + os.sep, "mutables" + os.sep, "nn.py", "trace.py", "tree.py"))
_NOT_USERS = (os.path.dirname(torch.__file__) + os.sep, *_OURS)


def is_users(filename: str) -> bool:
    """Whether a file is neither torch's nor part of this package's front end."""
    return not filename.startswith(_NOT_USERS)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a recorded call stands.

    Attributes:
        where: the chain of (code, instruction) of the user's frames, innermost first: equal for equal program points.
        rounds: for each of these frames the rounds of the loops around the instruction. Empty where nobody counts.
        frame: the innermost frame in words, `file:line in function`.
    """

    where: Where
    rounds: Rounds
    frame: str | None


class Locator:
    """Finds the places of calls, in one run after the other.

    Args:
        outermost: the code of the frame that places are counted from.
    """

    def __init__(self, outermost: CodeType) -> None:
        self.outermost = outermost
        self._layouts: dict[int, _Layout] = {}  # by identity: to hash a code is to read all of it
        self._counters: dict[FrameType, _Counter] = {}
        self._counting = False

    def __call__(self) -> Place:
        """The place of the current call."""
        frame: FrameType | None = sys._getframe(1)
        where: list[tuple[int, int]] = []
        rounds: list[tuple[int, ...]] = []
        user: str | None = None
        while frame is not None and frame.f_code is not self.outermost:
            layout = self._layout_of(frame.f_code)
            if layout.users:
                where.append((id(frame.f_code), layout.instruction(frame.f_lasti)))
                if self._counting:
                    rounds.append(self._around(frame, layout))
                user = user or f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
            frame = frame.f_back
        return Place(tuple(where), tuple(rounds), user)

    def _layout_of(self, code: CodeType) -> _Layout:
        found = self._layouts.get(id(code))
        if found is None:
            found = self._layouts[id(code)] = _Layout(code)
        return found

    # -- counting the rounds of loops

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Counts rounds inside of the block, by the interpreter's own tracing; a debugger's is put back afterwards."""
        before = sys.gettrace()
        self._counting = True
        self.resume()
        try:
            yield
        finally:
            self._counting = False
            sys.settrace(before)
            self._counters.clear()

    def pause(self) -> None:
        """Stops counting: what follows is not the user's."""
        if self._counting:
            sys.settrace(None)

    def resume(self) -> None:
        """Goes on counting."""
        if self._counting:
            sys.settrace(self._enter)

    def _enter(self, frame: FrameType, event: str, argument: object) -> Any:
        layout = self._layout_of(frame.f_code)
        if not layout.loops:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if frame not in self._counters:  # a generator's frame is entered again and again
            self._counters[frame] = _Counter(layout.loops)
        return self._counters[frame].step

    def _around(self, frame: FrameType, layout: _Layout) -> tuple[int, ...]:
        if not layout.loops:
            return ()
        counter = self._counters.get(frame)
        counts = {} if counter is None else counter.counts
        at = frame.f_lasti
        return tuple(counts.get(start, 0) for start, end in layout.loops.items() if start <= at <= end)


class _Layout:
    """What is read from a code once: whether it is the user's, its instructions, its loops."""

    def __init__(self, code: CodeType) -> None:
        self.code = code  # alive, so that its identity stays its own
        self.users = is_users(code.co_filename)

    def instruction(self, at: int) -> int:
        """The last of the instructions that stand for the same piece of source as that at an offset.

        An interpreter that specializes code as it runs may report another one of them each time.
        """
        return self._last[at // 2]

    @cached_property
    def _last(self) -> list[int]:
        positions = list(self.code.co_positions())
        last = list(range(len(positions)))
        for i in range(len(positions) - 2, -1, -1):
            if positions[i] == positions[i + 1] and positions[i][2] is not None:
                last[i] = last[i + 1]
        return last

    @cached_property
    def loops(self) -> dict[int, int]:
        """First and last instruction of each loop of the user's, by the jumps back."""
        loops: dict[int, int] = {}
        for instruction in dis.get_instructions(self.code) if self.users else ():
            if "JUMP_BACKWARD" in instruction.opname:
                loops[instruction.argval] = max(instruction.offset, loops.get(instruction.argval, 0))
        return dict(sorted(loops.items()))


class _Counter:
    """Counts the rounds of the loops in one frame: `counts` by first instruction of the loop."""

    def __init__(self, loops: dict[int, int]) -> None:
        self.loops = loops
        self.counts: dict[int, int] = {}
        self._last = -1

    def step(self, frame: FrameType, event: str, argument: object) -> Any:
        """What the interpreter calls at each instruction: one before the last is a jump back."""
        at = frame.f_lasti
        if at < self._last:
            self._next_round(at)
        self._last = at
        return self.step

    def _next_round(self, start: int) -> None:
        self.counts[start] = self.counts.get(start, 0) + 1
        for inner, end in self.loops.items():
            if start < inner and end <= self.loops.get(start, start):
                self.counts.pop(inner, None)  # begins anew in each round of the outer one


def line_of(error: BaseException) -> str | None:
    """The user's innermost line in the traceback of an error."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if is_users(frame.filename):
            return f"{frame.filename}:{frame.lineno} in {frame.name}"
    return None
