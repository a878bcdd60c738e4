"""The file of a study: how it is opened, its tables, and what its errors mean. Free of torch."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from fxnas.errors import FxnasError, shown

MEMORY = ":memory:"
FORMAT = 1
APPLICATION = 0x66786E73  # "fxns": tells a study from the databases of other programs
BUSY_SECONDS = 60.0  # how long to wait while another process writes

_TABLES = f"""
CREATE TABLE study (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE owners (id INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, pid INTEGER NOT NULL);
CREATE TABLE architectures (hash TEXT PRIMARY KEY, architecture TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE trials (
    number INTEGER PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed', 'pruned')),
    hash TEXT NOT NULL REFERENCES architectures,
    told INTEGER NOT NULL,
    repeated INTEGER NOT NULL,
    source INTEGER,
    owner INTEGER,
    attempts INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    score REAL,
    objectives TEXT NOT NULL DEFAULT '[]',
    metrics TEXT NOT NULL DEFAULT '{{}}',
    reports TEXT NOT NULL DEFAULT '[]',
    seconds REAL NOT NULL DEFAULT 0,
    host TEXT,
    pid INTEGER,
    error TEXT,
    traceback TEXT
);
CREATE UNIQUE INDEX evaluated ON trials (hash)
    WHERE source IS NULL AND NOT repeated AND state IN ('running', 'done');
CREATE INDEX states ON trials (state);
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {FORMAT};
"""

_Value = TypeVar("_Value")


def path_of(source: str | Path | None) -> str:
    """The path that a study is named by: a path, a URL `sqlite:///path`, or None for one in memory.

    Raises:
        FxnasError: a URL of another kind.
    """
    if source is None:
        return MEMORY
    text = os.fspath(source)
    if "://" not in text:
        return text
    if not text.startswith("sqlite:///"):
        raise FxnasError(f"a study is a file, or a URL of the form sqlite:///path, got {shown(text)}")
    return text.removeprefix("sqlite:///") or MEMORY


def opened(path: str, *, readonly: bool) -> sqlite3.Connection:
    """A connection to the study at `path`; its tables are made where there is no file and `readonly` is False.

    Raises:
        FxnasError: there is no such study, it is a folder, can't be opened, is locked, damaged, or of another program.
    """
    if os.path.isdir(path):
        raise FxnasError(f"study {path} is a folder; name a file in it, such as {os.path.join(path, 'search.db')}")
    if readonly and not os.path.isfile(path):
        raise FxnasError(f"study {path} does not exist")
    with worded(path):
        connection = _connected(path, readonly)
        try:
            _retried(lambda: _prepare(connection, path, readonly))
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def worded(path: str) -> Iterator[None]:
    """Turns the errors of SQLite into words: what is wrong with which study, and what to do.

    Raises:
        FxnasError: in place of any `sqlite3.Error`.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise FxnasError(f"study {path} {_problem(error, path)}") from error


def _connected(path: str, readonly: bool) -> sqlite3.Connection:
    if not readonly:
        return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    # To read a study in WAL mode is to keep two files beside it, which only who may write can take away again.
    # What lies in a folder that nobody can write to doesn't change.
    writable = os.access(os.path.dirname(os.path.abspath(path)), os.W_OK)
    mode = "mode=rw" if writable and os.access(path, os.W_OK) else "mode=ro"
    still = "&immutable=1" if not writable and not os.path.exists(f"{path}-wal") else ""
    uri = f"file:{quote(os.path.abspath(path))}?{mode}{still}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _prepare(connection: sqlite3.Connection, path: str, readonly: bool) -> None:
    if not readonly and _is_empty(connection):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _is_empty(connection):  # nobody was faster
                for statement in _TABLES.split(";"):
                    connection.execute(statement)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    if _pragma(connection, "application_id") != APPLICATION:
        raise FxnasError(f"{path} is not a study of fxnas but another program's database")
    if (found := _pragma(connection, "user_version")) != FORMAT:
        raise FxnasError(f"study {path} has format {found}, this fxnas reads {FORMAT}")
    if (found := _pragma(connection, "quick_check(1)")) != "ok":
        problem = str(found).splitlines()[-1]  # the first line names SQLite's name of the database
        raise FxnasError(f"study {path} is damaged: {problem}; go on with a copy of it, or with a new study")


def _is_empty(connection: sqlite3.Connection) -> bool:
    return not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def _pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def _retried(action: Callable[[], _Value]) -> _Value:
    """Tries again while another process makes the same file: SQLite doesn't wait for a change of the journal mode."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if _name(error) not in ("SQLITE_BUSY", "SQLITE_LOCKED") or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _name(error: sqlite3.Error) -> str:
    """The primary code of an error: SQLITE_BUSY also for SQLITE_BUSY_SNAPSHOT."""
    return "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])


def _problem(error: sqlite3.Error, path: str) -> str:
    folder = os.path.dirname(os.path.abspath(path))
    match _name(error):
        case "SQLITE_BUSY" | "SQLITE_LOCKED":
            return f"is locked by another process for more than {BUSY_SECONDS:g} s; end that process, or use a copy"
        case "SQLITE_FULL":
            return "can't be written: the disk is full. Every finished trial is safe: free some space, and go on"
        case "SQLITE_READONLY":
            return f"can't be written: the file or its folder {folder} is read-only"
        case "SQLITE_CANTOPEN" if not os.path.isdir(folder):
            return f"can't be opened: there is no folder {folder}"
        case "SQLITE_CANTOPEN":
            return f"can't be opened: a folder that can be written to is needed, got {folder}"
        case "SQLITE_CORRUPT" | "SQLITE_NOTADB":
            return f"is damaged, or no study: {error}; go on with a copy of it, or with a new study"
    return f"can't be used: {error} ({_name(error) or type(error).__name__}). Every finished trial is safe"
