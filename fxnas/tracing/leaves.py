"""The outputs of common layers without running them.

A run on fake tensors asks of a layer only what form its output has. To run a layer for that, torch decomposes it and
derives the form of each part; for the layers that networks are mostly made of the form follows from the input's at
once. A rule answers for the plain case alone: one contiguous CPU tensor whose dtype is that of the weights,
no hooks, no autocast. Everything else, and everything that torch would refuse, is left to the layer itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.modules import module as _globals

from fxnas.modules import HOOKS
from fxnas.tracing.fakes import is_contiguous, is_plain, new_value, write

Shape = tuple[int, ...]
Rule = Callable[[Any, FakeTensor], Tensor | None]


def output_of(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """What `module(*args, **kwargs)` gives on fake tensors, without running it; None where no rule is sure.

    The output has the shape, dtype, strides, device, `requires_grad` and `is_leaf` that the layer's has. It is the
    input itself where the layer returns that; a layer that works in place raises the version of its input.
    """
    rule = _RULES.get(type(module))
    if rule is None or kwargs or len(args) != 1 or not is_plain_call(module):
        return None
    return rule(module, args[0]) if is_plain(args[0]) else None


def is_plain_call(module: nn.Module) -> bool:
    """Whether a call of the module is one of its class's `forward`, and nothing else."""
    own = module.__dict__
    return not (
        own.keys() & _SHADOWS
        or any(own[name] for name in HOOKS)
        or any(getattr(_globals, f"_global{name}") for name in HOOKS)
        or own.get("_compiled_call_impl") is not None
    )


_SHADOWS = {"forward", "weight", "bias", "running_mean", "running_var"}  # attributes that would be found first


# -- rules


def _fits(tensor: Tensor | None, shape: Shape, like: Tensor) -> bool:
    """Whether a weight is absent, or plain and of that shape."""
    return tensor is None or (
        tuple(tensor.shape) == shape
        and tensor.dtype == like.dtype
        and tensor.device == like.device
        and is_contiguous(tensor)
    )


def _same(module: Any, x: FakeTensor) -> Tensor | None:
    return x


def _elementwise(module: Any, x: FakeTensor) -> Tensor | None:
    if not x.is_floating_point():
        return None
    if not getattr(module, "inplace", False):
        return new_value(x, x.shape)
    return write(x)


def _gelu(module: nn.GELU, x: FakeTensor) -> Tensor | None:
    return _elementwise(module, x) if module.approximate in ("none", "tanh") else None


def _dropout(module: nn.Dropout, x: FakeTensor) -> Tensor | None:
    if not module.training:
        return x
    return new_value(x, x.shape) if not module.inplace and 0 < module.p < 1 and x.is_floating_point() else None


def _linear(module: nn.Linear, x: FakeTensor) -> Tensor | None:
    weight, bias = module._parameters.get("weight"), module._parameters.get("bias")
    if weight is None or weight.dim() != 2 or x.dim() == 0 or not x.is_floating_point():
        return None
    out = weight.shape[0]
    if not _fits(weight, (out, x.shape[-1]), x) or not _fits(bias, (out,), x):
        return None
    return new_value(x, (*x.shape[:-1], out), (weight, bias))


def _embedding(module: nn.Embedding, x: FakeTensor) -> Tensor | None:
    weight = module._parameters.get("weight")
    if weight is None or weight.dim() != 2 or not is_contiguous(weight) or weight.device != x.device:
        return None
    if x.dtype not in (torch.int32, torch.int64) or module.max_norm is not None or module.sparse:
        return None
    return new_value(x, (*x.shape, weight.shape[1]), (weight,), weight.dtype)


def _batch_norm(dims: tuple[int, ...]) -> Rule:
    def rule(module: Any, x: FakeTensor) -> Tensor | None:
        weights, statistics = _affine(module), _statistics(module)
        by_batch = module.training or statistics[0] is None
        if x.dim() not in dims or not x.is_floating_point() or (module.training and module.momentum is None):
            return None
        if (statistics[0] is None) is not (statistics[1] is None) or (statistics[0] is None) is bool(
            module.track_running_stats
        ):
            return None
        if by_batch and x.numel() == x.shape[1]:  # one value for each channel: refused
            return None
        if not all(_fits(tensor, (x.shape[1],), x) for tensor in (*weights, *statistics)):
            return None
        return new_value(x, x.shape, weights)

    return rule


def _affine(module: nn.Module) -> tuple[Tensor | None, Tensor | None]:
    return module._parameters.get("weight"), module._parameters.get("bias")


def _statistics(module: nn.Module) -> tuple[Tensor | None, Tensor | None]:
    return module._buffers.get("running_mean"), module._buffers.get("running_var")


def _layer_norm(module: nn.LayerNorm, x: FakeTensor) -> Tensor | None:
    shape, weights = tuple(module.normalized_shape), _affine(module)
    if not x.is_floating_point() or not shape or tuple(x.shape[-len(shape) :]) != shape:
        return None
    return new_value(x, x.shape, weights) if all(_fits(tensor, shape, x) for tensor in weights) else None


def _group_norm(module: nn.GroupNorm, x: FakeTensor) -> Tensor | None:
    weights, groups = _affine(module), module.num_groups
    if (
        x.dim() < 2
        or not x.is_floating_point()
        or groups < 1
        or x.shape[1] % groups
        or x.numel() == x.shape[0] * groups
    ):
        return None
    return new_value(x, x.shape, weights) if all(_fits(tensor, (x.shape[1],), x) for tensor in weights) else None


def _convolution(spatial: int) -> Rule:
    def rule(module: Any, x: FakeTensor) -> Tensor | None:
        weight, bias = _affine(module)
        if weight is None or module.padding_mode != "zeros" or not x.dim() == weight.dim() == spatial + 2:
            return None
        out, width, *kernel = weight.shape
        groups = module.groups
        if groups < 1 or out % groups or x.shape[1] != width * groups or not x.is_floating_point():
            return None
        if not _fits(weight, tuple(weight.shape), x) or not _fits(bias, (out,), x):
            return None
        sizes = _windows(x.shape[2:], kernel, module.stride, module.padding, module.dilation)
        return None if sizes is None else new_value(x, (x.shape[0], out, *sizes), (weight, bias))

    return rule


def _pool(module: Any, x: FakeTensor) -> Tensor | None:
    if x.dim() != 4 or not x.is_floating_point() or getattr(module, "return_indices", False):
        return None
    kernel, padding = _each(module.kernel_size, 2), _each(module.padding, 2)
    if kernel is None or padding is None or any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        return None
    if getattr(module, "divisor_override", None) is not None:
        return None
    dilation = getattr(module, "dilation", 1)
    sizes = _windows(x.shape[2:], kernel, module.stride, padding, dilation, bool(module.ceil_mode))
    return None if sizes is None else new_value(x, (*x.shape[:2], *sizes))


def _adaptive_pool(module: nn.AdaptiveAvgPool2d, x: FakeTensor) -> Tensor | None:
    wanted = module.output_size if isinstance(module.output_size, tuple | list) else (module.output_size,) * 2
    if x.dim() != 4 or len(wanted) != 2 or not x.is_floating_point():
        return None
    sizes = tuple(size if want is None else want for size, want in zip(x.shape[2:], wanted, strict=True))
    return new_value(x, (*x.shape[:2], *sizes)) if all(type(size) is int and size > 0 for size in sizes) else None


def _windows(
    sizes: Sequence[int], kernel: Sequence[int], stride: Any, padding: Any, dilation: Any, ceil: bool = False
) -> Shape | None:
    """How many places a window has along each dimension."""
    count = len(sizes)
    strides, dilations = _each(stride, count), _each(dilation, count)
    if strides is None or dilations is None or min(*kernel, *strides, *dilations) < 1:
        return None
    if padding == "same":
        even = all(d * (k - 1) % 2 == 0 for k, d in zip(kernel, dilations, strict=True))  # torch warns otherwise
        return tuple(sizes) if even and set(strides) == {1} else None
    paddings = _each(0 if padding == "valid" else padding, count)
    if paddings is None or min(paddings) < 0:
        return None
    found = []
    for size, k, s, p, d in zip(sizes, kernel, strides, paddings, dilations, strict=True):
        room = size + 2 * p - d * (k - 1) - 1
        if room < 0:
            return None
        places = (-(-room // s) if ceil else room // s) + 1
        if ceil and (places - 1) * s >= size + p:
            places -= 1  # the last window would start in the padding
        found.append(places)
    return tuple(found)


def _each(value: Any, count: int) -> Shape | None:
    values = tuple(value) if isinstance(value, tuple | list) else (value,) * count
    return values if len(values) == count and all(type(v) is int for v in values) else None


_ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh, nn.Softplus,
    nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid,
)  # fmt: skip
_RULES: dict[type[nn.Module], Rule] = {
    **dict.fromkeys(_ACTIVATIONS, _elementwise),
    nn.GELU: _gelu,
    nn.Identity: _same,
    nn.Dropout: _dropout,
    nn.Linear: _linear,
    nn.Embedding: _embedding,
    nn.BatchNorm1d: _batch_norm((2, 3)),
    nn.BatchNorm2d: _batch_norm((4,)),
    nn.BatchNorm3d: _batch_norm((5,)),
    nn.LayerNorm: _layer_norm,
    nn.GroupNorm: _group_norm,
    nn.Conv1d: _convolution(1),
    nn.Conv2d: _convolution(2),
    nn.Conv3d: _convolution(3),
    nn.MaxPool2d: _pool,
    nn.AvgPool2d: _pool,
    nn.AdaptiveAvgPool2d: _adaptive_pool,
}
