"""Layers that several search spaces share. All keep the size of an image, divided by the stride."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fxnas.nn import MutableScope

Activation = type[nn.ReLU] | type[nn.ReLU6]


def conv_bn(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    groups: int = 1,
    dilation: int = 1,
    affine: bool = True,
) -> tuple[nn.Module, nn.Module]:
    """A convolution without bias and its batch normalization, to be put into a sequence."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False)
    return conv, nn.BatchNorm2d(outputs, affine=affine)


def conv_bn_act(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, activation: Activation = nn.ReLU
) -> nn.Sequential:
    """Convolution, batch normalization, activation."""
    return nn.Sequential(*conv_bn(inputs, outputs, kernel, stride), activation())


def relu_conv_bn(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, *, affine: bool = True) -> nn.Sequential:
    """The order of cell-based spaces: ReLU, convolution, batch normalization."""
    return nn.Sequential(nn.ReLU(), *conv_bn(inputs, outputs, kernel, stride, affine=affine))


def separable_conv(channels: int, kernel: int, stride: int = 1, *, affine: bool = True) -> nn.Sequential:
    """Twice ReLU, depthwise and pointwise convolution, batch normalization; the first takes the stride."""
    return nn.Sequential(
        *_separable(channels, kernel, stride, affine=affine), *_separable(channels, kernel, affine=affine)
    )


def dilated_conv(channels: int, kernel: int, stride: int = 1, *, affine: bool = True) -> nn.Sequential:
    """Once ReLU, depthwise convolution with dilation 2, pointwise convolution, batch normalization."""
    return nn.Sequential(*_separable(channels, kernel, stride, dilation=2, affine=affine))


def _separable(
    channels: int, kernel: int, stride: int = 1, *, dilation: int = 1, affine: bool
) -> tuple[nn.Module, ...]:
    depthwise, _ = conv_bn(channels, channels, kernel, stride, groups=channels, dilation=dilation)
    return nn.ReLU(), depthwise, *conv_bn(channels, channels, affine=affine)


def max_pool(stride: int = 1) -> nn.Module:
    """The largest of 3×3."""
    return nn.MaxPool2d(3, stride, 1)


def avg_pool(stride: int = 1) -> nn.Module:
    """The mean of 3×3; at the border, of what lies inside."""
    return nn.AvgPool2d(3, stride, 1, count_include_pad=False)


class Zero(nn.Module):
    """The operation `none`: zeros in the form that the other operations give, whatever the input holds."""

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Zeros of shape [N, C, H / stride, W / stride]."""
        return torch.zeros_like(x if self.stride == 1 else x[:, :, :: self.stride, :: self.stride])


class FactorizedReduce(nn.Module):
    """Halves the size: two strided 1×1 convolutions, one of them shifted by a pixel, side by side.

    Height and width have to be even.
    """

    def __init__(self, inputs: int, outputs: int, *, affine: bool = True) -> None:
        super().__init__()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs - outputs // 2, 1, 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, outputs, H / 2, W / 2]."""
        out: Tensor = self.bn(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], dim=1))
        return out


def relu_reduce(inputs: int, outputs: int, *, affine: bool = True) -> nn.Sequential:
    """ReLU, then `FactorizedReduce`."""
    return nn.Sequential(nn.ReLU(), FactorizedReduce(inputs, outputs, affine=affine))


class Named(MutableScope):
    """A module with a key by which an input choice can call its output."""

    def __init__(self, key: str, module: nn.Module) -> None:
        super().__init__(key)
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """What the module gives."""
        out: Tensor = self.module(x)
        return out


class InvertedResidual(nn.Module):
    """MobileNetV2's block (MBConv, 1801.04381): expand, convolve each channel, project, and add the input.

    The input is added where its shape permits: at stride 1 with as many outputs as inputs. An expansion of 1 leaves the
    first convolution out.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        expansion: int,
        stride: int = 1,
        activation: Activation = nn.ReLU,
    ) -> None:
        super().__init__()
        width = inputs * expansion
        self.conv = nn.Sequential(*conv_bn(width, width, kernel, stride, groups=width), activation())
        self.conv.extend(conv_bn(width, outputs))
        if expansion != 1:
            self.conv.insert(0, conv_bn_act(inputs, width, activation=activation))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, outputs, H / stride, W / stride]."""
        out: Tensor = self.conv(x)
        return x + out if self.residual else out


def classifier(channels: int, classes: int, *, bias: bool = True, dropout: float | None = None) -> nn.Sequential:
    """Global average pooling, dropout where there is any, and a linear layer: [N, channels, H, W] to [N, classes]."""
    dropped = [] if dropout is None else [nn.Dropout(dropout)]
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *dropped, nn.Linear(channels, classes, bias=bias))
