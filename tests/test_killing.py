"""Searches that are killed, share a study, or are interrupted. The long campaign: `python benchmarks/killing.py`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from search_help import SPACE, outcome, score, search

from benchmarks import killing
from fxnas.architecture import Architecture
from fxnas.study import Study
from fxnas.study.owners import Owners

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and locks")

HERE = Path(__file__).parent
PATHS = f"import sys; sys.path[:0] = [{str(HERE)!r}, {str(HERE.parent)!r}]\n"


def started(script: str, folder: Path, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PATHS + script], cwd=folder, text=True, **options)


def test_nothing_is_lost_in_a_short_campaign() -> None:
    found = list(killing.campaign(4, seed=int(time.time()), kills=3))
    assert [each.problems for each in found] == [[]] * 4
    assert [bool(each.kills) for each in found] == [True, False, True, True]


def test_the_campaign_notices_what_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(killing, "TRIALS", 6)
    expected = killing.drive(None, 0).fingerprint
    monkeypatch.setenv("KILLING_LOG", str(tmp_path / "log"))
    killing.drive(tmp_path / "study.db", 0)
    with Study(tmp_path / "study.db") as study:
        study._connection.execute("DELETE FROM trials WHERE number = 5")
    for line in ("recorded 2 True", "begun 1 1", "begun 1 1", "begun 1 1"):
        killing._note(line)
    result = killing.Round()
    killing._check_end(tmp_path, result, expected[::-1])
    assert [problem.split(": ")[0] for problem in result.problems] == [
        "at the end",
        "the result differs",
        "trials [2, 5] are recorded twice",
        "10 evaluations for 6 trials and 0 kills",
    ]


class TestSharing:
    def test_four_writers_get_different_trials(self, tmp_path: Path) -> None:
        script = (
            "import search_help as s\n"
            "s.search(trials=80, in_flight=4, study='s', reuse=False, callbacks=[lambda t: print(t.number)])\n"
        )
        writers = [started(script, tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
        ended = [writer.communicate(timeout=120) for writer in writers]
        assert [error for _, error in ended] == [""] * 4
        numbers = [int(line) for output, _ in ended for line in output.split()]
        assert sorted(numbers) == list(range(80))
        result = search(trials=80, in_flight=4, study=tmp_path / "s", reuse=False)
        assert result.fingerprint == search(trials=80, in_flight=4, reuse=False).fingerprint
        assert {trial.attempts for trial in result.trials} == {1}

    def test_a_lock_dies_with_its_process_and_no_sooner(self, tmp_path: Path) -> None:
        script = (
            "import os, time, pathlib\n"
            "from fxnas.study.owners import Owners\n"
            "Owners(pathlib.Path('lock')).claim(7)\n"
            "if os.fork() == 0: time.sleep(600)\n"  # inherits nothing
            "print('claimed', flush=True); time.sleep(600)\n"
        )
        other = started(script, tmp_path, stdout=subprocess.PIPE, start_new_session=True)
        assert other.stdout.readline() == "claimed\n"
        owners = Owners(tmp_path / "lock")
        owners.claim(3)
        assert [owners.alive(number) for number in (3, 7, 8)] == [True, True, False]
        other.kill()
        other.wait()
        assert [owners.alive(number) for number in (3, 7)] == [True, False]
        owners.free(3)
        assert not owners.alive(3)
        os.killpg(other.pid, signal.SIGKILL)
        other.stdout.close()

    def test_trials_of_a_living_driver_are_left_to_it(self, tmp_path: Path) -> None:
        seen: list[Any] = []

        def second(graph: Any, architecture: Architecture, report: Any) -> float:
            if not seen:
                seen.append(None)
                with Study(tmp_path / "s") as other:
                    other.begin(SPACE, search_strategy())
                    with other.writing():
                        other.release_orphans()
                    seen.append(other.counts)
            return score(architecture)

        search(evaluator=second, trials=2, study=tmp_path / "s")
        assert seen[1] == {"running": 1}


def search_strategy() -> dict[str, object]:
    from search_help import evolution

    return evolution().settings


class TestInterrupts:
    def test_once_lets_the_running_trial_end(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        def interrupted(graph: Any, architecture: Architecture, report: Any) -> float:
            if report.number == 3:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.05)
            return score(architecture)

        before = signal.getsignal(signal.SIGINT)
        result = search(evaluator=interrupted, study=tmp_path / "s")
        assert signal.getsignal(signal.SIGINT) is before
        assert result.interrupted
        assert len(result.trials) == 4
        assert "interrupt again to end it now" in capfd.readouterr().err
        assert outcome(search(study=tmp_path / "s")) == outcome(search())

    def test_twice_ends_now(self, tmp_path: Path) -> None:
        def interrupted(graph: Any, architecture: Architecture, report: Any) -> float:
            if report.number == 3:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(60)
            return score(architecture)

        result = search(evaluator=interrupted, study=tmp_path / "s")
        assert result.interrupted
        assert len(result.trials) == 3
        with Study(tmp_path / "s", readonly=True) as study:
            assert study.counts == {"done": 3, "waiting": 1}
        assert outcome(search(study=tmp_path / "s")) == outcome(search())

    @pytest.mark.parametrize("times", [1, 2])
    def test_workers(self, tmp_path: Path, times: int) -> None:
        script = (
            "import search_help as s, trial_bodies as b\n"
            "if __name__ == '__main__':\n"
            "    notice = lambda trial: print(trial.number, flush=True)\n"
            "    result = s.search(evaluator=b.long_third, workers=2, study='s', callbacks=[notice])\n"
            "    print(result.interrupted, len(result.trials), flush=True)\n"
        )
        driver = started(script, tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert {driver.stdout.readline() for _ in range(2)} == {"0\n", "1\n"}
        time.sleep(0.3)
        for _ in range(times):
            driver.send_signal(signal.SIGINT)
            time.sleep(0.1)
        output, error = driver.communicate(timeout=60)
        assert error.count("interrupt again") == 1
        assert output.split()[-2] == "True"
        with Study(tmp_path / "s", readonly=True) as study:  # trial 2 takes 3 s
            assert study.rows()[2]["state"] == ("done" if times == 1 else "waiting")
            assert "running" not in study.counts

    def test_workers_end_with_a_killed_driver(self, tmp_path: Path) -> None:
        script = (
            "import search_help as s, trial_bodies as b\n"
            "if __name__ == '__main__': s.search(evaluator=b.notes_its_process, workers=1)\n"
        )
        driver = started(script, tmp_path, stderr=subprocess.DEVNULL)
        for _ in range(600):
            if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
                break
            time.sleep(0.05)
        worker = int((tmp_path / "pid").read_text())
        driver.kill()
        driver.wait()
        for _ in range(100):
            if not Path(f"/proc/{worker}").exists():
                break
            time.sleep(0.05)
        assert not Path(f"/proc/{worker}").exists()

    def test_a_search_outside_the_main_thread_leaves_signals_alone(self) -> None:
        results: list[Any] = []
        thread = threading.Thread(target=lambda: results.append(search(trials=3)))
        thread.start()
        thread.join()
        assert len(results[0].trials) == 3
