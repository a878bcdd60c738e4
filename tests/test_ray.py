"""Trials on Ray: the same ones as here, and nothing is lost with a worker or a cluster."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import trial_bodies as bodies
from search_help import SPACE, evolution, outcome, search

import fxnas
from fxnas.errors import FxnasError
from fxnas.recipe import Recipe
from fxnas.running import ray_engine
from fxnas.running.faults import WorkerLostError
from fxnas.running.ray_engine import RayEngine
from fxnas.strategies import RandomSearch
from fxnas.study import Study

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra fxnas[ray] is not installed"),
]


@pytest.fixture(scope="module", autouse=True)
def modules_of_the_tests() -> Iterator[None]:
    """Ray's workers find the modules of the tests where every new process does."""
    before = os.environ.get("PYTHONPATH")
    here = Path(__file__).parent
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, [here, here.parent, *([before] if before else [])]))
    yield
    del os.environ["PYTHONPATH"]
    if before:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def engine(modules_of_the_tests: None) -> Iterator[RayEngine]:
    with RayEngine(workers=2) as made:
        yield made


def test_the_same_trials_as_in_this_process(engine: RayEngine) -> None:
    here = search(evaluator=bodies.uneven, in_flight=2, trials=10)
    there = search(evaluator=bodies.uneven, in_flight=2, trials=10, workers=2, engine=engine)
    assert there.fingerprint == here.fingerprint
    assert os.getpid() not in {trial.pid for trial in there.trials if trial.source is None}


def test_a_graph_is_made_there(engine: RayEngine) -> None:
    strategy = RandomSearch(bodies.small_graph().space)
    result = fxnas.search(
        bodies.small_graph, strategy, bodies.weights, trials=3, workers=2, engine=engine, progress=False
    )
    assert [trial.state for trial in result.trials] == ["done"] * 3


def test_a_failing_evaluator_is_told(engine: RayEngine) -> None:
    with pytest.raises(FxnasError, match="no data here"):
        search(evaluator=bodies.broken_factory, workers=2, engine=engine)


def test_a_killed_worker_is_told(engine: RayEngine) -> None:
    with pytest.raises(WorkerLostError, match="Worker"):
        engine.submit(os.kill, 0, signal.SIGKILL).result(60)
    assert engine.submit(abs, -3).result(60) == 3


def test_a_trial_whose_worker_is_killed_gets_another_attempt(engine: RayEngine, tmp_path: Path) -> None:
    evaluator = Recipe("trial_bodies:KilledOnce", (str(tmp_path / "killed"),))
    result = search(evaluator=evaluator, trials=4, workers=1, engine=engine)
    assert [trial.state for trial in result.trials] == ["done"] * 4
    assert result.trials[0].attempts == 2


def test_reports_are_in_the_study_while_a_trial_runs(engine: RayEngine, tmp_path: Path) -> None:
    evaluator = Recipe("trial_bodies:SeesItself", (str(tmp_path / "s"),))
    result = search(evaluator=evaluator, trials=1, workers=1, engine=engine, study=tmp_path / "s")
    assert result.trials[0].score == 1.0  # Ray's workers are on this machine here


def test_a_new_cluster_goes_on_with_the_study(engine: RayEngine, tmp_path: Path) -> None:
    engine.shutdown(cancel_futures=True)
    study = tmp_path / "study.db"
    first = search(evaluator=bodies.score, trials=4, workers=2, engine="ray", study=study)
    whole = search(evaluator=bodies.score, trials=8, workers=2, engine="ray", study=study)
    assert outcome(whole)[:4] == outcome(first)
    assert whole.fingerprint == search(evaluator=bodies.score, trials=8, in_flight=2).fingerprint


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(FxnasError, match=r'pip install "fxnas\[ray\]"'):
        fxnas.search(SPACE, evolution(), bodies.score, trials=1, workers=1, engine="ray")


def test_an_address_without_a_cluster_is_told() -> None:
    with pytest.raises(FxnasError, match=r"127\.0\.0\.1:1: .*refused"):
        ray_engine.RayEngine("127.0.0.1:1")


def test_a_new_cluster_is_new_whatever_the_environment_names(
    engine: RayEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.shutdown(cancel_futures=True)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # like what Ray notes of a cluster that was killed since
    with RayEngine(workers=1) as own:
        assert own.submit(abs, -3).result(60) == 3


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """A folder for a cluster; its path is short, for Ray makes sockets in it."""
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as name:
        yield Path(name)


def test_a_lost_head_loses_nothing_that_the_study_holds(tmp_path: Path, ray_folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TMPDIR": str(ray_folder),
        "RAY_gcs_rpc_server_reconnect_timeout_s": "3",
    }
    options: dict[str, Any] = {"cwd": tmp_path, "env": environment, "start_new_session": True}
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--include-dashboard", "false"]
    script = (
        "import search_help as s, trial_bodies as b\n"
        f"s.search(evaluator=b.slow, workers=2, in_flight=2, trials=200, reuse=False, engine='127.0.0.1:{port}',\n"
        "         study='s', callbacks=[lambda trial: print(trial.number, flush=True)])\n"
    )
    head = subprocess.Popen([*ray, "--port", port, "--num-cpus", "2"], stdout=subprocess.PIPE, text=True, **options)
    driver = None
    try:
        assert any("Ray runtime started" in line for line in head.stdout)
        driver = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, **options
        )
        told = [driver.stdout.readline() for _ in range(5)]
        os.killpg(head.pid, signal.SIGKILL)
        told += driver.stdout.read().splitlines()  # Ray ends a process that its cluster is lost to
        assert driver.wait(60) != 0
    finally:
        for process in (head, driver):
            if process is not None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                process.stdout.close()
    numbers = {int(line) for line in told if line.strip()}
    assert 5 <= len(numbers) < 200
    with Study(tmp_path / "s", readonly=True) as study:
        before = {row["trial"]: row for row in study.rows() if row["state"] == "done"}
    assert numbers <= set(before)
    settings: dict[str, Any] = {"evaluator": bodies.slow, "in_flight": 2, "trials": 200, "reuse": False}
    result = search(**settings, workers=2, study=tmp_path / "s")
    assert result.fingerprint == search(**{**settings, "evaluator": bodies.score}).fingerprint
    assert {trial.number: trial.pid for trial in result.trials if trial.number in before} == {
        number: row["pid"] for number, row in before.items()
    }
