"""Searches with every strategy: in parts, ahead of what is known, and in workers they are the search in one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trial_bodies as bodies
from search_help import SPACE, evolution, outcome, score, search

from fxnas.architecture import Architecture
from fxnas.errors import FxnasError, SearchSpaceError
from fxnas.strategies import (
    PPO,
    Budgeted,
    Constrained,
    Deduped,
    GridSearch,
    LocalSearch,
    Nsga2,
    OptunaSampler,
    PredictorSearch,
    RandomSearch,
    Strategy,
)

MADE: dict[str, Callable[[], Strategy]] = {
    "random": lambda: RandomSearch(SPACE),
    "evolution": evolution,
    "grid": lambda: GridSearch(SPACE),
    "local": lambda: LocalSearch(SPACE),
    "ppo": lambda: PPO(SPACE),
    "nsga2": lambda: Nsga2(SPACE, population=4),
    "predictor": lambda: PredictorSearch(SPACE, initial=4),
    "deduped": lambda: Deduped(evolution()),
    "constrained": lambda: Constrained(evolution(), score, 5),
    "budgeted": lambda: Budgeted(evolution(), 15),
}


def pair(architecture: Architecture) -> tuple[float, float]:
    return score(architecture), -float(len(architecture))


@pytest.mark.parametrize("name", MADE)
def test_in_parts_and_ahead_it_is_the_search_in_one(name: str, tmp_path: Path) -> None:
    evaluator = pair if name == "nsga2" else score
    for in_flight in (1, 3):
        whole = search(MADE[name](), evaluator, in_flight=in_flight)
        for trials in (4, 11, 20):
            file = tmp_path / f"s{in_flight}"
            parts = search(MADE[name](), evaluator, in_flight=in_flight, trials=trials, study=file)
        assert parts.fingerprint == whole.fingerprint


@pytest.mark.parametrize("name", ["ppo", "predictor", "deduped"])
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_in_workers_too(name: str) -> None:
    options: dict[str, Any] = {"evaluator": bodies.score, "in_flight": 3, "trials": 12}
    assert search(MADE[name](), workers=2, **options).fingerprint == search(MADE[name](), **options).fingerprint


def test_ends_when_the_strategy_is_done(tmp_path: Path) -> None:
    assert len(search(GridSearch(SPACE), trials=SPACE.size + 10).trials) == SPACE.size
    for _ in range(2):  # the second goes on with a study in which nothing is left to do
        result = search(Budgeted(evolution(), 7), study=tmp_path / "s")
        assert len(result.trials) == 7


def test_several_objectives_reach_the_strategy(tmp_path: Path) -> None:
    strategies = [Nsga2(SPACE, population=4) for _ in range(3)]
    whole = search(strategies[0], pair)
    for strategy, trials in zip(strategies[1:], (8, 20), strict=True):
        parts = search(strategy, pair, trials=trials, study=tmp_path / "s")
    assert outcome(parts) == outcome(whole)
    assert strategies[2].results == strategies[0].results
    assert all(trial.objectives == pair(trial.architecture) for trial in parts.trials)


def test_objectives_may_be_metrics() -> None:
    def metrics(architecture: Architecture) -> dict[str, float]:
        gain, cost = pair(architecture)
        return {"score": gain, "cost_ms": -cost}

    found = search(Nsga2(SPACE, population=4), metrics, objectives=("score", "-cost_ms"))
    assert outcome(found) == outcome(search(Nsga2(SPACE, population=4), pair))
    assert [trial.objectives for trial in found.trials] == [pair(trial.architecture) for trial in found.trials]
    assert found.front == found.pareto("score", "-cost_ms")
    assert outcome(search(Nsga2(SPACE, population=4), metrics, objectives=("+score", "cost_ms"))) == outcome(found)
    with pytest.raises(FxnasError, match=r"objective 'cost': the evaluator returned score, cost_ms, did you mean"):
        search(Nsga2(SPACE, population=4), metrics, objectives=("score", "-cost"))
    with pytest.raises(FxnasError, match=r"objectives are names of metrics, .*, got 'score'"):
        search(Nsga2(SPACE, population=4), metrics, objectives="score")


def test_the_score_is_the_metric_of_that_name_or_the_first_objective() -> None:
    def metrics(architecture: Architecture) -> dict[str, float]:
        gain, cost = pair(architecture)
        return {"accuracy": gain, "cost_ms": -cost}

    for objectives, first in ((("accuracy", "cost_ms"), 0), (("cost_ms", "accuracy"), 1)):
        found = search(Nsga2(SPACE, population=4), metrics, objectives=objectives)
        assert [trial.score for trial in found.trials] == [pair(trial.architecture)[first] for trial in found.trials]
        assert found.best.score == max(pair(trial.architecture)[first] for trial in found.trials)
    both = search(
        Nsga2(SPACE, population=4),
        lambda architecture: {**metrics(architecture), "score": -1.0},
        objectives=("accuracy", "cost_ms"),
    )
    assert {trial.score for trial in both.trials} == {-1.0}
    with pytest.raises(FxnasError, match='must be called "score", unless the search names its objectives'):
        search(evaluator=metrics)


def test_one_named_objective_is_one_reward() -> None:
    def metrics(architecture: Architecture) -> dict[str, float]:
        return {"accuracy": 0.5, "cost": -score(architecture)}

    found = search(evolution(), metrics, objectives=("cost",))
    assert outcome(found) == outcome(search(evolution()))


def test_one_objective_is_what_most_strategies_take() -> None:
    with pytest.raises(SearchSpaceError, match="RegularizedEvolution takes one reward, got 2 objectives"):
        search(evaluator=pair)


@pytest.mark.parametrize("strategy", [evolution(), Deduped(evolution()), OptunaSampler(SPACE, objectives=3)])
def test_objectives_that_a_strategy_does_not_take_are_refused_at_once(strategy: Strategy) -> None:
    name, count = type(strategy).__name__, strategy.objectives
    with pytest.raises(FxnasError, match=rf"{name} takes {count} .* names 2 objectives \(score, cost\)"):
        search(strategy, pair, objectives=("score", "cost"))
    assert strategy.asked == 0


def test_going_on_makes_no_prediction_for_what_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = search(PredictorSearch(SPACE, initial=4))
    search(PredictorSearch(SPACE, initial=4), trials=12, study=tmp_path / "s")
    resumed = PredictorSearch(SPACE, initial=4)
    asked: list[int] = []
    monkeypatch.setattr(
        resumed, "propose", lambda rng: asked.append(resumed.asked) or type(resumed).propose(resumed, rng)
    )
    assert outcome(search(resumed, study=tmp_path / "s")) == outcome(whole)
    assert asked == list(range(13, 21))
