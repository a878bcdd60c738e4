"""Several processes that train one supernet, by torch.distributed; with one process nothing happens here.

Every process makes the same decisions, since they come from generators with the same seed. Plain
DistributedDataParallel refuses parameters that take no part, so the gradients of those that do are averaged here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch import distributed as dist

if dist.is_available():
    # Its functions keep the process group that exists when they are defined as a default, and an optimizer's first
    # step imports them. Then destroy_process_group would leave gloo's threads running, which now and then abort the
    # interpreter's exit. Imported here, before most programs form their group, they keep none.
    import torch.distributed.nn.functional


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if processes() > 1 else 0


def average(tensors: Sequence[Tensor]) -> None:
    """Replaces each tensor by its mean over all processes, which have the same ones."""
    if processes() == 1 or not tensors:
        return
    for kind in dict.fromkeys((t.dtype, t.device) for t in tensors):
        group = [t for t in tensors if (t.dtype, t.device) == kind]
        flat = torch.cat([t.reshape(-1) for t in group]).to(_place(group[0].device))
        dist.all_reduce(flat)
        means = torch.split(flat / processes(), [t.numel() for t in group])
        for t, mean in zip(group, means, strict=True):
            t.copy_(mean.view_as(t))


def mean(value: float) -> float:
    """The mean of a number over all processes."""
    total = torch.tensor([value], dtype=torch.float64)
    average([total])
    return float(total)


def broadcast(tensors: Sequence[Tensor]) -> None:
    """Replaces each tensor by that of the first process."""
    if processes() > 1:
        for t in tensors:
            # Detached, since autograd would record the call and then warn in each backward that it can't undo it.
            dist.broadcast(t.detach(), 0)


def _place(device: torch.device) -> torch.device:
    """Where tensors of a device are averaged: NCCL knows CUDA devices only."""
    return torch.device("cuda") if device.type == "cpu" and dist.get_backend() == "nccl" else device
