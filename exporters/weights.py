"""The tensors of a network in a safetensors file, each once under its first name."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, fx, nn

from fxnas.errors import ExportError
from fxnas.exporters.layout import unique_modules

_AS_REAL = (torch.complex128, torch.complex32)  # not known to safetensors: a last dimension of two holds both parts


def named_tensors(root: nn.Module) -> dict[str, Tensor]:
    """Parameters and all buffers by name; tied ones under their first name only."""
    names = _paths(root)
    found: dict[int, tuple[str, Tensor]] = {}
    for module in unique_modules(root):
        plain = module.__dict__.items() if id(module) in names and type(module) in (nn.Module, type(root)) else ()
        for name, tensor in (*module._parameters.items(), *module._buffers.items(), *plain):
            if isinstance(tensor, Tensor):
                path = names[id(module)]
                found.setdefault(id(tensor), (f"{path}.{name}" if path else name, tensor))
    return dict(found.values())


def strides(root: nn.Module) -> dict[str, tuple[int, ...]]:
    """The layout of dense tensors that don't lie row by row (channels last): it decides which kernels run."""
    return {name: tensor.stride() for name, tensor in named_tensors(root).items() if has_own_layout(tensor)}


def has_own_layout(tensor: Tensor) -> bool:
    """Whether the strides of a tensor are worth keeping."""
    if tensor.layout is not torch.strided or tensor.stride() == torch.empty(tensor.shape, device="meta").stride():
        return False
    return torch.empty_like(tensor, device="meta").stride() == tensor.stride()  # kept only where there are no gaps


def stored_as_real(tensor: Tensor) -> bool:
    """Whether a complex tensor is stored as pairs of real numbers."""
    return tensor.dtype in _AS_REAL


def save_weights(root: fx.GraphModule, path: Path) -> None:
    """Writes the tensors of a network.

    Raises:
        ExportError: a tensor has a layout or dtype that can't be stored.
    """
    tensors = {name: _storable(name, tensor) for name, tensor in named_tensors(root).items()}
    try:
        save_file(tensors, path)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ExportError(f"the weights can't be stored: {error}") from error


def _storable(name: str, tensor: Tensor) -> Tensor:
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise ExportError(f"the tensor {name!r} is sparse or quantized and can't be stored as safetensors")
    if stored_as_real(tensor):
        tensor = torch.view_as_real(tensor.resolve_conj())
    return tensor.detach().resolve_conj().resolve_neg().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _paths(root: nn.Module, path: str = "") -> dict[int, str]:
    """The first path of each module."""
    found = {id(root): path}
    for name, child in root._modules.items():
        if child is not None:
            for key, inner in _paths(child, f"{path}.{name}" if path else name).items():
                found.setdefault(key, inner)
    return found
