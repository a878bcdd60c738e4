"""Running an ONNX file in ONNX Runtime, on the GPU where torch sees one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto
from torch import Tensor

from fxnas.errors import ExportError
from fxnas.exporters.outputs import Outputs

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_FATAL = 4  # ONNX Runtime logs to stderr what it raises anyway
_WITHOUT_NUMPY = {torch.bfloat16: TensorProto.BFLOAT16}


class Session:
    """An ONNX file, loaded by ONNX Runtime.

    Args:
        path: the file, checked before.

    Raises:
        ExportError: ONNX Runtime can't load it, or falls back to the CPU where torch sees a GPU.

    Attributes:
        providers: the providers, the one in use first.
        inputs: the names of the inputs.
    """

    def __init__(self, path: Path) -> None:
        wanted: list[Any] = [_CPU]
        if torch.cuda.is_available():
            wanted.insert(0, (_CUDA, {"use_tf32": 0}))  # eager is compared in real fp32
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _FATAL
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=wanted)
        except Exception as error:  # its own classes, which share no base
            raise ExportError(f"ONNX Runtime can't load the model: {_first_line(error)}{_hint(error)}") from error
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        if len(wanted) > 1 and self.providers[0] != _CUDA:
            raise ExportError(
                f"torch sees a GPU but ONNX Runtime runs on {self.providers[0]}: run `fxnas doctor`, which checks that "
                "onnxruntime-gpu is installed, alone, and fits the CUDA libraries"
            )
        self.inputs: tuple[str, ...] = tuple(value.name for value in self._session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(value.name for value in self._session.get_outputs())
        self.shapes: tuple[tuple[int | str | None, ...], ...] = tuple(
            tuple(value.shape) for value in self._session.get_inputs()
        )

    def run(self, names: Sequence[str], tensors: Sequence[Tensor]) -> Outputs:
        """Runs the model.

        Args:
            names: the names of the inputs.
            tensors: their values.

        Returns:
            The outputs by name, on the CPU.

        Raises:
            ExportError: ONNX Runtime fails.
        """
        feeds = {name: _ort_value(tensor) for name, tensor in zip(names, tensors, strict=True)}
        try:
            values = self._session.run_with_ort_values(None, feeds)
        except Exception as error:  # its own classes, which share no base
            raise ExportError(f"ONNX Runtime can't run the model: {_first_line(error)}") from error
        return {name: _tensor(value) for name, value in zip(self.outputs, values, strict=True)}


def _ort_value(tensor: Tensor) -> Any:
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype in _WITHOUT_NUMPY:
        bits = tensor.view(torch.int16).numpy()
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, _WITHOUT_NUMPY[tensor.dtype])
    return onnxruntime.OrtValue.ortvalue_from_numpy(tensor.numpy())


def _tensor(value: Any) -> Tensor:
    if value.data_type() == "tensor(bfloat16)":
        return torch.utils.dlpack.from_dlpack(value).clone()
    return torch.from_numpy(np.array(value.numpy()))


def _hint(error: Exception) -> str:
    """A way out where the provider lacks a kernel, as the CPU does for many float64 and bfloat16 ones."""
    missing = "NOT_IMPLEMENTED" in str(error)
    return "; its provider has no kernel for this dtype: export the module in float32, or with a GPU" if missing else ""


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
