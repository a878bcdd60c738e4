"""FBNet: soft masks of one draw weigh outputs and costs, on a schedule, and the best sampled architecture is taken."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fxnas.architecture import Architecture
from fxnas.errors import FxnasError
from fxnas.oneshot import Added, FBNet, LogScaled, gumbel
from fxnas.oneshot.selection import best_of
from fxnas.passes import materialize
from tests import differentiable
from tests.differentiable import Options, Priced, Twins, batch, gradients, graph, spread


@pytest.mark.parametrize("n_chosen", [1, 2])
def test_the_gradient_is_that_of_the_soft_masks(n_chosen: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Options(n_chosen).double()
    fbnet = spread(FBNet(graph(net), optimizer=lambda p: torch.optim.SGD(p, 0.0)))
    noise = torch.tensor([0.2, 1.9, -0.3, 0.1], dtype=torch.float64)
    monkeypatch.setattr(gumbel, "_noise", lambda *_: noise)
    theta = fbnet.alphas["pick"].detach().clone().requires_grad_()
    if n_chosen == 1:
        masks = torch.softmax((theta + noise) / 5.0, 0)
    else:  # of each pair the probability is the product of its two weights, over all pairs
        weights = torch.exp((theta + noise) / 5.0)
        pairs = torch.triu(torch.outer(weights, weights), 1)
        masks = (pairs.sum(0) + pairs.sum(1)) / pairs.sum()
    x, target = batch(2)
    (expected,) = torch.autograd.grad(nn.functional.cross_entropy(net.gated(x, masks.unbind()), target), theta)
    with gradients(fbnet) as seen:
        fbnet.step(batch(1), (x, target))
    torch.testing.assert_close(seen["pick"], expected)


def test_the_cost_is_of_the_masks_that_weigh_the_outputs() -> None:
    cost = Priced(2.0, 3.0, 4.0)
    fbnet = FBNet(graph(Twins()), penalty=cost)
    used: list[Tensor] = []
    fbnet.relaxed.module.register_forward_hook(lambda *_: used.append(fbnet.relaxed.mixtures["op"].weights))
    for i in range(3):
        fbnet.step(batch(i), batch(9 + i))
    assert len(cost.asked) == 3 and len(used) == 6
    for asked, of_weights, of_theta in zip(cost.asked, used[::2], used[1::2], strict=True):
        assert asked["op"] is of_theta and of_theta.requires_grad
        assert not torch.equal(of_weights, of_theta)  # the step of the weights has a draw of its own


def test_the_loss_is_that_of_the_paper() -> None:
    cost = Priced(2.0, 3.0, 4.0)
    fbnet = FBNet(graph(Twins()), penalty=cost)
    assert fbnet.penalty == LogScaled(cost, 0.2, 0.6)
    metrics = fbnet.step(batch(0), batch(1))
    module = materialize(fbnet.graph, {"op": 0})  # all three compute the same
    plain = nn.functional.cross_entropy(module(batch(1)[0]), batch(1)[1])
    latency = Priced(2.0, 3.0, 4.0).expected(cost.asked[0])
    torch.testing.assert_close(metrics["valid_loss"], plain * 0.2 * torch.log(latency.double()) ** 0.6)
    added = Added(cost, 0.1)
    assert FBNet(graph(Twins()), penalty=added).penalty is added
    assert FBNet(graph(Twins())).penalty is None


def test_the_schedule() -> None:
    fbnet = FBNet(graph(), warmup=2)
    assert fbnet.temperature == 5.0 and not fbnet.warming
    seen = []
    for epoch in range(4):
        before = {key: theta.detach().clone() for key, theta in fbnet.alphas.items()}
        fbnet.begin_epoch(epoch, 4)
        metrics = fbnet.step(batch(epoch), batch(epoch + 9))
        assert fbnet.temperature == pytest.approx(5 * math.exp(-0.045 * epoch))
        moved = any(not torch.equal(before[key], fbnet.alphas[key]) for key in before)
        assert moved == ("valid_loss" in metrics)
        seen.append(moved)
    assert seen == [False, False, True, True]


def test_a_warm_up_without_end_is_refused() -> None:
    with pytest.raises(FxnasError, match="FBNet trains only the weights in the first 10 epochs, and there are 10"):
        FBNet(graph(), warmup=10).begin_epoch(0, 10)
    FBNet(graph()).begin_epoch(0, 10)  # by default a quarter


def test_cold_masks_compute_what_the_materialized_net_computes() -> None:
    fbnet, x = FBNet(graph()), batch(0)[0]
    for theta in fbnet.alphas.values():
        theta.data = theta.data.double()
    fbnet.temperature = 1e-6
    for _ in range(20):
        masks = fbnet._masks()
        fbnet.relaxed.mix(masks)
        architecture = {key: (m > 0.5).nonzero().flatten().tolist() for key, m in masks.items()}
        torch.testing.assert_close(fbnet.relaxed(x), materialize(fbnet.graph, architecture)(x))


def test_each_step_moves_only_its_own() -> None:
    fbnet = FBNet(graph())
    computed: list[str] = []
    for name, parameter in [*fbnet.relaxed.module.named_parameters(), *fbnet.alphas.items()]:
        parameter.register_hook(lambda gradient, name=name: computed.append(name))
    fbnet.step(batch(0), batch(1))
    assert Counter(computed) == dict.fromkeys(computed, 1)
    assert set(fbnet.alphas) < set(computed)


def test_without_validation_it_takes_the_most_probable() -> None:
    fbnet = spread(FBNet(graph()))
    assert fbnet.decide().to_json() == {"outer": "soft", "twin": 2, "two": [1, 2], "any": 1}


def test_the_best_sample_on_the_validation_batches_is_taken() -> None:
    def loss(architecture: Architecture) -> float:
        module = materialize(fbnet.graph, architecture)
        return sum(nn.functional.cross_entropy(module(x), y).item() for x, y in batches)

    batches = [batch(1), batch(2)]
    fbnet = spread(FBNet(graph(), samples=6))
    fbnet.valid_batches = iter(batches)
    generator = torch.Generator().manual_seed(0)
    sampled = [fbnet._sample(generator) for _ in range(6)]
    assert len(set(sampled)) > 2
    before = fbnet.generator.get_state()
    assert fbnet.decide() == min(sampled, key=loss)
    fbnet.valid_batches, fbnet.metric = batches, lambda output, target: nn.functional.cross_entropy(output, target)
    assert fbnet.decide() == fbnet.decide() == max(sampled, key=loss)
    assert torch.equal(fbnet.generator.get_state(), before)


def test_samples_follow_the_distribution() -> None:
    fbnet = FBNet(graph(Options(1)))
    with torch.no_grad():
        fbnet.alphas["pick"].copy_(torch.tensor([0.5, -1.0, 0.0, 1.0]))
    generator = torch.Generator().manual_seed(0)
    counts = Counter(fbnet._sample(generator)["pick"][0] for _ in range(2000))
    differentiable.check_frequencies(counts, dict(enumerate(torch.softmax(fbnet.alphas["pick"], 0).tolist())))


def of_two(prefers: int | None = None) -> tuple[FBNet, list[Architecture], Callable[[Tensor, Tensor], float]]:
    """Two architectures, and a metric that can tell them apart."""
    fbnet = FBNet(graph(Options(1)))
    both = [Architecture({"pick": (i,)}, fbnet.space) for i in (0, 3)]

    def metric(output: Tensor, target: Tensor) -> float:
        assert not output.requires_grad and not fbnet.graph.module.training
        return float(fbnet.graph.architecture["pick"] == (prefers,))

    return fbnet, both, metric


@pytest.mark.parametrize("prefers", [0, 3])
def test_best_of_two(prefers: int) -> None:
    fbnet, both, metric = of_two(prefers)
    fbnet.graph.select({"pick": 1}).train()
    assert best_of(fbnet, both, [batch(0), batch(1)], metric)["pick"] == (prefers,)
    assert fbnet.graph.architecture["pick"] == (1,) and fbnet.graph.module.training


def test_of_equal_ones_the_first_is_best_and_no_number_is_worst() -> None:
    fbnet, both, metric = of_two()
    assert best_of(fbnet, reversed(both), [batch(0)], metric) == both[1]
    assert best_of(fbnet, both, [batch(0)], lambda output, target: math.nan) == both[0]

    def partly(output: Tensor, target: Tensor) -> float:
        return math.nan if fbnet.graph.architecture == both[0] else -5.0

    assert best_of(fbnet, both, [batch(0)], partly) == both[1]


def test_nothing_to_compare() -> None:
    fbnet, both, metric = of_two()
    with pytest.raises(FxnasError, match="give at least one"):
        best_of(fbnet, [], [batch(0)], metric)
    with pytest.raises(FxnasError, match="the validation data is empty"):
        best_of(fbnet, both, [], metric)


def test_every_logit_learns() -> None:
    differentiable.check_every_logit_learns(FBNet(graph()), steps=2)


def test_what_is_expensive_is_avoided() -> None:
    differentiable.check_avoids_what_is_expensive(
        lambda graph, cost: FBNet(graph, penalty=cost, architecture_optimizer=lambda p: torch.optim.Adam(p, 0.05))
    )


def test_a_state_goes_on_to_the_same_result() -> None:
    differentiable.check_resumes(lambda **options: FBNet(graph(), warmup=1, **options))


def test_another_process_decides_the_same(run_python: Callable[..., Any]) -> None:
    differentiable.check_same_in_another_process(run_python, "FBNet")


def test_it_finds_what_is_planted() -> None:
    differentiable.check_finds_what_is_planted(
        lambda graph, **options: FBNet(graph, architecture_optimizer=lambda p: torch.optim.Adam(p, 0.1), **options),
        60,
    )
