"""What a compiled choice graph costs: a sampled path, switching, materializing, and its memory for each child.

python benchmarks/graph.py
"""

from __future__ import annotations

import gc
import random
from pathlib import Path

import torch
from torch import Tensor, nn

import fxnas
from benchmarks.interleaved import compare, milliseconds

CHOICES, CANDIDATES, WIDTH = 20, 8, 16


def candidates() -> list[nn.Module]:
    """Eight layers of one shape: convolutions with batch norm, pooling, identity."""

    def conv(kernel: int, groups: int = 1) -> nn.Module:
        layer = nn.Conv2d(WIDTH, WIDTH, kernel, padding=kernel // 2, groups=groups, bias=False)
        return nn.Sequential(layer, nn.BatchNorm2d(WIDTH), nn.ReLU())

    return [
        conv(1), conv(3), conv(5), conv(3, WIDTH), conv(5, WIDTH), nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(3, 1, 1),
        nn.Identity(),
    ]  # fmt: skip


class Supernet(nn.Module):
    """A chain of choices with an optional skip connection after each fifth."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.layers = nn.ModuleList(fxnas.LayerChoice(candidates()) for _ in range(CHOICES))
        self.skips = nn.ModuleList(fxnas.InputChoice(n_candidates=1) for _ in range(CHOICES // 5))
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for i, layer in enumerate(self.layers):
            before, x = x, layer(x)
            if i % 5 == 4:
                skip = self.skips[i // 5]([before])
                if skip is not None:
                    x = x + skip
        return self.head(x.mean((2, 3)))


class ByHand(nn.Module):
    """The network of one architecture as a person would write it, with the same layers."""

    def __init__(self, supernet: Supernet, architecture: fxnas.Architecture) -> None:
        super().__init__()
        self.stem, self.head = supernet.stem, supernet.head
        chosen = [architecture[f"layers.{i}"][0] for i in range(CHOICES)]
        self.layers = nn.ModuleList(layer[i] for layer, i in zip(supernet.layers, chosen, strict=True))
        self.skips = [bool(architecture[f"skips.{i}"]) for i in range(CHOICES // 5)]

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for i, layer in enumerate(self.layers):
            before, x = x, layer(x)
            if i % 5 == 4 and self.skips[i // 5]:
                x = x + before
        return self.head(x.mean((2, 3)))


def sampled_path() -> None:
    """The graph set to an architecture against the network written by hand, which shares its layers."""
    torch.manual_seed(0)
    model = Supernet().train()
    for size in (8, 32):
        images = torch.randn(8, 3, size, size)
        graph = fxnas.trace(model, images)
        architecture = graph.space.complete(graph.space.sample(random.Random(1)))
        graph.select(architecture)
        hand = ByHand(model, architecture)
        assert torch.equal(graph(images), hand(images))

        def forward(module: object, images: Tensor = images) -> None:
            with torch.no_grad():
                module(images)  # type: ignore[operator]

        def both(module: object, images: Tensor = images) -> None:
            module(images).sum().backward()  # type: ignore[operator]

        for what, run in (("forward", forward), ("forward + backward", both)):
            name = f"sampled path / by hand, {size}×{size} images, {what}"
            print(compare(name, lambda: run(graph.module), lambda: run(hand), turns=60, goal="goal ≤ 1.03"))  # noqa: B023


def switching() -> None:
    """Setting another architecture, and making a child of it."""
    graph = fxnas.trace(Supernet(), torch.randn(2, 3, 8, 8))
    rng = random.Random(0)
    architectures = [graph.space.sample(rng) for _ in range(64)]
    turns = iter(architectures * 100)
    cost = milliseconds(lambda: graph.select(next(turns)))
    print(f"switch architecture, {CHOICES}×{CANDIDATES}: {cost:.3f} ms   goal ≤ 1")
    cost = milliseconds(lambda: fxnas.materialize(graph, next(turns)))
    print(f"materialize, {CHOICES}×{CANDIDATES}: {cost:.2f} ms   goal ≤ 40")


def memory(children: int = 2000) -> None:
    """Growth of resident memory for each child that is made and dropped."""
    graph = fxnas.trace(Supernet(), torch.randn(2, 3, 8, 8))
    rng = random.Random(0)
    before = 0
    for i in range(children + 200):
        fxnas.materialize(graph, graph.space.sample(rng))
        if i == 199:
            gc.collect()
            before = resident()
    gc.collect()
    growth = (resident() - before) / children / 1024
    nodes = len(graph.graph.nodes)
    print(f"memory kept for each of {children} children of a {nodes}-node graph: {growth:.2f} KiB   goal ≤ 2")


def resident() -> int:
    """Resident memory of this process, in bytes (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


if __name__ == "__main__":
    torch.set_num_threads(1)
    sampled_path()
    switching()
    memory()
