"""What a recorder can't see as a torch function: it is put in the way of torch for the time of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from fxnas.tracing.recorder import Recorder


def run_forward(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The outermost frame of a recorded run: program locations are counted from here."""
    return model(*args, **kwargs)


@contextmanager
def intercept_modules(recorder: Recorder) -> Iterator[None]:
    """Sends calls of modules through the recorder while it records."""
    original = nn.Module.__call__

    def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if not recorder.recording:
            return original(module, *args, **kwargs)
        return recorder.call_module(original, module, args, kwargs)

    nn.Module.__call__ = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__call__ = original  # type: ignore[method-assign]


@contextmanager
def noted_devices(recorder: Recorder) -> Iterator[None]:
    """Lets the recorder see reads of `.device` of fake tensors, which are no torch functions."""
    original = FakeTensor.device

    def device(tensor: FakeTensor) -> torch.device:
        found: torch.device = original.fget(tensor)  # type: ignore[attr-defined]
        if recorder.recording:
            recorder.note_device(tensor, found)
        return found

    FakeTensor.device = property(device)  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        FakeTensor.device = original  # type: ignore[method-assign]
