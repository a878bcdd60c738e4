"""Small models with choices that several tests share."""

import itertools
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn

from fxnas.nn import InputChoice, LayerChoice, MutableScope, space_of


class Add(nn.Module):
    """Adds a number, and counts its calls."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number, self.calls = number, 0

    def forward(self, x: torch.Tensor, times: int = 1) -> torch.Tensor:
        self.calls += 1
        return x + self.number * times


def adds(*numbers: float) -> list[nn.Module]:
    return [Add(number) for number in numbers]


class GuideNet(nn.Module):
    """The guide's network with its two choices and an optional skip, for 1 × 14 × 14 images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = LayerChoice({"conv3x3": nn.Conv2d(1, 4, 3, 1, 1), "conv5x5": nn.Conv2d(1, 4, 5, 1, 2)})
        self.conv2 = nn.Conv2d(4, 6, 3, 1)
        self.conv3 = LayerChoice([nn.Conv2d(6, 6, 1), nn.Sequential(nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6))])
        self.skipcon = InputChoice(n_candidates=1)
        self.fc = nn.Linear(6 * 6 * 6, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x0 = self.skipcon([x])
        x = self.conv3(x)
        if x0 is not None:
            x = x + x0
        x = F.max_pool2d(x, 2)
        return F.log_softmax(self.fc(x.flatten(1)), dim=1)

    @staticmethod
    def example() -> torch.Tensor:
        return torch.randn(3, 1, 14, 14)


class Node(MutableScope):
    """A cell's node: an operation (one of them with a choice inside) on one or two of the values so far."""

    def __init__(self, key: str, sources: list[str], width: int) -> None:
        super().__init__(key)
        self.pick = InputChoice(choose_from=sources, n_chosen=1, key=f"{key}/in")
        inner = nn.Sequential(LayerChoice([nn.ReLU(), nn.Tanh()], key=f"{key}/act"), nn.Linear(width, width))
        self.op = LayerChoice({"skip": nn.Identity(), "lin": nn.Linear(width, width), "deep": inner}, key=f"{key}/op")

    def forward(self, values: list[torch.Tensor]) -> torch.Tensor:
        return self.op(self.pick(values))


class CellNet(nn.Module):
    """Two cells whose nodes share their keys, so that both take the same decisions."""

    def __init__(self, width: int = 5) -> None:
        super().__init__()
        self.cells = nn.ModuleList(
            nn.ModuleList([Node("n0", ["", ""], width), Node("n1", ["", "", "n0"], width)]) for _ in range(2)
        )
        self.merge = InputChoice(n_candidates=2, n_chosen=None, reduction="mean")
        self.out = nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        previous = x
        for cell in self.cells:
            values = [previous, x]
            for node in cell:
                values.append(node(values))
            previous = x if (y := self.merge(values[2:])) is None else y
        return self.out(previous)

    @staticmethod
    def example() -> torch.Tensor:
        return torch.randn(4, 5)


class AliasNet(nn.Module):
    """One choice under two attributes and in a plain list, and one block registered twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = LayerChoice({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4, bias=False)})
        self.again = self.first
        self.plain = [self.first]  # PyTorch doesn't see this reference
        block = nn.Sequential(LayerChoice([nn.Linear(4, 4), nn.ReLU()]), nn.Tanh())
        self.blocks = nn.ModuleList([block, block])
        self.tied = nn.ModuleDict({"x": self.first, "y": nn.Linear(4, 4)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.again(self.first(x))
        for block in self.blocks:
            x = block(x)
        return self.tied["y"](self.tied["x"](self.plain[0](x)))

    @staticmethod
    def example() -> torch.Tensor:
        return torch.randn(2, 4)


NETS: list[type[GuideNet] | type[CellNet] | type[AliasNet]] = [GuideNet, CellNet, AliasNet]


def architectures(model: nn.Module) -> Iterator[dict[str, tuple[int, ...]]]:
    """Every combination of decisions, those included that play no role."""
    space = space_of(model)
    for decisions in itertools.product(*(choice.decisions() for choice in space.values())):
        yield dict(zip(space, decisions, strict=True))
