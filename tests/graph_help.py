"""What the tests of graphs share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fxnas.nn import InputChoice, LayerChoice, MutableScope


def x4(batch: int = 2) -> Tensor:
    return torch.randn(batch, 4, generator=torch.Generator().manual_seed(batch))


class Guide(nn.Module):
    """Two layers to choose, and a skip that may be absent."""

    def __init__(self) -> None:
        super().__init__()
        self.first = LayerChoice({"wide": nn.Linear(4, 4), "none": nn.Identity()})
        self.second = LayerChoice([nn.Tanh(), nn.ReLU()])
        self.skip = InputChoice(1)

    def forward(self, x):
        old = self.skip([x])
        y = self.second(self.first(x))
        if old is not None:
            y = y + old
        return y


def lines(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines()) + "\n"


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pick = InputChoice(3, n_chosen=2, reduction="mean", return_mask=True)
        self.ops = LayerChoice([nn.Tanh(), nn.ReLU()], reduction="none", n_chosen=2)

    def forward(self, x):
        y, mask = self.pick([x, x * 2, x[:, :4]])
        one, two = self.ops(y)
        if mask[0]:
            one = one + 1
        return {"out": one, "more": (two, None), "mask": mask}


class Nested(MutableScope):
    def __init__(self) -> None:
        super().__init__()
        inner = LayerChoice({"tanh": nn.Tanh(), "relu": nn.ReLU()})
        self.outer = LayerChoice({"nested": nn.Sequential(nn.Linear(4, 4), inner), "sigmoid": nn.Sigmoid()})
        self.side = LayerChoice([nn.Softsign(), nn.Hardtanh(), nn.ELU()])
        self.pick = InputChoice(2, n_chosen=1)

    def forward(self, x):
        return self.pick([self.outer(x), self.side(x)])


class Cells(nn.Module):
    """Two levels of nesting, a shared key, a skip around a choice."""

    def __init__(self) -> None:
        super().__init__()
        deep = LayerChoice([nn.Tanh(), nn.Sequential(nn.ReLU(), LayerChoice([nn.Sigmoid(), nn.Softsign()]))])
        self.cell = LayerChoice([deep, nn.ELU(), Guide()])
        self.skip = InputChoice(2)
        self.one, self.two = (LayerChoice([nn.Softplus(), nn.Hardtanh()], key="act") for _ in range(2))

    def forward(self, x):
        y = self.cell(x)
        old = self.skip([x * 3, self.one(x)])
        return y if old is None else self.two(y) * old
