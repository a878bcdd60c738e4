"""Making fake tensors, which have a form and no data, faster than torch's own conversion where the case is plain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode


def is_contiguous(tensor: Tensor) -> bool:
    """Whether the strides are those of a new tensor, also for sizes of 1, where others would do as well."""
    return tensor.stride() == contiguous_strides(tensor.shape)


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a new tensor."""
    strides = [1] * len(shape)
    for i in range(len(shape) - 1, 0, -1):
        strides[i - 1] = strides[i] * shape[i]
    return tuple(strides)


def new_fake(
    mode: FakeTensorMode,
    shape: Sequence[int],
    strides: Sequence[int],
    dtype: torch.dtype,
    device: torch.device,
    **options: Any,
) -> FakeTensor:
    """A fake tensor with memory of its own; `options` are those of FakeTensor."""
    with torch._C._DisableTorchDispatch():
        data = torch.empty_strided(shape, strides, dtype=dtype, device="meta")
        return FakeTensor(mode, data, device, **options)


def fakes_of(tensors: Iterable[Tensor], mode: FakeTensorMode) -> dict[int, Tensor]:
    """A fake tensor for each tensor, by its identity. Tensors that share memory do so as fakes."""
    distinct = list({id(tensor): tensor for tensor in tensors}.values())
    owners = Counter(tensor.untyped_storage()._cdata for tensor in distinct if _is_plain(tensor))
    found: dict[int, Tensor] = {}
    for tensor in distinct:
        if not _is_plain(tensor) or owners[tensor.untyped_storage()._cdata] > 1:
            found[id(tensor)] = mode.from_tensor(tensor)
            continue
        is_parameter = isinstance(tensor, nn.Parameter)
        found[id(tensor)] = fake = new_fake(
            mode, tensor.shape, tensor.stride(), tensor.dtype, tensor.device,
            requires_grad=tensor.requires_grad, _is_param=is_parameter,
        )  # fmt: skip
        mode.fake_tensor_converter.set_tensor_memo(tensor, fake)
    return found


def _is_plain(tensor: Tensor) -> bool:
    """Whether all there is to know of a tensor is its form: it owns all of its memory, and nothing else."""
    return (
        type(tensor) in (Tensor, nn.Parameter)
        and tensor.layout is torch.strided
        and tensor.is_contiguous()
        and tensor.untyped_storage().nbytes() == tensor.nbytes
        and not (tensor.is_quantized or tensor.is_conj() or tensor.is_neg() or tensor.is_inference())
        and tensor.device.type != "meta"
        and tensor._base is None
        and tensor.is_leaf
        and tensor.grad is None
    )
