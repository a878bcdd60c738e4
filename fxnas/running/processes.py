"""Trials in processes that may die."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from pebble import ProcessPool

from fxnas.running import worker
from fxnas.running.source import Made

_Result = TypeVar("_Result")
WATCH_SECONDS = 0.2  # how often to look for calls that a broken pool has forgotten


class Processes(Executor):
    """Worker processes, each in a pool of its own: whatever happens to one, the others neither wait nor break.

    A worker that dies fails only the call that it runs, and is replaced. A call that takes too long is killed. What a
    worker leaves running ends with it.

    Args:
        workers: how many.
        source: what each makes for itself when it starts.
        timeout: seconds that a call may take; None: any time.
    """

    def __init__(self, workers: int, source: Made, *, timeout: float | None = None) -> None:
        self._slots = [_Slot(source, timeout) for _ in range(workers)]
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="fxnas-watcher", daemon=True)
        self._watcher.start()

    def submit(self, fn: Callable[..., _Result], /, *args: Any, **kwargs: Any) -> Future[_Result]:
        """Gives a call to the worker with the fewest; one worker runs one call at a time."""
        slot = min(self._slots, key=lambda slot: slot.pending)
        return slot.submit(fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the workers; after the calls they were given, or at once if `cancel_futures`."""
        for slot in self._slots:
            slot.close(at_once=cancel_futures)
        for slot in self._slots:
            slot.end()
        self._ended.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._ended.wait(WATCH_SECONDS):
            for slot in self._slots:
                slot.give_up_lost()


class _Slot:
    """One worker and its successors."""

    def __init__(self, source: Made, timeout: float | None) -> None:
        self._source = source
        self._timeout = timeout
        self._context = multiprocessing.get_context("spawn")
        self._group = worker.group_number(self._context)
        self._pool = self._new_pool()
        self._lock = threading.Lock()
        self._calls: dict[Future[Any], ProcessPool] = {}

    @property
    def pending(self) -> int:
        return len(self._calls)

    def submit(self, function: Callable[..., _Result], args: Any, kwargs: Any) -> Future[_Result]:
        try:
            future: Future[_Result] = self._scheduled(function, args, kwargs)
        except RuntimeError:  # the pool broke while its worker had nothing to do
            self.close(at_once=True)
            self.end()
            self._pool = self._new_pool()
            future = self._scheduled(function, args, kwargs)
        return future

    def give_up_lost(self) -> None:
        """Fails the calls of a broken pool. The pool itself forgets one that it was given while it broke."""
        for call, pool in list(self._calls.items()):
            if not pool.active:
                self._settle(call, BrokenProcessPool("the worker process ended before it began"))

    def close(self, *, at_once: bool) -> None:
        if at_once:
            self._pool.stop()
            self._kill_group()
        else:
            self._pool.close()

    def end(self) -> None:
        self._pool.join()
        self._kill_group()

    def _scheduled(self, function: Callable[..., _Result], args: Any, kwargs: Any) -> Future[_Result]:
        inner = self._pool.schedule(function, args=args, kwargs=kwargs, timeout=self._timeout)
        call: Future[_Result] = Future()
        call.set_running_or_notify_cancel()
        self._calls[call] = self._pool
        inner.add_done_callback(lambda done: self._finished(call, done))
        return call

    def _new_pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=1,
            initializer=worker.start,
            initargs=(self._group, self._source),
            context=self._context,
        )

    def _finished(self, call: Future[Any], done: Future[Any]) -> None:
        error = CancelledError() if done.cancelled() else done.exception()
        if error is not None:
            # Called by the thread that replaces dead workers, before it does: the group is still that of the dead one.
            self._kill_group()
        self._settle(call, error, None if error is not None else done.result())

    def _settle(self, call: Future[Any], error: BaseException | None, result: Any = None) -> None:
        with self._lock:
            if self._calls.pop(call, None) is None:
                return  # it was given up
        if error is not None:
            call.set_exception(error)
        else:
            call.set_result(result)

    def _kill_group(self) -> None:
        """Ends what a dead worker has left running."""
        group, self._group.value = self._group.value, 0
        if group and hasattr(os, "killpg"):
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGKILL)
