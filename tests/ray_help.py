"""A cluster of plain Ray for tests, on this machine only; it ends with the tests, whatever becomes of them."""

from __future__ import annotations

import faulthandler
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
import pytest

TESTS = Path(__file__).resolve().parent
START_SECONDS = 90  # Ray needs 7 on an idle core

# One token for the clusters of a process, which reads it once; Ray's children inherit all of these.
SETTINGS = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on Linux too: 127.0.0.1 and nothing else
    "RAY_USAGE_STATS_ENABLED": "0",
}

# Starts Ray without any code of fxnas, runs a task, tells the address, and ends when its standard input does.
_CLUSTER = """
import sys
import ray

try:
    ray.init(
        address="local", num_cpus=2, num_gpus=1, include_dashboard=False, object_store_memory=80 * 2**20,
        _temp_dir=sys.argv[1], log_to_driver=False, logging_level="ERROR",
    )
except Exception as error:
    print("refused", type(error).__name__, *str(error).split(), flush=True)
    sys.exit(1)
assert ray.get(ray.remote(lambda: 3).remote()) == 3
print("at", ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
ray.shutdown()
"""


def environment(**further: str) -> dict[str, str]:
    """For a process that uses Ray; it and Ray's workers find the modules of the tests."""
    paths = [str(TESTS), str(TESTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    kept = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    return {**kept, **SETTINGS, "PYTHONPATH": os.pathsep.join(paths), **further}


def kill(process: subprocess.Popen[str]) -> None:
    """Ends a process that leads a session, and what it has started there."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def folder() -> Iterator[str]:
    """Where a cluster keeps its files; Ray makes sockets in it, whose paths have to be short."""
    name = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    try:
        yield name
    finally:
        _end_all_of(name)
        shutil.rmtree(name, ignore_errors=True)


def _end_all_of(place: str) -> None:
    """Ends what is left of a cluster that was killed: workers on their way, which would make the folder anew."""
    left = [each for each in psutil.process_iter(["cmdline"]) if place in " ".join(each.info["cmdline"] or ())]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=10)


@contextmanager
def cluster(**further: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A cluster's process and address; where Ray itself can't start, the test is skipped with what Ray says."""
    with folder() as place:
        errors = Path(place, "stderr")
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-c", _CLUSTER, place],
                env=environment(**further),
                cwd=place,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
            )
        try:
            yield process, _address(process, errors)
        finally:
            with suppress(subprocess.TimeoutExpired, BrokenPipeError):
                process.stdin.close()
                process.wait(20)
            kill(process)
            process.stdout.close()


def _address(process: subprocess.Popen[str], errors: Path) -> str:
    late = threading.Event()

    def end() -> None:
        late.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(START_SECONDS, end)
    timer.start()
    try:
        told = next((line for line in process.stdout if line.startswith(("at ", "refused "))), "")
    finally:
        timer.cancel()
    if told.startswith("at "):
        return told.split()[1]
    said = errors.read_text("utf-8", "replace").strip()
    if told or late.is_set():
        pytest.skip(f"Ray itself doesn't start here: {told.strip() or f'nothing in {START_SECONDS} s'}; {said[-300:]}")
    raise RuntimeError(f"the process of the cluster has ended: {said}")


@contextmanager
def limit(seconds: int) -> Iterator[None]:
    """Raises after so long, and ends the process if that doesn't help: no test waits for ever."""

    def late(signal_number: int, frame: FrameType | None) -> Any:
        raise TimeoutError(f"it took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    faulthandler.dump_traceback_later(seconds + 30, exit=True)
    try:
        yield
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)
