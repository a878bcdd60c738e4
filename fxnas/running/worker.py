"""A worker process: how it is set up, and how it runs a trial."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from ctypes import c_int
from typing import Any

from fxnas.running.faults import EXITED, RENEWED, REPLACED
from fxnas.running.live import Told
from fxnas.running.source import Made
from fxnas.running.task import Outcome, Task, broken_device, run

_renew = False
_told: Told | None = None


def start(group: Any, source: Made, threads: int | None) -> None:
    """Sets a new worker process up, and makes the graph and the evaluator, so that no trial's time-out counts it.

    Args:
        group: a shared integer that gets the number of the worker's process group; if it has one, the pool replaces a
            worker that has died, and this process leaves.
        source: what trials will be evaluated with.
        threads: see `limit_threads`.
    """
    if group.value:
        os._exit(REPLACED)
    group.value = os.getpid()
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # Ctrl-C in the terminal goes to the search, which decides what becomes of the trial
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.dup2(2, 1)  # standard output is the search's, for JSON and tables
    limit_threads(threads)
    _never_exit_with_zero()
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with contextlib.suppress(BaseException):  # the first trial says what is wrong
        source.bench()


def evaluate(source: Made, task: Task) -> Outcome:
    """Runs a trial in a worker process."""
    global _renew, _told
    if _renew:
        os._exit(RENEWED)
    _told = None if task.live is None else Told(task.live)
    outcome = run(source, task, _told)
    sys.stdout.flush()
    _renew = broken_device(outcome)
    return outcome


def limit_threads(threads: int | None) -> None:
    """Sets in how many threads this process computes, and the programs that it starts.

    Args:
        threads: how many; None: as `OMP_NUM_THREADS` says, else one.
    """
    if threads is None and "OMP_NUM_THREADS" in os.environ:
        return
    count = threads or 1
    os.environ["OMP_NUM_THREADS"] = str(count)  # libraries read it when they are loaded
    if (torch := sys.modules.get("torch")) is not None:  # by the user's script, which every worker imports
        torch.set_num_threads(count)


def group_number(context: Any) -> Any:
    """The shared integer that `start` fills."""
    return context.Value(c_int, 0, lock=False)


def _never_exit_with_zero() -> None:
    own, leave = os.getpid(), os._exit

    def exit_told(status: int) -> None:
        leave(EXITED if status == 0 and os.getpid() == own else status)

    os._exit = exit_told  # type: ignore[assignment]


def _die_with_parent() -> None:
    """Ends the worker, and what it has started, when the search is killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    multiprocessing.connection.wait([parent.sentinel])
    if _told is not None:
        _told.clear()
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os.abort()
