"""DARTS: the gradients of α are those of the paper, and the decision follows its rules."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from fxnas.nn import InputChoice, LayerChoice
from fxnas.oneshot import Darts, UnrolledDarts
from fxnas.oneshot.base import Batch
from fxnas.trace import trace
from tests import differentiable, planted


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice(
            {"linear": nn.Linear(4, 4), "tanh": nn.Tanh(), "deep": nn.Sequential(nn.Linear(4, 4), nn.Tanh())}
        )
        self.skip = InputChoice(1)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        y, kept = self.op(x), self.skip([x])
        if kept is not None:
            y = y + kept
        return self.head(y)


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        ops = {"none": nn.Softsign(), "relu": nn.ReLU(), "linear": nn.Linear(4, 4)}
        self.edges = nn.ModuleList(LayerChoice(ops, key=f"edge{i}") for i in range(3))
        self.node = InputChoice(3, n_chosen=2, key="node")

    def forward(self, x):
        return self.node([edge(x * (i + 1)) for i, edge in enumerate(self.edges)])


def batch(seed: int, classes: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(8, 4, generator=generator, dtype=torch.float64)
    return x, torch.randint(classes, (8,), generator=generator)


def method(kind: type[Darts], net: type[nn.Module] = Net, **options: object) -> Darts:
    torch.manual_seed(0)
    made = kind(trace(net().double(), batch(0)[0]), **options)
    with torch.no_grad():
        for i, alpha in enumerate(made.alphas.values()):
            alpha.copy_(torch.linspace(-0.5, 0.7 + i, len(alpha)))
    for alpha in made.alphas.values():
        alpha.data = alpha.data.double()
    return made


def recorded(darts: Darts) -> dict[str, Tensor]:
    """The gradients of α at the next step, which is not taken."""
    seen: dict[str, Tensor] = {}
    optimizer = darts.architecture.optimizer
    optimizer.step = lambda: seen.update({k: a.grad.clone() for k, a in darts.alphas.items()})
    return seen


def exact(darts: Darts, train: Batch, valid: Batch, rate: float) -> dict[str, Tensor]:
    """The gradient through one step of SGD, by differentiating it."""
    module = darts.relaxed.module
    weights = dict(module.named_parameters())

    def loss(parameters: Mapping[str, Tensor], data: Batch) -> Tensor:
        darts.relaxed.mix(darts.probabilities())
        return nn.functional.cross_entropy(functional_call(module, dict(parameters), (data[0],)), data[1])

    gradients = torch.autograd.grad(loss(weights, train), list(weights.values()), create_graph=True)
    moved = {}
    for (name, w), g in zip(weights.items(), gradients, strict=True):
        group = darts.weights.optimizer.param_groups[0]
        velocity = darts.weights.optimizer.state[w].get("momentum_buffer", torch.zeros_like(w))
        moved[name] = w - rate * (group["momentum"] * velocity + g + group["weight_decay"] * w)
    found = torch.autograd.grad(loss(moved, valid), list(darts.alphas.values()))
    return dict(zip(darts.alphas, found, strict=True))


@pytest.mark.parametrize("steps", [0, 3], ids=["at first", "with momentum"])
def test_the_second_order_is_the_gradient_through_the_step(steps: int) -> None:
    rate = 0.3
    darts = method(UnrolledDarts, optimizer=lambda p: torch.optim.SGD(p, rate, momentum=0.9, weight_decay=0.01))
    for i in range(steps):
        darts.step(batch(10 + i), batch(20 + i))
    expected = exact(darts, batch(1), batch(2), rate)
    before = [p.detach().clone() for p in darts.weights.parameters]
    seen = recorded(darts)
    darts.architecture_step(batch(1), batch(2))
    assert all(torch.equal(a, b) for a, b in zip(before, darts.weights.parameters, strict=True))
    for key, gradient in expected.items():
        torch.testing.assert_close(seen[key], gradient, rtol=1e-2, atol=1e-6)
    first = recorded(darts)
    Darts.architecture_step(darts, batch(1), batch(2))
    assert any(not torch.allclose(first[key], expected[key], rtol=0.05) for key in expected), "too easy a test"


def test_the_first_order_is_the_gradient_of_the_validation_loss() -> None:
    darts = method(Darts)
    expected = exact(darts, batch(1), batch(2), rate=0.0)
    seen = recorded(darts)
    darts.architecture_step(batch(1), batch(2))
    for key, gradient in expected.items():
        torch.testing.assert_close(seen[key], gradient)


def test_each_step_computes_only_its_own_gradients() -> None:
    darts = method(Darts)
    computed: list[str] = []
    for name, parameter in [*darts.relaxed.module.named_parameters(), *darts.alphas.items()]:
        parameter.register_hook(lambda gradient, name=name: computed.append(name))
    darts.architecture_step(batch(1), batch(2))
    assert set(computed) == set(darts.alphas)
    computed.clear()
    darts.step(batch(1), batch(2))
    assert computed.count("op") == computed.count("head.weight") == 1


def test_the_default_learning_rate_follows_a_cosine() -> None:
    darts = method(Darts)
    rates = []
    for epoch in (0, 25, 50):
        darts.begin_epoch(epoch, 50)
        rates.append(darts.weights.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.025, 0.013, 0.001])
    given = method(Darts, optimizer=lambda p: torch.optim.SGD(p, 0.5))
    given.begin_epoch(25, 50)
    assert given.weights.optimizer.param_groups[0]["lr"] == 0.5


def test_alpha_is_no_parameter_of_the_model() -> None:
    darts = method(Darts)
    own = {id(p) for p in darts.graph.parameters()}
    assert not own & {id(a) for a in darts.alphas.values()}
    assert not any("mixture" in name for name in darts.graph.state_dict())


def test_a_cell_keeps_its_strongest_edges() -> None:
    darts = method(Darts, Cell)
    assert list(darts.alphas) == ["edge0", "edge1", "edge2"]
    with torch.no_grad():
        darts.alphas["edge0"].copy_(torch.tensor([5.0, 1.0, 0.0]))  # mostly none
        darts.alphas["edge1"].copy_(torch.tensor([0.0, 0.1, 1.0]))
        darts.alphas["edge2"].copy_(torch.tensor([0.0, 2.0, 0.0]))
    assert darts.decide().to_json() == {"edge1": "linear", "edge2": "relu", "node": [1, 2]}


def test_all_edges_are_added_up_while_it_trains() -> None:
    darts, x = method(Darts, Cell), batch(0)[0]
    with torch.no_grad():
        expected = sum(
            sum(w * op(x * (i + 1)) for w, op in zip(torch.softmax(darts.alphas[f"edge{i}"], 0), edge, strict=True))
            for i, edge in enumerate(darts.graph.module.edges)
        )
        torch.testing.assert_close(darts.forward(x), expected)


def test_the_mode_is_that_of_the_graph() -> None:
    class Dropped(Net):
        def forward(self, x):
            return nn.functional.dropout(super().forward(x), training=self.training)

    darts, x = method(Darts, Dropped), batch(0)[0]
    assert (darts.forward(x) == 0).any()
    with darts.evaluating():
        assert not (darts.forward(x) == 0).any()


def test_a_state_goes_on_to_the_same_result() -> None:
    def trained(steps: range, darts: Darts) -> Darts:
        for i in steps:
            darts.step(batch(i), batch(100 + i))
        return darts

    whole = trained(range(6), method(Darts))
    half = trained(range(3), method(Darts))
    resumed = method(Darts)
    resumed.load_state_dict(half.state_dict())
    trained(range(3, 6), resumed)
    for a, b in zip(whole.weights.parameters, resumed.weights.parameters, strict=True):
        assert torch.equal(a, b)
    assert all(torch.equal(whole.alphas[key], resumed.alphas[key]) for key in whole.alphas)


@pytest.mark.parametrize("kind", [Darts, UnrolledDarts])
def test_it_finds_what_is_planted(kind: type[Darts]) -> None:
    found = []
    for seed in range(10):
        darts = kind(
            planted.graph(seed),
            loss=nn.functional.mse_loss,
            seed=seed,
            optimizer=lambda p: torch.optim.SGD(p, 0.05, momentum=0.9),
            architecture_optimizer=lambda p: torch.optim.Adam(p, 0.05),
        )
        for train, valid in planted.batches(seed, 100):
            darts.step(train, valid)
        found.append(planted.mistakes(darts.decide()))
    assert sum(mistakes <= 1 for mistakes in found) >= 9, found


def test_every_logit_of_every_kind_of_choice_learns() -> None:
    differentiable.check_every_logit_learns(differentiable.spread(Darts(differentiable.graph())), steps=4)
