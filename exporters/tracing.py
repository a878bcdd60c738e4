"""What both users of torch.export share: legal names, the tensors to trace with, which sizes vary, and silence."""

from __future__ import annotations

import keyword
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fxnas.errors import ExportError, shown
from fxnas.exporters.inputs import TensorInputs
from fxnas.exporters.sampling import tiled

_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")

_HARMLESS = re.compile(r"[\w ./-]*")


def check_names(module: nn.Module) -> None:
    """Checks that no name of a submodule, parameter or buffer can become code.

    torch.export writes these names into the source that it generates, as they are. A materialized graph has legal ones.

    Raises:
        ExportError: a name has other characters than letters, digits, spaces and `_./-`, or is a keyword.
    """
    for part in module.modules():
        for table in (part._modules, part._parameters, part._buffers):
            for name in table:
                check_name(name, "the name of a part of the module", "trace and materialize the module, or rename it")


def check_name(name: str, what: str, way_out: str) -> None:
    """Checks a single name.

    Raises:
        ExportError: it could become code.
    """
    if not _HARMLESS.fullmatch(name) or keyword.iskeyword(name):
        raise ExportError(f"{shown(name)} is {what}, and torch.export would write it into code: {way_out}")


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps torch's exporter from talking: its deprecation warnings and progress concern its authors, not its users."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def varying(batched: bool) -> dict[int, Any]:
    """What torch.export is told about a tensor: whether its first dimension varies."""
    return {0: torch.export.Dim.DYNAMIC} if batched else {}


def export_tensors(inputs: TensorInputs, dynamic: bool) -> list[Tensor]:
    """Tensors to trace with: at least two rows where the batch varies, since torch.export takes 1 for a constant."""
    if not dynamic or (inputs.batch_size or 0) > 1:
        return [tensor.detach().clone() for tensor in inputs.tensors]
    return tiled(inputs, 2)


def root_cause(error: BaseException) -> str:
    """The first line of the error that the others were raised from."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__
