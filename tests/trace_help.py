"""What the tests of tracing share: inputs, comparisons, and a module around a function."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from fxnas.graph import ChoiceGraph
from fxnas.nn import InputChoice, LayerChoice
from fxnas.passes import materialize
from tests.law import same_bits


def x4(batch: int = 2) -> Tensor:
    return torch.randn(batch, 4, generator=torch.Generator().manual_seed(batch))


def image(batch: int = 2) -> Tensor:
    return torch.randn(batch, 4, 6, 6, generator=torch.Generator().manual_seed(batch))


def plain(tree: Any) -> list[Any]:
    """The leaves of any output, dataclasses and None included."""
    if hasattr(tree, "__dataclass_fields__"):
        tree = vars(tree)
    return pytree.tree_leaves(tree, is_leaf=lambda leaf: leaf is None)


def assert_equal(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    assert pytree.tree_structure(one) == pytree.tree_structure(other)
    assert all(same_bits(a, b) for a, b in zip(plain(one), plain(other), strict=True))


def assert_follows(model: nn.Module, graph: ChoiceGraph, *args: Any, **kwargs: Any) -> None:
    """Graph and materialized module give what the model gives, from equal random states, on copies of the inputs."""
    child = materialize(graph, graph.architecture)
    results = []
    for run in (copy.deepcopy(model), copy.deepcopy(graph), child):
        torch.manual_seed(0)
        results.append(run(*copy.deepcopy(args), **copy.deepcopy(kwargs)))
    assert_equal(results[0], results[1])
    assert_equal(results[0], results[2])


def targets(graph: ChoiceGraph, op: str) -> list[str]:
    return [str(node.target) for node in graph.graph.nodes if node.op == op]


class Function(nn.Module):
    """A module around a function of tensors."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Record(NamedTuple):
    one: Tensor
    two: Tensor


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = LayerChoice({"three": nn.Conv2d(4, 4, 3, padding=1), "one": nn.Conv2d(4, 4, 1)})
        self.norm = nn.BatchNorm2d(4)
        self.skip = InputChoice(1)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        y = self.norm(self.conv(x))
        old = self.skip([x])
        if old is not None:
            y = y + old
        return self.head(y.mean((2, 3)))


SMALL = [{"conv": name, "skip": skip} for name in ("three", "one") for skip in ([], [0])]


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.block = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU())
        self.lists = nn.ModuleList([nn.Linear(6, 6), nn.Dropout(0.5)])

    def forward(self, x):
        x = self.block(self.conv(x))
        for layer in self.lists:
            x = layer(x)
        return x


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    def state() -> tuple[Any, ...]:
        named = dict(model.named_modules(remove_duplicate=False))
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        return (
            {name: tensor.clone() for name, tensor in tensors.items()},
            {name: id(tensor) for name, tensor in tensors.items()},
            {name: (id(m), type(m), m.training, list(m._modules), sorted(m.__dict__)) for name, m in named.items()},
            torch.get_rng_state(),
            torch.is_grad_enabled(),
            nn.Module.__call__,
            nn.Module.__dict__["__getattr__"],
        )

    before = state()
    yield
    after = state()
    assert all(same_bits(tensor, after[0][name]) for name, tensor in before[0].items())
    assert torch.equal(before[3], after[3])
    assert before[1:3] == after[1:3]
    assert before[4:] == after[4:]
