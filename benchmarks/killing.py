"""Is anything lost? Kills searches at random moments, lets them go on, and compares with one that was never killed.

    python benchmarks/killing.py [--rounds N] [--seed N]

A round is one search: its driver or one of its workers is killed (SIGKILL) again and again, sometimes with half a write
left at the end of the study's log, until the search comes to its end; or two drivers share the study and one of them is
killed. The exit code is 1 if a finished trial is lost, one is recorded or evaluated more often than it may be, or the
result differs.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import fxnas
from fxnas.architecture import Architecture
from fxnas.evaluators import Report
from fxnas.search import SearchResult
from fxnas.strategies import RegularizedEvolution
from fxnas.study import Study

TRIALS, IN_FLIGHT, WORKERS = 60, 4, 2
KILLS = ("driver", "worker", "driver, half a write")
MOST_STARTS = 60
PATIENCE = 300  # seconds that a driver may take: it needs a few, on a machine that does other work many more


def space() -> fxnas.SearchSpace:
    names = ["a", "b", "c", "d"]
    return fxnas.SearchSpace.from_json({f"c{i}": {"_type": "layer_choice", "_value": names} for i in range(8)})


def work(graph: Any, architecture: Architecture, report: Report) -> float:
    """The evaluator: short, of uneven length, and it writes down that it was here."""
    _note(f"begun {report.number} {os.getpid()}")
    for epoch in range(1, 3):
        report(epoch=epoch, score=random.random())
        time.sleep(random.random() * 0.015)
    return random.random() + sum(decision[0] for decision in architecture.values())


def drive(study: Path | None, workers: int) -> SearchResult:
    """One driver of a search."""
    found = space()
    strategy = RegularizedEvolution(found, seed=1, population=10, sample_size=3)
    return fxnas.search(
        found,
        strategy,
        work,
        trials=TRIALS,
        workers=workers,
        in_flight=IN_FLIGHT,
        study=study,
        retries=9,
        progress=False,
        callbacks=[lambda trial: _note(f"recorded {trial.number} {trial.source is None}")],
    )


@dataclass
class Round:
    """What happened in one round.

    Attributes:
        kills: how often something was killed.
        evaluations: how many trials were begun, repetitions included.
        problems: what must not happen, in words.
    """

    kills: int = 0
    evaluations: int = 0
    problems: list[str] = field(default_factory=list)


def killed_round(folder: Path, rng: random.Random, expected: str, kills: int) -> Round:
    """A search whose driver and workers are killed `kills` times."""
    result = Round()
    for start in range(MOST_STARTS):
        driver = _started(folder)
        if result.kills >= kills:
            if _ended(driver, folder):
                result.problems.append(f"a driver ended with {driver.returncode}")
            break
        while result.kills < kills and driver.poll() is None:
            _wait_for_notes(folder, driver, rng)
            kind = rng.choice(KILLS)
            if driver.poll() is None and _kill(kind, driver, folder, rng):
                result.kills += 1
            if kind != "worker":
                break
        _ended(driver, folder)
        _check_recorded(folder, result, f"after start {start}")
    _check_end(folder, result, expected)
    return result


def shared_round(folder: Path, rng: random.Random, expected: str, kills: int) -> Round:
    """Two drivers with two workers each on one study; one of them is killed if `kills`."""
    result = Round()
    drivers = [_started(folder), _started(folder)]
    if kills:
        _wait_for_notes(folder, drivers[0], rng)
        drivers[0].kill()
        drivers[0].wait()
        result.kills = 1
    for driver in drivers[bool(kills) :]:
        if _ended(driver, folder):
            result.problems.append(f"a driver ended with {driver.returncode}")
    _check_end(folder, result, expected)
    return result


def campaign(rounds: int, seed: int = 0, *, kills: int = 6) -> Iterator[Round]:
    """Runs rounds of both kinds in turn, every second one of two drivers without a kill."""
    rng = random.Random(seed)
    expected = drive(None, 0).fingerprint
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            kind = shared_round if number % 2 else killed_round
            yield kind(Path(name), rng, expected, kills if number % 4 != 1 else 0)


def _started(folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "KILLING_LOG": str(folder / "log")}
    command = [sys.executable, __file__, "--drive", str(folder / "study.db")]
    # what Python says about semaphores that a killed driver has left
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


def _ended(driver: subprocess.Popen[bytes], folder: Path) -> int:
    """The return code of a driver; one that hangs is told with where it does."""
    try:
        return driver.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        driver.kill()
        stacks = "\n".join(path.read_text() for path in sorted(folder.glob("*.stack")))
        raise RuntimeError(f"a driver has not ended in {PATIENCE} s:\n{stacks}") from None


def _kill(kind: str, driver: subprocess.Popen[bytes], folder: Path, rng: random.Random) -> bool:
    if kind == "worker":
        begun = [line.split() for line in _notes(folder) if line.startswith("begun")]
        try:
            os.kill(int(begun[-1][2]), signal.SIGKILL)
        except (IndexError, ProcessLookupError):
            return False
        return True
    driver.kill()
    driver.wait()
    log = folder / "study.db-wal"
    if kind != "driver" and log.exists():
        with open(log, "ab") as file:
            file.write(rng.randbytes(rng.randrange(1, 5000)))
    return True


def _wait_for_notes(folder: Path, driver: subprocess.Popen[bytes], rng: random.Random) -> None:
    """Until some trials more have begun or ended, and a random moment longer."""
    wanted = len(_notes(folder)) + rng.randrange(1, 12)
    while len(_notes(folder)) < wanted and driver.poll() is None:
        time.sleep(0.002)
    time.sleep(rng.random() * 0.03)


def _check_recorded(folder: Path, result: Round, when: str) -> None:
    """Every trial that a driver has told of as finished is in the study."""
    told = {int(line.split()[1]) for line in _notes(folder) if line.startswith("recorded")}
    if not told:
        return
    with Study(folder / "study.db") as study:
        rows = {row["trial"]: row["state"] for row in study.rows()}
    lost = [number for number in sorted(told) if rows.get(number) != "done"]
    if lost:
        result.problems.append(f"{when}: finished trials {lost} are lost")


def _check_end(folder: Path, result: Round, expected: str) -> None:
    _check_recorded(folder, result, "at the end")
    if (found := drive(folder / "study.db", 0).fingerprint) != expected:
        result.problems.append(f"the result differs: {found[:12]}, without kills {expected[:12]}")
    notes = [line.split() for line in _notes(folder)]
    begun = Counter(int(note[1]) for note in notes if note[0] == "begun")
    recorded = Counter(int(note[1]) for note in notes if note[0] == "recorded")
    with Study(folder / "study.db", readonly=True) as study:
        evaluated = sum(row["source"] is None for row in study.rows())
    result.evaluations = sum(begun.values())
    if twice := [number for number, count in recorded.items() if count > 1]:
        result.problems.append(f"trials {twice} are recorded twice")
    if result.evaluations > evaluated + result.kills * WORKERS:
        result.problems.append(f"{result.evaluations} evaluations for {evaluated} trials and {result.kills} kills")


def _notes(folder: Path) -> list[str]:
    path = folder / "log"
    return path.read_text().splitlines() if path.exists() else []


def _note(line: str) -> None:
    """Appends a line to the log of the round, whole."""
    if (path := os.environ.get("KILLING_LOG")) is not None:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{line}\n".encode())
        os.close(descriptor)


def main(arguments: list[str] | None = None) -> int:
    """1 if anything was lost."""
    parser = argparse.ArgumentParser(description="Kills searches at random moments.")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.drive is not None:
        with open(options.drive.parent / f"{os.getpid()}.stack", "w") as file:
            faulthandler.dump_traceback_later(PATIENCE - 30, file=file)
            drive(options.drive, WORKERS)
            faulthandler.cancel_dump_traceback_later()
        return 0
    lost = 0
    for number, each in enumerate(campaign(options.rounds, options.seed)):
        state = "; ".join(each.problems) or "nothing lost"
        told = f"round {number}: {each.kills} kills, {each.evaluations} evaluations of {TRIALS} trials: {state}"
        print(told, flush=True)
        lost += bool(each.problems)
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
