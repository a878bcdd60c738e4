"""Trials on Ray: the same ones as here, and nothing is lost with a worker or a cluster."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import ray_help
import trial_bodies as bodies
from search_help import SPACE, evolution, outcome, search

import fxnas
from fxnas.errors import FxnasError
from fxnas.recipe import Recipe
from fxnas.running.faults import WorkerLostError
from fxnas.running.ray_engine import RayEngine
from fxnas.strategies import RandomSearch
from fxnas.study import Study

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra fxnas[ray] is not installed"),
]
LONGEST = 240  # seconds of a test; none takes 35 on two cores that three others use, 70 with ten

Script = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module", autouse=True)
def settings() -> Iterator[None]:
    """What Ray reads when a test imports it; and its handler of SIGTERM doesn't stay."""
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ray_help.SETTINGS.items():
            patch.setenv(name, value)
        yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(autouse=True)
def watchdog() -> Iterator[None]:
    with ray_help.limit(LONGEST):
        yield


@pytest.fixture(scope="module")
def address(settings: None) -> Iterator[str]:
    """Where the cluster is that the tests share."""
    with ray_help.cluster() as (_, where):
        yield where


@pytest.fixture(scope="module")
def engine(address: str) -> Iterator[RayEngine]:
    with ray_help.limit(LONGEST):
        made = RayEngine(address)
    yield made
    with ray_help.limit(LONGEST):
        made.shutdown(cancel_futures=True)


@pytest.fixture
def script(address: str, tmp_path: Path) -> Iterator[Script]:
    """Runs Python code that may make clusters of its own; `address` has shown that Ray can."""

    def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=ray_help.environment(RAY_TMPDIR=place, **environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=LONGEST - 30)
        finally:
            ray_help.kill(process)
        return subprocess.CompletedProcess(code, process.returncode, out, err)

    with ray_help.folder() as place:
        yield run


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


def test_what_a_call_raises_is_told_in_its_own_words(engine: RayEngine) -> None:
    with pytest.raises(ValueError, match=r"^invalid literal") as told:
        engine.submit(int, "three").result(60)
    assert type(told.value) is ValueError


def test_calls_share_a_gpu(engine: RayEngine) -> None:
    halves = RayEngine(cpus=0.5, gpus=0.5)  # the connection is the one of `engine`; Ray believes in a GPU there
    seen = [halves.submit(bodies.visible_gpus) for _ in range(2)]
    assert [future.result(60) for future in seen] == ["0", "0"]
    assert engine.submit(bodies.visible_gpus).result(60) != "0"


@pytest.mark.parametrize(
    ("amounts", "message"),
    [
        ({"gpus": 1.5}, "gpus is a fraction of one GPU or a whole number of them, got 1.5"),
        ({"gpus": -1}, "gpus is a number from 0, got -1"),
        ({"cpus": True}, "cpus is a number from 0, got True"),
    ],
)
def test_amounts_that_ray_has_not_are_refused(amounts: Any, message: str) -> None:
    with pytest.raises(FxnasError, match=message):
        RayEngine(**amounts)


NEW_CLUSTER = """
import json, os, psutil, search_help as s, trial_bodies as b
from fxnas.errors import FxnasError
from fxnas.running.ray_engine import RayEngine

for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "RAY_USAGE_STATS_ENABLED"):
    del os.environ[name]
try:
    RayEngine(workers=1, gpus=1000)
except FxnasError as error:
    refused = str(error)
with RayEngine(workers=2) as engine:
    result = s.search(evaluator=b.score, trials=8, workers=2, engine=engine, study="study.db")
    processes = psutil.Process().children(recursive=True) + [psutil.Process()]
    ports = [c.laddr.ip for p in processes for c in p.net_connections() if c.status == psutil.CONN_LISTEN]
    commands = [" ".join(p.cmdline()) for p in processes]
try:
    s.search(evaluator=b.score, trials=9, workers=1, engine=engine, study="study.db")
except FxnasError as error:
    ended = str(error)
set_to = {name: os.environ[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED")}
print(json.dumps([refused, result.fingerprint, ports, commands, ended, set_to]))
"""


def test_a_new_cluster_goes_on_with_the_study(engine: RayEngine, script: Script, tmp_path: Path) -> None:
    first = search(evaluator=bodies.score, trials=4, in_flight=2, workers=2, engine=engine, study=tmp_path / "study.db")
    # RAY_ADDRESS is like what Ray notes of a cluster that was killed since
    done = script(NEW_CLUSTER, RAY_ADDRESS="127.0.0.1:1", HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    refused, fingerprint, ports, commands, ended, set_to = json.loads(done.stdout.splitlines()[-1])
    whole = search(evaluator=bodies.score, trials=8, in_flight=2)
    assert outcome(whole)[:4] == outcome(first)
    assert fingerprint == whole.fingerprint
    assert set(ports) <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    assert any("gcs_server" in command for command in commands)
    assert refused.startswith("a call is to get 1000 GPU, and this machine has ")
    assert "takes no more trials" in ended
    assert (set_to["RAY_AUTH_MODE"], set_to["RAY_USAGE_STATS_ENABLED"]) == ("token", "0")
    assert len(set_to["RAY_AUTH_TOKEN"]) == 64


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(FxnasError, match=r'pip install "fxnas\[ray\]"'):
        fxnas.search(SPACE, evolution(), bodies.score, trials=1, workers=1, engine="ray")


def test_an_address_without_a_cluster_is_told(script: Script) -> None:
    code = "from fxnas.running.ray_engine import RayEngine\nRayEngine('127.0.0.1:1')"
    assert "FxnasError: Ray can't be reached at 127.0.0.1:1: [Errno 111] Connection refused" in script(code).stderr


def test_a_token_is_taken_from_where_ray_keeps_it(address: str, script: Script, tmp_path: Path) -> None:
    code = f"from fxnas.running.ray_engine import RayEngine\nprint(RayEngine({address!r}).submit(abs, -3).result(60))"
    nowhere = {"HOME": str(tmp_path), "RAY_AUTH_TOKEN": ""}
    told = script(code, **nowhere, RAY_AUTH_MODE="token").stderr
    assert f"FxnasError: Ray can't be reached at {address}: Token authentication is enabled but no" in told
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text(ray_help.SETTINGS["RAY_AUTH_TOKEN"])
    assert script(f"import os; del os.environ['RAY_AUTH_MODE']\n{code}", **nowhere).stdout == "3\n"


DRIVER = """
import search_help as s, trial_bodies as b
s.search(
    evaluator=b.slow, workers=2, in_flight=2, trials=100, reuse=False, engine="ADDRESS", study="s",
    callbacks=[lambda trial: print(trial.number, flush=True)],
)
"""


def test_a_head_restart_loses_nothing_that_the_study_holds(tmp_path: Path, script: Script) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {"RAY_GCS_SERVER_PORT": port, "RAY_gcs_rpc_server_reconnect_timeout_s": "3"}
    with ray_help.cluster(**environment) as (head, address):
        code = DRIVER.replace("ADDRESS", address)
        driver = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=ray_help.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        try:
            told = [driver.stdout.readline() for _ in range(5)]
            ray_help.kill(head)
            told += driver.stdout.read().splitlines()  # Ray ends a process that its cluster is lost to
            assert driver.wait(60) != 0
        finally:
            ray_help.kill(driver)
            driver.stdout.close()
    numbers = {int(line) for line in told if line.strip()}
    assert 5 <= len(numbers) < 100
    before = rows(tmp_path)
    assert numbers <= set(before)
    with ray_help.cluster(**environment) as (_, again):
        assert again == address
        done = script(code)
    assert done.returncode == 0, done.stderr
    after = rows(tmp_path)
    assert {number: after[number]["pid"] for number in before} == {n: row["pid"] for n, row in before.items()}
    assert not numbers & set(map(int, done.stdout.split()))
    with Study(tmp_path / "s", readonly=True) as study:
        found = study.result(SPACE)
    assert found.fingerprint == search(evaluator=bodies.score, in_flight=2, trials=100, reuse=False).fingerprint


def rows(folder: Path) -> dict[int, Any]:
    """The finished trials of the study."""
    with Study(folder / "s", readonly=True) as study:
        return {row["trial"]: row for row in study.rows() if row["state"] == "done"}


def test_the_example(script: Script) -> None:
    example = Path(__file__).parent.parent / "examples" / "08_ray.py"
    done = script(f"import runpy; runpy.run_path({str(example)!r}, run_name='__main__')")
    assert done.returncode == 0, done.stderr
    assert " ms  accuracy " in done.stdout
