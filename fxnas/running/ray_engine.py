"""Trials on Ray, beyond one machine; needs the extra `fxnas[ray]`."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

from fxnas.errors import FxnasError
from fxnas.running.faults import WorkerLostError

_Result = TypeVar("_Result")
_PATIENCE = 10.0  # seconds for a cluster to answer


class RayEngine(Executor):
    """Runs each call as a task of Ray Core, which finds a machine with room for it.

    A task that loses its worker or its machine is not repeated by Ray: the search counts the attempts. A new cluster
    asks for a token, since Ray listens on all interfaces of the machine, unless `RAY_AUTH_MODE` says otherwise or Ray
    has been imported before; it has no dashboard, and reports no usage. For a running cluster the token is what its
    owner gave you (`RAY_AUTH_TOKEN`); fxnas and your modules have to be installed on each of its machines.

    Args:
        address: a running cluster, such as "auto", "host:6379" or "ray://host:10001"; None: the one that `ray.init`
            has connected this process to, or else a new one on this machine, which ends with the engine.
        workers: for a new cluster: how many calls run at a time.
        cpus: of each call.
        gpus: of each call; fractions share a GPU.

    Raises:
        FxnasError: Ray is not installed, or there is no such cluster.
    """

    def __init__(
        self, address: str | None = None, *, workers: int | None = None, cpus: float = 1.0, gpus: float = 0.0
    ) -> None:
        self._ray = _imported()
        self._owns = not self._ray.is_initialized()
        if self._owns:
            self._connect(address, None if workers is None else max(1, round(workers * cpus)))
        self._call = self._ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_call)
        self._running: dict[Future[Any], Any] = {}

    def submit(self, fn: Callable[..., _Result], /, *args: Any, **kwargs: Any) -> Future[_Result]:
        """Hands a call to Ray.

        Returns:
            its future; it raises `WorkerLostError` where the worker or its machine was lost.
        """
        reference = self._call.remote(fn, args, kwargs)
        future: Future[_Result] = Future()
        future.set_running_or_notify_cancel()
        self._running[future] = reference
        reference.future().add_done_callback(lambda done: self._finish(future, done))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends a cluster of its own; calls that run are waited for, or killed if `cancel_futures`."""
        running = list(self._running.values())
        if cancel_futures:
            for reference in running:
                with contextlib.suppress(Exception):  # it has ended meanwhile
                    self._ray.cancel(reference, force=True)
        elif wait and running:
            self._ray.wait(running, num_returns=len(running))
        if self._owns and self._ray.is_initialized():
            self._ray.shutdown()

    def _connect(self, address: str | None, cpus: int | None) -> None:
        options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
        if address is None:  # "local", or Ray looks for a cluster, and finds those that were killed too
            options |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}
        try:
            _knock(address)
            self._ray.init(**options)
        except (RuntimeError, ValueError, OSError) as error:
            raise FxnasError(f"Ray can't be reached at {address or 'a new cluster here'}: {error}") from error

    def _finish(self, future: Future[Any], done: Future[Any]) -> None:
        self._running.pop(future, None)
        error = done.exception()
        if error is None:
            future.set_result(done.result())
        elif isinstance(error, self._ray.exceptions.RayError) and not isinstance(
            error, self._ray.exceptions.RayTaskError
        ):
            future.set_exception(WorkerLostError(f"{type(error).__name__}: {str(error).splitlines()[0]}"))
        else:
            future.set_exception(error)


def _knock(address: str | None) -> None:
    """Whether anybody is there; Ray itself tries for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()


def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return function(*args, **kwargs)


def _imported() -> Any:
    """Ray. It reads these settings when it is imported; who has imported it before, or set them, has decided."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if "ray" not in sys.modules and os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
    except ImportError as error:
        raise FxnasError('trials on Ray need the package ray: pip install "fxnas[ray]"') from error
    return ray
