"""Where in the user's program a recorded call stands."""

from __future__ import annotations

import dis
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import torch

from fxnas.tracing.recording import Rounds, Where

_FXNAS = os.path.dirname(os.path.dirname(__file__)) + os.sep
_NOT_USERS = (
    os.path.dirname(torch.__file__) + os.sep,
    *(_FXNAS + folder + os.sep for folder in ("mutables", "tracing")),
)
_FRONT_END = frozenset(_FXNAS + name for name in ("nn.py", "trace.py", "tree.py"))


def is_users(filename: str) -> bool:
    """Whether a file is neither torch's nor part of this package's front end."""
    return not filename.startswith(_NOT_USERS) and filename not in _FRONT_END


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
    """Finds the places of calls.

    Args:
        outermost: the code of the frame that places are counted from.
    """

    def __init__(self, outermost: CodeType) -> None:
        self.outermost = outermost
        self._last_of: dict[CodeType, list[int]] = {}
        self._loops: dict[CodeType, dict[int, int]] = {}
        self._last: dict[FrameType, int] = {}
        self._rounds: dict[FrameType, dict[int, int]] = {}  # by first instruction of the loop
        self._counting = False

    def __call__(self) -> Place:
        """The place of the current call."""
        frame: FrameType | None = sys._getframe(1)
        where: list[tuple[int, int]] = []
        rounds: list[tuple[int, ...]] = []
        user: str | None = None
        while frame is not None and frame.f_code is not self.outermost:
            filename = frame.f_code.co_filename
            if is_users(filename):
                where.append((id(frame.f_code), self._instruction(frame)))
                rounds.append(self._around(frame))
                user = user or f"{filename}:{frame.f_lineno} in {frame.f_code.co_name}"
            frame = frame.f_back
        return Place(tuple(where), tuple(rounds) if self._counting else (), user)

    def _instruction(self, frame: FrameType) -> int:
        """The current instruction, the last of those that stand for the same piece of source.

        An interpreter that specializes code as it runs may report another one of them each time.
        """
        code = frame.f_code
        if code not in self._last_of:
            positions = list(code.co_positions())
            last = list(range(len(positions)))
            for i in range(len(positions) - 2, -1, -1):
                if positions[i] == positions[i + 1] and positions[i][2] is not None:
                    last[i] = last[i + 1]
            self._last_of[code] = last
        return self._last_of[code][frame.f_lasti // 2]

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
            self._rounds.clear()
            self._last.clear()

    def pause(self) -> None:
        """Stops counting: what follows is not the user's."""
        if self._counting:
            sys.settrace(None)

    def resume(self) -> None:
        """Goes on counting."""
        if self._counting:
            sys.settrace(self._enter)

    def _enter(self, frame: FrameType, event: str, argument: object) -> Any:
        if not is_users(frame.f_code.co_filename):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._step

    def _step(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "opcode":
            if frame.f_lasti < self._last.get(frame, -1):
                self._next_round(frame, frame.f_lasti)
            self._last[frame] = frame.f_lasti
        return self._step

    def _next_round(self, frame: FrameType, start: int) -> None:
        loops, counts = self._loops_of(frame.f_code), self._rounds.setdefault(frame, {})
        counts[start] = counts.get(start, 0) + 1
        for inner, end in loops.items():
            if start < inner and end <= loops.get(start, start):
                counts.pop(inner, None)  # begins anew in each round of the outer one

    def _around(self, frame: FrameType) -> tuple[int, ...]:
        counts = self._rounds.get(frame, {})
        loops = self._loops_of(frame.f_code)
        return tuple(counts.get(start, 0) for start, end in loops.items() if start <= frame.f_lasti <= end)

    def _loops_of(self, code: CodeType) -> dict[int, int]:
        """First and last instruction of each loop, by the jumps back."""
        if code not in self._loops:
            loops: dict[int, int] = {}
            for instruction in dis.get_instructions(code) if self._counting else ():
                if "JUMP_BACKWARD" in instruction.opname:
                    loops[instruction.argval] = max(instruction.offset, loops.get(instruction.argval, 0))
            self._loops[code] = dict(sorted(loops.items()))
        return self._loops[code]


def line_of(error: BaseException) -> str | None:
    """The user's innermost line in the traceback of an error."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if is_users(frame.filename):
            return f"{frame.filename}:{frame.lineno} in {frame.name}"
    return None
