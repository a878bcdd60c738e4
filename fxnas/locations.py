"""Where in the user's program a recorded call stands."""

from __future__ import annotations

import os
import sys
import traceback
from types import CodeType

import torch

from fxnas.recording import Where

_TORCH = os.path.dirname(torch.__file__) + os.sep
_HERE = os.path.dirname(__file__) + os.sep
_FRONT_END = frozenset(
    _HERE + name
    for name in (
        "bindings.py",
        "choice_recorder.py",
        "containers.py",
        "forwarding.py",
        "locations.py",
        "nn.py",
        "recorder.py",
        "recording.py",
        "runs.py",
        "trace.py",
    )
)


def is_users(filename: str) -> bool:
    """Whether a file is neither torch's nor part of this package's front end."""
    return not filename.startswith(_TORCH) and filename not in _FRONT_END


def location(outermost: CodeType) -> tuple[Where, str | None]:
    """The place of the current call.

    Args:
        outermost: the code of the frame that the location is counted from.

    Returns:
        The chain of (code, instruction) of the user's frames from the innermost to the outermost, which is equal for
        equal program points of different runs, and the innermost one in words: `file:line in function`.
    """
    frame = sys._getframe(1)
    where: list[tuple[int, int]] = []
    user: str | None = None
    while frame is not None and frame.f_code is not outermost:
        filename = frame.f_code.co_filename
        if is_users(filename):
            where.append((id(frame.f_code), frame.f_lasti))
            user = user or f"{filename}:{frame.f_lineno} in {frame.f_code.co_name}"
        frame = frame.f_back  # type: ignore[assignment]
    return tuple(where), user


def line_of(error: BaseException) -> str | None:
    """The user's innermost line in the traceback of an error."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if is_users(frame.filename):
            return f"{frame.filename}:{frame.lineno} in {frame.name}"
    return None
