"""Weights that lie in shells: a small kernel is the core of a larger one, few channels come first among many.

The ops of superkernels (Single-Path NAS, arXiv 1904.02877): a gate for each shell says whether it takes part.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Size = tuple[int, ...]


def inner(tensor: Tensor, size: Sequence[int]) -> Tensor:
    """The part of a tensor that is a smaller one of its kind; a view.

    Args:
        tensor: weights [outputs, inputs, *kernel], or any tensor of one or two dimensions.
        size: that of the part, with as many dimensions: the first of the outputs and inputs, the middle of the kernel.
    """
    starts = [0 if i < 2 else (have - want) // 2 for i, (have, want) in enumerate(zip(tensor.shape, size, strict=True))]
    return tensor[tuple(slice(start, start + want) for start, want in zip(starts, size, strict=True))]


def shelled(weight: Tensor, gates: Tensor, sizes: Sequence[Size]) -> Tensor:
    """Weights whose shells are weighted by gates.

    Args:
        weight: shape [outputs, inputs, *kernel].
        gates: of the core, then of each shell around it, shape [shells].
        sizes: (inputs, *kernel) of the core, then with each shell around it; the last is that of the weight.

    Returns:
        w = gate₀ · core + Σ gateᵢ · shellᵢ, in the dtype of the weight.
    """
    mask = gates[-1].expand(1, *sizes[-1]).clone()
    for i in range(len(sizes) - 2, -1, -1):
        inner(mask, (1, *sizes[i])).copy_(gates[i])
    return weight * mask.to(weight.dtype)


def squared_norms(weight: Tensor, sizes: Sequence[Size]) -> Tensor:
    """The squared norm of each shell, differentiable, in float32 at least; shape [shells].

    Args:
        weight: as of `shelled`.
        sizes: as of `shelled`.
    """
    squares = weight.to(torch.promote_types(weight.dtype, torch.float32)).square()
    alone = torch.eye(len(sizes), dtype=squares.dtype, device=squares.device)  # no differences of sums: these cancel
    return torch.stack([shelled(squares, gates, sizes).sum() for gates in alone])
