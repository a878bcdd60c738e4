"""BatchNorm statistics of one architecture, computed anew: those of the supernet mix all that were trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fxnas.errors import FxnasError
from fxnas.oneshot import distributed
from fxnas.oneshot.base import Batch


class Recalibration:
    """Keeps the statistics of a module's BatchNorm layers, and gives them back.

    Args:
        module: whose layers are meant: those that keep running statistics.
    """

    def __init__(self, module: nn.Module) -> None:
        found = (layer for layer in module.modules() if isinstance(layer, _BatchNorm))
        self.layers = [layer for layer in found if layer.running_mean is not None]
        self._kept = [(tensor, tensor.clone()) for layer in self.layers for tensor in layer.buffers()]

    @torch.no_grad()
    def compute(self, run: Callable[[Batch], object], batches: Iterable[Batch]) -> None:
        """Resets all statistics and takes those of what runs: the mean over the batches, each counting alike.

        Only these layers are in training mode meanwhile: nothing is dropped out. Several processes take the mean of
        theirs.

        Args:
            run: runs the module on a batch.
            batches: training batches.

        Raises:
            FxnasError: there is no batch.
        """
        before = [(layer.training, layer.momentum) for layer in self.layers]
        try:
            for layer in self.layers:
                layer.reset_running_stats()
                layer.training, layer.momentum = True, None  # None: the mean over all batches
            count = 0
            for batch in batches:
                run(batch)
                count += 1
        finally:
            for layer, (training, momentum) in zip(self.layers, before, strict=True):
                layer.training, layer.momentum = training, momentum
        if not count:
            raise FxnasError(
                "the statistics of BatchNorm can't be computed without a batch: the training data is empty"
            )
        distributed.average([t for layer in self.layers for t in layer.buffers() if t.is_floating_point()])

    @torch.no_grad()
    def restore(self) -> None:
        """Puts the statistics back that were there at first."""
        tensor: Tensor
        for tensor, value in self._kept:
            tensor.copy_(value)
