"""Who is alive: a lock per owner that dies with its process.

Owner n holds byte n of a file as a POSIX record lock. Unlike a process id it can't be mistaken for another process, it
says the same in every container, and a process that the owner left behind doesn't inherit it.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows: nobody else is known to be alive
    fcntl = None

# POSIX locks belong to the process, and closing any descriptor of a file gives all of them free: one for each file.
_open: dict[Path, tuple[int, set[int]]] = {}


class Owners:
    """The owners that hold a lock in one file.

    Args:
        path: the file; made at the first claim.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))

    def claim(self, owner: int) -> None:
        """Takes the lock of a new owner for this process.

        Raises:
            OSError: the file can't be written.
        """
        descriptor, held = self._opened()
        if fcntl is not None:
            fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, owner)
        held.add(owner)

    def free(self, owner: int) -> None:
        """Gives the lock of an owner of this process free."""
        descriptor, held = self._opened()
        held.discard(owner)
        if held:
            if fcntl is not None:
                fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, owner)
            return
        os.close(descriptor)
        del _open[self.path]

    def alive(self, owner: int) -> bool:
        """Whether the process of an owner still runs."""
        descriptor, held = self._opened()
        if owner in held or fcntl is None:
            return owner in held
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, owner)
        except OSError:
            return True
        fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, owner)
        return False

    def _opened(self) -> tuple[int, set[int]]:
        if self.path not in _open:
            _open[self.path] = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), set()
        return _open[self.path]
