"""The macro space of ENAS (1802.03268): a chain of layers, each with skip connections from any earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from torch import Tensor, nn

from fxnas.nn import InputChoice, LayerChoice
from fxnas.zoo.layers import FactorizedReduce, Named, avg_pool, classifier, conv_bn, conv_bn_act, max_pool


class EnasMacro(nn.Module):
    """ENAS's macro space for CIFAR-10 (1802.03268): 6^12 · 2^66, about 1.6 · 10^29 architectures.

    Choices of each layer: `layer3`, its operation on the output of the layer before, one of `conv3x3`, `sep_conv3x3`,
    `conv5x5`, `sep_conv5x5`, `avg_pool3x3`, `max_pool3x3`; and from the second layer on `layer3.skips`: any of the
    outputs before that one (`stem`, `layer0`, `layer1`), or none.

    As in the search of the authors' code, what is chosen is added to the output of the operation, and the sum is
    normalized (the networks that they train at last concatenate instead). After a third and after two thirds of the
    layers, all outputs so far are halved in size.

    Args:
        channels: of every layer.
        layers: how many, at least 3.
        classes: outputs.
        dropout: before the last layer, which has no bias; None leaves it out.

    Height and width of the images have to be multiples of 4.

    Raises:
        ValueError: there are fewer than 3 layers.
    """

    def __init__(self, *, channels: int = 36, layers: int = 12, classes: int = 10, dropout: float | None = 0.1) -> None:
        super().__init__()
        if layers < 3:
            raise ValueError(f"EnasMacro has at least 3 layers, not {layers}")
        self.stem = Named("stem", nn.Sequential(*conv_bn(3, channels, 3)))
        self.layers = nn.ModuleList(_Layer(i, channels) for i in range(layers))
        third = layers // 3
        self.reductions = nn.ModuleDict({str(last): _Halved(channels, last + 2) for last in (third - 1, 2 * third - 1)})
        self.classifier = classifier(channels, classes, bias=False, dropout=dropout)

    @classmethod
    def small(cls) -> Self:
        """Three layers of 8 channels: for tests, and for tries on a CPU."""
        return cls(channels=8, layers=3)

    def forward(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, classes]."""
        outputs = [self.stem(images)]
        for i, layer in enumerate(self.layers):
            outputs.append(layer(outputs))
            if str(i) in self.reductions:
                outputs = self.reductions[str(i)](outputs)
        out: Tensor = self.classifier(outputs[-1])
        return out


class _Layer(nn.Module):
    """An operation on the output before, and the sum with any earlier ones."""

    def __init__(self, number: int, channels: int) -> None:
        super().__init__()
        key = f"layer{number}"
        self.op = LayerChoice(_operations(channels), key=key)
        self.skips: InputChoice | None = None
        if number:
            earlier = ["stem", *(f"layer{i}" for i in range(number - 1))]
            self.skips = InputChoice(choose_from=earlier, key=f"{key}.skips")
            self.norm = nn.BatchNorm2d(channels)

    def forward(self, outputs: Sequence[Tensor]) -> Tensor:
        out: Tensor = self.op(outputs[-1])
        if self.skips is None:
            return out
        skipped = self.skips(outputs[:-1])
        if skipped is not None:
            out = out + skipped
        normalized: Tensor = self.norm(out)
        return normalized


class _Halved(nn.Module):
    """Each of a number of outputs in half its size."""

    def __init__(self, channels: int, number: int) -> None:
        super().__init__()
        self.reductions = nn.ModuleList(FactorizedReduce(channels, channels) for _ in range(number))

    def forward(self, outputs: Sequence[Tensor]) -> list[Tensor]:
        return [reduction(output) for reduction, output in zip(self.reductions, outputs, strict=True)]


def _operations(channels: int) -> dict[str, nn.Module]:
    return {
        "conv3x3": _convolution(channels, 3),
        "sep_conv3x3": _separable(channels, 3),
        "conv5x5": _convolution(channels, 5),
        "sep_conv5x5": _separable(channels, 5),
        "avg_pool3x3": nn.Sequential(conv_bn_act(channels, channels), avg_pool()),
        "max_pool3x3": nn.Sequential(conv_bn_act(channels, channels), max_pool()),
    }


def _convolution(channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(conv_bn_act(channels, channels), conv_bn_act(channels, channels, kernel))


def _separable(channels: int, kernel: int) -> nn.Sequential:
    depthwise, _ = conv_bn(channels, channels, kernel, groups=channels)
    return nn.Sequential(conv_bn_act(channels, channels), depthwise, conv_bn_act(channels, channels))
