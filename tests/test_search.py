"""The search loop and its results; on bare spaces, where a trial costs nothing."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from search_help import SPACE, evolution, outcome, score, search
from spaces import flat_space

import fxnas
from fxnas.architecture import Architecture
from fxnas.errors import FxnasError, SearchSpaceError
from fxnas.evaluators import Report
from fxnas.progress import Bar, Silent, rate
from fxnas.space import SearchSpace
from fxnas.strategies import RandomSearch


class TestLoop:
    def test_finds_the_best(self) -> None:
        result = search(RandomSearch(SPACE), trials=300)
        assert result.best.score == max(score(SPACE.architecture(i)) for i in range(SPACE.size))
        assert result.best_architecture == result.best.architecture
        assert [trial.number for trial in result.trials] == list(range(300))
        assert str(result) == f"300 trials, best {result.best.score:.6g} in trial {result.best.number}"
        assert str(search(trials=1)).startswith("1 trial, best")

    def test_the_strategy_is_asked_and_told(self) -> None:
        strategy = evolution()
        result = search(strategy)
        assert strategy.told == [(trial.architecture, trial.score) for trial in result.trials]

    def test_an_architecture_is_evaluated_once(self) -> None:
        seen: list[Architecture] = []
        result = search(RandomSearch(SPACE), lambda a: seen.append(a) or score(a), trials=100)
        assert len(seen) == len(set(seen)) == sum(trial.source is None for trial in result.trials)
        assert {trial.state for trial in result.trials} == {"done"}
        assert all(trial.score == score(trial.architecture) for trial in result.trials)

    def test_or_each_time_if_asked(self) -> None:
        assert {trial.source for trial in search(RandomSearch(SPACE), trials=100, reuse=False).trials} == {None}

    def test_top_lists_different_architectures_best_first(self) -> None:
        top = search(RandomSearch(SPACE), trials=100).top(5)
        assert len({trial.architecture for trial in top}) == 5
        assert [trial.score for trial in top] == sorted((trial.score for trial in top), reverse=True)

    def test_ends_when_the_strategy_has_nothing_left(self) -> None:
        class Short(RandomSearch):
            @property
            def done(self) -> bool:
                return self.asked == 5

        for in_flight in (1, 3):
            assert len(search(Short(SPACE), in_flight=in_flight).trials) == 5

    def test_what_is_recorded_is_replayed_and_not_asked_again(self, tmp_path: Path) -> None:
        class Replayed(RandomSearch):
            def replay(self, architecture: Architecture) -> None:
                self.asked += 1
                replayed.append(architecture)

        replayed: list[Architecture] = []
        first = search(Replayed(SPACE), study=tmp_path / "s", trials=6)
        assert replayed == []
        search(Replayed(SPACE), study=tmp_path / "s", trials=9)
        assert replayed == [trial.architecture for trial in first.trials]

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
        result = search(evaluator=interrupted, study=tmp_path / "j")
        assert result.interrupted
        assert [trial.architecture for trial in result.trials] == seen
        assert outcome(search(study=tmp_path / "j")) == outcome(search())

    def test_needs_no_torch(self, run_python: Callable[..., Any]) -> None:
        done = run_python(
            "-c",
            "import sys, fxnas; from fxnas.strategies import RandomSearch\n"
            'space = fxnas.SearchSpace.from_json({"a": {"_type": "layer_choice", "_value": ["x", "y"]}})\n'
            'fxnas.search(space, RandomSearch(space), lambda a: 1.0, trials=3, study="j", progress=False)\n'
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
            ((1.0, float("nan")), "objective 1 = nan"),
            ((1.0, "high"), "a score is a number"),
            ((), "a score is a number"),
            ({"score": 1.0, "loss": "low"}, "loss = 'low'; a loss is a number"),
            ("high", "a score is a number"),
            (float("nan"), "a score is finite"),
            ({"a": 1.0, "b": 2.0}, 'one of several metrics must be called "score"'),
            ({}, "the evaluator returned nothing"),
        ],
    )
    def test_what_is_not_a_score_fails_the_trial(self, returned: Any, message: str) -> None:
        result = search(evaluator=lambda a: returned, trials=3)
        assert all(trial.state == "failed" and message in trial.error for trial in result.trials)
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

        result = search(RandomSearch(SPACE), fragile, trials=60, study=tmp_path / "j")
        failed = [trial for trial in result.trials if trial.state == "failed"]
        assert 0 < len(failed) < 60
        assert all(trial.error == "RuntimeError: too" and "in fragile" in trial.traceback for trial in failed)
        assert outcome(search(RandomSearch(SPACE), fragile, trials=60, study=tmp_path / "j")) == outcome(result)

    def test_too_many_in_a_row_end_the_search(self, tmp_path: Path) -> None:
        def broken(architecture: Architecture) -> float:
            raise ZeroDivisionError("of my own")

        with pytest.raises(FxnasError, match=r"5 trials failed one after another(.|\n)*ZeroDivisionError: of my own"):
            search(evaluator=broken, study=tmp_path / "j")
        # what is mended goes on with the same study
        result = search(evaluator=score, study=tmp_path / "j")
        assert [trial.state for trial in result.trials[:5]] == ["failed"] * 5
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
        assert [trial.state for trial in trials] == ["failed", "done", "done"]
        assert [trial.source for trial in trials] == [None, None, 1]


class TestArguments:
    def test_a_model_is_not_a_graph(self) -> None:
        with pytest.raises(SearchSpaceError, match=r"got a object; a model becomes a graph by fxnas.trace"):
            fxnas.search(object(), evolution(), score, trials=1)

    def test_nor_is_one_that_can_be_called(self) -> None:
        class Model:
            def __call__(self) -> None: ...

        with pytest.raises(SearchSpaceError, match=r"got a Model; a model becomes a graph by fxnas.trace"):
            fxnas.search(Model(), evolution(), score, trials=1)

    def test_a_strategy_of_another_space(self) -> None:
        with pytest.raises(SearchSpaceError, match=r"make it with RegularizedEvolution\(graph.space\)"):
            search(evolution(flat_space()))

    @pytest.mark.parametrize(
        "options", [{"trials": 0}, {"trials": True}, {"max_consecutive_failures": 0}, {"in_flight": 0}]
    )
    def test_counts_are_positive(self, options: dict[str, Any]) -> None:
        with pytest.raises(FxnasError, match="is a whole number from 1"):
            search(**options)


def test_the_line_that_tells_an_error_is_bounded() -> None:
    def fails(architecture: Architecture) -> float:
        raise ValueError("x" * 10_000_000)

    (trial,) = search(evaluator=fails, trials=1).trials
    assert trial.error == f"ValueError: {'x' * 1000}…"
    assert len(trial.traceback or "") <= 32_768


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


def test_a_trial_in_this_process_is_shown_as_running(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []

    class Noting(Silent):
        def running(self, count: int) -> None:
            shown.append(count)

    def evaluator(architecture: Architecture) -> float:
        shown.append("evaluated")
        return 1.0

    monkeypatch.setattr(sys.modules["fxnas.search"], "display", lambda *_: Noting())
    search(evaluator=evaluator, trials=1)
    assert shown == [1, "evaluated", 0]


def test_progress_knows_the_speed_of_slow_trials(capfd: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    clock = iter(range(0, 10**9, 200))  # seconds, at each look: rich alone gives up after 30 without news
    monkeypatch.setattr("rich.console.monotonic", lambda: next(clock))
    result = search(trials=2)
    with Bar(10, list(result.trials[:1])) as bar:
        bar.finished(result.trials[1])
    told = capfd.readouterr().err
    assert "2/10" in told
    assert re.search(r"\d\.\d/(min|h) left \d:\d\d:\d\d", told)


@pytest.mark.parametrize(
    ("speed", "told"),
    [(250, "250/s"), (2.38, "2.4/s"), (0.999, "60/min"), (1 / 90, "40/h"), (1 / 7200, "12/d"), (1e-9, "0.0/d")],
)
def test_a_rate_is_a_short_number(speed: float, told: str) -> None:
    assert rate(speed) == told
