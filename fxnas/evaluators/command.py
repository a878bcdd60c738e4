"""The evaluator that runs a program for each trial, in any language; `fxnas.trial` tells what they say."""

from __future__ import annotations

import itertools
import os
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fxnas.architecture import Architecture
from fxnas.errors import FxnasError, SearchSpaceError
from fxnas.evaluators.base import Report, Score, check_timeout
from fxnas.evaluators.guarded import Guarded, command_words
from fxnas.evaluators.results_file import ResultsFile
from fxnas.space import SearchSpace
from fxnas.trial import ARCHITECTURE, NUMBER, RESULTS, SEED, SPACE_OUT

_FROM_OUTSIDE = ("SIGKILL", "SIGTERM", "SIGHUP")


class CommandKilled(ConnectionError):
    """The program of a trial was killed from outside; like other lost connections, that is worth another attempt."""


@dataclass(frozen=True)
class TrialCommand:
    """Runs a command for each trial, in a folder of its own; the result is what it reports.

    Trial 7 runs in `folder/7`, where `architecture.json`, `results.jsonl` and `trial.log` (all that it prints) lie
    beside whatever else it writes; where that exists, for an earlier attempt or another search, in `folder/7-2`.
    A word of the command that names a file or a folder gets the full path of it; other relative paths are relative to
    the trial's folder. When the trial ends, however it does, all processes that it has left are killed.

    It needs no model: search its `space()`. It is plain data, so that it can be given to worker processes as it is.

    Args:
        command: a line that is split as a shell does (no shell is involved), or its words.
        folder: gets the folders of the trials.
        timeout: seconds that a trial may take.

    Raises:
        FxnasError: there is no such program, or the time-out isn't a number of seconds.
    """

    command: str | Sequence[str]
    folder: str | Path = "fxnas-trials"
    timeout: float | None = None

    def __post_init__(self) -> None:
        """Makes what was given independent of the folder that it was given in."""
        check_timeout(self.timeout)
        object.__setattr__(self, "command", command_words(self.command))
        object.__setattr__(self, "folder", os.path.abspath(self.folder))

    @property
    def settings(self) -> dict[str, object]:
        """The words of the command, those that are full paths without their folders: a study may be moved."""
        words = [os.path.basename(word) if os.path.isabs(word) else word for word in self.command]
        return {"name": type(self).__name__, "command": words}

    def space(self) -> SearchSpace:
        """The search space, which the command is run for once: `get_and_apply_next_architecture` writes it.

        Raises:
            SearchSpaceError: the command doesn't write it, or something else; quotes the end of its log.
            TimeoutError: it takes longer than `timeout`; quotes the end of its log, too.
        """
        with tempfile.TemporaryDirectory(prefix="fxnas-") as name:
            folder, path = Path(name), Path(name, "space.json")
            with Guarded(self.command, folder, folder / "trial.log", {SPACE_OUT: str(path)}) as program:
                try:
                    *_, status = program.statuses(self.timeout)
                except TimeoutError as error:
                    raise TimeoutError(
                        f"the command took longer than {self.timeout:g} s to write its search space; does it call "
                        f"get_and_apply_next_architecture(model) before it trains? It printed:\n{program.tail()}"
                    ) from error
                printed = f" It printed:\n{program.tail()}"
                if status:
                    raise SearchSpaceError(f"the command {_ending(status)} in place of writing its space.{printed}")
                if not path.exists():
                    raise SearchSpaceError(
                        "the command ended without writing its search space; does it call "
                        f"get_and_apply_next_architecture(model)?{printed}"
                    )
            return SearchSpace.load(path)

    def evaluate(self, graph: Any, architecture: Architecture, report: Report) -> Score:
        """Runs the command for one trial; see `Evaluator`.

        Raises:
            FxnasError: the command failed, reported nothing, or what isn't a result; quotes the end of its log.
            CommandKilled: it was killed from outside.
            TimeoutError: it takes longer than `timeout`.
            TrialPruned: the search's stopping rule ends the trial.
        """
        folder = _new_folder(Path(self.folder), report.number)
        architecture.save(folder / "architecture.json")
        results = ResultsFile(folder / "results.jsonl", report)
        variables = {
            ARCHITECTURE: str(folder / "architecture.json"),
            RESULTS: str(folder / "results.jsonl"),
            NUMBER: str(report.number),
            SEED: str(report.seed),
        }
        program = Guarded(self.command, folder, folder / "trial.log", variables)
        try:
            with program:
                for reached in program.statuses(self.timeout):
                    results.read()
                    status = reached
            results.read(ended=True)
        except (FxnasError, TimeoutError) as error:
            raise type(error)(_told(str(error), program)) from error
        if status:
            name = _signal(-status)
            kind = CommandKilled if name in _FROM_OUTSIDE else FxnasError
            raise kind(_told(f"the command {_ending(status)}", program))
        if results.final is None:
            raise FxnasError(_told("the command ended without a final result", program))
        return results.final


def _new_folder(parent: Path, number: int) -> Path:
    """A folder that nobody had before: an earlier attempt's files would be taken for this one's."""
    parent.mkdir(parents=True, exist_ok=True)
    for attempt in itertools.count(1):
        folder = parent / (str(number) if attempt == 1 else f"{number}-{attempt}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError("counting ends never")


def _told(problem: str, program: Guarded) -> str:
    """The problem and the last line of the log in the first line, more of the log after it."""
    last = program.tail().rpartition("\n")[2]
    return f"{problem}; its log ends with {last[-300:]!r}{_quoted(program)}" if last else f"{problem}; its log is empty"


def _quoted(program: Guarded) -> str:
    return f"\nThe end of {program.log}:\n{program.tail()}"


def _ending(status: int) -> str:
    return f"ended with exit status {status}" if status > 0 else f"was killed ({_signal(-status)})"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
