"""Imports torchvision, whose compiled ops don't fit every build of torch.

When it is imported, torchvision registers fake versions of two of its ops, which fails where the library of these ops
could not be loaded. None of the networks in the tests calls one; their schemas alone make the import work.
"""

import importlib
import sys
from typing import Any

import pytest
import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_libraries: list[torch.library.Library] = []  # a schema lives as long as the object that defined it


def torchvision_models() -> Any:
    """`torchvision.models`; skips the test where torchvision isn't installed."""
    try:
        return importlib.import_module("torchvision").models
    except ModuleNotFoundError:
        pytest.skip("torchvision is not installed")
    except RuntimeError:  # operator torchvision::nms does not exist
        _define_ops()
        return importlib.import_module("torchvision").models


def _define_ops() -> None:
    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    _libraries.append(library)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # imported half
