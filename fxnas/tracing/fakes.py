"""Making fake tensors, which have a form and no data, without torch's own machinery where the case is plain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
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
    whole = {id(tensor): tensor.untyped_storage()._cdata for tensor in distinct if _is_whole(tensor)}
    owners = Counter(whole.values())
    found: dict[int, Tensor] = {}
    for tensor in distinct:
        if id(tensor) not in whole or owners[whole[id(tensor)]] > 1:
            found[id(tensor)] = mode.from_tensor(tensor)
            continue
        is_parameter = isinstance(tensor, nn.Parameter)
        found[id(tensor)] = fake = new_fake(
            mode, tensor.shape, tensor.stride(), tensor.dtype, tensor.device,
            requires_grad=tensor.requires_grad, _is_param=is_parameter,
        )  # fmt: skip
        mode.fake_tensor_converter.set_tensor_memo(tensor, fake)
    return found


def _is_whole(tensor: Tensor) -> bool:
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


# -- what calls give


def is_plain(value: Any) -> bool:
    """Whether the value is a fake tensor whose form says what calls give: contiguous, not empty, on the CPU."""
    return (
        type(value) is FakeTensor
        and value.fake_device.type == "cpu"
        and value.layout is torch.strided
        and is_contiguous(value)
        and 0 not in value.shape
        and not torch.is_autocast_enabled("cpu")
        and not torch.is_inference_mode_enabled()
    )


def new_value(
    x: FakeTensor, shape: Sequence[int], sources: Sequence[Tensor | None] = (), dtype: torch.dtype | None = None
) -> Tensor:
    """A new contiguous tensor, computed from `x` and other tensors; it has a gradient if one of them has."""

    def make() -> Tensor:
        return new_fake(x.fake_mode, shape, contiguous_strides(shape), dtype or x.dtype, x.fake_device)

    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in (x, *sources)):
        return computed(make)
    return make()


def computed(make: Callable[[], Tensor]) -> Tensor:
    """What `make` makes, as a value with a gradient: no leaf of the autograd graph."""
    value: Tensor = _Computed.apply(_SOURCE, make)  # type: ignore[no-untyped-call]
    return value


def write(x: FakeTensor) -> FakeTensor | None:
    """`x` after a call that works in place; None where torch has more to say about that."""
    if x._base is not None or (x.requires_grad and x.is_leaf):
        return None
    torch.autograd.graph.increment_version(x)
    return x


class _Computed(torch.autograd.Function):
    """A node of the autograd graph."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, make: Callable[[], Tensor]) -> Tensor:
        """The value that `make` makes."""
        return make()


_SOURCE = torch.empty((), device="meta", requires_grad=True)
