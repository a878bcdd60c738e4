"""The micro space of ENAS (1802.03268): two kinds of cells, whose nodes choose their two inputs and two operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from fxnas.nn import InputChoice, LayerChoice, MutableScope
from fxnas.zoo.layers import (
    FactorizedReduce,
    Named,
    avg_pool,
    classifier,
    conv_bn,
    max_pool,
    relu_conv_bn,
    relu_reduce,
    separable_conv,
)


class EnasMicro(nn.Module):
    """ENAS's micro space for CIFAR-10 (1802.03268): (5^5 · 6!)^4, about 2.6 · 10^25 architectures.

    Nodes 0 and 1 of a cell are the outputs of the two cells before it; each of nodes 2 to 6 is the sum of two
    operations, each on any one of the nodes before. Cells of a kind, `normal` and `reduction`, share their choices:

    - `normal.node3.input0`, `normal.node3.input1`: the two nodes, called by their keys (`normal.node0`, …);
    - `normal.node3.op0`, `normal.node3.op1`: what is done to each, one of `sep_conv_3x3`, `sep_conv_5x5`,
      `avg_pool_3x3`, `max_pool_3x3`, `identity`.

    Two things differ from the authors' code. A cell's output is a 1×1 convolution of all its computed nodes, side by
    side; theirs leaves out the nodes that another node takes. Which these are follows from several decisions at once:
    no choice expresses it, and a mixture of architectures has no such set. And an operation has one set of weights;
    theirs has one for each node that it can take.

    Args:
        channels: channels of the first cells; a reduction cell doubles them.
        cells: normal cells, a multiple of 3; after the first and the second third stands a reduction cell.
        nodes: computed nodes of a cell.
        classes: outputs.
        dropout: before the last layer, which has no bias; None leaves it out.

    Height and width of the images have to be multiples of 4.

    Raises:
        ValueError: the number of cells isn't a multiple of 3.
    """

    def __init__(
        self,
        *,
        channels: int = 20,
        cells: int = 6,
        nodes: int = 5,
        classes: int = 10,
        dropout: float | None = 0.1,
    ) -> None:
        super().__init__()
        if cells % 3 or cells < 3:
            raise ValueError(f"EnasMicro has a multiple of 3 normal cells, not {cells}")
        width = 3 * channels
        self.stem = nn.Sequential(*conv_bn(3, width, 3))
        third = ["normal"] * (cells // 3)
        inputs = (width, width)
        self.cells = nn.ModuleList()
        for kind in [*third, "reduction", *third, "reduction", *third]:
            channels *= 2 if kind == "reduction" else 1
            self.cells.append(_Cell(kind, inputs, channels, nodes))
            inputs = (channels if kind == "reduction" else inputs[1], channels)
        self.relu = nn.ReLU()
        self.classifier = classifier(channels, classes, bias=False, dropout=dropout)

    @classmethod
    def small(cls) -> Self:
        """Five cells of two computed nodes and 4 channels: for tests, and for tries on a CPU."""
        return cls(channels=4, cells=3, nodes=2)

    def forward(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, classes]."""
        pair = (self.stem(images),) * 2
        for cell in self.cells:
            pair = cell(*pair)
        out: Tensor = self.classifier(self.relu(pair[1]))
        return out


class _Cell(MutableScope):
    """One cell. A reduction cell halves its second input before anything else, and gives the next cell that half too.

    Args:
        kind: `normal` or `reduction`.
        inputs: channels of the two cells before.
        channels: of each node.
        nodes: computed nodes.
    """

    def __init__(self, kind: str, inputs: tuple[int, int], channels: int, nodes: int) -> None:
        super().__init__(kind)
        before, last = inputs
        self.reduce: nn.Module
        first: nn.Module
        if kind == "reduction":
            self.reduce, first, last = FactorizedReduce(last, channels), relu_reduce(before, channels), channels
        else:
            self.reduce, first = nn.Identity(), _same_channels(before, channels)
        second = _same_channels(last, channels)
        self.inputs = nn.ModuleList([Named(f"{kind}.node0", first), Named(f"{kind}.node1", second)])
        self.nodes = nn.ModuleList(_Node(kind, i, channels) for i in range(2, 2 + nodes))
        self.output = relu_conv_bn(nodes * channels, channels)

    def forward(self, before: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """The two inputs of the next cell."""
        last = self.reduce(last)
        values = [module(value) for module, value in zip(self.inputs, (before, last), strict=True)]
        for node in self.nodes:
            values.append(node(values))
        return last, self.output(torch.cat(values[2:], dim=1))


def _same_channels(inputs: int, outputs: int) -> nn.Module:
    return nn.Identity() if inputs == outputs else relu_conv_bn(inputs, outputs)


class _Node(MutableScope):
    """The sum of two operations, each on one of the nodes before."""

    def __init__(self, kind: str, number: int, channels: int) -> None:
        key = f"{kind}.node{number}"
        super().__init__(key)
        before = [f"{kind}.node{i}" for i in range(number)]
        self.inputs = nn.ModuleList(
            InputChoice(choose_from=before, n_chosen=1, key=f"{key}.input{side}") for side in range(2)
        )
        self.ops = nn.ModuleList(LayerChoice(_operations(channels), key=f"{key}.op{side}") for side in range(2))

    def forward(self, values: Sequence[Tensor]) -> Tensor:
        one, other = (op(chosen(values)) for op, chosen in zip(self.ops, self.inputs, strict=True))
        out: Tensor = one + other
        return out


def _operations(channels: int) -> dict[str, nn.Module]:
    return {
        "sep_conv_3x3": separable_conv(channels, 3),
        "sep_conv_5x5": separable_conv(channels, 5),
        "avg_pool_3x3": avg_pool(),
        "max_pool_3x3": max_pool(),
        "identity": nn.Identity(),
    }
