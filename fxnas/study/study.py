"""The durable record of a search: one SQLite file that holds every trial. Free of torch."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from fxnas.architecture import fingerprint_of
from fxnas.errors import FxnasError, SearchSpaceError, shown
from fxnas.files import parse_json
from fxnas.results import SearchResult, Trial, finite
from fxnas.space import SearchSpace
from fxnas.study.file import MEMORY, opened, path_of, worded
from fxnas.study.owners import Owners
from fxnas.study.setup import compare, compare_space, described_space

_SHOWN = (
    *("trial", "state", "architecture", "hash", "told", "repeated", "source", "attempts", "seed", "score", "metrics"),
    *("objectives", "reports", "seconds", "host", "pid", "error", "traceback"),
)
_COLUMNS = ", ".join("number" if name == "trial" else name for name in _SHOWN)


class Study:
    """A study: which space and strategy a search has, and one row for each of its trials.

    SQLite in WAL mode: readers never wait, several drivers may share a study, and a process killed at any moment loses
    nothing that was committed. A finished trial is on the disk (a full sync) before the search goes on. Drivers write,
    nobody else.

    A study file is accompanied by `<file>-lock`, an empty file in which each driver holds a lock as long as it lives:
    so the trials of a dead driver are known, and given to others.

    Args:
        path: the file, or a URL `sqlite:///path`; made if it doesn't exist. None: a study in memory.
        readonly: only look at an existing study.

    Raises:
        FxnasError: it can't be opened: no such folder, read-only, locked, damaged, or no study.
    """

    def __init__(self, path: str | Path | None = None, *, readonly: bool = False) -> None:
        self.path = path_of(path)
        self._owner = 0
        self._connection = opened(self.path, readonly=readonly)
        self._owners = Owners(Path(f"{self.path}-lock"))
        self._version = -1

    @property
    def in_memory(self) -> bool:
        """Whether the study ends with the process."""
        return self.path == MEMORY

    @property
    def described(self) -> dict[str, Any]:
        """What the study was begun with: "fingerprint", "space", "strategy" and its setup; empty before.

        Where the search has a graph, "wiring" is what is connected to what in it: see `fxnas.wiring`.
        """
        with worded(self.path):
            rows = self._connection.execute("SELECT name, value FROM study").fetchall()
        return {name: self._parsed(value, f"{name!r}") for name, value in rows}

    @property
    def counts(self) -> dict[str, int]:
        """How many trials there are in each state."""
        with worded(self.path):
            found = self._connection.execute("SELECT state, count(*) FROM trials GROUP BY state ORDER BY state")
            return dict(found.fetchall())

    def begin(
        self, space: SearchSpace, strategy: Mapping[str, object], setup: Mapping[str, object] | None = None
    ) -> None:
        """Makes this process one of the study's drivers, and the study one of this space and strategy.

        Args:
            space: the space that is searched.
            strategy: the settings of the strategy, plain data.
            setup: what else trials depend on, by name, each with its settings or None: the evaluator (None: it can't
                be described), the stopping rule, the objectives. None: not told, nothing to compare.

        Raises:
            SearchSpaceError: the study was begun with another space, strategy or setup; names the difference.
            FxnasError: the study can't be written.
        """
        plain = json.loads(json.dumps({"strategy": dict(strategy), **(setup or {})}))
        wanted = {**described_space(space), **plain}
        with self.writing():
            found = self.described
            if found:
                compare(f"study {self.path}", found, wanted)
            else:
                texts = [(name, json.dumps(value)) for name, value in wanted.items()]
                self._connection.executemany("INSERT INTO study VALUES (?, ?)", texts)
            if not self.in_memory and not self._owner:
                self._claim_lock()

    def keep_wiring(self, wiring: Mapping[str, Any]) -> None:
        """Records what is connected to what in the graph that is searched, unless it is recorded already.

        Args:
            wiring: what `fxnas.wiring.Wiring.to_json` gives.
        """
        with self.writing():
            self._connection.execute("INSERT OR IGNORE INTO study VALUES ('wiring', ?)", (json.dumps(wiring),))

    def rows(self, since: int = 0, numbers: Iterable[int] = ()) -> list[dict[str, Any]]:
        """The trials as plain data: `Trial.to_json` and what else is recorded.

        That is "hash", the architecture's fingerprint; "told", of how many trials the strategy had been told when it
        proposed this one; and "repeated", whether it is evaluated even if another trial has the same architecture.

        Args:
            since: the first number.
            numbers: trials below it that are wanted too.

        Raises:
            SearchSpaceError: a row is damaged.
        """
        wanted = json.dumps(sorted(numbers))
        query = (
            f"SELECT {_COLUMNS} FROM trials LEFT JOIN architectures USING (hash) "
            "WHERE number >= ? OR number IN (SELECT value FROM json_each(?)) ORDER BY number"
        )
        with worded(self.path):
            found = self._connection.execute(query, (since, wanted)).fetchall()
        return [self._as_json(row) for row in found]

    def result(self, space: SearchSpace) -> SearchResult:
        """The finished trials, as `fxnas.search` returns them: `study.result(graph.space).best`.

        Args:
            space: the space that the study was begun with.

        Raises:
            SearchSpaceError: the study was begun with another space, or is damaged.
        """
        found = self.described
        if found:
            compare_space(f"study {self.path}", found, described_space(space))
        trials = [self._trial(row, space) for row in self.rows()]
        return SearchResult([trial for trial in trials if trial.finished])

    def changed(self) -> bool:
        """Whether others' trials may have changed since this was last asked; True at first."""
        with worded(self.path):
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        before, self._version = self._version, version
        return bool(version != before)

    @contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[None]:
        """A transaction: nobody else writes during it, and it is recorded as a whole or not at all.

        Args:
            durable: wait until the disk has it.

        Raises:
            FxnasError: the study can't be written.
        """
        with worded(self.path):
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # some errors have rolled back already
                    self._connection.execute("ROLLBACK")
                raise

    def add(self, trial: Trial, *, told: int, repeated: bool) -> None:
        """A new row, inside a transaction.

        Args:
            trial: waiting, or finished with the outcome of another.
            told: of how many trials the strategy had been told.
            repeated: whether its architecture is evaluated though another trial has evaluated it.
        """
        architecture = trial.architecture.to_json()
        text, hashed = json.dumps(architecture, separators=(",", ":")), fingerprint_of(architecture)
        self._connection.execute("INSERT OR IGNORE INTO architectures VALUES (?, ?)", (hashed, text))
        row = {
            "number": trial.number,
            "hash": hashed,
            "told": told,
            "repeated": repeated,
            "source": trial.source,
            "attempts": trial.attempts,
            "seed": trial.seed,
            **_written(trial),
        }
        names = ", ".join(row)
        marks = ", ".join("?" * len(row))
        self._connection.execute(f"INSERT INTO trials ({names}) VALUES ({marks})", tuple(row.values()))

    def claim(self, number: int) -> bool:
        """Takes a waiting trial for this driver, inside a transaction; False if another one has it."""
        query = "UPDATE trials SET state = 'running', owner = ?, attempts = attempts + 1, reports = '[]' "
        changed = self._connection.execute(f"{query} WHERE number = ? AND state = 'waiting'", (self._owner, number))
        return changed.rowcount == 1

    def retry(self, number: int) -> None:
        """Counts one more attempt of a trial that this driver runs, inside a transaction."""
        query = "UPDATE trials SET attempts = attempts + 1, reports = '[]' WHERE number = ?"
        self._connection.execute(query, (number,))

    def report(self, number: int, reports: Sequence[Mapping[str, float]]) -> None:
        """Records what a trial that this driver runs has reported so far, inside a transaction."""
        query = "UPDATE trials SET reports = ? WHERE number = ? AND state = 'running' AND owner IS ?"
        text = json.dumps([finite(each) for each in reports], allow_nan=False)
        self._connection.execute(query, (text, number, self._owner))

    def finish(self, trial: Trial) -> None:
        """Records the outcome of a trial that this driver runs or that waits, inside a transaction."""
        row = {**_written(trial), "source": trial.source}
        parts = ", ".join(f"{name} = ?" for name in row)
        query = f"UPDATE trials SET {parts}, owner = NULL WHERE number = ? AND state IN ('waiting', 'running')"
        self._connection.execute(query, (*row.values(), trial.number))

    def release(self) -> None:
        """Gives the running trials of this driver back, inside a transaction."""
        self._give_back(self._owner)

    def release_orphans(self) -> None:
        """Gives back the running trials of drivers that live no more, inside a transaction; `changed` then says so."""
        query = "SELECT DISTINCT owner FROM trials WHERE state = 'running' AND owner IS NOT ?"
        for (owner,) in self._connection.execute(query, (self._owner,)).fetchall():
            if owner is None or not self._owners.alive(owner):
                self._give_back(owner)
                self._version = -1

    def to_optuna(self, url: str, *, name: str | None = None) -> None:
        """Copies the study into a storage of optuna, for optuna-dashboard to show; needs the extra `fxnas[optuna]`.

        Args:
            url: of the storage, such as `sqlite:///optuna.db`.
            name: of the study there; by default the name of this file.

        Raises:
            FxnasError: optuna isn't installed, the storage can't be used, or has a study of that name.
        """
        from fxnas.study.optuna import write_optuna

        write_optuna(self.rows(), name or Path(self.path).stem, url)

    def close(self) -> None:
        """Closes the file; the study's other drivers go on."""
        if self._owner:
            self._owners.free(self._owner)
            self._owner = 0
        self._connection.close()

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _claim_lock(self) -> None:
        query = "INSERT INTO owners (host, pid) VALUES (?, ?)"
        owner = self._connection.execute(query, (socket.gethostname(), os.getpid())).lastrowid
        assert owner is not None  # an INSERT has one
        try:
            self._owners.claim(owner)
        except OSError as error:
            raise FxnasError(f"study {self.path}: {self._owners.path} can't be locked: {error.strerror}") from error
        self._owner = owner

    def _give_back(self, owner: int | None) -> None:
        query = "UPDATE trials SET state = 'waiting', owner = NULL WHERE state = 'running' AND owner IS ?"
        self._connection.execute(query, (owner,))

    def _as_json(self, row: tuple[Any, ...]) -> dict[str, Any]:
        value = dict(zip(_SHOWN, row, strict=True))
        what = f"trial {value['trial']}"
        value["repeated"] = bool(value["repeated"])
        for name in ("architecture", "objectives", "metrics", "reports"):
            value[name] = self._parsed(value[name], f"{what}, {name}")
        return value

    def _trial(self, row: Mapping[str, Any], space: SearchSpace) -> Trial:
        try:
            return Trial.from_json(row, space)
        except ValueError as error:
            raise SearchSpaceError(f"study {self.path}, trial {row['trial']}: {error}") from error

    def _parsed(self, text: object, where: str) -> Any:
        if not isinstance(text, str):
            raise SearchSpaceError(f"study {self.path}, {where}: JSON is needed, got {shown(text)}")
        return parse_json(text, error=SearchSpaceError, what=f"study {self.path}, {where}")


def _written(trial: Trial) -> dict[str, object]:
    """What is recorded of a trial beside its architecture."""
    value = trial.outcome()
    return {
        name: json.dumps(part, allow_nan=False) if isinstance(part, list | dict) else part
        for name, part in value.items()
    }
