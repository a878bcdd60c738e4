"""Evaluators: train the materialized child, score it, and leave everything else as it was."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import fxnas
from fxnas.errors import FxnasError
from fxnas.evaluators import Report, TensorBatches, TrainAndScore, accuracy, fit, measure
from fxnas.evaluators.seeded import seeded
from fxnas.graph import ChoiceGraph
from fxnas.strategies import RandomSearch


class Net(nn.Module):
    """Its "right" candidate can learn which of three inputs is largest; its "wrong" one sees nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.op = fxnas.LayerChoice({"wrong": nn.Hardtanh(0.0, 1e-6), "right": nn.Linear(3, 3)})
        self.drop = nn.Dropout(0.1)
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.op(self.drop(x)) * self.scale


def data(count: int = 200, seed: int = 0) -> tuple[Tensor, Tensor]:
    inputs = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return inputs, inputs.argmax(1)


@pytest.fixture(scope="module")
def graph() -> ChoiceGraph:
    torch.manual_seed(0)
    return fxnas.trace(Net(), data()[0][:2])


def evaluator(**options: Any) -> TrainAndScore:
    held_out = TensorBatches(*data(seed=1), size=64)
    train = options.pop("train", TensorBatches(*data(), size=20, shuffle=True))
    defaults = {"epochs": 5, "optimizer": lambda parameters: torch.optim.Adam(parameters, lr=0.05)}
    return TrainAndScore(train, held_out, **{**defaults, **options})


class TestTrainAndScore:
    def test_finds_the_candidate_that_learns(self, graph: ChoiceGraph) -> None:
        result = fxnas.search(graph, RandomSearch(graph.space), evaluator(), trials=6, progress=False)
        assert {trial.state for trial in result.trials} == {"done"}
        assert result.best_architecture.to_json() == {"op": "right"}
        assert result.best.score > 0.9
        assert result.best.metrics == {"score": result.best.score, "parameters": 3 * 3 + 3 + 3}

    def test_is_a_function_of_the_seed(self, graph: ChoiceGraph) -> None:
        architecture = graph.space.architecture(1)
        scores = [evaluator(epochs=1).evaluate(graph, architecture, Report(0, seed)) for seed in (1, 1, 2, 3, 4)]
        assert scores[0] == scores[1]
        assert len({score["score"] for score in scores}) > 1

    def test_a_loader_with_a_generator_of_its_own_is_reseeded(self, graph: ChoiceGraph) -> None:
        loader = DataLoader(TensorDataset(*data()), batch_size=20, shuffle=True, generator=torch.Generator())
        repeated = evaluator(train=loader, epochs=1)
        architecture = graph.space.architecture(1)
        first, second = (repeated.evaluate(graph, architecture, Report(0, 5)) for _ in range(2))
        assert first == second

    def test_leaves_graph_and_randomness_alone(self, graph: ChoiceGraph) -> None:
        weights = {name: value.clone() for name, value in graph.state_dict().items()}
        states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
        evaluator().evaluate(graph, graph.space.architecture(1), Report(0, 0))
        assert all(torch.equal(value, weights[name]) for name, value in graph.state_dict().items())
        assert states[:2] == (random.getstate(), np.random.get_state()[1].tolist())
        assert torch.equal(states[2], torch.get_rng_state())

    def test_reports_on_the_way(self, graph: ChoiceGraph) -> None:
        seen: list[Any] = []
        evaluator(epochs=3).evaluate(graph, graph.space.architecture(1), Report(0, 0, seen.append))
        assert [set(values) for values in seen] == [{"epoch", "loss"}] * 3
        assert [values["epoch"] for values in seen] == [1, 2, 3]
        assert seen[2]["loss"] < seen[0]["loss"]

    def test_other_losses_metrics_and_devices(self, graph: ChoiceGraph) -> None:
        options = {"loss": lambda out, t: nn.functional.mse_loss(out, nn.functional.one_hot(t, 3).float())}
        closeness = evaluator(**options, metric=lambda out, target: -out.abs().mean(), device="cpu")
        assert closeness.evaluate(graph, graph.space.architecture(1), Report(0, 0))["score"] < 0

    def test_refuses_what_can_be_used_only_once(self) -> None:
        with pytest.raises(FxnasError, match="train is an iterator, which is empty after the first trial"):
            TrainAndScore(iter([data()]), [data()])
        with pytest.raises(FxnasError, match="held_out is an iterator"):
            TrainAndScore([data()], (data() for _ in range(2)))
        with pytest.raises(FxnasError, match="epochs is 0 or more"):
            TrainAndScore([data()], [data()], epochs=-1)

    def test_a_loss_that_explodes_fails_the_trial(self, graph: ChoiceGraph) -> None:
        result = fxnas.search(
            graph, RandomSearch(graph.space), evaluator(loss=lambda out, t: out.sum() * float("inf")), trials=2
        )
        assert all("the loss is" in trial.error for trial in result.trials)


class TestFit:
    def test_inputs_as_forward_takes_them(self) -> None:
        class Two(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.line = nn.Linear(3, 3)

            def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
                return self.line(x) if bias is None else self.line(x) + bias

        inputs, target = data(20)
        for given in (inputs, (inputs, inputs), {"x": inputs, "bias": inputs}):
            model = Two()
            before = model.line.weight.clone()
            fit(model, [(given, target)])
            assert not torch.equal(model.line.weight, before)
            assert 0 <= measure(model, [(given, target)]) <= 1

    def test_the_modes(self) -> None:
        model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)).eval()
        fit(model, [data()])
        assert model.training
        measure(model, [data()])
        assert not model.training

    def test_a_model_without_parameters(self) -> None:
        fit(nn.Identity(), [data()], epochs=2)

    def test_no_batches(self) -> None:
        with pytest.raises(FxnasError, match="no training batches"):
            fit(nn.Linear(3, 3), [])
        with pytest.raises(FxnasError, match="no batches to measure on"):
            measure(nn.Linear(3, 3), [])

    def test_the_metric_is_weighted_by_batch_size(self) -> None:
        inputs, target = data(10)
        model = nn.Linear(3, 3)
        uneven = measure(model, TensorBatches(inputs, target, size=7))
        assert uneven == pytest.approx(float(accuracy(model(inputs), target)))


class TestTensorBatches:
    def test_cuts(self) -> None:
        inputs, target = data(10)
        batches = TensorBatches(inputs, target, size=4)
        assert [len(x) for x, _ in batches] == [4, 4, 2]
        assert len(batches) == 3
        assert torch.equal(torch.cat([x for x, _ in batches]), inputs)

    def test_shuffles_from_the_global_generator(self) -> None:
        inputs, _ = data(10)

        def order(seed: int) -> list[int]:
            with seeded(seed):
                return [int(i) for _, t in TensorBatches(inputs, torch.arange(10), size=4, shuffle=True) for i in t]

        assert order(0) == order(0) != order(1)
        assert sorted(order(0)) == list(range(10))

    def test_refuses(self) -> None:
        with pytest.raises(FxnasError, match="same length, got 10 and 9"):
            TensorBatches(torch.ones(10), torch.ones(9))
        with pytest.raises(FxnasError, match="size=0"):
            TensorBatches(torch.ones(1), torch.ones(1), size=0)
