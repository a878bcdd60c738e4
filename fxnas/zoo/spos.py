"""The space of Single Path One-Shot (1904.00420): a chain of ShuffleNetV2 blocks of several kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from fxnas.nn import LayerChoice
from fxnas.zoo.layers import classifier, conv_bn, conv_bn_act


class Spos(nn.Module):
    """The building blocks of Single Path One-Shot (SPOS, 1904.00420) for ImageNet: 4^20 architectures.

    Choices `layer0` to `layer19`: `choice_3`, `choice_5`, `choice_7`, ShuffleNetV2 blocks of that kernel, and
    `choice_x`, the block with three depthwise convolutions in the manner of Xception. The first layer of each stage has
    stride 2; the others split the channels and pass half of them on.

    The defaults are the paper's supernet, whose blocks have normalizations without scale and shift; networks that are
    trained on their own have `affine=True`.

    Args:
        stem: channels of the first convolution, which has stride 2.
        channels: channels of each stage, even.
        depths: layers of each stage.
        head: channels of the last convolution.
        classes: outputs.
        dropout: before the last layer, which has no bias; None leaves it out.
        affine: whether the normalizations of the blocks have a scale and a shift.
    """

    def __init__(
        self,
        *,
        stem: int = 16,
        channels: Sequence[int] = (64, 160, 320, 640),
        depths: Sequence[int] = (4, 4, 8, 4),
        head: int = 1024,
        classes: int = 1000,
        dropout: float | None = 0.1,
        affine: bool = False,
    ) -> None:
        super().__init__()
        self.stem = conv_bn_act(3, stem, 3, 2)
        self.layers = nn.Sequential()
        previous = stem
        for width, depth in zip(channels, depths, strict=True):
            for i in range(depth):
                key, stride = f"layer{len(self.layers)}", 1 if i else 2
                self.layers.append(LayerChoice(_blocks(previous, width, stride, affine), key=key))
                previous = width
        self.head = conv_bn_act(previous, head)
        self.classifier = classifier(head, classes, bias=False, dropout=dropout)

    @classmethod
    def small(cls) -> Self:
        """Two stages of two layers, for images of 32×32 in 10 classes: for tests, and for tries on a CPU."""
        return cls(stem=8, channels=(16, 32), depths=(2, 2), head=64, classes=10)

    def forward(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, classes]; the paper's images are of 224×224."""
        out: Tensor = self.classifier(self.head(self.layers(self.stem(images))))
        return out


def _blocks(inputs: int, outputs: int, stride: int, affine: bool) -> dict[str, nn.Module]:
    return {
        "choice_3": _Block(inputs, outputs, [3], stride, affine),
        "choice_5": _Block(inputs, outputs, [5], stride, affine),
        "choice_7": _Block(inputs, outputs, [7], stride, affine),
        "choice_x": _Block(inputs, outputs, [3, 3, 3], stride, affine, pointwise_first=False),
    }


class _Block(nn.Module):
    """Two branches side by side. At stride 1 each gets every other channel; at stride 2, each the whole input.

    Args:
        inputs: channels.
        outputs: channels; the main branch gives what the other doesn't.
        kernels: of the depthwise convolutions of the main branch; a pointwise one follows each.
        stride: of the first of them; at stride 1, inputs and outputs are equal.
        affine: of the normalizations.
        pointwise_first: whether the main branch starts with a pointwise convolution.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernels: Sequence[int],
        stride: int,
        affine: bool,
        *,
        pointwise_first: bool = True,
    ) -> None:
        super().__init__()
        self.split = stride == 1
        width, middle = inputs // 2 if self.split else inputs, outputs // 2
        self.side = (
            nn.Identity() if self.split else nn.Sequential(*_depthwise(width, width, kernels[0], stride, affine))
        )
        self.main = nn.Sequential()
        previous = width
        if pointwise_first:
            self.main.extend([*conv_bn(previous, middle, affine=affine), nn.ReLU()])
            previous = middle
        for i, kernel in enumerate(kernels):
            last = i == len(kernels) - 1
            self.main.extend(
                _depthwise(previous, outputs - width if last else middle, kernel, 1 if i else stride, affine)
            )
            previous = middle

    def forward(self, x: Tensor) -> Tensor:
        side, main = (x[:, ::2], x[:, 1::2]) if self.split else (x, x)
        return torch.cat([self.side(side), self.main(main)], dim=1)


def _depthwise(inputs: int, outputs: int, kernel: int, stride: int, affine: bool) -> tuple[nn.Module, ...]:
    """A depthwise convolution, a pointwise one and a ReLU."""
    depthwise = conv_bn(inputs, inputs, kernel, stride, groups=inputs, affine=affine)
    return *depthwise, *conv_bn(inputs, outputs, affine=affine), nn.ReLU()
