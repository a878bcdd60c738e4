"""Trials in processes that may die."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from pebble import ProcessPool

from fxnas.running import worker
from fxnas.running.source import Made

_Result = TypeVar("_Result")
WATCH_SECONDS = 0.2  # how often to look for a call that a broken pool has forgotten
LAST_SECONDS = 5.0  # how long the end waits for processes that were killed


class Processes(Executor):
    """Worker processes, each with a thread and a pool of its own: what happens to one doesn't touch the others.

    A worker that dies fails only the call that it runs, and is replaced. A call that takes too long is killed. What a
    worker leaves running ends with it.

    Args:
        workers: how many.
        source: what each makes for itself when it starts.
        timeout: seconds that a call may take; None: any time.
        threads: in how many each computes; see `fxnas.running.worker.limit_threads`.
    """

    def __init__(self, workers: int, source: Made, *, timeout: float | None = None, threads: int | None = None) -> None:
        self._slots = [_Slot(partial(_Worker, source, threads), timeout) for _ in range(workers)]

    def submit(self, fn: Callable[..., _Result], /, *args: Any, **kwargs: Any) -> Future[_Result]:
        """Gives a call to the worker with the fewest; one worker runs one call at a time.

        Raises:
            RuntimeError: the workers were shut down.
        """
        slot = min(self._slots, key=lambda slot: len(slot.pending))
        return slot.submit(_Call(fn, args, kwargs))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the workers; after the calls they were given, or at once if `cancel_futures`."""
        for slot in self._slots:
            slot.close(at_once=cancel_futures)
        for slot in self._slots if wait else ():
            slot.thread.join()


@dataclass(frozen=True, eq=False)
class _Call:
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    future: Future[Any] = field(default_factory=Future)


class _Slot:
    """One worker and its successors, and the thread that gives them one call after the other.

    Attributes:
        pending: the calls that it was given and that have not ended.
    """

    def __init__(self, new: Callable[[], _Worker], timeout: float | None) -> None:
        self._new = new
        self._timeout = timeout
        self.pending: set[_Call] = set()
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._closed = False
        self._at_once = threading.Event()
        self._worker: _Worker | None = None
        self._killed: list[threading.Thread] = []
        self.thread = threading.Thread(target=self._serve, name="fxnas-worker", daemon=True)
        self.thread.start()

    def submit(self, call: _Call) -> Future[Any]:
        if self._closed:
            raise RuntimeError("the worker processes were shut down")
        self.pending.add(call)
        self._calls.put(call)
        return call.future

    def close(self, *, at_once: bool) -> None:
        self._closed = True
        if at_once:
            self._at_once.set()
            for call in list(self.pending):
                call.future.cancel()
        self._calls.put(None)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            if not call.future.set_running_or_notify_cancel():
                self.pending.discard(call)
                continue
            try:
                result = self._result(call)
            except BaseException as error:  # whatever it is, it is the call's end, and the worker's
                self._end_worker()
                self.pending.discard(call)
                call.future.set_exception(error)
            else:
                self.pending.discard(call)
                call.future.set_result(result)
        self._end_worker()
        for thread in self._killed:
            thread.join(LAST_SECONDS)

    def _result(self, call: _Call) -> Any:
        try:
            return self._current().run(call, self._timeout, self._at_once)
        except BrokenProcessPool:  # the worker ended before it began the call: the call has done nothing yet
            self._end_worker()
            return self._current().run(call, self._timeout, self._at_once)

    def _current(self) -> _Worker:
        if self._worker is None:
            self._worker = self._new()
        return self._worker

    def _end_worker(self) -> None:
        if self._worker is not None:
            self._killed = [*filter(threading.Thread.is_alive, self._killed), self._worker.end()]
            self._worker = None


class _Worker:
    """A process in a pool of its own, which ends with it.

    Whatever a process that was killed held of the pool's locks and had sent by half would block the next for minutes.
    So those by which pebble replaces it leave at once: see `fxnas.running.worker.start`.
    """

    def __init__(self, source: Made, threads: int | None) -> None:
        context = multiprocessing.get_context("spawn")
        self._group = worker.group_number(context)
        self._pool = ProcessPool(
            max_workers=1, initializer=worker.start, initargs=(self._group, source, threads), context=context
        )

    def run(self, call: _Call, timeout: float | None, at_once: threading.Event) -> Any:
        """What the call returns.

        Raises:
            BrokenProcessPool: the process ended before it began the call.
            TimeoutError: the call took longer than `timeout` seconds since it began, by a clock that is never set.
            CancelledError: `at_once` was set.
            BaseException: the process ended during the call, or the call itself raised.
        """
        try:
            future = self._pool.schedule(call.function, args=call.args, kwargs=call.kwargs)
        except RuntimeError as error:  # what a pool says that broke while it had nothing to do
            raise BrokenProcessPool("the worker process ended between two calls") from error
        deadline = math.inf
        while not wait([future], WATCH_SECONDS).done:
            if at_once.is_set():
                raise CancelledError
            if not self._pool.active:  # the pool forgets a call that it was given while it broke
                raise BrokenProcessPool("the worker process ended before it began")
            if timeout is not None and deadline == math.inf and future.running():
                deadline = time.monotonic() + timeout
            if time.monotonic() > deadline:
                raise TimeoutError
        return future.result()

    def end(self) -> threading.Thread:
        """Kills the process and what it has left running.

        Returns:
            the thread that waits for its death, which may not come: a process can hang in a driver or a file system.
        """
        self._pool.stop()
        if self._group.value and hasattr(os, "killpg"):
            with contextlib.suppress(OSError):
                os.killpg(self._group.value, signal.SIGKILL)
        waiting = threading.Thread(target=self._pool.join, name="fxnas-killed-worker", daemon=True)
        waiting.start()
        return waiting
