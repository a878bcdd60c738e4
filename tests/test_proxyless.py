"""ProxylessNAS: the gradients of α come from gates, paths are drawn by softmax(α), and two are enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fxnas import subsets
from fxnas.errors import FxnasError
from fxnas.nn import InputChoice, LayerChoice
from fxnas.oneshot import Added, ProxylessNas, Scaled, every_path, two_paths
from fxnas.oneshot.proxyless import MakeGates
from fxnas.passes import materialize
from tests import differentiable
from tests.differentiable import Options, Priced, Twins, batch, calls, gradients, graph, spread, trained

LOGITS = torch.tensor([0.7, -0.4, 0.1, 1.2], dtype=torch.float64)
BOTH = pytest.mark.parametrize("gates", [every_path, two_paths])


def still(net: nn.Module, gates: MakeGates, **options: Any) -> ProxylessNas:
    """The weights don't move, so that the step of α sees the ones that are known."""
    method = ProxylessNas(graph(net), gates=gates, optimizer=lambda p: torch.optim.SGD(p, 0.0), **options)
    spread(method)
    return method


def by_gate(net: Options, chosen: tuple[int, ...], data: tuple[Tensor, Tensor]) -> Tensor:
    """∂L/∂g, by differentiating the net with a factor before each input."""
    gates = [torch.full((), float(i in chosen), dtype=torch.float64, requires_grad=True) for i in range(4)]
    loss = nn.functional.cross_entropy(net.gated(data[0], gates), data[1])
    return torch.stack(torch.autograd.grad(loss, gates))


def covariance(logits: Tensor, n_chosen: int | None) -> Tensor:
    """∂p/∂α by enumeration: P(i and j) - P(i) · P(j)."""
    hot = torch.tensor([[i in s for i in range(4)] for s in subsets.listed(4, n_chosen)], dtype=torch.float64)
    probabilities = torch.softmax(hot @ logits, 0)
    p = probabilities @ hot
    return hot.T @ (probabilities[:, None] * hot) - torch.outer(p, p)


@pytest.mark.parametrize("n_chosen", [1, 2, 3])
def test_the_gradient_of_every_path(n_chosen: int) -> None:
    net = Options(n_chosen).double()
    method = still(net, every_path)
    alpha = method.alphas["pick"].detach()
    for i in range(5):
        with gradients(method) as seen:
            method.step(batch(i), batch(9 + i))
        chosen = tuple(method.relaxed.mixtures["pick"].weights.nonzero().flatten().tolist())
        gate = by_gate(net, chosen, batch(9 + i))
        torch.testing.assert_close(seen["pick"], covariance(alpha, n_chosen) @ gate)
        if n_chosen == 1:
            p = torch.softmax(alpha, 0)
            paper = [sum(gate[j] * p[j] * (float(i == j) - p[i]) for j in range(4)) for i in range(4)]
            torch.testing.assert_close(seen["pick"], torch.stack(paper))


@BOTH
def test_a_gate_for_each_of_any_number_of_inputs(gates: MakeGates) -> None:
    net = Options(None).double()
    method = still(net, gates)
    alpha = method.alphas["pick"].detach()
    several = 0
    for i in range(8):
        with gradients(method) as seen:
            method.step(batch(i), batch(9 + i))
        chosen = tuple(method.relaxed.mixtures["pick"].weights.nonzero().flatten().tolist())
        if len(chosen) > 1:  # the side without any input differs, as long as one gate alone can't close it
            several += 1
            p = torch.sigmoid(alpha)
            torch.testing.assert_close(seen["pick"], by_gate(net, chosen, batch(9 + i)) * p * (1 - p))
        assert (seen["pick"] != 0).any()
    assert several > 2


def test_a_skip_learns_from_both_sides() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.skip = InputChoice(1, key="skip")
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            old = self.skip([x])
            return self.head(torch.tanh(x) if old is None else torch.tanh(x) - old)

    method = still(net := Skip().double(), two_paths)
    seen_open = set()
    for i in range(12):
        with gradients(method) as seen:
            method.step(batch(i), batch(9 + i))
        gate = torch.tensor(
            method.relaxed.mixtures["skip"].weights.tolist()[0], dtype=torch.float64, requires_grad=True
        )
        x, y = batch(9 + i)
        (g,) = torch.autograd.grad(nn.functional.cross_entropy(net.head(torch.tanh(x) - gate * x), y), gate)
        p = torch.sigmoid(method.alphas["skip"].detach())
        torch.testing.assert_close(seen["skip"], g * p * (1 - p))
        seen_open.add(gate.item())
    assert seen_open == {0.0, 1.0}


def test_the_gradient_of_two_paths() -> None:
    net = Options(1).double()
    method = still(net, two_paths)
    alpha = method.alphas["pick"].detach()
    pairs = set()
    for i in range(12):
        with gradients(method) as seen:
            method.step(batch(i), batch(9 + i))
        pair = sorted(method.relaxed.module.decisions["pick"])
        chosen = tuple(method.relaxed.mixtures["pick"].weights.nonzero().flatten().tolist())
        assert len(pair) == 2 and set(chosen) < set(pair)
        gate, p = by_gate(net, chosen, batch(9 + i))[pair], torch.softmax(alpha[pair], 0)
        expected = torch.zeros(4, dtype=torch.float64)
        expected[pair] = p.prod() * torch.stack([gate[0] - gate[1], gate[1] - gate[0]])
        torch.testing.assert_close(seen["pick"], expected)
        pairs.add(tuple(pair))
    assert len(pairs) > 2


def test_two_paths_are_drawn_without_replacement_and_one_of_them_is_open() -> None:
    generator = torch.Generator().manual_seed(0)
    gates = [two_paths(LOGITS, 1, generator) for _ in range(4000)]
    pairs = differentiable.one_after_the_other(LOGITS, 2)
    differentiable.check_frequencies(Counter(g.paths for g in gates), pairs)
    p = torch.exp(LOGITS).tolist()
    expected = {(pair, i): q * p[i] / sum(p[j] for j in pair) for pair, q in pairs.items() for i in pair}
    differentiable.check_frequencies(Counter((g.paths, int(g.values.argmax())) for g in gates), expected)
    assert all(sorted(g.values.tolist()) == [0, 0, 0, 1] for g in gates)


def test_two_paths_keep_the_other_probabilities() -> None:
    method = still(
        Options(1), two_paths, architecture_optimizer=lambda p: torch.optim.Adam(p, 0.3, weight_decay=0.1)
    )  # momentum and decay would move the others
    moved = 0.0
    for i in range(10):
        before = torch.softmax(method.alphas["pick"].detach(), 0)
        method.step(batch(i), batch(9 + i))
        after = torch.softmax(method.alphas["pick"].detach(), 0)
        pair = list(method.relaxed.module.decisions["pick"])
        others = [j for j in range(4) if j not in pair]
        torch.testing.assert_close(after[others], before[others], rtol=1e-12, atol=0)
        torch.testing.assert_close(after[pair].sum(), before[pair].sum(), rtol=1e-12, atol=0)
        moved = max(moved, float((after - before).abs().max()))
    assert moved > 0.05


def test_only_two_paths_run() -> None:
    method = ProxylessNas(graph(), gates=two_paths)
    names = ["outer.nested.0", "outer.sigmoid", "outer.soft"]
    seen: set[tuple[str, ...]] = set()
    for i in range(20):
        with calls(method.relaxed.module, names) as ran:
            method._architecture_step(batch(i))
        assert len(ran) <= 2
        seen.add(tuple(ran))
    assert len([ran for ran in seen if len(ran) == 2]) == 3


def test_the_weights_see_one_path_drawn_by_alpha() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            inner = LayerChoice([nn.Tanh(), nn.ReLU()], key="inner")
            self.one = LayerChoice([nn.Sequential(nn.Softsign(), inner), nn.Sigmoid(), nn.Softplus()], key="one")
            self.two = LayerChoice([nn.ELU(), nn.Hardtanh()], key="two")
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.two(self.one(x)))

    method = still(Net(), every_path)
    method.warming = True
    names = ["one.0.1.0", "one.0.1.1", "one.1", "one.2", "two.0", "two.1"]
    counts: Counter[tuple[str, ...]] = Counter()
    for _ in range(1000):
        with calls(method.relaxed.module, names) as ran:
            method.step(batch(0), batch(1))
        counts[tuple(ran)] += 1
    one, inner, two = (torch.softmax(method.alphas[key], 0).tolist() for key in ("one", "inner", "two"))
    first = {names[0]: one[0] * inner[0], names[1]: one[0] * inner[1], names[2]: one[1], names[3]: one[2]}
    expected = {(a, b): p * q for a, p in first.items() for b, q in zip(names[4:], two, strict=True)}
    differentiable.check_frequencies(counts, expected)


def test_each_step_moves_only_its_own() -> None:
    method = ProxylessNas(graph())
    computed: set[str] = set()
    for name, parameter in [*method.relaxed.module.named_parameters(), *method.alphas.items()]:
        parameter.register_hook(lambda gradient, name=name: computed.add(name))
    method._architecture_step(batch(0))
    assert computed and computed <= set(method.alphas)
    computed.clear()
    method.warming = True
    method.step(batch(0), batch(1))
    assert "head.weight" in computed and not computed & set(method.alphas)


def test_a_path_computes_what_the_materialized_net_computes() -> None:
    method, outputs = ProxylessNas(graph()), []
    method.relaxed.module.register_forward_hook(lambda module, args, output: outputs.append(output))
    for i in range(10):
        method.step(batch(i), batch(99))
        architecture = {k: m.weights.nonzero().flatten().tolist() for k, m in method.relaxed.mixtures.items()}
        assert torch.equal(outputs[-1], materialize(method.graph, architecture)(batch(99)[0]))


@BOTH
def test_every_logit_learns(gates: MakeGates) -> None:
    # among them a choice that is fed by the raw data, one key in two places, and a nested choice
    differentiable.check_every_logit_learns(ProxylessNas(graph(), gates=gates))


def test_a_shared_key_has_one_alpha_that_both_places_teach() -> None:
    class Net(nn.Module):
        def __init__(self, shared: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            keys = ("a", "a") if shared else ("a", "b")
            self.one, self.two = (LayerChoice([nn.Tanh(), nn.Softsign()], key=key) for key in keys)
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.one(x) * self.two(x + 1))

    shared, apart = still(Net(True), every_path), still(Net(False), every_path)
    assert list(shared.alphas) == ["a"]
    apart.alphas["b"].data = apart.alphas["a"].data.clone()
    for method in (shared, apart):
        method.gates = lambda logits, *_: every_path(logits, 1, torch.Generator().manual_seed(0))
    with gradients(shared) as together, gradients(apart) as each:
        shared.step(batch(0), batch(1))
        apart.step(batch(0), batch(1))
    torch.testing.assert_close(together["a"], each["a"] + each["b"])


@BOTH
def test_the_decision_is_the_largest_alpha_every_time(gates: MakeGates) -> None:
    method = spread(ProxylessNas(graph(), gates=gates))
    for _ in range(10):
        assert method.decide().to_json() == {"outer": "soft", "twin": 2, "two": [1, 2], "any": 1}


@BOTH
def test_the_expected_cost_is_that_under_softmax(gates: MakeGates) -> None:
    cost = Priced(2.0, 3.0, 7.0)
    method = still(Twins(), gates, penalty=Added(cost, 0.5))
    metrics = method.step(batch(0), batch(1))
    p = torch.softmax(torch.linspace(-0.5, 0.7, 3, dtype=torch.float64), 0)
    torch.testing.assert_close(cost.asked[0]["op"].detach(), p)
    module = materialize(method.graph, {"op": 0})  # all three compute the same
    plain = nn.functional.cross_entropy(module(batch(1)[0]), batch(1)[1])
    torch.testing.assert_close(metrics["valid_loss"], plain + 0.5 * (p * cost.prices).sum())


def test_of_two_paths_the_cheaper_one_gains() -> None:
    # The paths compute the same, so their gates have equal gradients, which cancel; both are cheaper than the average,
    # so that each alone would gain.
    cost = Priced(2.0, 3.0, 70.0)
    method = still(Twins(), two_paths, penalty=Added(cost, 0.5))
    alpha = method.alphas["op"].detach().clone()
    for i in range(20):
        with gradients(method) as seen:
            method.step(batch(i), batch(9 + i))
        a, b = method.relaxed.module.decisions["op"]
        p = torch.softmax(alpha, 0)[[a, b]]
        slope = 0.5 * (p.prod() / p.sum()) * (cost.prices[b] - cost.prices[a])
        expected = torch.zeros(3, dtype=torch.float64).index_copy(0, torch.tensor([a, b]), torch.stack([-slope, slope]))
        torch.testing.assert_close(seen["op"], expected)


@BOTH
@pytest.mark.parametrize("penalty", [lambda c: Added(c, 1.0), lambda c: Scaled(c, target=3.0)], ids=["added", "scaled"])
def test_what_is_expensive_is_avoided(gates: MakeGates, penalty: Callable[[Priced], Any]) -> None:
    differentiable.check_avoids_what_is_expensive(
        lambda graph, cost: ProxylessNas(
            graph,
            gates=gates,
            penalty=penalty(cost),
            architecture_optimizer=lambda p: torch.optim.Adam(p, 0.05, betas=(0.0, 0.999)),
        )
    )


def test_alpha_rests_while_the_weights_warm_up() -> None:
    method = ProxylessNas(graph(), warmup=2)
    assert not method.warming
    seen = []
    for epoch in range(4):
        before = {key: alpha.detach().clone() for key, alpha in method.alphas.items()}
        method.begin_epoch(epoch, 4)
        metrics = method.step(batch(epoch), batch(epoch + 9))
        seen.append(any(not torch.equal(before[key], method.alphas[key]) for key in before))
        assert seen[-1] == ("valid_loss" in metrics)
    assert seen == [False, False, True, True]
    with pytest.raises(FxnasError, match="ProxylessNas trains only the weights in the first 2 epochs, and there are 2"):
        method.begin_epoch(0, 2)


def test_validation_is_of_the_architecture_that_it_would_choose() -> None:
    method, x = trained(ProxylessNas(graph()), range(3)), batch(9)[0]
    assert torch.equal(method.forward(x), materialize(method.graph, method.decide())(x))


@BOTH
def test_a_state_goes_on_to_the_same_result(gates: MakeGates) -> None:
    differentiable.check_resumes(lambda **options: ProxylessNas(graph(), gates=gates, warmup=1, **options))


def test_another_process_decides_the_same(run_python: Callable[..., Any]) -> None:
    differentiable.check_same_in_another_process(run_python, "ProxylessNas")


@BOTH
def test_it_finds_what_is_planted(gates: MakeGates) -> None:
    differentiable.check_finds_what_is_planted(
        lambda graph, **options: ProxylessNas(
            graph,
            gates=gates,
            architecture_optimizer=lambda p: torch.optim.Adam(p, 0.1, betas=(0.0, 0.999)),
            **options,
        ),
        100,
    )
