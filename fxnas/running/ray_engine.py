"""Trials on Ray, beyond one machine; needs the extra `fxnas[ray]`."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import socket
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, TypeVar

from fxnas.errors import FxnasError, shown
from fxnas.running.faults import WorkerLostError

_Result = TypeVar("_Result")
_PATIENCE = 10.0  # seconds for a cluster to answer
_STORE = 80 * 2**20  # bytes for objects, about the least that Ray takes: only architectures and outcomes travel
_LOOPBACK = ("127.0.0.1", "localhost")


class RayEngine(Executor):
    """Runs each call as a task of Ray Core, which finds a machine with room for it.

    A task that loses its worker or its machine is not repeated by Ray: the search counts the attempts. A new cluster
    listens on this machine only and asks for a token; it has no dashboard, and reports no usage. Ray reads these
    settings when it is imported: where it has been imported before, or the environment tells otherwise
    (`RAY_AUTH_MODE`), that counts. For a running cluster the token is what its owner gave you (`RAY_AUTH_TOKEN`,
    `RAY_AUTH_TOKEN_PATH` or `~/.ray/auth_token`); fxnas and your modules have to be installed on each of its machines.

    Args:
        address: a running cluster, such as "auto", "host:6379" or "ray://host:10001"; None: the one that `ray.init`
            has connected this process to, or else a new one on this machine, which ends with the engine.
        workers: for a new cluster: how many calls run at a time.
        cpus: of each call.
        gpus: of each call; fractions share a GPU. In a running cluster, which may grow, a call waits for a machine
            that has as many.

    Raises:
        FxnasError: Ray is not installed, there is no such cluster, or this machine has less than a call is to get.
    """

    def __init__(
        self, address: str | None = None, *, workers: int | None = None, cpus: float = 1.0, gpus: float = 0.0
    ) -> None:
        _check_amounts(cpus, gpus)
        self._ray = _imported(address)
        self._owns = not self._ray.is_initialized()
        if self._owns:
            self._connect(address, None if workers is None else max(1, math.ceil(workers * cpus)))
        if self._owns and address is None:
            self._check_room(cpus, gpus)
        self._call = self._ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_call)
        self._running: dict[Future[Any], Any] = {}

    def submit(self, fn: Callable[..., _Result], /, *args: Any, **kwargs: Any) -> Future[_Result]:
        """Hands a call to Ray.

        Returns:
            its future; it raises `WorkerLostError` where the worker or its machine was lost.

        Raises:
            RuntimeError: the engine was shut down.
        """
        if not self._ray.is_initialized():  # Ray would begin a cluster with settings of its own
            raise RuntimeError("Ray was shut down")
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
            options |= {"address": "local", "num_cpus": cpus, "include_dashboard": False, "object_store_memory": _STORE}
        try:
            _knock(address)
        except OSError as error:
            raise _unreachable(address, str(error)) from error
        try:
            self._ray.init(**options)
        except ConnectionError as error:  # all that Ray tells when it was refused, too
            raise _unreachable(address, f"{error}. If it is there, is your token its own (RAY_AUTH_TOKEN)?") from error
        except (RuntimeError, ValueError, OSError, self._ray.exceptions.RayError) as error:
            raise _unreachable(address, str(error)) from error

    def _check_room(self, cpus: float, gpus: float) -> None:
        """Refuses what the new cluster never has; Ray would wait for it."""
        there = self._ray.cluster_resources()
        for name, amount in (("CPU", cpus), ("GPU", gpus)):
            if there.get(name, 0.0) < amount:
                self._ray.shutdown()
                raise FxnasError(
                    f"a call is to get {amount:g} {name}, and this machine has {there.get(name, 0.0):g}: give the "
                    "address of a cluster that has more, or ask for less"
                )

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
            future.set_exception(getattr(error, "cause", error))  # without Ray's coloured lines around it


def _check_amounts(cpus: object, gpus: object) -> None:
    for name, amount in (("cpus", cpus), ("gpus", gpus)):
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount < math.inf:
            raise FxnasError(f"{name} is a number from 0, got {shown(amount)}")
        if name == "gpus" and amount > 1 and amount != int(amount):
            raise FxnasError(f"gpus is a fraction of one GPU or a whole number of them, got {amount:g}")


def _unreachable(address: str | None, why: str) -> FxnasError:
    return FxnasError(f"Ray can't be reached at {address or 'a new cluster here'}: {why}")


def _host_and_port(address: str | None) -> tuple[str, str]:
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    return host, port


def _knock(address: str | None) -> None:
    """Whether anybody is there; Ray itself tries for minutes."""
    host, port = _host_and_port(address)
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()


def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return function(*args, **kwargs)


def _imported(address: str | None) -> Any:
    """Ray. It reads these settings when it is imported; who has imported it before, or set them, has decided."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if "ray" not in sys.modules:
        if address is None or _host_and_port(address)[0] in _LOOPBACK:
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # on Linux too: this machine is all
        if address is None or _has_token():
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        if address is None and os.environ["RAY_AUTH_MODE"] == "token" and not _has_token():
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    try:
        import ray
    except ImportError as error:
        raise FxnasError('trials on Ray need the package ray: pip install "fxnas[ray]"') from error
    return ray


def _has_token() -> bool:
    """Whether there is a token where Ray looks for one."""
    named = (os.environ.get("RAY_AUTH_TOKEN"), os.environ.get("RAY_AUTH_TOKEN_PATH"))
    return any(named) or Path("~/.ray/auth_token").expanduser().is_file()
