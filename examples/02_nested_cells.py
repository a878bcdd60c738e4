"""Cells: choices that nest, share their keys, and take their inputs from each other.

Run it with: python examples/02_nested_cells.py
"""

import random

import torch
from torch import Tensor, nn

import fxnas
from fxnas import InputChoice, LayerChoice, MutableScope

WIDTH = 8


def separable(kernel: int) -> nn.Module:
    depthwise = nn.Conv2d(WIDTH, WIDTH, kernel, padding=kernel // 2, groups=WIDTH)
    return nn.Sequential(depthwise, nn.BatchNorm2d(WIDTH), nn.Conv2d(WIDTH, WIDTH, 1))


def operation(key: str) -> LayerChoice:
    """A pooling, nothing, or a convolution whose activation is a choice of its own."""
    activation = LayerChoice({"relu": nn.ReLU(), "silu": nn.SiLU()}, key=f"{key}/act")
    convolution = LayerChoice({"sep3": separable(3), "sep5": separable(5)}, key=f"{key}/kernel")
    pool, conv = nn.AvgPool2d(3, 1, padding=1), nn.Sequential(convolution, activation)
    return LayerChoice({"pool": pool, "conv": conv, "identity": nn.Identity()}, key=f"{key}/op")


class Node(MutableScope):
    """One operation on one or two of the values so far."""

    def __init__(self, key: str, sources: list[str]) -> None:
        super().__init__(key)
        self.inputs = InputChoice(choose_from=sources, n_chosen=1, key=f"{key}/in")
        self.op = operation(key)

    def forward(self, values: list[Tensor]) -> Tensor:
        return self.op(self.inputs(values))


class Cell(nn.Module):
    """Two nodes; every cell has the same keys, so all cells take the same decisions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Node("first", [InputChoice.NO_KEY, InputChoice.NO_KEY])
        self.second = Node("second", [InputChoice.NO_KEY, InputChoice.NO_KEY, "first"])

    def forward(self, previous: Tensor, current: Tensor) -> Tensor:
        first = self.first([previous, current])
        return first + self.second([previous, current, first])


class CellNet(nn.Module):
    def __init__(self, cells: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.cells = nn.ModuleList(Cell() for _ in range(cells))
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, images: Tensor) -> Tensor:
        previous = current = self.stem(images)
        for cell in self.cells:
            previous, current = current, cell(previous, current)
        return self.head(current.mean((2, 3)))


model, images = CellNet().eval(), torch.randn(2, 3, 16, 16)
graph = fxnas.trace(model, images)
print(graph.space.tree())
print(f"{graph.space.size:,} architectures; one of them: {graph.space.sample(random.Random(0)).to_json()}")

for seed in range(5):  # model, graph and child compute the same, bit for bit
    architecture = graph.space.sample(random.Random(seed))
    expected = fxnas.select(model, architecture)(images)
    assert torch.equal(fxnas.select(graph, architecture)(images), expected)
    assert torch.equal(fxnas.materialize(graph, architecture)(images), expected)
print("eager, graph and materialized agree on 5 architectures")
