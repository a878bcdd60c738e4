"""Early stopping: what a rule needs of a trial, and that pruning doesn't depend on workers or on stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trial_bodies as bodies
from search_help import SPACE, search

from fxnas.errors import FxnasError
from fxnas.evaluators import Report, TrialPruned
from fxnas.results import Trial
from fxnas.stopping import MedianRule, StoppingRule, SuccessiveHalving
from fxnas.strategies import RandomSearch

RULES = {"median": MedianRule(first_trials=3), "halving": SuccessiveHalving(eta=2)}


def trial(number: int, values: list[float], state: Any = "done", metric: str = "score") -> Trial:
    reports = [{"epoch": float(epoch), metric: value} for epoch, value in enumerate(values, 1)]
    return Trial(number, SPACE.default, state, 0.0 if state == "done" else None, reports=reports)


class TestMedianRule:
    def test_needs_the_median_of_running_averages(self) -> None:
        trials = [trial(0, [1, 3]), trial(1, [2, 2]), trial(2, [3, 9, 6])]
        # at 2: the averages are 2, 2 and 6; at 3 there are too few
        assert MedianRule(first_trials=3).limits(trials).least == {1: 2, 2: 2}
        assert MedianRule(first_trials=3, first_steps=2).limits(trials).least == {2: 2}
        assert MedianRule(first_trials=4).limits(trials).least == {}

    def test_pruned_failed_and_reused_trials_do_not_count(self) -> None:
        others = [trial(1, [9], "pruned"), trial(2, [9], "failed"), Trial(3, SPACE.default, "done", 1.0, source=0)]
        assert MedianRule(first_trials=1).limits([trial(0, [1]), *others]).least == {1: 1}

    @pytest.mark.parametrize("metric", ["loss", "-loss", "-score"])
    def test_of_a_loss(self, metric: str) -> None:
        name = metric.removeprefix("-")
        limits = MedianRule(metric, first_trials=1).limits([trial(0, [0.5], metric=name)])
        assert limits.verdict({"epoch": 1, name: 0.6}) == f"{name} 0.6 at epoch 1, 0.5 was needed"
        assert limits.verdict({"epoch": 1, name: 0.5}) is None

    def test_a_sign_says_that_higher_is_better(self) -> None:
        limits = MedianRule("+loss", first_trials=1).limits([trial(0, [0.5], metric="loss")])
        assert limits.verdict({"epoch": 1, "loss": 0.4}) == "loss 0.4 at epoch 1, 0.5 was needed"

    def test_metric_and_step_are_names(self) -> None:
        with pytest.raises(FxnasError, match="metric is the name of a reported value, got 3"):
            MedianRule(3)  # type: ignore[arg-type]
        with pytest.raises(FxnasError, match="step is the name of a reported value, got None"):
            SuccessiveHalving(step=None)  # type: ignore[arg-type]

    def test_what_is_not_finite_is_left_out(self) -> None:
        # as in a study, which holds no such numbers
        assert MedianRule(first_trials=1).limits([trial(0, [float("inf"), float("nan"), 2])]).least == {3: 2}

    def test_the_best_value_so_far_counts(self) -> None:
        limits = MedianRule(first_trials=1).limits([trial(0, [1, 1])])
        assert limits.verdict({"epoch": 1, "score": 2.0}) is None
        assert limits.verdict({"epoch": 2, "score": 0.0}) is None


class TestSuccessiveHalving:
    def test_needs_to_be_among_the_best_of_each_rung(self) -> None:
        rule = SuccessiveHalving(eta=2)
        values = [[1, 1], [2, 2], [3, 3], [4, 4], [5, 0, 9, 1]]
        trials = [trial(number, curve, "pruned" if number < 2 else "done") for number, curve in enumerate(values)]
        # of six trials three go on; at step 4 one of two; the best value up to a step counts
        assert rule.limits(trials).least == {1: 3, 2: 3, 4: 9}
        assert rule.limits([]).least == {}

    def test_other_rungs(self) -> None:
        trials = [trial(0, [1.0] * 20)]
        assert list(SuccessiveHalving(first=2, eta=3).limits(trials).least) == [2, 6, 18]


class TestSearch:
    @pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
    def test_prunes_the_same_trials_at_any_number_of_workers(self, rule: StoppingRule, tmp_path: Path) -> None:
        options: dict[str, Any] = {"evaluator": bodies.curve, "stopping": rule, "trials": 24, "in_flight": 3}
        whole = search(RandomSearch(SPACE), **options)
        states = [trial.state for trial in whole.trials]
        assert 3 < states.count("pruned") < 20
        assert search(RandomSearch(SPACE), workers=3, **options).fingerprint == whole.fingerprint
        for trials in (7, 24):
            parts = search(RandomSearch(SPACE), **{**options, "trials": trials}, study=tmp_path / "s")
        assert parts.fingerprint == whole.fingerprint

    def test_a_pruned_trial_says_why_and_tells_nothing(self) -> None:
        strategy = RandomSearch(SPACE)
        result = search(strategy, bodies.curve, stopping=RULES["halving"], trials=24)
        pruned = next(trial for trial in result.trials if trial.state == "pruned")
        assert "was needed" in pruned.error
        assert (pruned.score, pruned.traceback) == (None, None)
        assert 0 < len(pruned.reports) < 4
        assert strategy.told[pruned.number] == (pruned.architecture, None)
        assert f"{sum(trial.state == 'pruned' for trial in result.trials)} pruned" in str(result)
        assert result.best.score == max(trial.score for trial in result.trials if trial.state == "done")

    def test_pruned_trials_are_no_failures(self) -> None:
        def hopeless(graph: Any, architecture: Any, report: Report) -> float:
            raise TrialPruned("I can see it myself")

        result = search(evaluator=hopeless, max_consecutive_failures=2)
        assert {(trial.state, trial.error) for trial in result.trials} == {("pruned", "I can see it myself")}

    def test_trials_that_report_nothing_go_on(self) -> None:
        assert {trial.state for trial in search(stopping=RULES["median"]).trials} == {"done"}

    def test_what_is_reported_is_a_number(self) -> None:
        def reporting(graph: Any, architecture: Any, report: Report) -> float:
            report(loss="low")  # type: ignore[arg-type]
            return 1.0

        assert "loss = 'low'; a loss is a number" in search(evaluator=reporting, trials=1).trials[0].error


@pytest.mark.parametrize(
    "make",
    [lambda: MedianRule(first_trials=0), lambda: SuccessiveHalving(eta=1), lambda: SuccessiveHalving(first=0.5)],
)
def test_options_that_make_no_sense(make: Any) -> None:
    with pytest.raises(FxnasError, match="is a whole number from"):
        make()
