"""NAS-Bench-201 (2001.00326): a cell of four nodes, an operation on each of its six edges, the same in all cells."""

from __future__ import annotations

import operator
from functools import reduce
from typing import Self

from torch import Tensor, nn

from fxnas.nn import LayerChoice, MutableScope
from fxnas.zoo.layers import Zero, avg_pool, classifier, conv_bn, relu_conv_bn

NODES = 4


class NasBench201(nn.Module):
    """NAS-Bench-201 (2001.00326) for images of 32×32; 5^6 = 15,625 architectures, all in the table.

    Choices `edge0_1`, `edge0_2`, `edge1_2`, `edge0_3`, `edge1_3`, `edge2_3`, shared by all cells: `none`,
    `skip_connect`, `nor_conv_1x1`, `nor_conv_3x3`, `avg_pool_3x3`. A node of the cell is the sum of the edges into it,
    its last node the output. Between the three stages, a residual block halves the image and doubles the channels.

    The defaults are the networks that the benchmark has trained. Its one-shot searches take `affine=False`, so that no
    candidate gains by the scale of its normalization.

    Args:
        channels: channels of the first stage.
        cells: cells of each stage.
        classes: outputs.
        affine: whether the normalizations of the candidates have a scale and a shift.
    """

    def __init__(self, *, channels: int = 16, cells: int = 5, classes: int = 10, affine: bool = True) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_bn(3, channels, 3))
        self.body = nn.Sequential()
        for stage in range(3):
            width = channels * 2**stage
            if stage:
                self.body.append(_ResidualBlock(width // 2, width))
            self.body.extend(_Cell(width, affine) for _ in range(cells))
        self.last = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())
        self.classifier = classifier(width, classes)

    @classmethod
    def small(cls) -> Self:
        """The same choices with 4 channels and a cell for each stage: for tests, and for tries on a CPU."""
        return cls(channels=4, cells=1)

    def forward(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, classes]."""
        out: Tensor = self.classifier(self.last(self.body(self.stem(images))))
        return out


class _Cell(MutableScope):
    """An edge from every node to every later one."""

    def __init__(self, channels: int, affine: bool) -> None:
        super().__init__("cell")
        self.edges = nn.ModuleDict(
            {
                name: LayerChoice(_operations(channels, affine), key=name)
                for node in range(1, NODES)
                for name in _edges_into(node)
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        nodes = [x]
        for node in range(1, NODES):
            edges = zip(_edges_into(node), nodes, strict=True)
            nodes.append(reduce(operator.add, [self.edges[name](value) for name, value in edges]))
        return nodes[-1]


def _edges_into(node: int) -> list[str]:
    return [f"edge{source}_{node}" for source in range(node)]


def _operations(channels: int, affine: bool) -> dict[str, nn.Module]:
    return {
        "none": Zero(),
        "skip_connect": nn.Identity(),
        "nor_conv_1x1": relu_conv_bn(channels, channels, affine=affine),
        "nor_conv_3x3": relu_conv_bn(channels, channels, 3, affine=affine),
        "avg_pool_3x3": avg_pool(),
    }


class _ResidualBlock(nn.Module):
    """Two convolutions, the first of stride 2, beside a pooled and widened input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(relu_conv_bn(inputs, outputs, 3, 2), relu_conv_bn(outputs, outputs, 3))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.shortcut(x) + self.convs(x)
        return out
