"""The search loop, its journal and its results; on bare spaces, where a trial costs nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spaces import flat_space, nested_space

import fxnas
from fxnas.architecture import Architecture
from fxnas.errors import FxnasError, SearchSpaceError
from fxnas.evaluators import Report
from fxnas.search import SearchResult
from fxnas.space import SearchSpace
from fxnas.strategies import (
    Budgeted,
    GridSearch,
    Nsga2,
    PredictorSearch,
    RandomSearch,
    RegularizedEvolution,
    Strategy,
)

SPACE = nested_space()


def score(architecture: Architecture) -> float:
    return float(sum(sum(decision) for decision in architecture.values()))


def evolution(space: SearchSpace = SPACE, seed: int = 0) -> RegularizedEvolution:
    return RegularizedEvolution(space, seed=seed, population=4, sample_size=2)


def search(strategy: Strategy | None = None, evaluator: Any = score, **options: Any) -> SearchResult:
    return fxnas.search(SPACE, strategy or evolution(), evaluator, **{"trials": 20, "progress": False, **options})


def outcome(result: Any) -> list[tuple[Architecture, str, float | None]]:
    return [(trial.architecture, trial.status, trial.score) for trial in result.trials]


class TestLoop:
    def test_finds_the_best(self) -> None:
        result = search(RandomSearch(SPACE), trials=300)
        assert result.best.score == max(score(SPACE.architecture(i)) for i in range(SPACE.size))
        assert result.best_architecture == result.best.architecture
        assert [trial.number for trial in result.trials] == list(range(300))
        assert str(result) == f"300 trials, best {result.best.score:.6g} in trial {result.best.number}"

    def test_ends_when_the_strategy_is_done(self, tmp_path: Path) -> None:
        assert len(search(GridSearch(SPACE), trials=SPACE.size + 10).trials) == SPACE.size
        for _ in range(2):  # the second goes on from a journal in which nothing is left to do
            result = search(Budgeted(evolution(), 7), journal=tmp_path / "j")
            assert len(result.trials) == 7

    def test_several_objectives_reach_the_strategy(self, tmp_path: Path) -> None:
        def objectives(architecture: Architecture) -> tuple[float, float]:
            return score(architecture), -2 * score(architecture)

        strategies = [Nsga2(SPACE, population=4) for _ in range(3)]
        whole = search(strategies[0], objectives)
        for strategy, trials in zip(strategies[1:], (8, 20), strict=True):
            parts = search(strategy, objectives, trials=trials, journal=tmp_path / "j")
        assert outcome(parts) == outcome(whole)
        assert strategies[2].results == strategies[0].results
        assert all(trial.objectives == objectives(trial.architecture) for trial in parts.trials)
        assert whole.best.score == max(trial.objectives[0] for trial in whole.trials)

    def test_one_objective_is_what_most_strategies_take(self) -> None:
        with pytest.raises(SearchSpaceError, match="RegularizedEvolution takes one reward, got 2 objectives"):
            search(evaluator=lambda a: (1.0, 2.0))

    def test_the_strategy_is_asked_and_told(self) -> None:
        strategy = evolution()
        result = search(strategy)
        assert strategy.told == [(trial.architecture, trial.score) for trial in result.trials]

    def test_an_architecture_is_evaluated_once(self) -> None:
        seen: list[Architecture] = []
        result = search(RandomSearch(SPACE), lambda a: seen.append(a) or score(a), trials=100)
        assert len(seen) == len(set(seen)) == sum(trial.status == "done" for trial in result.trials)
        assert {trial.status for trial in result.trials} == {"done", "reused"}
        assert all(trial.score == score(trial.architecture) for trial in result.trials)

    def test_or_each_time_if_asked(self) -> None:
        assert {trial.status for trial in search(RandomSearch(SPACE), trials=100, reuse=False).trials} == {"done"}

    def test_top_lists_different_architectures_best_first(self) -> None:
        top = search(RandomSearch(SPACE), trials=100).top(5)
        assert len({trial.architecture for trial in top}) == 5
        assert [trial.score for trial in top] == sorted((trial.score for trial in top), reverse=True)

    def test_callbacks_see_each_trial(self) -> None:
        seen: list[Any] = []
        result = search(callbacks=[seen.append])
        assert seen == list(result.trials)

    def test_ctrl_c_returns_what_there_is(self, tmp_path: Path) -> None:
        def interrupted(architecture: Architecture) -> float:
            if len(seen) == 3:
                raise KeyboardInterrupt
            seen.append(architecture)
            return score(architecture)

        seen: list[Architecture] = []
        result = search(evaluator=interrupted, journal=tmp_path / "j")
        assert result.interrupted
        assert [trial.architecture for trial in result.trials] == seen
        assert outcome(search(journal=tmp_path / "j")) == outcome(search())

    def test_needs_no_torch(self, run_python: Callable[..., Any]) -> None:
        done = run_python(
            "-c",
            "import sys, fxnas; from fxnas.strategies import RandomSearch\n"
            'space = fxnas.SearchSpace.from_json({"a": {"_type": "layer_choice", "_value": ["x", "y"]}})\n'
            'fxnas.search(space, RandomSearch(space), lambda a: 1.0, trials=3, journal="j", progress=False)\n'
            'print("torch" in sys.modules)',
        )
        assert done.stdout == "False\n"


class TestEvaluators:
    def test_plain_functions_of_one_two_or_three_arguments(self) -> None:
        for function in (score, lambda graph, a: score(a), lambda graph, a, report: score(a)):
            assert outcome(search(evaluator=function)) == outcome(search())

    def test_an_object_with_a_method(self) -> None:
        class Table:
            def evaluate(self, graph: SearchSpace, architecture: Architecture, report: Report) -> float:
                assert graph is SPACE
                return score(architecture)

        assert outcome(search(evaluator=Table())) == outcome(search())

    def test_trials_have_numbers_and_seeds(self) -> None:
        def seeds(seed: int) -> list[tuple[int, int]]:
            seen: list[tuple[int, int]] = []
            search(RandomSearch(SPACE, seed=seed), lambda g, a, r: seen.append((r.number, r.seed)) or 0.0, reuse=False)
            return seen

        first = seeds(0)
        assert [number for number, _ in first] == list(range(20))
        assert len({seed for _, seed in first}) == 20
        assert first == seeds(0)
        assert first != seeds(1)

    def test_metrics_by_name(self) -> None:
        trial = search(evaluator=lambda a: {"loss": 0.5, "score": score(a)}).best
        assert trial.metrics == {"loss": 0.5, "score": trial.score}
        assert search(evaluator=lambda a: {"accuracy": 0.25}).best.score == 0.25

    @pytest.mark.parametrize(
        ("returned", "message"),
        [
            (None, "a score is a number"),
            ("high", "a score is a number"),
            (float("nan"), "a score is finite"),
            ((1.0, float("nan")), "objective 1 = nan"),
            ((1.0, "high"), "a score is a number"),
            ((), "a score is a number"),
            ({"a": 1.0, "b": 2.0}, 'one of several metrics must be called "score"'),
            ({}, "the evaluator returned nothing"),
        ],
    )
    def test_what_is_not_a_score_fails_the_trial(self, returned: Any, message: str) -> None:
        result = search(evaluator=lambda a: returned, trials=3)
        assert all(trial.status == "failed" and message in trial.error for trial in result.trials)
        with pytest.raises(FxnasError, match=r"none of 3 trials has a score; the first: .*evaluator"):
            _ = result.best

    @pytest.mark.parametrize("evaluator", [3, lambda: 1.0, lambda a, b, c, d: 1.0, lambda a, *, k: 1.0])
    def test_what_is_not_an_evaluator_is_refused(self, evaluator: Any) -> None:
        with pytest.raises(FxnasError, match="an evaluator"):
            search(evaluator=evaluator)


class TestFailures:
    def test_are_recorded_and_the_search_goes_on(self, tmp_path: Path) -> None:
        def fragile(architecture: Architecture) -> float:
            if architecture["outer"] == (0,):
                raise RuntimeError("too\nflat")
            return score(architecture)

        result = search(RandomSearch(SPACE), fragile, trials=60, journal=tmp_path / "j")
        failed = [trial for trial in result.trials if trial.status == "failed"]
        assert 0 < len(failed) < 60
        assert all(trial.error == "RuntimeError: too" and "in fragile" in trial.traceback for trial in failed)
        assert outcome(search(RandomSearch(SPACE), fragile, trials=60, journal=tmp_path / "j")) == outcome(result)

    def test_too_many_in_a_row_end_the_search(self, tmp_path: Path) -> None:
        def broken(architecture: Architecture) -> float:
            raise ZeroDivisionError("of my own")

        with pytest.raises(FxnasError, match=r"5 trials failed one after another(.|\n)*ZeroDivisionError: of my own"):
            search(evaluator=broken, journal=tmp_path / "j")
        # what is mended goes on with the same journal
        result = search(evaluator=score, journal=tmp_path / "j")
        assert [trial.status for trial in result.trials[:5]] == ["failed"] * 5
        assert all(trial.score is not None for trial in result.trials[5:])

    def test_a_failed_architecture_is_tried_again(self) -> None:
        attempts: list[int] = []

        def second_time(architecture: Architecture) -> float:
            attempts.append(1)
            if len(attempts) == 1:
                raise RuntimeError("out of memory")
            return 1.0

        space = flat_space(1, 1)
        trials = fxnas.search(space, RandomSearch(space), second_time, trials=3, progress=False).trials
        assert [trial.status for trial in trials] == ["failed", "done", "reused"]


class TestJournal:
    def test_a_search_in_parts_is_the_search_in_one(self, tmp_path: Path) -> None:
        for trials in (3, 4, 11, 20):
            result = search(trials=trials, journal=tmp_path / "j")
        assert outcome(result) == outcome(search())

    def test_going_on_makes_no_prediction_for_what_is_recorded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = search(PredictorSearch(SPACE, initial=4))
        search(PredictorSearch(SPACE, initial=4), trials=12, journal=tmp_path / "j")
        resumed = PredictorSearch(SPACE, initial=4)
        asked: list[int] = []
        monkeypatch.setattr(
            resumed, "propose", lambda rng: asked.append(resumed.asked) or type(resumed).propose(resumed, rng)
        )
        assert outcome(search(resumed, journal=tmp_path / "j")) == outcome(whole)
        assert asked == list(range(13, 21))

    def test_nothing_recorded_is_evaluated_again(self, tmp_path: Path) -> None:
        search(journal=tmp_path / "j")
        again = search(evaluator=lambda a: pytest.fail("evaluated"), journal=tmp_path / "j")
        assert outcome(again) == outcome(search())

    def test_is_readable(self, tmp_path: Path) -> None:
        search(journal=tmp_path / "j", trials=1, evaluator=lambda a: {"score": 2, "loss": float("inf")})
        header, trial = map(json.loads, (tmp_path / "j").read_text().splitlines())
        assert header["strategy"] == {"name": "RegularizedEvolution", "seed": 0, "population": 4, "sample_size": 2}
        assert header["space"] == SPACE.to_json()
        assert (trial["trial"], trial["status"], trial["score"], trial["metrics"]["loss"]) == (0, "done", 2.0, None)
        assert Architecture.from_json(trial["architecture"], SPACE)

    @pytest.mark.parametrize("cut", [1, 10, 10_000])
    def test_a_torn_last_line_is_dropped(self, tmp_path: Path, cut: int) -> None:
        search(journal=tmp_path / "j")
        text = (tmp_path / "j").read_bytes()
        last = len(text.splitlines()[-1])
        (tmp_path / "j").write_bytes(text[: -min(cut, last)])
        assert outcome(search(journal=tmp_path / "j")) == outcome(search())
        assert len((tmp_path / "j").read_text().splitlines()) == 21

    def test_a_torn_first_line_too(self, tmp_path: Path) -> None:
        (tmp_path / "j").write_text('{"fxnas": 1, "ki')
        assert outcome(search(journal=tmp_path / "j")) == outcome(search())

    def test_survives_being_killed(self, tmp_path: Path) -> None:
        script = (
            f"import sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]}\n"
            "import os, signal, test_search as t\n"
            "def mortal(graph, architecture, report):\n"
            "    if report.number == 7: os.kill(os.getpid(), signal.SIGKILL)\n"
            "    return t.score(architecture)\n"
            "t.search(evaluator=mortal, journal='j', reuse=False)\n"
        )
        done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env={**os.environ}, timeout=60)
        assert done.returncode == -signal.SIGKILL
        assert len((tmp_path / "j").read_text().splitlines()) == 8
        assert outcome(search(journal=tmp_path / "j", reuse=False)) == outcome(search(reuse=False))

    @pytest.mark.parametrize(
        ("space", "strategy", "message"),
        [
            (nested_space(), evolution(seed=5), "another strategy: setting 'seed' was 0, is 5"),
            (nested_space(), RandomSearch(SPACE), 'setting \'name\' was "RegularizedEvolution", is "RandomSearch"'),
            (flat_space(), evolution(flat_space()), "another space: choice 'c0' is new"),
            (
                SearchSpace([*list(SPACE.values())[:-1]]),
                evolution(SearchSpace([*list(SPACE.values())[:-1]])),
                "choice 'skip' is gone",
            ),
            (
                SearchSpace.from_json(SPACE.to_json()),
                evolution(SearchSpace.from_json(SPACE.to_json())),
                "where choice 'inner' was",
            ),
        ],
    )
    def test_of_another_search_is_refused(
        self, tmp_path: Path, space: SearchSpace, strategy: Strategy, message: str
    ) -> None:
        search(journal=tmp_path / "j")
        before = (tmp_path / "j").read_bytes()
        with pytest.raises(SearchSpaceError, match=message):
            fxnas.search(space, strategy, score, trials=30, journal=tmp_path / "j", progress=False)
        assert (tmp_path / "j").read_bytes() == before

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            (b"{}", "line 3: .*'trial' is missing"),
            (b"[1]", "line 3: a trial is a JSON object"),
            (
                b'{"trial": 1, "architecture": {"outer": "flat", "skip": []}, "status": "odd"}',
                "status 'odd' is unknown",
            ),
            (b'{"trial": 1, "architecture": {"outer": "flat"}, "status": "done", "score": 1}', "line 3: .*'skip'"),
            (b'{"trial": 1, "architecture": {"outer": "flat", "skip": []}, "status": "done"}', "a score unless"),
            (
                b'{"trial": 7, "architecture": {"outer": "flat", "skip": []}, "status": "done", "score": 1}',
                "trial 1 is due here, got 7",
            ),
            (
                b'{"trial": 1, "architecture": {"outer": "flat", "skip": []}, "status": "done", "score": "1"}',
                "is a finite number",
            ),
            (
                b'{"trial": 1, "architecture": 5, "status": "done", "score": 1}',
                "line 3: an architecture is a JSON object, got 5",
            ),
            (
                b'{"trial": 1, "architecture": "secret.json", "status": "done", "score": 1}',
                "line 3: an architecture is a JSON object",
            ),
            (b'{"trial": 1, "architecture": {}, "status": "done", "score": 1, "metrics": [1]}', "metrics are numbers"),
            (b'{"trial": 1, "architecture": {}, "status": "done", "score": 1' + b"0" * 400 + b"}", "a finite number"),
            (b'{"trial": 1, "architecture": {}, "status": "done", "score": 1, "objectives": "1"}', "a list of numbers"),
            (
                b'{"trial": 1, "architecture": {}, "status": "done", "score": 1, "objectives": [1, null]}',
                "finite numbers",
            ),
            (b"\xff", "line 3 is not UTF-8"),
            (b"[" * 70, "nested deeper"),
        ],
    )
    def test_that_is_damaged_inside_is_refused(self, tmp_path: Path, line: bytes, message: str) -> None:
        search(journal=tmp_path / "j", trials=3)
        lines = (tmp_path / "j").read_bytes().split(b"\n")
        (tmp_path / "j").write_bytes(b"\n".join([*lines[:2], line, *lines[3:]]))
        with pytest.raises(SearchSpaceError, match=message):
            search(journal=tmp_path / "j")

    def test_that_is_no_journal_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "j").write_text('{"conv1": 3}\n')
        with pytest.raises(SearchSpaceError, match="is not the journal of a search"):
            search(journal=tmp_path / "j")
        with pytest.raises(SearchSpaceError, match="can't be opened: No such file"):
            search(journal=tmp_path / "nowhere" / "j")

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
    def test_that_is_in_use_is_refused(self, tmp_path: Path) -> None:
        def second(architecture: Architecture) -> float:
            with pytest.raises(SearchSpaceError, match="in use by another search"):
                search(journal=tmp_path / "j")
            return 1.0

        assert search(evaluator=second, journal=tmp_path / "j", trials=1).best.score == 1.0

    def test_needs_a_strategy_that_was_not_asked(self, tmp_path: Path) -> None:
        strategy = evolution()
        search(strategy, journal=tmp_path / "j")
        with pytest.raises(SearchSpaceError, match="already been asked 20 times"):
            search(strategy, journal=tmp_path / "j", trials=30)


class TestArguments:
    def test_a_model_is_not_a_graph(self) -> None:
        with pytest.raises(SearchSpaceError, match=r"got a object; a model becomes a graph by fxnas.trace"):
            fxnas.search(object(), evolution(), score, trials=1)

    def test_a_strategy_of_another_space(self) -> None:
        with pytest.raises(SearchSpaceError, match=r"make it with RegularizedEvolution\(graph.space\)"):
            search(evolution(flat_space()))

    @pytest.mark.parametrize("options", [{"trials": 0}, {"trials": True}, {"max_consecutive_failures": 0}])
    def test_counts_are_positive(self, options: dict[str, Any]) -> None:
        with pytest.raises(FxnasError, match="is a whole number above 0"):
            search(**options)


def test_progress_goes_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    def reporting(graph: SearchSpace, architecture: Architecture, report: Report) -> float:
        report(epoch=1, loss=0.25)
        if report.number == 2:
            raise RuntimeError
        return score(architecture)

    search(evaluator=reporting, progress=True, reuse=False)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "20/20" in captured.err
    assert "failed 1" in captured.err
