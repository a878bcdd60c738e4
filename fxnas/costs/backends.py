"""What runs an operation while it is timed."""

from __future__ import annotations

import copy
import platform
import warnings
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from fxnas.errors import FxnasError, shown

Backend = Literal["torch", "onnxruntime"]


def check_backend(backend: str) -> None:
    """Raises an FxnasError for an unknown name."""
    if backend not in get_args(Backend):
        raise FxnasError(f"backend is one of {', '.join(get_args(Backend))}, got {shown(backend)}")


def prepared(
    function: Callable[..., Any], args: Any, kwargs: Any, device: torch.device, backend: Backend
) -> Callable[[], Any]:
    """What has to be called to run a function, or a copy of a module, on a device.

    Args:
        function: the function or module.
        args: its arguments; their tensors lie on the device.
        kwargs: as `args`.
        device: where to run.
        backend: who runs it.
    """
    if isinstance(function, nn.Module):
        function = copy.deepcopy(function).eval().to(device)
    return (_in_onnxruntime if backend == "onnxruntime" else _in_torch)(function, args, kwargs)


def place(device: torch.device, backend: Backend) -> str:
    """What times hold for: device, versions, number of threads."""
    versions = f"torch {torch.__version__}"
    if backend == "onnxruntime":
        import onnxruntime

        versions = f"onnxruntime {onnxruntime.__version__}, {versions}"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {versions}"
    machine = platform.processor() or platform.machine()
    return f"{device.type} {machine} {platform.node()}, {versions}, {torch.get_num_threads()} threads"


def _in_torch(function: Callable[..., Any], args: Any, kwargs: Any) -> Callable[[], Any]:
    return lambda: function(*args, **kwargs)


def _in_onnxruntime(function: Callable[..., Any], args: Any, kwargs: Any) -> Callable[[], Any]:
    """A session that runs the function as an ONNX graph of its own; weights are constants."""
    import onnxruntime

    leaves, form = pytree.tree_flatten((args, kwargs))
    tensors = {i: leaf for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)}
    if not tensors:
        return lambda: None  # a constant there
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    providers = ["CUDAExecutionProvider"] if any(t.is_cuda for t in tensors.values()) else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch's exporter says about itself
        module = _Flat(function, leaves, form, list(tensors)).eval()
        program = torch.onnx.export(module, tuple(tensors.values()), dynamo=True, verbose=False)
    assert program is not None
    content = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=[*providers, "CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    to_value = onnxruntime.OrtValue.ortvalue_from_numpy
    feeds = {
        name: to_value(tensor.cpu().numpy(), tensor.device.type, tensor.device.index or 0)
        for name, tensor in zip(names, tensors.values(), strict=True)
    }
    return lambda: session.run_with_ort_values(None, feeds)


class _Flat(nn.Module):
    """A function of its tensors alone."""

    def __init__(self, function: Callable[..., Any], leaves: list[Any], form: Any, places: list[int]) -> None:
        super().__init__()
        self.function, self.leaves, self.form, self.places = function, leaves, form, places

    def forward(self, *tensors: Tensor) -> Any:
        """The function's tensors."""
        leaves = list(self.leaves)
        for place, tensor in zip(self.places, tensors, strict=True):
            leaves[place] = tensor
        args, kwargs = pytree.tree_unflatten(leaves, self.form)
        return tuple(leaf for leaf in pytree.tree_leaves(self.function(*args, **kwargs)) if isinstance(leaf, Tensor))
