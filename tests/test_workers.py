"""Trials in worker processes: the same trials at any number of them, and every death a recorded outcome."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import trial_bodies as bodies
from pebble import ProcessExpired, ProcessPool
from pebble.pool.base_pool import PoolStatus
from search_help import SPACE, ends, evolution, search
from spaces import flat_space

import fxnas
from fxnas.errors import FxnasError, SearchSpaceError
from fxnas.recipe import Recipe
from fxnas.running import loop, processes
from fxnas.running.processes import Processes
from fxnas.running.source import made
from fxnas.search import SearchResult
from fxnas.strategies import RandomSearch

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and forks")

HERE = Path(__file__).parent


def search_many(evaluator: Any, **options: Any) -> SearchResult:
    """A search of a space in which no architecture comes twice."""
    space = flat_space(8)
    return fxnas.search(space, RandomSearch(space), evaluator, **{"trials": 5, "progress": False, **options})


def python(script: str) -> subprocess.CompletedProcess[str]:
    """Runs a script in a fresh process that finds the modules of the tests."""
    paths = f"import sys; sys.path[:0] = [{str(HERE)!r}, {str(HERE.parent)!r}]\n"
    return subprocess.run(
        [sys.executable, "-c", paths + script], capture_output=True, text=True, timeout=120, check=True
    )


class TestSameTrials:
    def test_at_any_number_of_workers_and_in_any_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = {}
        for workers in (0, 1, 2, 4):
            found[workers] = search(evaluator=bodies.uneven, workers=workers, in_flight=4, trials=16)
        assert len({result.fingerprint for result in found.values()}) == 1
        for seed in ("1", "2"):
            monkeypatch.setenv("PYTHONHASHSEED", seed)
            done = python(
                "import search_help as s, trial_bodies as b\n"
                "print(s.search(evaluator=b.uneven, in_flight=4, trials=16).fingerprint)\n"
            )
            assert done.stdout.split() == [found[0].fingerprint]

    def test_also_where_a_search_is_resumed_with_others(self, tmp_path: Path) -> None:
        whole = search(evaluator=bodies.uneven, in_flight=3, trials=16)
        for workers, trials in ((2, 5), (0, 9), (1, 16)):
            result = search(evaluator=bodies.uneven, workers=workers, in_flight=3, trials=trials, study=tmp_path / "s")
        assert result.fingerprint == whole.fingerprint

    def test_a_strategy_is_told_in_order_and_up_to_what_is_in_flight(self) -> None:
        class Noting(RandomSearch):
            asks: list[int]

            def propose(self, rng: Any) -> Any:
                self.asks.append(len(self.told))
                return super().propose(rng)

        strategy = Noting(SPACE)
        strategy.asks = []
        result = search(strategy, bodies.uneven, workers=2, in_flight=3, trials=10, reuse=False)
        assert strategy.asks == [max(0, k - 2) for k in range(10)]
        assert strategy.told == [(trial.architecture, trial.score) for trial in result.trials]

    def test_an_architecture_in_flight_is_waited_for(self) -> None:
        space = flat_space(1, 1)
        result = fxnas.search(space, RandomSearch(space), bodies.slow, trials=6, workers=2, progress=False)
        assert [trial.source for trial in result.trials] == [None, 0, 0, 0, 0, 0]

    def test_workers_run_at_the_same_time(self) -> None:
        result = search_many(bodies.slow, workers=2, trials=8)
        assert len({trial.pid for trial in result.trials} - {os.getpid()}) == 2


class TestRecipes:
    def test_every_process_makes_the_same_graph(self) -> None:
        graph = bodies.small_graph()
        results = [
            fxnas.search(recipe, RandomSearch(graph.space), evaluator, trials=4, workers=workers, progress=False)
            for recipe, evaluator, workers in [
                (bodies.small_graph, bodies.weights, 0),
                (bodies.small_graph, bodies.weights, 1),
                (f"{HERE}/trial_bodies.py:small_graph", f"{HERE}/trial_bodies.py:weights", 1),
            ]
        ]
        assert len({result.fingerprint for result in results}) == 1

    @pytest.mark.parametrize(
        "evaluator", [bodies.Slow, "trial_bodies:Slow", Recipe("trial_bodies:named_by", ("class",))]
    )
    def test_an_evaluator_is_made_there(self, evaluator: Any) -> None:
        assert search_many(evaluator, workers=1, trials=2).trials[0].score % 1 == 0.5

    @pytest.mark.parametrize("evaluator", [lambda a: 1.0, bodies.Slow()])
    def test_what_cannot_travel_is_refused(self, evaluator: Any) -> None:
        with pytest.raises(FxnasError, match=r"a worker process makes its own evaluator, and .* can't be imported"):
            search_many(evaluator, workers=1)

    def test_a_graph_does_not_travel(self) -> None:
        graph = bodies.small_graph()
        with pytest.raises(FxnasError, match=r"makes its own graph.*a function at the top level of a module"):
            fxnas.search(graph, RandomSearch(graph.space), bodies.weights, trials=1, workers=1, progress=False)

    def test_a_recipe_that_fails_is_told(self) -> None:
        with pytest.raises(FxnasError, match=r"2 trials failed(.|\n)*no data here"):
            search_many(bodies.broken_factory, workers=1, max_consecutive_failures=2)

    def test_another_space_there_is_told(self) -> None:
        with pytest.raises(FxnasError, match="makes a graph of another space"):
            fxnas.search(
                bodies.small_graph, evolution(), bodies.weights, trials=1, workers=1, progress=False,
                max_consecutive_failures=1,
            )  # fmt: skip

    @pytest.mark.parametrize("space", [flat_space()])
    def test_another_space_here_is_refused(self, space: Any) -> None:
        with pytest.raises(SearchSpaceError, match="the strategy was made for another space"):
            fxnas.search(space, evolution(), bodies.score, trials=1, workers=1, progress=False)


class TestEngines:
    def test_any_executor(self) -> None:
        expected = search(evaluator=bodies.uneven, in_flight=2, trials=6).fingerprint
        with ProcessPoolExecutor(2, get_context("spawn")) as engine:
            assert search(evaluator=bodies.uneven, engine=engine, workers=2, trials=6).fingerprint == expected
        with ThreadPoolExecutor(1) as engine:
            found = search(evaluator=bodies.uneven, engine=engine, workers=1, in_flight=2, trials=6)
        assert found.fingerprint == expected

    def test_one_that_is_broken_ends_the_search(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FAULT", "signal")
        with ProcessPoolExecutor(1, get_context("spawn")) as engine:
            options = {"engine": engine, "workers": 1, "retries": 0, "study": tmp_path / "s"}
            with pytest.raises(FxnasError, match="the engine, a ProcessPoolExecutor, takes no more trials"):
                search_many(bodies.faulty, **options)
        result = search_many(bodies.score, study=tmp_path / "s")
        assert [trial.state for trial in result.trials] == ["done", "done", "failed", "done", "done"]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"engine": 3, "workers": 1}, r"an engine is .*, got 3"),
            ({"timeout": 3}, "a time-out needs a process that can be killed"),
            ({"timeout": 0, "workers": 1}, "timeout is a number of seconds, got 0"),
            ({"workers": 1, "threads": 0}, "threads is a whole number from 1, got 0"),
            ({"threads": 2}, "threads are those of workers: give workers=1 or more"),
            ({"workers": 1, "engine": ThreadPoolExecutor(1), "threads": 2}, "and no engine; on Ray RayEngine"),
            ({"workers": -1}, "workers is a whole number from 0"),
            ({"in_flight": 0.5}, "in_flight is a whole number from 1"),
        ],
    )
    def test_arguments_that_do_not_fit(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(FxnasError, match=message):
            search(**options)


# fault → state of its trial, the words of its error, attempts
ENDS = {
    "exception": ("failed", "ValueError: no such layer", 1),
    "exit": ("failed", "SystemExit: 3", 1),
    "exit at once": ("failed", "ProcessExpired: the evaluator ended its process with exit status 0", 1),
    "signal": ("failed", "ProcessExpired: the worker was killed (SIGKILL)", 2),
    "segfault": ("failed", "ProcessExpired: the worker crashed (SIGSEGV)", 1),
    "out of memory": ("failed", "MemoryError", 1),
    "hang": ("failed", "TimeoutError: it took longer than 1.5 s", 1),
    "NaN": ("failed", "FxnasError: the evaluator returned score = nan", 1),
    "wrong type": ("failed", "FxnasError: the evaluator returned score = 'high'", 1),
    "shapes": ("failed", "RuntimeError: mat1 and mat2 shapes cannot be multiplied", 1),
    "CUDA error": ("failed", "AcceleratorError: CUDA error: device-side assert triggered", 1),
    "stdout flood": ("done", None, 1),
    "fork": ("done", None, 1),
    "bad JSON": ("failed", "FxnasError: the evaluator returned loss = '{broken json'", 1),
    "clock set back": ("done", None, 1),
}


@pytest.mark.parametrize("fault", ENDS)
def test_a_fault_fails_its_own_trial_alone(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "BACKOFF_SECONDS", 0.05)
    monkeypatch.setenv("FAULT", fault)
    monkeypatch.setenv("LEFT", str(tmp_path / "left"))
    state, error, attempts = ENDS[fault]
    result = search_many(bodies.faulty, workers=1, timeout=1.5 if fault == "hang" else 60, study=tmp_path / "s")
    assert [trial.state for trial in result.trials] == ["done", "done", state, "done", "done"]
    trial = result.trials[2]
    assert (trial.error or "").startswith(error or "")
    assert trial.attempts == attempts
    assert (trial.traceback is not None) == (state == "failed" and "Expired" not in error and fault != "hang")
    assert 0 <= trial.seconds < 60
    with fxnas.study.Study(tmp_path / "s", readonly=True) as study:  # key, candidate and reason
        row = study.rows()[2]
        assert (row["state"], row["error"]) == (state, trial.error)
        assert row["architecture"] == trial.architecture.to_json()
    if fault == "CUDA error":  # the device is lost to that process, so the next trial gets another
        assert result.trials[3].pid != trial.pid
        assert result.trials[3].attempts == 1
    if fault == "fork":
        assert ends(int((tmp_path / "left").read_text()))


def test_what_trials_print_is_not_the_searchs_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULT", "stdout flood")
    done = python(
        "import json, test_workers as t, trial_bodies as b\n"
        "if __name__ == '__main__': print(json.dumps(len(t.search_many(b.faulty, workers=1).trials)))\n"
    )
    assert json.loads(done.stdout) == 5


def test_a_passing_fault_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "BACKOFF_SECONDS", 0.01)
    attempts: list[int] = []

    def flaky(graph: Any, architecture: Any, report: Any) -> float:
        attempts.append(report.number)
        if attempts.count(1) in (1, 2) and report.number == 1:
            raise ConnectionResetError("the file server is gone")
        return 1.0

    assert search_many(flaky, retries=2).trials[1].state == "done"
    assert attempts == [0, 1, 1, 1, 2, 3, 4]
    attempts.clear()
    trial = search_many(flaky, retries=1).trials[1]
    assert (trial.state, trial.attempts) == ("failed", 2)


def test_a_call_that_a_broken_pool_forgets_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given while the pool notices that its idle worker was killed: the pool neither runs it nor fails it."""
    forgotten: list[Any] = []
    schedule = ProcessPool.schedule

    def schedule_late(pool: ProcessPool, function: Any, **options: Any) -> Any:
        if forgotten or options["args"][1].number != 2:
            return schedule(pool, function, **options)
        forgotten.append(Future())
        pool._context.status = PoolStatus.ERROR
        return forgotten[0]

    monkeypatch.setattr(ProcessPool, "schedule", schedule_late)
    result = search_many(bodies.score, workers=1)
    assert forgotten
    assert [(trial.state, trial.attempts) for trial in result.trials] == [("done", 1)] * 5


class TestThreads:
    """The tests' own setting, OMP_NUM_THREADS=1, is what workers inherit."""

    @pytest.mark.parametrize(
        ("told", "given", "expected"), [(None, None, 1), (None, 3, 3), ("2", None, 2), ("2", 3, 3)]
    )
    def test_workers_compute_in_one_unless_told(
        self, told: str | None, given: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OMP_NUM_THREADS")
        if told is not None:
            monkeypatch.setenv("OMP_NUM_THREADS", told)
        trial = search_many(bodies.threads, workers=1, trials=1, threads=given).trials[0]
        assert trial.metrics["told"] == expected
        assert trial.metrics["score"] in (expected, os.cpu_count())  # torch takes no more than there are cores

    def test_also_where_the_script_loads_torch_first(self, tmp_path: Path) -> None:
        (tmp_path / "script.py").write_text(
            f"import sys; sys.path[:0] = [{str(HERE)!r}, {str(HERE.parent)!r}]\n"
            "import torch, test_workers as t, trial_bodies as b\n"
            "if __name__ == '__main__': print(t.search_many(b.threads, workers=1, trials=1).trials[0].metrics)\n"
        )
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        done = subprocess.run(
            [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.stdout == "{'score': 1.0, 'told': 1.0}\n", done.stderr


class TestProcesses:
    """The executor itself, whose calls say which process ran them."""

    @pytest.fixture
    def engine(self) -> Iterator[Processes]:
        engine = Processes(1, made(SPACE, bodies.score, SPACE))
        yield engine
        engine.shutdown(cancel_futures=True)

    def test_a_worker_killed_while_it_sends_blocks_nobody(self, engine: Processes) -> None:
        """It leaves a lock behind that the next worker of its pool would wait for, twice for a minute."""
        with pytest.raises(ProcessExpired):
            engine.submit(bodies.killed_while_it_is_sent).result(30)
        assert engine.submit(os.getpid).result(30) != os.getpid()

    @pytest.mark.parametrize("noticed", [False, True])
    def test_one_killed_between_calls_costs_none(self, noticed: bool, engine: Processes) -> None:
        first = engine.submit(os.getpid).result(30)
        os.kill(first, signal.SIGKILL)
        if noticed:  # by the pool, which takes no more calls then
            time.sleep(1)
        assert engine.submit(os.getpid).result(30) not in (first, os.getpid())

    def test_one_that_does_not_die_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As a process that hangs in the driver of a GPU."""
        monkeypatch.setattr(processes, "LAST_SECONDS", 0.1)
        died = threading.Event()
        join = ProcessPool.join
        monkeypatch.setattr(ProcessPool, "join", lambda pool: died.wait(60) and join(pool))
        engine = Processes(1, made(SPACE, bodies.score, SPACE), timeout=0.5)
        assert isinstance(engine.submit(time.sleep, 600).exception(30), TimeoutError)
        assert engine.submit(os.getpid).result(30)
        engine.shutdown()
        died.set()

    def test_calls_that_wait_outlive_the_worker(self, engine: Processes) -> None:
        calls = [engine.submit(function) for function in (bodies.killed_while_it_is_sent, os.getpid, os.getpid)]
        assert isinstance(calls[0].exception(30), ProcessExpired)
        assert calls[1].result(30) == calls[2].result(30)

    def test_one_that_never_starts_is_told(self, monkeypatch: pytest.MonkeyPatch, engine: Processes) -> None:
        monkeypatch.setattr(processes.worker, "start", bodies.leave)
        with pytest.raises(BrokenProcessPool):
            engine.submit(os.getpid).result(60)

    def test_the_end_waits_for_calls_or_not(self, engine: Processes) -> None:
        calls = [engine.submit(time.sleep, 0.1) for _ in range(3)]
        engine.shutdown()
        assert [call.result(0) for call in calls] == [None] * 3
        with pytest.raises(RuntimeError, match="shut down"):
            engine.submit(os.getpid)
        hurried = Processes(1, made(SPACE, bodies.score, SPACE))
        calls = [hurried.submit(time.sleep, 600) for _ in range(2)]
        hurried.shutdown(cancel_futures=True)
        assert all(isinstance(_ended(call), CancelledError) for call in calls)


def _ended(call: Future[Any]) -> BaseException | None:
    """What a call ended with, cancelled or not."""
    try:
        return call.exception(0)
    except CancelledError as error:
        return error
