"""NAS-Bench-Macro (2103.11922): a chain of eight layers, each an inverted residual block or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from torch import Tensor, nn

from fxnas.nn import LayerChoice
from fxnas.zoo.layers import InvertedResidual, classifier, conv_bn, conv_bn_act


class NasBenchMacro(nn.Module):
    """NAS-Bench-Macro (2103.11922) for images of 32×32; 3^8 = 6,561 architectures, all in the table.

    Choices `layer0`, `layer1`, …: `id`, `ir_3x3_t3` and `ir_5x5_t6`, inverted residual blocks of that kernel and
    expansion. The first layer of each stage has stride 2; there `id` is a 1×1 convolution with batch normalization,
    elsewhere it is the identity. Within a stage, an `id` after the first place makes the same network wherever it
    stands: there are 3,969 different ones.

    Args:
        stem: channels of the first convolution.
        channels: channels of each stage.
        depths: layers of each stage.
        head: channels of the last convolution.
        classes: outputs.
    """

    def __init__(
        self,
        *,
        stem: int = 32,
        channels: Sequence[int] = (64, 128, 256),
        depths: Sequence[int] = (2, 3, 3),
        head: int = 1280,
        classes: int = 10,
    ) -> None:
        super().__init__()
        self.stem = conv_bn_act(3, stem, 3)
        self.layers = nn.Sequential()
        previous = stem
        for width, depth in zip(channels, depths, strict=True):
            for i in range(depth):
                self.layers.append(_layer(f"layer{len(self.layers)}", previous, width, stride=1 if i else 2))
                previous = width
        self.head = conv_bn_act(previous, head)
        self.classifier = classifier(head, classes)

    @classmethod
    def small(cls) -> Self:
        """The same choices at an eighth of the width: for tests, and for tries on a CPU."""
        return cls(stem=8, channels=(8, 16, 32), head=64)

    def forward(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] to [N, classes]."""
        out: Tensor = self.classifier(self.head(self.layers(self.stem(images))))
        return out


def _layer(key: str, inputs: int, outputs: int, stride: int) -> LayerChoice:
    nothing = nn.Sequential(*conv_bn(inputs, outputs, stride=stride)) if stride == 2 else nn.Identity()
    return LayerChoice(
        {
            "id": nothing,
            "ir_3x3_t3": InvertedResidual(inputs, outputs, 3, 3, stride),
            "ir_5x5_t6": InvertedResidual(inputs, outputs, 5, 6, stride),
        },
        key=key,
    )
