"""Batches of tensors that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from fxnas.errors import FxnasError


class TensorBatches:
    """Cuts tensors into batches; much faster than a DataLoader where the data lies in memory.

    Args:
        inputs: [n, ...].
        targets: [n, ...].
        size: elements in a batch; the last one may be smaller.
        shuffle: a new order on each iteration, from torch's global generator.

    Raises:
        FxnasError: inputs and targets differ in length, or the size is below 1.
    """

    def __init__(self, inputs: Tensor, targets: Tensor, *, size: int = 64, shuffle: bool = False) -> None:
        if len(inputs) != len(targets):
            raise FxnasError(f"inputs and targets have the same length, got {len(inputs)} and {len(targets)}")
        if size < 1:
            raise FxnasError(f"a batch has at least 1 element, got size={size}")
        self.inputs, self.targets = inputs, targets
        self.size = size
        self.shuffle = shuffle

    def __len__(self) -> int:
        return -(-len(self.inputs) // self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        count = len(self.inputs)
        order = torch.randperm(count) if self.shuffle else torch.arange(count)
        for chosen in torch.split(order, self.size):
            chosen = chosen.to(self.inputs.device)
            yield self.inputs[chosen], self.targets[chosen]
