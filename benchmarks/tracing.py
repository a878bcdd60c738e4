"""What tracing costs: against `torch.fx.symbolic_trace` where that works, and how it grows with the number of choices.

python benchmarks/tracing.py
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import fxnas
from benchmarks.interleaved import compare, milliseconds
from tests.torchvision_shim import torchvision_models


def against_symbolic_trace() -> None:
    """`fxnas.trace` records with shapes and checks; symbolic tracing sees neither."""
    models = torchvision_models()
    for name in ("resnet18", "resnet50", "mobilenet_v2", "densenet121"):
        model = getattr(models, name)(weights=None).eval()
        images = torch.randn(2, 3, 64, 64)
        result = compare(
            f"trace / torch.fx.symbolic_trace, {name}",
            lambda: fxnas.trace(model, images),  # noqa: B023
            lambda: torch.fx.symbolic_trace(model),  # noqa: B023
            turns=10,
            goal="goal ≤ 3",
        )
        print(result)


class Chain(nn.Module):
    """A number of choices, one after the other."""

    def __init__(self, choices: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            fxnas.LayerChoice([nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Identity()])
            for _ in range(choices)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class Skips(nn.Module):
    """Optional skip connections, each with a branch of Python of its own."""

    def __init__(self, skips: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(skips))
        self.skips = nn.ModuleList(fxnas.InputChoice(n_candidates=1) for _ in range(skips))

    def forward(self, x: Tensor) -> Tensor:
        for layer, choice in zip(self.layers, self.skips, strict=True):
            skip, x = choice([x]), layer(x)
            if skip is not None:
                x = x + skip
        return x


def growth() -> None:
    """Time for each choice, which stays level where the whole grows linearly."""
    images = torch.randn(2, 4, 8, 8)
    for choices in (50, 100, 200, 400):
        model = Chain(choices)
        cost = milliseconds(lambda: fxnas.trace(model, images), turns=3)  # noqa: B023
        print(f"trace, {choices:>3} choices: {cost:8.1f} ms, {cost / choices:.2f} ms each   goal: linear")


def branches() -> None:
    """20 independent optional skips against one plain trace of the same layers."""
    images = torch.randn(2, 4, 8, 8)
    model, plain = Skips(20), nn.Sequential(*(nn.Conv2d(4, 4, 1) for _ in range(20)))
    result = compare(
        "trace of 20 optional skips / of the plain layers",
        lambda: fxnas.trace(model, images),
        lambda: fxnas.trace(plain, images),
        turns=6,
        goal="goal ≤ 30",
    )
    print(result)


if __name__ == "__main__":
    torch.set_num_threads(1)
    against_symbolic_trace()
    growth()
    branches()
