"""Trials that train on the CPU in worker processes, beside no workers and beside workers that share their cores.

python benchmarks/workers.py
"""

from __future__ import annotations

import os
import sys

import torch
from torch import nn

import fxnas
from benchmarks.interleaved import compare
from fxnas.strategies import RandomSearch

TRIALS, STEPS, WORKERS = 8, 40, 2


class Net(nn.Module):
    """Three layers on images of 16x16, each a choice of two kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            fxnas.LayerChoice({f"{k}x{k}": nn.Conv2d(width, 32, k, padding=k // 2) for k in (3, 5)})
            for width in (3, 32, 32)
        )
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x).relu()
        return self.head(x.mean((2, 3)))


def graph() -> fxnas.ChoiceGraph:
    return fxnas.trace(Net(), torch.zeros(2, 3, 16, 16))


def train(graph: fxnas.ChoiceGraph, architecture: fxnas.Architecture) -> float:
    child = fxnas.materialize(graph, architecture)
    optimizer = torch.optim.SGD(child.parameters(), 0.1)
    x, y = torch.randn(64, 3, 16, 16), torch.randint(0, 10, (64,))
    for _ in range(STEPS):
        loss = nn.functional.cross_entropy(child(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return -loss.item()


def search(workers: int, threads: int | None = None) -> None:
    strategy = RandomSearch(graph().space, seed=1)
    fxnas.search(graph, strategy, train, trials=TRIALS, workers=workers, threads=threads, reuse=False, progress=False)


def main() -> int:
    cores = os.cpu_count() or 1
    name = f"{TRIALS} trials, {WORKERS} workers on {cores} cores"
    shared = f"{name}: 1 thread each / {cores} each"
    print(compare(shared, lambda: search(WORKERS), lambda: search(WORKERS, cores), turns=2))
    print(compare(f"{name}: / no workers", lambda: search(WORKERS), lambda: search(0), turns=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
