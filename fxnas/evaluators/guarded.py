"""A program that runs under a guard: a folder and a log of its own, and nothing of it stays behind."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from fxnas.errors import FxnasError, shown
from fxnas.evaluators import guard
from fxnas.trial import STARTED_IN, VARIABLES

POLL_SECONDS = 0.02
_TAIL_BYTES, _TAIL_LINES = 4096, 20


def command_words(command: str | Sequence[str]) -> tuple[str, ...]:
    """The words of a command line, ready to be run in another folder.

    The program is looked up, and a word that names a file or folder here gets the full path of it. There is no shell.

    Raises:
        FxnasError: there is no such program, or a quote isn't closed.
    """
    try:
        words = shlex.split(command) if isinstance(command, str) else [os.fspath(word) for word in command]
    except (ValueError, TypeError) as error:
        raise FxnasError(f"trial command {shown(command)}: {error}") from error
    program = shutil.which(words[0]) if words else None
    if program is None:
        what = f"no program {shown(words[0])} that can be run" if words else "it is empty"
        raise FxnasError(f"trial command {shown(command)}: {what}")
    return (os.path.abspath(program), *(os.path.abspath(word) if os.path.exists(word) else word for word in words[1:]))


class Guarded:
    """A running program; leave the `with` block and it, and all that it has started, is killed.

    Args:
        words: the program and its arguments.
        folder: where it runs.
        log: gets all that it prints.
        variables: of its environment, besides those of this process.
    """

    def __init__(self, words: Sequence[str], folder: Path, log: Path, variables: Mapping[str, str]) -> None:
        self.log = log
        self._received = b""
        with open(log, "ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, *words],
                cwd=folder,
                env=_environment(variables),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                start_new_session=True,  # Ctrl-C goes to the search, which decides what becomes of the trial
            )
        assert self._process.stdout is not None  # a pipe
        os.set_blocking(self._process.stdout.fileno(), False)

    def __enter__(self) -> Guarded:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: no one of the group lives
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()

    def statuses(self, timeout: float | None) -> Iterator[int | None]:
        """None as long as it runs, again and again after a pause; then once its exit status, negative for a signal.

        Raises:
            TimeoutError: after so many seconds.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while (status := self._status()) is None:
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"it took longer than {timeout:g} s")
            yield None
            time.sleep(POLL_SECONDS)
        yield status

    def tail(self) -> str:
        """The last lines of the log."""
        with open(self.log, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = file.read().decode(errors="backslashreplace").replace("\0", "\\0")
        return "\n".join(text.rstrip().splitlines()[-_TAIL_LINES:])

    def _status(self) -> int | None:
        assert self._process.stdout is not None
        with contextlib.suppress(BlockingIOError):
            received = os.read(self._process.stdout.fileno(), 64)
            self._received += received
            if not received:  # the guard itself was killed
                return -signal.SIGTERM
        return int(self._received) if self._received.endswith(b"\n") else None


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    if "PYTHONPATH" in inherited:  # may be relative to this folder
        paths = inherited["PYTHONPATH"].split(os.pathsep)
        inherited["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, paths))
    return {**inherited, STARTED_IN: os.getcwd(), **variables}
