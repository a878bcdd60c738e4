"""Stands between a search and a trial's program, as the first of a process group that holds both it and the program.

Run as a script: `guard.py PROGRAM ARGUMENT …`. The program's exit status, negative for a signal, goes to standard
output as a line; all output of the program goes to standard error. When standard input ends, since the search wants it
or since the search is no more, the whole group is killed: nothing that a trial has started outlives the search.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

NOT_STARTED = 127  # what shells give for a program that can't be run


def main(command: list[str]) -> None:
    """Runs the command until standard input ends."""
    threading.Thread(target=_run, args=(command,), daemon=True).start()
    sys.stdin.buffer.read()
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)


def _run(command: list[str]) -> None:
    try:
        status = subprocess.call(command, stdin=subprocess.DEVNULL, stdout=2, stderr=2)
    except OSError as error:
        os.write(2, f"{command[0]} can't be run: {error.strerror}\n".encode(errors="backslashreplace"))
        status = NOT_STARTED
    os.write(1, b"%d\n" % status)


if __name__ == "__main__":
    main(sys.argv[1:])
