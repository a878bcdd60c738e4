"""Running a module without leaving traces: flags, buffers, random state and inputs stay as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fxnas.exporters.inputs import TensorInputs


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, restored for every submodule by itself."""
    flags = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in flags:
            part.training = training


@contextmanager
def untouched(module: nn.Module, seed: int = 0) -> Iterator[None]:
    """Puts buffers and the random state back afterwards; inside, no gradients, no TF32, and a seeded random state."""
    buffers = [
        (owner, name, buffer, buffer.clone())
        for owner in module.modules()
        for name, buffer in owner._buffers.items()
        if buffer is not None
    ]
    devices = list(range(torch.cuda.device_count()))
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.random.fork_rng(devices))
        if devices:
            stack.enter_context(_without_tf32())
        torch.manual_seed(seed)
        try:
            yield
        finally:
            for owner, name, buffer, saved in buffers:
                buffer.copy_(saved)
                owner._buffers[name] = buffer


def run(module: nn.Module, inputs: TensorInputs, tensors: Sequence[Tensor], seed: int = 0) -> Any:
    """What `module` returns for `tensors`, which it gets as copies, since it may write into them."""
    args, kwargs = inputs.arguments([tensor.detach().clone() for tensor in tensors])
    with untouched(module, seed):
        return module(*args, **kwargs)


def run_in_float64(module: nn.Module, inputs: TensorInputs, tensors: Sequence[Tensor]) -> Any:
    """What `module` returns where every floating-point tensor is float64: the reference to judge rounding by."""
    state = {name: _widened(tensor) for name, tensor in (*module.named_parameters(), *module.named_buffers())}
    args, kwargs = inputs.arguments([_widened(tensor.detach().clone()) for tensor in tensors])
    with untouched(module):
        return torch.func.functional_call(module, state, args, kwargs)


def _widened(tensor: Tensor) -> Tensor:
    if tensor.is_complex():
        return tensor.to(torch.complex128)
    return tensor.double() if tensor.is_floating_point() else tensor.clone()


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Convolutions and products in real fp32: TF32 has 10 bits of mantissa and would hide any difference."""
    backends: Any = torch.backends  # its attributes are set up at run time
    settings = (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul)
    before = [setting.fp32_precision for setting in settings]
    for setting in settings:
        setting.fp32_precision = "ieee"
    try:
        yield
    finally:
        for setting, precision in zip(settings, before, strict=True):
            setting.fp32_precision = precision
