"""Lines of a file that another process appends to. Free of torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from fxnas.files import MAX_BYTES


class Lines:
    """Reads what has come since it last read, whole lines only.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._part = b""

    def read(self, *, ended: bool = False) -> Iterator[bytes]:
        """The new lines, without their ends.

        Args:
            ended: nothing will follow, so that a last line needs no end.
        """
        try:
            with open(self.path, "rb") as file:
                file.seek(self._offset)
                read = file.read()
        except FileNotFoundError:
            return
        self._offset += len(read)
        *whole, self._part = (self._part + read).split(b"\n")
        yield from whole
        if len(self._part) > MAX_BYTES or (ended and self._part):
            yield self._part


def append_line(path: str | Path, line: bytes, *, create: bool = True) -> None:
    """Appends a line, whole in one go unless the disk is full, so that lines of several processes don't mix.

    Args:
        path: the file.
        line: without its end.
        create: make the file where there is none.

    Raises:
        OSError: it can't be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | (os.O_CREAT if create else 0), 0o666)
    try:
        left = line + b"\n"
        while left:
            left = left[os.write(descriptor, left) :]
    finally:
        os.close(descriptor)
