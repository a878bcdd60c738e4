"""Shared by the tests of methods that learn logits: a net of every kind of choice, and what each has to keep."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fxnas import oneshot
from fxnas.graph import ChoiceGraph
from fxnas.nn import InputChoice, LayerChoice
from fxnas.oneshot.base import Batch
from fxnas.oneshot.differentiable import DifferentiableMethod
from fxnas.trace import trace
from tests import planted

Make = Callable[..., DifferentiableMethod]
Weighted = Mapping[Any, float]


class Everything(nn.Module):
    """Nested choices, one key in two places, two of three inputs, any of two, and a choice fed by the raw data."""

    def __init__(self) -> None:
        super().__init__()
        inner = LayerChoice({"tanh": nn.Tanh(), "linear": nn.Linear(4, 4)}, key="inner")
        nested = nn.Sequential(nn.Linear(4, 4), inner)
        ops = {"nested": nested, "sigmoid": nn.Sigmoid(), "soft": nn.Softsign()}
        self.outer = LayerChoice(ops, key="outer")
        self.twins = nn.ModuleList(LayerChoice([nn.Linear(4, 4), nn.Tanh(), nn.ReLU()], key="twin") for _ in range(2))
        self.two = InputChoice(3, n_chosen=2, key="two")
        self.any = InputChoice(2, key="any")
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        a = self.outer(x)
        b = self.twins[0](a)
        c = self.twins[1](x)
        y, more = self.two([a, b, c]), self.any([b, x])
        if more is not None:
            y = y + more
        return self.head(y)


class Options(nn.Module):
    """One choice among functions without weights, fed by the raw data; `n_chosen` of them are added up."""

    OPS = (torch.sin, torch.cos, torch.exp, torch.tanh)

    def __init__(self, n_chosen: int | None) -> None:
        super().__init__()
        self.pick = InputChoice(len(self.OPS), n_chosen=n_chosen, key="pick")
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        y = self.pick([op(x) for op in self.OPS])
        return self.head(x if y is None else y)

    def gated(self, x: Tensor, gates: Sequence[Tensor]) -> Tensor:
        """The same with a factor before each input."""
        return self.head(sum(gate * op(x) for gate, op in zip(gates, self.OPS, strict=True)))


def batch(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(8, 4, generator=generator, dtype=torch.float64)
    return x, torch.randint(3, (8,), generator=generator)


def graph(net: nn.Module | None = None) -> ChoiceGraph:
    """A traced net, in float64."""
    torch.manual_seed(0)
    return trace((Everything() if net is None else net).double(), batch(0)[0])


def spread(method: DifferentiableMethod) -> DifferentiableMethod:
    """Logits in float64 that differ from each other."""
    for i, alpha in enumerate(method.alphas.values()):
        alpha.data = torch.linspace(-0.5, 0.7 + i / 4, len(alpha), dtype=torch.float64)
    return method


def trained(method: DifferentiableMethod, steps: Iterable[int]) -> DifferentiableMethod:
    for i in steps:
        method.step(batch(i), batch(1000 + i))
    return method


@contextmanager
def gradients(method: DifferentiableMethod) -> Iterator[dict[str, Tensor]]:
    """The gradients of α that the last step within has; it isn't taken."""
    seen: dict[str, Tensor] = {}
    optimizer = method.architecture.optimizer
    assert optimizer is not None
    step = optimizer.step
    optimizer.step = lambda: seen.update({k: a.grad.clone() for k, a in method.alphas.items() if a.grad is not None})
    yield seen
    optimizer.step = step


@contextmanager
def calls(module: nn.Module, names: Iterable[str]) -> Iterator[list[str]]:
    """The submodules of these names that run within, in order."""
    ran: list[str] = []
    hooks = [module.get_submodule(n).register_forward_hook(lambda *_, n=n: ran.append(n)) for n in names]
    yield ran
    for hook in hooks:
        hook.remove()


def check_every_logit_learns(method: DifferentiableMethod, steps: int = 40) -> None:
    reached = {key: torch.zeros(len(alpha), dtype=torch.bool) for key, alpha in method.alphas.items()}
    for i in range(steps):
        with gradients(method) as seen:
            method.step(batch(i), batch(1000 + i))
        for key, gradient in seen.items():
            assert torch.isfinite(gradient).all()
            reached[key] |= gradient != 0
    assert all(found.all() for found in reached.values()), reached


def check_resumes(make: Make) -> None:
    """A state from the middle of any epoch goes on to the same numbers, bit by bit."""

    def run(method: DifferentiableMethod, which: range) -> DifferentiableMethod:
        for i in which:  # three epochs of two steps
            if i % 2 == 0:
                method.begin_epoch(i // 2, 3)
            trained(method, [i])
        return method

    whole = run(make(), range(6))
    for cut in (1, 3, 4):
        resumed = make(seed=5)
        resumed.load_state_dict(run(make(), range(cut)).state_dict())
        run(resumed, range(cut, 6))
        assert all(torch.equal(a, b) for a, b in zip(whole.weights.parameters, resumed.weights.parameters, strict=True))
        assert all(torch.equal(whole.alphas[key], resumed.alphas[key]) for key in whole.alphas)
        assert whole.decide() == resumed.decide()


def outcome(name: str, seed: int) -> str:
    """What a short search by the method of this name ends with."""
    method = trained(getattr(oneshot, name)(graph(), seed=seed), range(5))
    logits = {key: [value.hex() for value in alpha.tolist()] for key, alpha in method.alphas.items()}
    return f"{method.decide().to_json()} {logits}"


def check_same_in_another_process(run_python: Callable[..., Any], name: str) -> None:
    code = f"from tests.differentiable import outcome; print(outcome({name!r}, 3))"
    assert run_python("-c", code, PYTHONHASHSEED="7").stdout.strip() == outcome(name, 3)
    assert outcome(name, 4) != outcome(name, 3)


def check_finds_what_is_planted(make: Make, steps: int) -> None:
    found = []
    for seed in range(10):
        method = make(
            planted.graph(seed),
            loss=nn.functional.mse_loss,
            seed=seed,
            optimizer=lambda p: torch.optim.SGD(p, 0.05, momentum=0.9),
        )
        for train, valid in planted.batches(seed, steps):
            method.step(train, valid)
        found.append(planted.mistakes(method.decide()))
    assert sum(mistakes <= 1 for mistakes in found) >= 9, found


class Twins(nn.Module):
    """Three candidates that compute the same."""

    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice([nn.Tanh(), nn.Tanh(), nn.Tanh()], key="op")
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.op(x))


class Priced:
    """A cost for each candidate of `op`; it keeps the probabilities that it was asked for."""

    def __init__(self, *prices: float) -> None:
        self.prices = torch.tensor(prices, dtype=torch.float64)
        self.asked: list[Mapping[str, Tensor]] = []

    def expected(self, probabilities: Mapping[str, Tensor]) -> Tensor:
        self.asked.append(dict(probabilities))
        return (probabilities["op"] * self.prices.to(probabilities["op"])).sum()


def check_avoids_what_is_expensive(make: Callable[[ChoiceGraph, Priced], DifferentiableMethod]) -> None:
    """Of candidates that compute the same the cheapest one is chosen, wherever it stands."""
    for cheap in range(3):
        method = make(graph(Twins()), Priced(*(2.0 if i == cheap else 3.0 + i for i in range(3))))
        with torch.no_grad():
            method.alphas["op"][(cheap + 1) % 3] += 0.1
        assert trained(method, range(60)).decide()["op"] == (cheap,)


def check_frequencies(counts: Mapping[Any, int], probabilities: Weighted) -> None:
    """Pearson's χ² is below its mean plus five standard deviations: a right sampler fails once in many thousands."""
    total, degrees = sum(counts.values()), len(probabilities) - 1
    assert set(counts) <= set(probabilities)
    assert math.isclose(sum(probabilities.values()), 1, rel_tol=1e-6)
    chi2 = sum((counts.get(k, 0) - total * p) ** 2 / (total * p) for k, p in probabilities.items())
    assert chi2 < degrees + 5 * math.sqrt(2 * degrees), (chi2, counts)


def one_after_the_other(logits: Tensor, count: int) -> dict[tuple[int, ...], float]:
    """The probability of each subset of `count`, drawn by the softmax of what is left each time."""
    weights = torch.exp(logits.double()).tolist()
    found: dict[tuple[int, ...], float] = {}
    for order in itertools.permutations(range(len(weights)), count):
        left, probability = sum(weights), 1.0
        for i in order:
            probability, left = probability * weights[i] / left, left - weights[i]
        subset = tuple(sorted(order))
        found[subset] = found.get(subset, 0.0) + probability
    return found
