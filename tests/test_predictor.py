"""The search with a predictor, and the predictor."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from search_help import asked

from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.conditions import chosen
from fxnas.errors import SearchSpaceError
from fxnas.space import SearchSpace
from fxnas.strategies import PredictorSearch
from fxnas.strategies.networks import Networks, number
from fxnas.strategy_contract import flat_space, nested_space, separable
from fxnas.wiring import Box, Wire, Wiring


def cell_space() -> SearchSpace:
    """Three layers; the second and the third take the input or a layer before."""
    layers = [Choice(f"layer{i}", "layer_choice", ("conv", "pool", "skip", "gate"), 1) for i in range(3)]
    takes = [Choice(f"input{i}", "input_choice", tuple(f"node{j}" for j in range(i + 1)), 1) for i in (1, 2)]
    return SearchSpace([*layers, *takes])


def wired(space: SearchSpace) -> SearchSpace:
    return SearchSpace(space.values(), wiring=cell_wiring())


def cell_wiring() -> Wiring:
    boxes = (
        Box("x", "input"),
        *(Box(f"layer{i}", "choice") for i in range(3)),
        Box("cat", "call"),
        Box("output", "output"),
    )
    wires = [Wire(0, 1)]
    for layer in (1, 2):
        wires += [Wire(node, layer + 1, chosen(f"input{layer}", node, layer + 1, 1)) for node in range(layer + 1)]
    return Wiring(boxes, (*wires, *(Wire(layer, 4) for layer in (1, 2, 3)), Wire(4, 5)))


class TestPredictorSearch:
    def test_learns_from_failures_too(self) -> None:
        space = flat_space(choices=4)
        strategy = PredictorSearch(space)
        failed = 0
        for trial in range(40):
            proposal = strategy.ask()
            broken = proposal["c0"] == (3,)
            failed += broken and trial >= 15
            strategy.tell(proposal, None if broken else separable(proposal))
        assert failed <= 6  # a quarter of the space; chance would give 6 of 25

    def test_never_repeats_and_finds_an_interaction(self) -> None:
        space = flat_space(choices=6)
        strategy = PredictorSearch(space)

        def reward(architecture: Architecture) -> float:
            return (
                sum(architecture[f"c{i}"] == architecture[f"c{i + 1}"] for i in range(0, 6, 2))
                + separable(architecture) / 10
            )

        best = max(map(reward, map(space.architecture, range(space.size))))
        told: dict[Architecture, float] = {}
        for _ in range(60):
            proposal = strategy.ask()
            assert proposal not in told
            told[proposal] = reward(proposal)
            strategy.tell(proposal, told[proposal])
        assert best - max(told.values()) < 0.1

    def test_a_batch_of_asks_is_not_a_batch_of_relatives_only(self) -> None:
        strategy = PredictorSearch(flat_space())
        asked(strategy, 15)
        assert len({strategy.ask() for _ in range(8)}) == 8

    @pytest.mark.parametrize("connected", [False, True])
    def test_the_gradient_of_the_likelihood_is_one(self, connected: bool) -> None:
        from fxnas.strategies.features import Features
        from fxnas.strategies.surrogate import JITTER, Surrogate, standardized

        space = cell_space() if connected else nested_space()
        features = Features(space, Networks(cell_wiring(), space) if connected else None)
        rows = np.stack([features.of(space.sample(random.Random(i))) for i in range(12)])
        targets = standardized([random.Random(i).random() for i in range(12)])
        model = Surrogate(features)

        def objective(parameters: Any) -> float:
            model.parameters = parameters
            matrix = model._covariance(rows, rows) + (np.exp(parameters[-1]) + JITTER) * np.eye(12)
            _, logdet = np.linalg.slogdet(matrix)
            prior = (((parameters - model.before) / model._doubt) ** 2).sum()
            return -float(targets @ np.linalg.solve(matrix, targets) + logdet + prior) / 2

        point = model.before + np.random.default_rng(0).normal(size=len(model.before)) / 3
        steps = 1e-5 * np.eye(len(point))
        numeric = [(objective(point + step) - objective(point - step)) / 2e-5 for step in steps]
        np.testing.assert_allclose(model._slope(point, rows, targets), numeric, rtol=1e-5, atol=1e-6)

    def test_the_deviation_is_that_of_the_kernel(self) -> None:
        from fxnas.strategies.features import Features
        from fxnas.strategies.surrogate import Surrogate

        space = cell_space()
        model = Surrogate(Features(space, Networks(cell_wiring(), space)))
        rows = np.stack([model.features.of(space.sample(random.Random(i))) for i in range(9)])
        model.condition(rows[:4], np.arange(4.0))
        prior = np.diag(model._covariance(rows, rows))
        _, cross = model.mean(rows)
        expected = prior - np.einsum("ij,ij->i", cross @ model._inverse, cross)
        np.testing.assert_allclose(model.deviation(rows, cross) ** 2, expected, atol=1e-8)

    def test_tries_no_network_twice_where_the_wiring_is_known(self) -> None:
        space = cell_space()
        networks = Networks(cell_wiring(), space)
        rng = random.Random(0)
        worth = {number(networks.parts(a)): rng.random() for a in map(space.architecture, range(space.size))}
        strategy = PredictorSearch(wired(space))
        seen = Counter()
        for _ in range(60):
            proposal = strategy.ask()
            seen[number(networks.parts(proposal))] += 1
            strategy.tell(proposal, worth[number(networks.parts(proposal))])
        unwired = PredictorSearch(space)
        blind = Counter()
        for _ in range(60):
            proposal = unwired.ask()
            blind[number(networks.parts(proposal))] += 1
            unwired.tell(proposal, worth[number(networks.parts(proposal))])
        assert len(worth) < space.size / 2
        assert len(seen) >= 58  # two of the start may be one network
        assert len(blind) < len(seen)

    def test_what_is_connected_belongs_to_the_settings(self) -> None:
        space = cell_space()
        found = PredictorSearch(wired(space)).settings
        assert found["wiring"] != PredictorSearch(space).settings["wiring"] is None
        assert found == PredictorSearch(wired(space)).settings
        straight = (Wire(i, i + 1) for i in range(5))
        other = SearchSpace(space.values(), wiring=Wiring(cell_wiring().boxes, tuple(straight)))
        assert found != PredictorSearch(other).settings

    def test_fixed_layers_and_names_do_not(self) -> None:
        """A search may go on though a layer that isn't searched has another name, or another stands behind it."""
        space, wiring = cell_space(), cell_wiring()
        boxes = (Box("image", "input"), *wiring.boxes[1:5], Box("head", "module", "Linear"), wiring.boxes[5])
        wires = (*(wire for wire in wiring.wires if wire.target < 5), Wire(4, 5), Wire(5, 6))
        other = SearchSpace(space.values(), wiring=Wiring(boxes, wires))
        assert PredictorSearch(other).settings == PredictorSearch(wired(space)).settings

    def test_refuses_a_start_of_nothing(self) -> None:
        with pytest.raises(SearchSpaceError, match="initial must be a positive integer"):
            PredictorSearch(flat_space(), initial=0)


class TestTwins:
    def test_learns_that_a_choice_has_no_effect(self) -> None:
        from fxnas.strategies.features import Features
        from fxnas.strategies.twins import Twins

        space = flat_space(choices=5)
        features = Features(space)

        def reward(architecture: Architecture) -> float:
            return float(sum(7**n * architecture[f"c{n}"][0] for n in range(1, 5)))

        rng = random.Random(0)
        told = {space.sample(rng): None for _ in range(80)}
        earned = {reward(architecture) for architecture in told}
        twins = Twins(features)
        twins.fit(np.stack([features.of(a) for a in told]), np.array([reward(a) for a in told]))
        new = [a for a in map(space.architecture, range(space.size)) if a not in told]
        probability = twins.probability(np.stack([features.of(a) for a in new]))
        known = np.array([reward(a) in earned for a in new])
        assert known.any()
        assert probability[known].min() > 0.7
        assert probability[~known].max() < 0.3

    def test_failures_are_no_twins(self) -> None:
        from fxnas.strategies.features import Features
        from fxnas.strategies.twins import Twins

        space = flat_space(choices=3)
        features = Features(space)
        rows = np.stack([features.of(space.architecture(i)) for i in range(12)])
        twins = Twins(features)
        twins.fit(rows, np.array([1.0, 2.0] + [np.nan] * 10))
        assert twins.probability(rows).max() == 0.0


def test_a_latin_hypercube_takes_every_candidate() -> None:
    from fxnas.strategies.moves import latin

    space = flat_space(choices=5)
    start = latin(space, random.Random(0), 8)
    for key, choice in space.items():
        counts = Counter(architecture[key] for architecture in start)
        assert set(counts) == {(i,) for i in range(len(choice.candidates))}
        assert max(counts.values()) - min(counts.values()) <= 2
