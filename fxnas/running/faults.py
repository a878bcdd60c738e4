"""What it means that a worker gave no outcome: deaths of processes in words, and which are worth another attempt."""

from __future__ import annotations

import signal
from concurrent.futures import BrokenExecutor, CancelledError

from pebble import ProcessExpired

from fxnas.running.task import Outcome

EXITED = 87  # exit status that a worker gives in place of 0, which would look like an orderly end
RENEWED = 86  # exit status of a worker that asks to be replaced before it takes another trial
REPLACED = 85  # exit status of a process that has no place, since another was in its pool before
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP) if hasattr(signal, "SIGKILL") else (signal.SIGTERM,)


class WorkerLostError(Exception):
    """An engine has lost the worker, or the machine, that ran a call; another attempt may end better."""


def outcome_of(error: BaseException, timeout: float | None) -> Outcome:
    """The outcome of a trial whose future raised.

    Args:
        error: what the future raised.
        timeout: of the trial, seconds.
    """
    if isinstance(error, TimeoutError):
        return Outcome("failed", error=f"TimeoutError: it took longer than {timeout:g} s", seconds=timeout or 0.0)
    if isinstance(error, ProcessExpired):
        return _expired(error)
    if isinstance(error, WorkerLostError):
        return Outcome("failed", error=f"WorkerLostError: {error}", passing=True)
    if isinstance(error, BrokenExecutor | CancelledError):
        return Outcome(
            "failed",
            error=f"{type(error).__name__}: the worker process ended before it could say what happened. If every trial "
            'ends so, guard the script that starts the search by `if __name__ == "__main__":`',
            passing=True,
        )
    return Outcome("failed", error=f"{type(error).__name__}: {error}")


def asks_for_renewal(error: BaseException) -> bool:
    """Whether a worker left before it began, so that the trial is to be run by the next."""
    return isinstance(error, ProcessExpired) and error.exitcode == RENEWED


def _expired(error: ProcessExpired) -> Outcome:
    code = 0 if error.exitcode == EXITED else error.exitcode
    if code is None or code >= 0:
        return Outcome("failed", error=f"ProcessExpired: the evaluator ended its process with exit status {code}")
    name = _signal(-code)
    if -code in _FROM_OUTSIDE:
        told = f"ProcessExpired: the worker was killed ({name}): by someone, or for want of memory"
        return Outcome("failed", error=told, pid=error.pid, passing=True)
    return Outcome("failed", error=f"ProcessExpired: the worker crashed ({name})", pid=error.pid)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
