"""A problem in which one architecture is right by construction: what every one-shot method has to find.

The target is a sum of functions of single inputs; the right candidates are these functions, and all others are nearly
uncorrelated with them. No candidate has weights, so a supernet that mixes or samples them trains one linear layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from fxnas.architecture import Architecture
from fxnas.graph import ChoiceGraph
from fxnas.nn import InputChoice, LayerChoice
from fxnas.oneshot.base import Batch
from fxnas.trace import trace

TRUTH = {"first": "wave", "second": "square", "third": "bump", "source": 1, "skip": [0]}
INPUTS = 7


class Function(nn.Module):
    """A function of one number, of about the variance 1 for normal numbers."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        if self.name == "wave":
            return 1.4 * torch.sin(3 * x)
        if self.name == "bump":
            return 1.4 * torch.cos(3 * x)
        return (x * x - 1) / math.sqrt(2) if self.name == "square" else x


class Planted(nn.Module):
    """Three functions, one of three sources, and a skip: 4 · 4 · 4 · 3 · 2 = 384 architectures."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("first", "second", "third"):
            setattr(self, name, LayerChoice({f: Function(f) for f in ("line", "wave", "bump", "square")}))
        self.source = InputChoice(3, n_chosen=1)
        self.skip = InputChoice(1)
        self.head = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        source = self.source([x[:, 3:4], x[:, 4:5], x[:, 5:6]])
        kept = self.skip([x[:, 6:7]])
        if kept is not None:
            source = source + kept
        parts = [self.first(x[:, 0:1]), self.second(x[:, 1:2]), self.third(x[:, 2:3]), source]
        return self.head(torch.cat(parts, 1))


def graph(seed: int) -> ChoiceGraph:
    """The traced problem, its weights drawn anew."""
    torch.manual_seed(seed)
    return trace(Planted(), torch.zeros(2, INPUTS))


def batches(seed: int, steps: int, size: int = 64) -> Iterator[tuple[Batch, Batch]]:
    """Pairs of a training and a validation batch."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        yield batch(generator, size), batch(generator, size)


def batch(generator: torch.Generator, size: int) -> Batch:
    """Inputs [size, INPUTS] and targets [size, 1]."""
    x = torch.randn(size, INPUTS, generator=generator)
    parts = [Function("wave")(x[:, 0]), Function("square")(x[:, 1]), Function("bump")(x[:, 2]), x[:, 4], x[:, 6]]
    return x, torch.stack(parts, 1).sum(1, keepdim=True)


def mistakes(architecture: Architecture) -> int:
    """How many decisions differ from the truth. One or none is within the nearest 5 %: 13 of 384 architectures."""
    return len(architecture.diff(Architecture.from_json(TRUTH, architecture.choices)))
