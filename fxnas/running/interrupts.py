"""Ctrl-C: once, and the search ends when the running trials have; twice, and it ends now."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType, TracebackType


class Interrupts:
    """Counts the interrupts from the keyboard while a search runs.

    The second one raises KeyboardInterrupt. Outside the main thread, which signals go to, it does nothing.

    Attributes:
        asked: whether the search is asked to end.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: object = None

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._interrupted)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)  # type: ignore[arg-type]  # what signal.signal itself returned

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        sys.stderr.write("\nThe search ends when the running trials have ended; interrupt again to end it now.\n")
