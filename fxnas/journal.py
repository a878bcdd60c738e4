"""The journal of a search: a file that holds every finished trial, so that a search killed at any moment goes on.

JSON lines. The first says which space and which strategy the search has; each further line is one finished trial. Lines
are only ever appended, each is on the disk before the search goes on, and a last line that was cut off is dropped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from fxnas.errors import SearchSpaceError, shown
from fxnas.files import parse_json
from fxnas.results import Trial
from fxnas.space import SearchSpace

FORMAT = 1


class Journal:
    """An open journal. Opening creates the file, or reads and checks what it holds.

    Args:
        path: the file; its folder must exist.
        space: the space that is searched.
        strategy: the settings of the strategy, plain data.

    Attributes:
        trials: what the file held when it was opened, in order.

    Raises:
        SearchSpaceError: the file belongs to another space or strategy, isn't a journal, or is in use.
    """

    def __init__(self, path: str | Path, space: SearchSpace, strategy: Mapping[str, object]) -> None:
        self.path = Path(path)
        self.trials: list[Trial] = []
        try:
            self._file = open(self.path, "a+b")  # noqa: SIM115 (open as long as the journal is)
        except OSError as error:
            raise SearchSpaceError(f"journal {self.path} can't be opened: {error.strerror}") from error
        try:
            self._lock()
            self._load(space, strategy)
        except BaseException:
            self._file.close()
            raise

    def append(self, trial: Trial) -> None:
        """Writes one finished trial and waits until the disk has it."""
        self._write(trial.to_json())

    def close(self) -> None:
        """Closes the file and gives it free."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _lock(self) -> None:
        if not _lock(self._file):
            raise SearchSpaceError(f"journal {self.path} is in use by another search")

    def _load(self, space: SearchSpace, strategy: Mapping[str, object]) -> None:
        header = {
            "fxnas": FORMAT,
            "kind": "journal",
            "fingerprint": space.fingerprint,
            "space": space.to_json(),
            "active": {key: str(choice.active) for key, choice in space.items()},
            "strategy": dict(strategy),
        }
        lines = self._whole_lines()
        if not lines:
            self._write(header)
            return
        self._compare(self._parse(lines[0], 1), header)
        for number, line in enumerate(lines[1:]):
            self.trials.append(self._trial(self._parse(line, number + 2), number, space))

    def _whole_lines(self) -> list[bytes]:
        """The lines of the file; what a killed process left of an unfinished one is cut off."""
        self._file.seek(0)
        *lines, rest = self._file.read().split(b"\n")
        if rest:
            self._file.truncate(sum(len(line) + 1 for line in lines))
        return lines

    def _write(self, value: object) -> None:
        line = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _parse(self, line: bytes, number: int) -> Any:
        return parse_json(line, error=SearchSpaceError, what=f"journal {self.path}, line {number}")

    def _trial(self, value: object, number: int, space: SearchSpace) -> Trial:
        try:
            trial = Trial.from_json(value, space)
        except ValueError as error:
            raise SearchSpaceError(f"journal {self.path}, line {number + 2}: {error}") from error
        if trial.number != number:
            raise SearchSpaceError(
                f"journal {self.path}, line {number + 2}: trial {number} is due here, got {shown(trial.number)}"
            )
        return trial

    def _compare(self, found: object, header: Mapping[str, Any]) -> None:
        if not isinstance(found, Mapping) or found.get("kind") != "journal":
            raise SearchSpaceError(f"{self.path} is not the journal of a search")
        if found.get("fxnas") != FORMAT:
            raise SearchSpaceError(
                f"journal {self.path} has format {shown(found.get('fxnas'))}, this fxnas reads {FORMAT}"
            )
        if found.get("fingerprint") != header["fingerprint"]:
            self._refuse("space", _difference(found.get("space"), header["space"], "choice"))
        if found.get("active") != header["active"]:
            self._refuse("space", _difference(found.get("active"), header["active"], "where choice"))
        if found.get("strategy") != header["strategy"]:
            self._refuse("strategy", _difference(found.get("strategy"), header["strategy"], "setting"))

    def _refuse(self, what: str, difference: str) -> None:
        raise SearchSpaceError(
            f"journal {self.path} was written by a search with another {what}: {difference}; "
            f"go on with that {what}, or use a new journal"
        )


def _difference(old: object, new: Mapping[str, object], what: str) -> str:
    """The first difference between two flat objects, in words."""
    if not isinstance(old, Mapping):
        return f"{shown(old)} in the journal"
    for key in [*new, *old]:
        if key not in old:
            return f"{what} {key!r} is new"
        if key not in new:
            return f"{what} {key!r} is gone"
        if old[key] != new[key]:
            return f"{what} {key!r} was {_written(old[key])}, is {_written(new[key])}"
    return f"every {what} in another order"


def _written(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _lock(file: IO[bytes]) -> bool:
    """Takes the file for this process, until it is closed; True where the system has no such locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
