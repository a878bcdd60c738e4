"""DARTS (1806.09055): two kinds of cells, whose nodes keep two inputs, each through one of eight operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from fxnas.nn import InputChoice, LayerChoice, MutableScope
from fxnas.zoo.layers import (
    Zero,
    avg_pool,
    classifier,
    conv_bn,
    dilated_conv,
    max_pool,
    relu_conv_bn,
    relu_reduce,
    separable_conv,
)


class Darts(nn.Module):
    """The CIFAR-10 network of DARTS (1806.09055): (180 · 8^8)^2, about 9 · 10^18 architectures.

    Nodes 0 and 1 of a cell are the outputs of the two cells before it, nodes 2 to 5 are computed, and the cell's output
    is their concatenation. Cells of a kind, `normal` and `reduction`, share their choices:

    - `normal.node3.from0`: the operation on the edge from node 0 to node 3, one of `none`, `max_pool_3x3`,
      `avg_pool_3x3`, `skip_connect`, `sep_conv_3x3`, `sep_conv_5x5`, `dil_conv_3x3`, `dil_conv_5x5`;
    - `normal.node3.inputs`: the two edges that node 3 keeps and adds up, called by the keys of their operations. An
      edge that isn't kept doesn't run, and its operation is no part of the architecture.

    So an architecture is exactly what the paper derives at the end of its search. Relaxed, a node is the sum of all its
    edges, each a mixture of operations times the weight of the edge. The paper has only the mixtures: it is the case of
    edges of weight 1, and it reads the two edges to keep, like their operations, off the largest weights of the
    mixtures, leaving `none` out.

    The defaults are the network that the paper searches in; `Darts(channels=36, cells=20, affine=True)` has the same
    choices and the size of the one that it trains at last. (Auxiliary head and drop path belong to that training and
    aren't here. As in the search, a pooling is followed by a normalization without scale and shift.)

    Args:
        channels: channels of each node in the first cells; a reduction cell doubles them.
        cells: how many; those after a third and after two thirds are reduction cells.
        nodes: computed nodes of a cell.
        classes: outputs.
        affine: whether the normalizations of the cells have a scale and a shift.

    Height and width of the images have to be multiples of 4.
    """

    def __init__(
        self, *, channels: int = 16, cells: int = 8, nodes: int = 4, classes: int = 10, affine: bool = False
    ) -> None:
        super().__init__()
        width = 3 * channels
        self.stem = nn.Sequential(*conv_bn(3, width, 3))
        self.cells = nn.ModuleList()
        inputs, reduced = (width, width), False
        for i in range(cells):
            reduction = i in (cells // 3, 2 * cells // 3)
            channels *= 2 if reduction else 1
            self.cells.append(_Cell(inputs, channels, nodes, reduction=reduction, after=reduced, affine=affine))
            inputs, reduced = (inputs[1], nodes * channels), reduction
        self.classifier = classifier(inputs[1], classes)

    @classmethod
    def small(cls) -> Self:
        """Three cells of two computed nodes, the last two reduction cells: for tests, and for tries on a CPU."""
        return cls(channels=4, cells=3, nodes=2)

    def forward(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, classes]."""
        before = last = self.stem(images)
        for cell in self.cells:
            before, last = last, cell(before, last)
        out: Tensor = self.classifier(last)
        return out


class _Cell(MutableScope):
    """One cell.

    Args:
        inputs: channels of the two cells before.
        channels: channels of each node.
        nodes: computed nodes.
        reduction: whether this cell halves the images.
        after: whether the cell before it does, so that the one before that gives images of twice the size.
        affine: of the normalizations.
    """

    def __init__(
        self, inputs: Sequence[int], channels: int, nodes: int, *, reduction: bool, after: bool, affine: bool
    ) -> None:
        kind = "reduction" if reduction else "normal"
        super().__init__(kind)
        before = relu_reduce if after else relu_conv_bn
        self.before = before(inputs[0], channels, affine=affine)
        self.last = relu_conv_bn(inputs[1], channels, affine=affine)
        self.nodes = nn.ModuleList(
            _Node(f"{kind}.node{i}", [2 if reduction and j < 2 else 1 for j in range(i)], channels, affine)
            for i in range(2, 2 + nodes)
        )

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        values = [self.before(before), self.last(last)]
        for node in self.nodes:
            values.append(node(values))
        return torch.cat(values[2:], dim=1)


class _Node(nn.Module):
    """The sum of two edges, out of one from each earlier node."""

    def __init__(self, key: str, strides: Sequence[int], channels: int, affine: bool) -> None:
        super().__init__()
        keys = [f"{key}.from{j}" for j in range(len(strides))]
        self.edges = nn.ModuleList(
            LayerChoice(_operations(channels, stride, affine), key=each)
            for each, stride in zip(keys, strides, strict=True)
        )
        self.inputs = InputChoice(choose_from=keys, n_chosen=2, key=f"{key}.inputs")

    def forward(self, values: Sequence[Tensor]) -> Tensor:
        out: Tensor = self.inputs([edge(value) for edge, value in zip(self.edges, values, strict=True)])
        return out


def _operations(channels: int, stride: int, affine: bool) -> dict[str, nn.Module]:
    return {
        "none": Zero(stride),
        "max_pool_3x3": nn.Sequential(max_pool(stride), nn.BatchNorm2d(channels, affine=False)),
        "avg_pool_3x3": nn.Sequential(avg_pool(stride), nn.BatchNorm2d(channels, affine=False)),
        "skip_connect": nn.Identity() if stride == 1 else relu_reduce(channels, channels, affine=affine),
        "sep_conv_3x3": separable_conv(channels, 3, stride, affine=affine),
        "sep_conv_5x5": separable_conv(channels, 5, stride, affine=affine),
        "dil_conv_3x3": dilated_conv(channels, 3, stride, affine=affine),
        "dil_conv_5x5": dilated_conv(channels, 5, stride, affine=affine),
    }
