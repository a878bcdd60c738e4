"""Intermediate reports reach the study while trials run, and outlive their workers and their search."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trial_bodies as bodies
from search_help import search
from spaces import flat_space
from test_workers import HERE, search_many

import fxnas
from fxnas.evaluators import TrialCommand
from fxnas.lines import Lines, append_line
from fxnas.progress import Silent
from fxnas.recipe import Recipe
from fxnas.results import Trial
from fxnas.running import loop
from fxnas.running.live import Live, Told
from fxnas.stopping import SuccessiveHalving
from fxnas.strategies import RandomSearch
from fxnas.study import Study

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

THREE = [{"epoch": epoch, "score": epoch} for epoch in (1, 2, 3)]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_study_has_them_while_the_trial_runs(tmp_path: Path, workers: int) -> None:
    path = str(tmp_path / "s")
    result = search(evaluator=Recipe("trial_bodies:SeesItself", (path,)), trials=3, workers=workers, study=path)
    assert next(trial.score for trial in result.trials if trial.source is None) == 1.0


def test_those_of_a_command_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY", str(tmp_path / "s"))
    (tmp_path / "trial.py").write_text(
        f"import os, sys; sys.path[:0] = [{str(HERE)!r}, {str(HERE.parent)!r}]\n"
        "import trial_bodies, fxnas\n"
        "class Report:\n"
        "    number = int(os.environ['FXNAS_TRIAL'])\n"
        "    def __call__(self, **values): fxnas.report_intermediate_result(values)\n"
        "fxnas.report_final_result(trial_bodies.SeesItself(os.environ['STUDY']).evaluate(None, None, Report()))\n"
    )
    command = TrialCommand([sys.executable, str(tmp_path / "trial.py")], tmp_path / "trials")
    result = search_many(command, trials=1, workers=1, study=tmp_path / "s")
    assert (result.trials[0].state, result.trials[0].score) == ("done", 1.0)


@pytest.mark.parametrize(
    ("how", "options", "error"),
    [("SIGKILL", {}, "killed"), ("SIGSEGV", {}, "crashed"), ("hang", {"timeout": 2}, "TimeoutError")],
)
def test_a_killed_worker_leaves_them(tmp_path: Path, how: str, options: dict[str, Any], error: str) -> None:
    evaluator = Recipe("trial_bodies:ReportsAndDies", (str(tmp_path / "marker"), how))
    result = search_many(evaluator, trials=3, workers=1, retries=0, study=tmp_path / "s", **options)
    assert [trial.state for trial in result.trials] == ["done", "failed", "done"]
    assert error in result.trials[1].error
    assert result.trials[1].reports == THREE
    with Study(tmp_path / "s", readonly=True) as study:
        assert study.rows()[1]["reports"] == THREE


def test_another_attempt_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "BACKOFF_SECONDS", 0.05)
    evaluator = Recipe("trial_bodies:ReportsAndDies", (str(tmp_path / "marker"),))
    result = search_many(evaluator, trials=3, workers=1, study=tmp_path / "s")
    assert [(trial.state, trial.attempts) for trial in result.trials] == [("done", 1), ("done", 2), ("done", 1)]
    assert [report["score"] for report in result.trials[1].reports] == [10, 20, 30]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_killed_search_leaves_them(tmp_path: Path, workers: int) -> None:
    paths = f"import sys; sys.path[:0] = [{str(HERE)!r}, {str(HERE.parent)!r}]\n"
    script = (
        "import test_workers as t, trial_bodies as b\n"
        f"if __name__ == '__main__': t.search_many(b.reports_and_stays, workers={workers}, study='s')\n"
    )
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    driver = subprocess.Popen(
        [sys.executable, "-c", paths + script], cwd=tmp_path, stderr=subprocess.DEVNULL, env=environment
    )
    try:
        for _ in range(600):
            with Study(tmp_path / "s") as study:
                row = next((row for row in study.rows() if row["trial"] == 2), None)
            if row is not None and row["reports"]:
                break
            time.sleep(0.05)
    finally:
        driver.kill()
        driver.wait()
    with Study(tmp_path / "s", readonly=True) as study:
        assert study.rows()[2]["state"] == "running"
        assert study.rows()[2]["reports"] == [{"epoch": 1, "score": 1.0}]
    for _ in range(100):  # what a killed search leaves behind, its workers take away
        if not list((tmp_path / "tmp").glob("fxnas-*")):
            break
        time.sleep(0.05)
    assert not list((tmp_path / "tmp").glob("fxnas-*"))
    (tmp_path / "stayed").touch()
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        result = search_many(bodies.reports_and_stays, study=tmp_path / "s")
    finally:
        os.chdir(before)
    assert [len(trial.reports) for trial in result.trials] == [2] * 5


def test_a_stopping_rule_ends_a_running_trial_in_a_worker() -> None:
    space = flat_space(8)
    options: dict[str, Any] = {"stopping": SuccessiveHalving(eta=2), "trials": 16, "in_flight": 1, "progress": False}
    result = fxnas.search(space, RandomSearch(space), bodies.curve, workers=1, **options)
    pruned = [trial for trial in result.trials if trial.state == "pruned"]
    assert pruned
    for trial in pruned:
        assert "was needed" in trial.error
        assert len(trial.reports) < 4  # it ended there, and has what it reported until then


def test_broken_lines_and_lost_files_are_passed_over(tmp_path: Path) -> None:
    trial = Trial(0, flat_space().default, "running", attempts=1)
    with Study() as study, Live(study, Silent()) as live:
        path = live.file(trial)
        tell = Told(path)
        tell({"loss": 1.0})
        append_line(path, b'{"loss": 2')
        append_line(path, b"3")
        tell({"loss": 4.0})
        with open(path, "ab") as file:
            file.write(b'{"loss": 5')  # killed while it wrote
        live.poll()
        assert live.end(0) == [{"loss": 1.0}, {"loss": 4.0}]
        tell({"loss": 6.0})
        assert not os.path.exists(path)
    assert not Path(path).parent.exists()


def test_lines_come_once_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "f"
    lines = Lines(path)
    assert list(lines.read(ended=True)) == []
    append_line(path, b"one")
    path.write_bytes(path.read_bytes() + b"tw")
    assert list(lines.read()) == [b"one"]
    append_line(path, b"o")
    assert list(lines.read()) == [b"two"]
    path.write_bytes(path.read_bytes() + b"end")
    assert list(lines.read()) == []
    assert list(lines.read(ended=True)) == [b"end"]
