"""GDAS: draws follow softmax(α), one candidate runs, and its gradient is that of the paper."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fxnas.errors import FxnasError
from fxnas.oneshot import Added, Gdas, gumbel
from fxnas.passes import materialize
from tests import differentiable
from tests.differentiable import Options, batch, calls, gradients, graph, spread, trained

LOGITS = torch.tensor([0.7, -0.4, 0.1, 1.2], dtype=torch.float64)


def subsets(logits: Tensor) -> dict[tuple[int, ...], float]:
    p = torch.sigmoid(logits).tolist()
    found = {(): 1.0}
    for i, each in enumerate(p):
        found = {s: q * (1 - each) for s, q in found.items()} | {(*s, i): q * each for s, q in found.items()}
    return found


@pytest.mark.parametrize("temperature", [10.0, 0.1])
@pytest.mark.parametrize("n_chosen", [1, 2, None])
def test_draws_are_distributed_by_alpha(n_chosen: int | None, temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    counts = Counter(gumbel.draw(LOGITS, n_chosen, temperature, generator).decision for _ in range(4000))
    expected = subsets(LOGITS) if n_chosen is None else differentiable.one_after_the_other(LOGITS, n_chosen)
    differentiable.check_frequencies(counts, expected)


@pytest.mark.parametrize("n_chosen", [1, 2, None])
def test_soft_weights_near_the_decision_as_it_gets_cold(n_chosen: int | None) -> None:
    for seed in range(20):
        draw = gumbel.draw(LOGITS, n_chosen, 1e-3, torch.Generator().manual_seed(seed))
        assert [i for i, p in enumerate(draw.soft.tolist()) if p > 0.5] == list(draw.decision)


def test_noise_that_is_infinite_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = iter([torch.tensor([torch.inf, 0, 0, 0]), torch.tensor([torch.nan, 0, 0, 0]), torch.tensor([0.0, 0, 9, 0])])
    monkeypatch.setattr(gumbel, "_noise", lambda *_: next(rows))
    assert gumbel.draw(LOGITS, 1, 1.0, torch.Generator()).decision == (2,)


def test_logits_that_are_not_finite_are_told() -> None:
    gdas = Gdas(graph())
    with torch.no_grad():
        gdas.alphas["twin"][1] = torch.nan
    with pytest.raises(FxnasError, match=r"no finite draw from the logits of 'twin' at temperature 10.0: \[.*nan"):
        gdas.step(batch(0), batch(1))


def known_noise(monkeypatch: pytest.MonkeyPatch) -> Tensor:
    noise = torch.tensor([0.2, 1.9, -0.3, 0.1], dtype=torch.float64)
    monkeypatch.setattr(gumbel, "_noise", lambda *_: noise)
    return noise


def test_the_gradient_is_that_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    net, temperature = Options(1).double(), 0.7
    gdas = spread(Gdas(graph(net), temperatures=(temperature, 0.1), optimizer=lambda p: torch.optim.SGD(p, 0.0)))
    alpha = gdas.alphas["pick"].detach()
    p = torch.softmax((torch.log_softmax(alpha, 0) + known_noise(monkeypatch)) / temperature, 0)
    chosen = int(p.argmax())
    gate = torch.ones((), dtype=torch.float64, requires_grad=True)
    x, target = batch(2)
    nn.functional.cross_entropy(net.head(gate * net.OPS[chosen](x)), target).backward()
    expected = gate.grad * p[chosen] * (nn.functional.one_hot(torch.tensor(chosen), 4) - p) / temperature
    with gradients(gdas) as seen:
        gdas.step(batch(1), (x, target))
    torch.testing.assert_close(seen["pick"], expected)
    assert (seen["pick"] != 0).all()


@pytest.mark.parametrize("n_chosen", [2, None])
def test_the_gradient_of_several_inputs(n_chosen: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    net, temperature = Options(n_chosen).double(), 0.7
    gdas = spread(Gdas(graph(net), temperatures=(temperature, 0.1), optimizer=lambda p: torch.optim.SGD(p, 0.0)))
    noise = known_noise(monkeypatch)

    def soft(alpha: Tensor) -> Tensor:
        return gumbel.distribution.inclusion((alpha + noise) / temperature, n_chosen)

    alpha = gdas.alphas["pick"].detach()
    decision = gumbel.distribution.most_probable(alpha + noise, n_chosen)
    gates = [torch.full((), float(i in decision), dtype=torch.float64, requires_grad=True) for i in range(4)]
    x, target = batch(2)
    nn.functional.cross_entropy(net.gated(x, gates), target).backward()
    by_gate = torch.stack([g.grad if i in decision else torch.zeros_like(g) for i, g in enumerate(gates)])
    with gradients(gdas) as seen:
        gdas.step(batch(1), (x, target))
    expected = by_gate @ torch.autograd.functional.jacobian(soft, alpha)
    torch.testing.assert_close(seen["pick"], expected)


def test_only_what_is_drawn_runs() -> None:
    gdas = Gdas(graph())
    names = [f"outer.{name}" for name in ("nested", "sigmoid", "soft")]
    names[0] += ".0"
    seen: Counter[str] = Counter()
    for i in range(20):
        with calls(gdas.relaxed.module, names) as ran:
            gdas.step(batch(i), batch(50 + i))
        assert len(ran) <= 2  # one in the step of the weights, one in that of α
        seen.update(ran)
    assert set(seen) == set(names)


def test_a_draw_computes_what_the_materialized_net_computes() -> None:
    gdas, x = Gdas(graph()), batch(0)[0]
    for _ in range(20):
        gdas._mix(gdas._draws())
        weights = {key: mixture.weights.detach() for key, mixture in gdas.relaxed.mixtures.items()}
        assert all(set(w.tolist()) <= {0.0, 1.0} for w in weights.values())
        architecture = {key: w.nonzero().flatten().tolist() for key, w in weights.items()}
        assert torch.equal(gdas.relaxed(x), materialize(gdas.graph, architecture)(x))


def test_the_weights_move_as_those_of_the_network_that_is_drawn() -> None:
    gdas = Gdas(graph(), optimizer=lambda p: torch.optim.SGD(p, 0.1), clip_norm=1e9)
    before = copy.deepcopy(gdas.graph)
    x, target = batch(0)
    gdas.step((x, target), batch(1))
    network = materialize(before, gdas.graph.architecture)
    nn.functional.cross_entropy(network(x), target).backward()
    moved = dict(gdas.graph.module.named_parameters())
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(moved[name], parameter - 0.1 * parameter.grad)


def test_the_temperature_falls_from_the_first_to_the_last_epoch() -> None:
    gdas = Gdas(graph())
    assert gdas.temperature == 10.0
    seen = []
    for epoch in range(4):
        gdas.begin_epoch(epoch, 4)
        seen.append(gdas.temperature)
    assert seen == pytest.approx([10.0, 6.7, 3.4, 0.1])
    gdas.begin_epoch(0, 1)
    assert gdas.temperature == 10.0


def test_each_step_moves_only_its_own() -> None:
    gdas = Gdas(graph())
    computed: set[str] = set()
    for name, parameter in [*gdas.relaxed.module.named_parameters(), *gdas.alphas.items()]:
        parameter.register_hook(lambda gradient, name=name: computed.add(name))
    gdas._architecture_step(batch(0))
    assert computed <= set(gdas.alphas) and computed
    computed.clear()
    gdas.architecture.optimizer = None
    gdas.step(batch(0), batch(1))
    assert "head.weight" in computed


def test_every_logit_learns() -> None:
    differentiable.check_every_logit_learns(Gdas(graph()))


def test_what_is_expensive_is_avoided() -> None:
    differentiable.check_avoids_what_is_expensive(
        lambda graph, cost: Gdas(
            graph, penalty=Added(cost, 1.0), architecture_optimizer=lambda p: torch.optim.Adam(p, 0.05)
        )
    )


def test_validation_is_of_the_architecture_that_it_would_choose() -> None:
    gdas, x = trained(Gdas(graph()), range(3)), batch(9)[0]
    assert torch.equal(gdas.forward(x), materialize(gdas.graph, gdas.decide())(x))


def test_a_state_goes_on_to_the_same_result() -> None:
    differentiable.check_resumes(lambda **options: Gdas(graph(), **options))


def test_another_process_decides_the_same(run_python: Callable[..., Any]) -> None:
    differentiable.check_same_in_another_process(run_python, "Gdas")


def test_it_finds_what_is_planted() -> None:
    differentiable.check_finds_what_is_planted(
        lambda graph, **options: Gdas(graph, architecture_optimizer=lambda p: torch.optim.Adam(p, 0.05), **options), 200
    )
