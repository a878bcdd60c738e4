"""The mobile space of ProxylessNAS (1812.00332): a chain of MBConv blocks of several kernels and expansions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from torch import Tensor, nn

from fxnas.nn import LayerChoice
from fxnas.zoo.layers import InvertedResidual, classifier, conv_bn_act


class ProxylessNas(nn.Module):
    """ProxylessNAS's space for ImageNet (1812.00332): 6^6 · 7^15, about 2.2 · 10^17 architectures.

    Choices `layer0` to `layer20`: MBConv blocks (MobileNetV2's, with ReLU6) of kernel 3, 5 or 7 and expansion 3 or 6,
    `3x3_MBConv3` to `7x7_MBConv6`. Where input and output agree in shape, which is all but the first layer of each
    stage, there is also `Zero`: nothing is added to the input, the layer is skipped.

    FBNet's space (1812.03443) is of the same make.

    Args:
        stem: channels of the first convolution, which has stride 2, and of the block of expansion 1 after it.
        channels: channels of each stage.
        depths: layers of each stage.
        strides: of the first layer of each stage.
        head: channels of the last convolution.
        classes: outputs.
    """

    def __init__(
        self,
        *,
        stem: tuple[int, int] = (32, 16),
        channels: Sequence[int] = (24, 40, 80, 96, 192, 320),
        depths: Sequence[int] = (4, 4, 4, 4, 4, 1),
        strides: Sequence[int] = (2, 2, 2, 1, 2, 1),
        head: int = 1280,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        first, previous = stem
        self.stem = nn.Sequential(
            conv_bn_act(3, first, 3, 2, nn.ReLU6), InvertedResidual(first, previous, 3, 1, activation=nn.ReLU6)
        )
        self.layers = nn.Sequential()
        for width, depth, stride in zip(channels, depths, strides, strict=True):
            for i in range(depth):
                self.layers.append(_layer(f"layer{len(self.layers)}", previous, width, 1 if i else stride))
                previous = width
        self.head = conv_bn_act(previous, head, activation=nn.ReLU6)
        self.classifier = classifier(head, classes)

    @classmethod
    def small(cls) -> Self:
        """Two stages of two layers, for images of 32×32 in 10 classes: for tests, and for tries on a CPU."""
        return cls(stem=(8, 8), channels=(12, 16), depths=(2, 2), strides=(1, 2), head=64, classes=10)

    def forward(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, classes]; the paper's images are of 224×224."""
        out: Tensor = self.classifier(self.head(self.layers(self.stem(images))))
        return out


def _layer(key: str, inputs: int, outputs: int, stride: int) -> LayerChoice:
    candidates: dict[str, nn.Module] = {
        f"{kernel}x{kernel}_MBConv{expansion}": InvertedResidual(
            inputs, outputs, kernel, expansion, stride, activation=nn.ReLU6
        )
        for kernel in (3, 5, 7)
        for expansion in (3, 6)
    }
    if stride == 1 and inputs == outputs:
        candidates["Zero"] = nn.Identity()
    return LayerChoice(candidates, key=key)
