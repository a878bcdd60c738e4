"""PPO and the distributions that it learns."""

from __future__ import annotations

import math
import random
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from fxnas.choice import Choice
from fxnas.space import SearchSpace
from fxnas.strategies import PPO
from fxnas.strategies.policy import Policy
from fxnas.strategies.ppo import _weights
from fxnas.strategy_contract import flat_space, nested_space


class TestPolicy:
    @pytest.mark.parametrize(("count", "n_chosen"), [(4, 1), (4, 2), (4, None), (3, 0), (3, 3), (5, 3)])
    def test_probabilities_are_those_of_the_formula(self, count: int, n_chosen: int | None) -> None:
        policy = Policy(count, n_chosen)
        policy.scores = np.random.default_rng(0).normal(size=count)
        sizes = range(count + 1) if n_chosen is None else [n_chosen]
        legal = [subset for size in sizes for subset in combinations(range(count), size)]
        weights = np.array([math.exp(policy.scores[list(subset)].sum()) for subset in legal])
        expected = weights / weights.sum()
        found = np.exp([policy.log_probability(subset) for subset in legal])
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        rows = np.array([[float(i in subset) for i in range(count)] for subset in legal])
        np.testing.assert_allclose(np.exp(policy.log_probabilities(rows)), expected, rtol=1e-12)
        marginal = [sum(p for s, p in zip(legal, expected, strict=True) if i in s) for i in range(count)]
        np.testing.assert_allclose(policy.probabilities(), marginal, rtol=1e-12, atol=1e-15)

        def entropy(scores: Any) -> float:
            other = Policy(count, n_chosen)
            other.scores = scores
            logs = np.array([other.log_probability(subset) for subset in legal])
            return -float((np.exp(logs) * logs).sum())

        step = 1e-5 * np.eye(count)
        numeric = [(entropy(policy.scores + d) - entropy(policy.scores - d)) / 2e-5 for d in step]
        np.testing.assert_allclose(policy.entropy_slope(), numeric, atol=1e-6)

    @pytest.mark.parametrize(("count", "n_chosen"), [(3, 1), (4, 2), (3, None), (2, 0)])
    def test_draws_as_likely_as_it_says(self, count: int, n_chosen: int | None) -> None:
        policy = Policy(count, n_chosen)
        policy.scores = np.linspace(-1, 1, count)
        rng, draws = random.Random(0), 4000
        drawn: dict[tuple[int, ...], int] = {}
        for _ in range(draws):
            decision = policy.draw(rng)
            drawn[decision] = drawn.get(decision, 0) + 1
        for decision, times in drawn.items():
            p = math.exp(policy.log_probability(decision))
            assert abs(times - draws * p) < 5 * math.sqrt(draws * p * (1 - p)) + 1e-9


class TestPPO:
    def test_tells_inputs_without_names_apart(self) -> None:
        space = SearchSpace([Choice("in", "input_choice", ("", "", ""), 1)])
        strategy = PPO(space)
        for _ in range(200):
            proposal = strategy.ask()
            strategy.tell(proposal, float(proposal["in"] == (1,)))
        assert strategy.policies["in"].probabilities()[1] > 0.9

    def test_starts_evenly(self) -> None:
        space = flat_space(candidates=4)
        strategy = PPO(space, batch=8)
        start = [strategy.ask() for _ in range(8)]
        for key in space:
            assert sorted(architecture[key] for architecture in start) == [(i // 2,) for i in range(8)]

    def test_a_policy_that_is_certain_still_proposes_what_is_new(self) -> None:
        space = flat_space(candidates=4)
        strategy = PPO(space, batch=8)
        for architecture in [strategy.ask() for _ in range(8)]:
            strategy.tell(architecture, None)
        strategy.tell(space.default, 1.0)
        for policy in strategy.policies.values():
            policy.scores = np.array([50.0, 0, 0, 0])
        proposals = [strategy.ask() for _ in range(8)]
        assert len({space.default, *proposals}) == 9
        assert proposals[0] in space.neighbors(space.default)

    def test_learns_subsets_of_fixed_and_of_any_size(self) -> None:
        choices = [Choice("two", "input_choice", ("",) * 4, 2), Choice("any", "input_choice", ("",) * 4, None)]
        strategy = PPO(SearchSpace(choices))
        for _ in range(400):
            proposal = strategy.ask()
            strategy.tell(proposal, sum(i in proposal[key] for key in ("two", "any") for i in (1, 3)))
        assert (strategy.policies["two"].probabilities()[[1, 3]] > 0.8).all()
        assert (strategy.policies["any"].probabilities()[[1, 3]] > 0.8).all()

    def test_the_objective_is_flat_beyond_the_clip(self) -> None:
        found = _weights(np.log([1.0, 1.1, 1.3, 0.9, 0.7, 0.7]), np.array([2.0, 2.0, 2.0, -2.0, -2.0, 2.0]))
        np.testing.assert_allclose(found, [2.0, 2.2, 0.0, -1.8, 0.0, 1.4])

    def test_failed_trials_teach_nothing(self) -> None:
        strategy = PPO(flat_space())
        for _ in range(50):
            strategy.tell(strategy.ask(), None)
        assert all((policy.scores == 0).all() for policy in strategy.policies.values())

    def test_inactive_choices_learn_nothing(self) -> None:
        space = nested_space()
        strategy = PPO(space)
        flat, other = {"outer": (0,), "skips": (0,)}, {"outer": (2,), "shared": (0,), "skips": (0,)}
        for number in range(10):
            strategy.tell(space.check(flat if number % 2 else other), float(number % 2))
        assert (strategy.policies["pair"].scores == 0).all()
        assert (strategy.policies["outer"].scores != 0).any()
