"""Trials that are programs of their own: what they are told, what they tell, and how each of their ends is recorded."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from search_help import ends
from spaces import flat_space

import fxnas
from fxnas import trial
from fxnas.errors import ArchitectureError, FxnasError, SearchSpaceError
from fxnas.evaluators import Report, TrialCommand
from fxnas.recipe import Recipe
from fxnas.running import loop
from fxnas.search import SearchResult
from fxnas.space import SearchSpace
from fxnas.stopping import MedianRule
from fxnas.strategies import PPO, Nsga2, RandomSearch

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and process groups")

ROOT = Path(__file__).resolve().parent.parent
ODD = {
    name: {"_type": "layer_choice", "_value": ["a", "b"]} for name in ('a "b"/ü $HOME', "self", "new\nline", "\ud800")
}

# A trial without torch: its choices are written down in it.
SCRIPT = f"""
import os, random
import fxnas

space = fxnas.SearchSpace.from_json({ODD!r})
architecture = fxnas.get_and_apply_next_architecture(space)
random.seed(int(os.environ.get("FXNAS_SEED", 0)))
score = sum(decision[0] for decision in architecture.values()) + random.random()
for epoch in range(1, 4):
    fxnas.report_intermediate_result(score * epoch / 3)
fxnas.report_final_result({{"score": score, "loss": float("nan")}})
"""

# In a language without a JSON library: counts the candidates "op1" in the file.
SHELL = """
echo "started in $PWD"
for epoch in 1 2; do echo "{\\"intermediate\\": {\\"epoch\\": $epoch, \\"loss\\": 0.5}}" >> "$FXNAS_RESULTS"; done
printf '{"final": %d}' $(grep -c '"op1"' "$FXNAS_ARCHITECTURE") >> "$FXNAS_RESULTS"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, in an environment in which programs find fxnas and no trial runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in trial.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def python(script: str) -> str:
    Path("train.py").write_text(script)
    return f"{shlex.quote(sys.executable)} train.py"


def shell(script: str, **options: Any) -> TrialCommand:
    Path("trial.sh").write_text(script)
    return TrialCommand("sh trial.sh", **options)


def search(command: TrialCommand, space: SearchSpace | None = None, **options: Any) -> SearchResult:
    space = space or flat_space()
    return fxnas.search(space, RandomSearch(space), command, **{"trials": 3, "progress": False, **options})


class TestPython:
    def test_the_same_trials_at_any_number_of_workers_and_after_a_stop(self) -> None:
        command = TrialCommand(python(SCRIPT))
        space = command.space()
        assert space.to_json() == ODD

        def run(trials: int, **options: Any) -> SearchResult:
            strategy = PPO(space, batch=2)
            return fxnas.search(space, strategy, command, trials=trials, in_flight=2, progress=False, **options)

        whole = run(7)
        assert [t.state for t in whole.trials] == ["done"] * 7
        assert whole.best.score == max(t.score for t in whole.trials) == whole.best.reports[-1]["score"]
        assert [report["epoch"] for report in whole.best.reports] == [1, 2, 3]
        run(2, workers=2, study="s.db")
        assert run(7, workers=2, study="s.db").fingerprint == whole.fingerprint

    def test_by_hand_it_gets_the_default_architecture_and_prints(self, run_python: Callable[..., Any]) -> None:
        python(SCRIPT)
        lines = run_python("train.py").stdout.splitlines()
        assert [line.partition(":")[0] for line in lines] == ["intermediate result"] * 3 + ["final result"]
        assert json.loads(lines[-1].partition(":")[2])["loss"] is None

    def test_a_model_is_fixed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from torch import nn

        def net() -> nn.Module:
            choice = fxnas.LayerChoice({"one": nn.Linear(2, 2), "two": nn.Linear(2, 3)}, key="op")
            return nn.Sequential(choice, fxnas.LayerChoice([nn.Identity(), nn.ReLU()], key="act"))

        model = net()
        assert fxnas.get_and_apply_next_architecture(model) is model
        assert model[0].out_features == 2  # by hand: the first candidates
        Path("a.json").write_text('{"op": "two", "act": 1}')
        monkeypatch.setenv(trial.ARCHITECTURE, "a.json")
        model = fxnas.get_and_apply_next_architecture(net())
        assert (model[0].out_features, type(model[1])) == (3, nn.ReLU)
        Path("a.json").write_text('{"op": "three", "act": 1}')
        with pytest.raises(ArchitectureError, match=r"'op'.*'three'"):
            fxnas.get_and_apply_next_architecture(net())
        monkeypatch.setenv(trial.SPACE_OUT, "space.json")
        with pytest.raises(SystemExit) as end:
            fxnas.get_and_apply_next_architecture(net())
        assert end.value.code == 0
        assert list(SearchSpace.load("space.json")) == ["op", "act"]

    @pytest.mark.parametrize("value", ["high", None, {"score": "high"}, [1.0]])
    def test_what_is_no_number_is_refused_where_it_is_reported(self, value: Any) -> None:
        with pytest.raises(FxnasError, match=r"intermediate result .*: a number is needed"):
            fxnas.report_intermediate_result(value)

    def test_no_metrics_at_all_are_refused_where_they_are_reported(self) -> None:
        with pytest.raises(FxnasError, match="final result of nothing"):
            fxnas.report_final_result({})

    def test_numbers_of_other_libraries_are_numbers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import numpy
        import torch

        monkeypatch.setenv(trial.RESULTS, "r")
        fxnas.report_final_result({"score": numpy.float32(0.5), "b": torch.tensor(2)})
        fxnas.report_final_result([1, float("inf")])
        assert [json.loads(line) for line in Path("r").read_text().splitlines()] == [
            {"final": {"score": 0.5, "b": 2.0}},
            {"final": [1.0, None]},
        ]


class TestSpace:
    def test_nothing_stays_behind_and_nothing_is_trained(self) -> None:
        TrialCommand(python(SCRIPT + "open(fxnas.trace, fxnas.nowhere)\n")).space()
        assert [path.name for path in Path().iterdir()] == ["train.py"]

    @pytest.mark.parametrize(
        ("script", "message"),
        [
            ("echo working", r"ended without writing its search space; does it call get_and(.|\n)*working"),
            ("echo no data; exit 4", r"ended with exit status 4 in place of writing(.|\n)*no data"),
            ("echo '{' > $FXNAS_SPACE_OUT", "this is not JSON"),
        ],
    )
    def test_failures_are_told(self, script: str, message: str) -> None:
        with pytest.raises(SearchSpaceError, match=message):
            shell(script).space()

    def test_a_command_that_takes_too_long_is_ended(self, folder: Path) -> None:
        script = f"echo $$ > {shlex.quote(str(folder / 'pid'))}; echo training; exec sleep 600"
        with pytest.raises(TimeoutError, match=r"took longer than 1 s to write its search space(.|\n)*training"):
            shell(script, timeout=1).space()
        assert ends(int((folder / "pid").read_text()))


class TestShell:
    def test_a_trial_in_another_language(self, folder: Path) -> None:
        result = search(shell(SHELL), workers=2)
        for each in result.trials:
            assert each.score == sum(decision == (1,) for decision in each.architecture.values())
            assert each.reports == [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.5}]
            own = folder / "fxnas-trials" / str(each.number)
            assert (own / "trial.log").read_text() == f"started in {own}\n"
            assert sorted(path.name for path in own.iterdir()) == ["architecture.json", "results.jsonl", "trial.log"]

    def test_each_attempt_has_a_folder_of_its_own(self, folder: Path) -> None:
        (folder / "runs" / "1").mkdir(parents=True)
        (folder / "runs" / "1" / "results.jsonl").write_text('{"final": 99}\n')  # of a trial that was killed
        result = search(shell(SHELL, folder="runs"))
        assert 99 not in [each.score for each in result.trials]
        assert sorted(path.name for path in (folder / "runs").iterdir()) == ["0", "1", "1-2", "2"]

    def test_several_objectives(self) -> None:
        space, command = flat_space(), shell("""echo '{"final": [0.5, -3]}' >> "$FXNAS_RESULTS" """)
        result = fxnas.search(space, Nsga2(space), command, trials=1, progress=False)
        assert result.trials[0].objectives == (0.5, -3.0)

    @pytest.mark.parametrize("workers", [0, 1])
    def test_objectives_need_no_score(self, workers: int) -> None:
        report = 'import fxnas\nfxnas.report_final_result({"accuracy": 0.5, "ms": 3})\n'
        space, command = flat_space(), TrialCommand(python(report))
        options: dict[str, Any] = {"trials": 1, "workers": workers, "progress": False}
        (found,) = fxnas.search(space, Nsga2(space), command, objectives=("accuracy", "ms"), **options).trials
        assert (found.score, found.objectives) == (0.5, (0.5, -3.0))
        (failed,) = fxnas.search(space, Nsga2(space), command, **options).trials
        assert "the evaluator returned accuracy, ms: one of several metrics must be called" in str(failed.error)

    def test_number_seed_and_folder_are_in_the_environment(self, folder: Path) -> None:
        script = """printf '{"final": {"score": %s, "seed": %s}}' $FXNAS_TRIAL $FXNAS_SEED > $FXNAS_RESULTS
        echo $FXNAS_STARTED_IN """
        for each in search(shell(script)).trials:
            assert each.metrics == {"score": each.number, "seed": each.seed}
            assert Path("fxnas-trials", str(each.number), "trial.log").read_text().strip() == str(folder)

    def test_more_than_a_pipe_holds(self) -> None:
        script = """i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo "{\\"intermediate\\": $i}"; done >> "$FXNAS_RESULTS"
        head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; echo '{"final": 1}' >> "$FXNAS_RESULTS" """
        (done,) = search(shell(script), trials=1, workers=1).trials
        assert [report["score"] for report in done.reports] == list(range(1, 3001))
        assert done.score == 1


# script → beginning of the error, attempts
ENDS = {
    "echo first; echo 'Error: no such layer' >&2; exit 3": (
        "FxnasError: the command ended with exit status 3; its log ends with 'Error: no such layer'",
        1,
    ),
    "exit 2": ("FxnasError: the command ended with exit status 2; its log is empty", 1),
    """echo '{"final": 1}' >> $FXNAS_RESULTS; echo too late; exit 1""": (
        "FxnasError: the command ended with exit status 1; its log ends with 'too late'",
        1,
    ),
    "echo done": ("FxnasError: the command ended without a final result; its log ends with 'done'", 1),
    """echo '{"intermediate": 1}' >> $FXNAS_RESULTS""": ("FxnasError: the command ended without a final result", 1),
    "echo x; echo '{final: 1}' >> $FXNAS_RESULTS; sleep 600": ("FxnasError: results, line 1: this is not JSON", 1),
    "echo x; echo '3' >> $FXNAS_RESULTS; sleep 600": (
        'FxnasError: results, line 1: {"intermediate": …} or {"final": …} is needed, got 3; its log ends with \'x\'',
        1,
    ),
    """echo '{"finale": 1}' >> $FXNAS_RESULTS""": (
        "FxnasError: results, line 1: a result is one of intermediate, final, got 'finale', did you mean 'final'?",
        1,
    ),
    """echo '{"final": NaN}' >> $FXNAS_RESULTS""": (
        "FxnasError: results, line 1: key 'final': NaN is not a JSON number",
        1,
    ),
    """echo '{"final": null}' >> $FXNAS_RESULTS""": ("FxnasError: the evaluator returned score = nan", 1),
    """echo '{"final": "high"}' >> $FXNAS_RESULTS""": ("FxnasError: the evaluator returned score = 'high'", 1),
    """echo '{"final": {"a": 1, "b": 2}}' >> $FXNAS_RESULTS""": ("FxnasError: the evaluator returned a, b:", 1),
    """echo '{"intermediate": [1]}' >> $FXNAS_RESULTS""": ("FxnasError: the evaluator returned score = [1]", 1),
    """echo '{"final": 1}' >> $FXNAS_RESULTS; echo '{"final": 2}' >> $FXNAS_RESULTS""": (
        "FxnasError: results, line 2: a second final result",
        1,
    ),
    "printf '\\377\\0'; exit 1": ("FxnasError: the command ended with exit status 1; its log ends with", 1),
    "kill -9 $$": ("CommandKilled: the command was killed (SIGKILL); its log is empty", 2),
    "kill 0": ("CommandKilled: the command was killed (SIGTERM)", 2),
    "kill -SEGV $$": ("FxnasError: the command was killed (SIGSEGV)", 1),
    "echo working; exec sleep 600": (
        "TimeoutError: it took longer than 3 s; its log ends with 'working'",
        1,
    ),
}


@pytest.mark.parametrize("script", ENDS)
def test_a_failure_fails_its_own_trial_alone(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "BACKOFF_SECONDS", 0.05)
    error, attempts = ENDS[script]
    script = f"if [ $FXNAS_TRIAL = 1 ]; then\n{script}\nelse\n{SHELL}\nfi"
    timeout = 3 if "TimeoutError" in error else 60
    result = search(shell(script, timeout=timeout), flat_space(8), study="s.db")
    assert [each.state for each in result.trials] == ["done", "failed", "done"]
    failed = result.trials[1]
    assert (failed.error or "").startswith(error)
    assert failed.attempts == attempts
    with fxnas.study.Study("s.db", readonly=True) as study:
        assert study.rows()[1]["error"] == failed.error


def test_the_log_is_quoted_with_its_place(folder: Path) -> None:
    with pytest.raises(FxnasError, match="2 trials failed") as end:
        search(shell("for i in $(seq 99); do echo line $i; done; exit 1"), max_consecutive_failures=2)
    told = str(end.value)
    assert f"The end of {folder}/fxnas-trials/0/trial.log:\nline 80\n" in told
    assert "line 99" in told
    assert "line 79\n" not in told


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_trial_leaves_running_ends_with_it(folder: Path, workers: int) -> None:
    leaving = f"sleep 600 & echo $! > {shlex.quote(str(folder / 'left'))}\n"
    search(shell(leaving + SHELL), trials=1, workers=workers)
    assert ends(int((folder / "left").read_text()))


class TestLive:
    WAITING = """
    echo '{"intermediate": 0.25}' >> "$FXNAS_RESULTS"
    echo $$ > "$FXNAS_STARTED_IN/pid"
    while [ ! -e "$FXNAS_STARTED_IN/go" ]; do sleep 0.02; done
    echo '{"final": 1}' >> "$FXNAS_RESULTS"
    """

    def test_intermediate_results_come_while_it_runs(self) -> None:
        space = flat_space()
        report = Report(0, 0, lambda values: Path("go").touch())
        assert shell(self.WAITING, timeout=60).evaluate(space, space.default, report) == 1
        assert report.values == [{"epoch": 1, "score": 0.25}]

    @pytest.mark.parametrize("end", [KeyboardInterrupt, RuntimeError])
    def test_an_interrupt_kills_it(self, end: type[BaseException]) -> None:
        def stop(values: Any) -> None:
            while not Path("pid").exists() or not Path("pid").read_text():
                time.sleep(0.02)
            raise end

        space = flat_space()
        with pytest.raises(end):
            shell(self.WAITING, timeout=60).evaluate(space, space.default, Report(0, 0, stop))
        assert ends(int(Path("pid").read_text()))

    def test_a_rule_ends_it_early(self) -> None:
        script = """
        if [ $FXNAS_TRIAL = 2 ]; then echo '{"intermediate": 1}' >> "$FXNAS_RESULTS"; exec sleep 600; fi
        echo '{"intermediate": 5}' >> "$FXNAS_RESULTS"; echo '{"final": 5}' >> "$FXNAS_RESULTS"
        """
        space, rule = flat_space(8), MedianRule(first_trials=2)
        result = search(shell(script, timeout=60), space, workers=1, stopping=rule)
        assert [each.state for each in result.trials] == ["done", "done", "pruned"]
        assert result.trials[2].error == "score 1 at epoch 1, 5 was needed"

    @pytest.mark.parametrize("workers", [0, 1])
    def test_it_dies_with_a_search_that_is_killed_and_is_run_by_the_next(self, workers: int) -> None:
        shell(self.WAITING)
        code = (
            f"import sys; sys.path[:0] = [{str(ROOT / 'tests')!r}]\n"
            "import test_trial_command as t\n"
            f"t.search(t.TrialCommand('sh trial.sh'), workers={workers}, study='s.db')\n"
        )
        driver = subprocess.Popen([sys.executable, "-c", code])
        try:
            for _ in range(600):
                if Path("pid").exists() and Path("pid").read_text():
                    break
                time.sleep(0.05)
        finally:
            os.kill(driver.pid, signal.SIGKILL)
            driver.wait()
        assert ends(int(Path("pid").read_text()))
        Path("go").touch()
        result = search(TrialCommand("sh trial.sh"), workers=workers, study="s.db")
        assert [(each.score, each.attempts) for each in result.trials] == [(1, 2), (1, 1), (1, 1)]
        assert sorted(path.name for path in Path("fxnas-trials").iterdir()) == ["0", "0-2", "1", "2"]

    def test_a_search_with_workers_may_have_the_time_out_too(self) -> None:
        command = shell('echo $$ > "$FXNAS_STARTED_IN/pid"; exec sleep 600')
        (late,) = search(command, trials=1, workers=1, timeout=3).trials
        assert late.error == "TimeoutError: it took longer than 3 s"
        assert ends(int(Path("pid").read_text()))


class TestCommand:
    @pytest.mark.parametrize(
        ("command", "message"),
        [
            ("nosuchprogram x", "no program 'nosuchprogram' that can be run"),
            ("./trial.sh", r"no program './trial.sh' that can be run"),
            ("", "it is empty"),
            ("sh 'open", "No closing quotation"),
            (3, "not iterable"),
        ],
    )
    def test_one_that_cannot_be_run_is_refused_at_once(self, command: Any, message: str) -> None:
        Path("trial.sh").write_text("")  # not executable
        with pytest.raises(FxnasError, match=message):
            TrialCommand(command)

    @pytest.mark.parametrize("timeout", [0, -1, True, "3", float("nan")])
    def test_a_timeout_is_a_number_of_seconds(self, timeout: Any) -> None:
        with pytest.raises(FxnasError, match="timeout is a number of seconds"):
            TrialCommand("sh", timeout=timeout)

    def test_a_program_of_no_known_format_fails_its_trials(self) -> None:
        Path("binary").write_bytes(b"\1\2\3")
        Path("binary").chmod(0o755)
        with pytest.raises(FxnasError, match=r"exit status 127; its log ends with .*/binary can't be run: Exec format"):
            search(TrialCommand("./binary"), max_consecutive_failures=1)

    def test_no_shell_reads_it(self, folder: Path) -> None:
        (folder / "a file").touch()
        words = TrialCommand("sh -c 'echo; $(date)' 'a file' '*' > out").command
        assert words[1:] == ("-c", "echo; $(date)", str(folder / "a file"), "*", ">", "out")

    def test_it_travels_as_plain_data(self) -> None:
        command = TrialCommand("sh -c :", "runs", 3.0)
        recipe = Recipe.of(command, what="evaluator")
        assert recipe.make(what="evaluator") == command
        assert Recipe.of(recipe.make(what="evaluator"), what="evaluator") == recipe

    def test_other_dataclasses_travel_only_if_they_are_plain_too(self) -> None:
        @dataclasses.dataclass(frozen=True)
        class Local:
            value: int = 1

        for evaluator in (Local(), Weights(object())):
            with pytest.raises(FxnasError, match="can't be imported there"):
                Recipe.of(evaluator, what="evaluator")


@dataclasses.dataclass(frozen=True)
class Weights:
    values: object
