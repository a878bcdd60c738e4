"""SPOS: paths are drawn uniformly, statistics are computed anew, and evolution keeps to its limit."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from fxnas.architecture import Architecture
from fxnas.errors import FxnasError
from fxnas.nn import LayerChoice
from fxnas.oneshot import Evolution, Limit, Spos
from fxnas.oneshot.base import OneShotMethod
from fxnas.oneshot.evolution import draw
from fxnas.oneshot.recalibrate import Recalibration
from fxnas.oneshot.scoring import SupernetScores
from fxnas.passes import materialize
from fxnas.trace import trace
from tests import planted
from tests.differentiable import Everything, batch, calls, graph

SMALL = Evolution(population=8, parents=3, crossovers=3, mutations=3, generations=3)


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice({"linear": nn.Linear(4, 4), "deep": nn.Sequential(nn.Linear(4, 4), nn.Tanh())}, key="op")
        self.norm, self.dropout, self.head = nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.dropout(self.norm(self.op(x))))


def with_data(method: OneShotMethod) -> OneShotMethod:
    method.train_batches, method.valid_batches = [batch(i) for i in range(5)], [batch(50 + i) for i in range(3)]
    return method


def trained(method: OneShotMethod, steps: range) -> OneShotMethod:
    for i in steps:
        method.step(batch(i), batch(100 + i))
    return method


def test_paths_are_drawn_uniformly() -> None:
    method = Spos(graph())
    draws = 4000
    counts: dict[str, Counter[tuple[int, ...]]] = {key: Counter() for key in method.space}
    for _ in range(draws):
        for key, decision in draw(method.space, method._random()).items():
            counts[key][decision] += 1
    for key, choice in method.space.items():
        of_key = sum(counts[key].values())  # an inner choice is drawn where its candidate is
        expected = of_key / choice.count
        statistic = sum((counts[key][d] - expected) ** 2 / expected for d in choice.decisions())
        # χ² has the mean of its degrees of freedom; 4 deviations above it are met once in 10,000 times
        assert statistic < (choice.count - 1) + 4 * (2 * (choice.count - 1)) ** 0.5, (key, counts[key])
    inner = sum(counts["inner"].values())
    assert abs(inner - draws / 3) < 4 * (draws * 2 / 9) ** 0.5


def test_only_the_path_runs_and_moves() -> None:
    method = Spos(graph(), optimizer=lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1))
    before = {name: p.detach().clone() for name, p in method.graph.module.named_parameters()}
    names = ["outer.nested.0", "outer.sigmoid", "outer.soft"]
    with calls(method.graph.module, names) as ran:
        method.step(batch(0), batch(1))
    chosen = method.graph.architecture["outer"][0]
    assert ran == [names[chosen]]
    child = materialize(method.graph, method.graph.architecture)
    used = {id(p) for p in method.graph.module.parameters()} if chosen is None else set(dict(child.named_parameters()))
    for name, parameter in method.graph.module.named_parameters():
        assert torch.equal(parameter, before[name]) is (name not in used), name


def test_statistics_are_those_of_the_batches() -> None:
    torch.manual_seed(0)
    model = Normed().double()
    method = with_data(Spos(trace(model, batch(0)[0]), calibration=3))
    trained(method, range(4))
    before = {name: b.clone() for name, b in method.graph.module.named_buffers()}
    seen: dict[str, torch.Tensor] = {}

    def metric(output: torch.Tensor, target: torch.Tensor) -> float:
        assert not model.dropout.training and not model.norm.training
        seen.update(mean=model.norm.running_mean.clone(), var=model.norm.running_var.clone())
        return 0.0

    with SupernetScores(method, metric, 3) as score:
        score(Architecture({"op": (0,)}, method.space))
    inputs = [model.op[0](batch(i)[0]) for i in range(3)]
    torch.testing.assert_close(seen["mean"], torch.stack([y.mean(0) for y in inputs]).mean(0).detach())
    torch.testing.assert_close(seen["var"], torch.stack([y.var(0) for y in inputs]).mean(0).detach())
    assert all(torch.equal(b, before[name]) for name, b in method.graph.module.named_buffers())
    assert model.norm.momentum == 0.1 and model.norm.training and method.graph.module.training


def test_calibration_that_fails_leaves_no_trace() -> None:
    layer = nn.BatchNorm1d(2)
    kept = Recalibration(layer)
    with pytest.raises(ZeroDivisionError):
        kept.compute(lambda _: 1 / 0, [(0, 0)])
    kept.restore()
    assert layer.momentum == 0.1 and layer.training and int(layer.num_batches_tracked) == 0


def test_calibration_needs_a_batch() -> None:
    method = with_data(Spos(trace(Normed().double(), batch(0)[0])))
    method.train_batches = []
    with pytest.raises(FxnasError, match="without a batch: the training data is empty"):
        method.decide()


def test_deciding_leaves_the_training_as_it_is() -> None:
    one, other = (with_data(Spos(graph(), evolution=SMALL)) for _ in range(2))
    trained(one, range(3))
    trained(other, range(3))
    selected = other.graph.architecture
    assert other.decide() == other.decide() == one.decide()
    assert other.graph.architecture == selected and other.graph.module.training
    trained(one, range(3, 6))
    trained(other, range(3, 6))
    assert all(map(torch.equal, one.weights.parameters, other.weights.parameters))


def test_each_architecture_is_scored_once() -> None:
    method, calls = with_data(Spos(graph())), 0

    def metric(output: Any, target: Any) -> float:
        nonlocal calls
        calls += 1
        return float(output.sum())

    method.metric, method.evolution = metric, SMALL
    method.decide()
    assert calls % 3 == 0 and calls // 3 <= 8 * 3  # three validation batches, three generations of at most eight


def test_evolution_finds_the_best() -> None:
    space = planted.graph(0).space
    best = Evolution(generations=10).run(space, lambda each: -planted.mistakes(each), random.Random(0))
    assert planted.mistakes(best) == 0


def test_evolution_ends_where_the_space_does() -> None:
    space = trace(Normed(), torch.zeros(2, 4)).space
    assert Evolution().run(space, lambda each: each["op"][0], random.Random(0)).to_json() == {"op": "deep"}


def test_a_limit_holds_in_training_and_evolution() -> None:
    asked: list[float] = []

    def cost(architecture: Architecture) -> float:
        return sum(map(len, architecture.values()))

    method = with_data(Spos(graph(), limit=Limit(cost, 5), evolution=SMALL))
    for i in range(20):
        method.step(batch(i), batch(i))
        asked.append(cost(method.space.canonical(method.graph.architecture)))
    assert max(asked) <= 5 and cost(method.decide()) <= 5
    method.limit = Limit(cost, 0.5)
    with pytest.raises(FxnasError, match=r"none of 1000 random architectures costs at most 0\.5; the cheapest"):
        method.step(batch(0), batch(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"parents": 0}, "parents is at least 1, got 0"), ({"probability": -1}, "probability is between 0 and 1, got -1")],
    ids=["parents", "probability"],
)
def test_numbers_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(FxnasError, match=message):
        Evolution(**options)


def test_without_data_there_is_nothing_to_compare_on() -> None:
    with pytest.raises(FxnasError, match="Spos compares architectures on data: set its valid_batches"):
        Spos(graph()).decide()


def test_a_state_goes_on_to_the_same_result() -> None:
    whole = trained(Spos(graph()), range(6))
    resumed = Spos(graph(), seed=9)
    resumed.load_state_dict(trained(Spos(graph()), range(3)).state_dict())
    trained(resumed, range(3, 6))
    assert all(map(torch.equal, whole.weights.parameters, resumed.weights.parameters))


def outcome(seed: int) -> str:
    torch.manual_seed(0)
    method = with_data(Spos(trace(Everything().double(), batch(0)[0]), seed=seed, evolution=SMALL))
    found = trained(method, range(5)).decide().to_json()
    return f"{found} {[float(p.detach().sum()) for p in method.weights.parameters]}"


def test_another_process_finds_the_same(run_python: Callable[..., Any]) -> None:
    found = run_python("-c", "from tests.test_spos import outcome; print(outcome(3))", PYTHONHASHSEED="5").stdout
    assert found.strip() == outcome(3) != outcome(4)


def test_it_finds_what_is_planted() -> None:
    found = []
    for seed in range(10):
        method = Spos(
            planted.graph(seed),
            loss=nn.functional.mse_loss,
            seed=seed,
            optimizer=lambda p: torch.optim.SGD(p, 0.02, momentum=0.9),
            evolution=Evolution(generations=5),
        )
        for train, valid in planted.batches(seed, 200):
            method.step(train, valid)
        method.valid_batches = [valid for _, valid in planted.batches(100 + seed, 4)]
        found.append(planted.mistakes(method.decide()))
    assert sum(mistakes <= 1 for mistakes in found) >= 9, found
