"""Samplers of Optuna as strategies: what reaches the study. Skipped where the extra isn't installed."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import fxnas
from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.errors import SearchSpaceError
from fxnas.space import SearchSpace
from fxnas.strategies import OptunaSampler
from fxnas.strategy_contract import flat_space, nested_space, separable


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SearchSpaceError, match=r"pip install 'fxnas\[optuna\]'"):
        OptunaSampler(flat_space())


class TestOptunaSampler:
    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("optuna")

    def test_every_tell_is_a_trial_of_the_study(self) -> None:
        from optuna.trial import TrialState

        space = nested_space()
        strategy = OptunaSampler(space)
        for number in range(20):
            proposal = strategy.ask()
            strategy.tell(proposal, None if number == 7 else separable(proposal))
        strategy.tell(space.default, 9.0)  # never asked for
        trials = strategy.study.get_trials()
        assert [t.state for t in trials].count(TrialState.FAIL) == 1
        assert not any(t.state in (TrialState.RUNNING, TrialState.WAITING) for t in trials)
        assert strategy.study.best_value == 9.0
        assert set(strategy.study.best_params) == set(space.default)

    def test_repeats_are_answered_from_the_study(self) -> None:
        space = flat_space(choices=2, candidates=3)
        strategy = OptunaSampler(space)
        proposals = []
        for _ in range(space.size):
            proposals.append(strategy.ask())
            strategy.tell(proposals[-1], separable(proposals[-1]))
        assert len(set(proposals)) == space.size
        assert len(strategy.study.trials) > space.size

    def test_takes_any_sampler(self) -> None:
        from optuna.samplers import QMCSampler, RandomSampler

        for sampler in (RandomSampler(seed=1), lambda seed: RandomSampler(seed=seed)):
            strategy = OptunaSampler(flat_space(), seed=1, sampler=sampler)
            assert strategy.settings["sampler"] == "RandomSampler"
            assert strategy.space.check(strategy.ask())
        with pytest.raises(SearchSpaceError, match="sampler is an Optuna sampler"):
            OptunaSampler(flat_space(), sampler=lambda seed: QMCSampler)

    @pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
    @pytest.mark.parametrize("name", ["TPESampler", "NSGAIIISampler", "QMCSampler"])
    def test_a_class_gets_the_seed_by_its_name(self, name: str) -> None:
        from optuna import samplers

        first, second = (OptunaSampler(flat_space(), seed=7, sampler=getattr(samplers, name)) for _ in range(2))
        for _ in range(20):
            proposal = first.ask()
            assert proposal == second.ask()
            first.tell(proposal, separable(proposal))
            second.tell(proposal, separable(proposal))

    def test_a_class_that_takes_no_seed_alone_is_refused(self) -> None:
        from optuna.samplers import GridSampler

        with pytest.raises(SearchSpaceError, match="no GridSampler can be made of a seed alone"):
            OptunaSampler(flat_space(), sampler=GridSampler)

    @pytest.mark.parametrize("seed", [-1, 2**70])
    def test_any_integer_is_a_seed(self, seed: int) -> None:
        assert OptunaSampler(flat_space(), seed=seed).ask()

    @pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
    @pytest.mark.parametrize("name", ["TPESampler", "NSGAIISampler", "NSGAIIISampler"])
    def test_several_objectives_are_several_directions(self, name: str) -> None:
        from optuna import samplers

        def both(architecture: Architecture) -> dict[str, float]:
            return {"gain": separable(architecture), "cost": float(sum(map(sum, architecture.values())))}

        space = flat_space()
        strategy = OptunaSampler(space, sampler=getattr(samplers, name), objectives=2)
        options: dict[str, Any] = {"trials": 30, "objectives": ("gain", "cost"), "progress": False}
        result = fxnas.search(space, strategy, both, **options)
        assert strategy.settings["objectives"] == 2
        front = {tuple(trial.values) for trial in strategy.study.best_trials}
        assert front == {trial.objectives for trial in result.front}
        assert len(strategy.study.directions) == 2

    def test_refuses_another_number_of_objectives(self) -> None:
        strategy = OptunaSampler(flat_space(), objectives=2)
        for reward, count in (((1.0, 2.0, 3.0), 3), (1.0, 1)):
            with pytest.raises(SearchSpaceError, match=f"2 objectives are expected, got {count}"):
                strategy.tell(strategy.space.default, reward)
        assert not strategy.told
        for wrong in (0, True, "two"):
            with pytest.raises(SearchSpaceError, match="objectives is how many numbers a reward is"):
                OptunaSampler(flat_space(), objectives=wrong)  # type: ignore[arg-type]

    def test_a_sampler_of_one_objective_says_so(self) -> None:
        from optuna.samplers import RandomSampler

        class One(RandomSampler):
            def sample_relative(self, study: Any, trial: Any, space: Any) -> Any:
                self._raise_error_if_multi_objective(study)

        with pytest.raises(SearchSpaceError, match=r"One can't do with 2 objectives: .*multi-objective"):
            OptunaSampler(flat_space(), sampler=One, objectives=2).ask()

    def test_large_subsets_are_one_parameter_a_candidate(self) -> None:
        names = ("",) * 12
        space = SearchSpace([Choice("any", "input_choice", names, None), Choice("five", "input_choice", names, 5)])
        strategy = OptunaSampler(space)
        told = space.architecture(12345)
        strategy.tell(told, 1.0)
        trial = strategy.study.best_trial
        assert {i for i in range(12) if trial.params[f"any[{i}]"]} == set(told["any"])
        assert {i for i in range(12) if trial.params[f"five[{i}]"] == 1.0} == set(told["five"])
        assert len(strategy.ask()["five"]) == 5
