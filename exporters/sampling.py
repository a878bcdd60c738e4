"""Other inputs like the examples, to compare on: other rows, other batch sizes, other values, all of them legal.

Integers and flags are never invented, since they may index something: whole rows of the example are drawn, the same
rows of every input, so that ids, masks and lengths go on fitting together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from fxnas.exporters.inputs import TensorInputs


def tiled(inputs: TensorInputs, size: int) -> list[Tensor]:
    """The example tensors with `size` rows: those of the example, again and again."""
    return _rows(inputs, torch.arange(size) % (inputs.batch_size or 1))


def drawn(inputs: TensorInputs, size: int | None, generator: Generator) -> list[Tensor]:
    """The example tensors with `size` rows drawn from those of the example; None: the rows as they are."""
    if size is None:
        return list(inputs.tensors)
    return _rows(inputs, torch.randint(inputs.batch_size or 1, (size,), generator=generator))


def varied(tensors: Sequence[Tensor], generator: Generator) -> list[Tensor]:
    """The same tensors with other floating-point values from the range of the old ones."""
    return [_varied(tensor, generator) for tensor in tensors]


def other_batch_size(size: int) -> int:
    """A batch size that is neither `size`, nor one, nor a multiple of it."""
    return 3 if size == 1 else size + 1


def _rows(inputs: TensorInputs, rows: Tensor) -> list[Tensor]:
    return [
        tensor.index_select(0, rows.to(tensor.device)) if batched else tensor
        for tensor, batched in zip(inputs.tensors, inputs.batched, strict=True)
    ]


def _varied(tensor: Tensor, generator: Generator) -> Tensor:
    if not tensor.is_floating_point() or not tensor.numel() or not tensor.isfinite().all():
        return tensor
    values = tensor.detach().to("cpu", torch.float64)
    low, high = values.min(), values.max()
    if low == high:
        new = _around(float(low), tensor.shape, generator)
    elif bool(((values == 0) | (values == 1)).all()):  # a mask
        return tensor
    else:
        new = values.flatten()[torch.randint(values.numel(), tensor.shape, generator=generator)]
        if bool((values != values.round()).any()):  # whole numbers may be codes: they stay whole
            scale = 0.9 + 0.2 * torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
            new = (new * scale).clamp(low, high)
    return new.to(tensor.device, tensor.dtype)


def _around(value: float, shape: torch.Size, generator: Generator) -> Tensor:
    """Values for a constant example: normal ones for zeros, else of the same sign and up to twice as large."""
    if value == 0:
        return torch.randn(shape, generator=generator, dtype=torch.float64)
    return 2 * value * torch.rand(shape, generator=generator, dtype=torch.float64)
