"""A training's state as one safetensors file: nests of tensors, numbers and strings, and nothing that runs code."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fxnas.errors import FxnasError
from fxnas.files import atomic_path, parse_json

FORMAT = 1
_HEADER = "fxnas_checkpoint"


def save_state(path: str | Path, state: Mapping[str, Any]) -> None:
    """Writes a state, whole or not at all.

    Args:
        path: the file; an existing one is replaced.
        state: nests of dicts (keys are strings or numbers), lists and tuples, of tensors, numbers, strings, None.

    Raises:
        FxnasError: something else is in it; the message names where.
        ExportError: the file can't be written.
    """
    tensors: dict[str, Tensor] = {}
    content = {"format": FORMAT, "state": _packed(state, tensors, ""), "sha256": _digest(tensors)}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={_HEADER: json.dumps(content, allow_nan=False)})


def load_state(path: str | Path) -> dict[str, Any]:
    """Reads a state that `save_state` wrote; tensors come on the CPU.

    Raises:
        FxnasError: the file is absent, damaged, or something else.
    """
    if not Path(path).is_file():
        raise FxnasError(f"there is no checkpoint {path}")
    try:
        with safe_open(str(path), "pt") as file:
            header = (file.metadata() or {}).get(_HEADER)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise FxnasError(f"{path} is no checkpoint of fxnas, or damaged: {error}") from error
    if header is None:
        raise FxnasError(f"{path} is no checkpoint of fxnas: it holds tensors only")
    content = parse_json(header, error=FxnasError, what=f"checkpoint {path}")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise FxnasError(f"{path} is a checkpoint of another version of fxnas")
    if content.get("sha256") != _digest(tensors):
        raise FxnasError(f"{path} is damaged: its tensors are not those that were written")
    state = _unpacked(content.get("state"), tensors, path)
    assert isinstance(state, dict)
    return state


def _packed(value: Any, tensors: dict[str, Tensor], place: str) -> Any:
    if isinstance(value, Tensor):
        tensors[str(len(tensors))] = value.detach().cpu().contiguous().clone()
        return {"tensor": str(len(tensors) - 1)}
    if isinstance(value, Mapping):
        return {"dict": [[key, _packed(item, tensors, f"{place}.{key}")] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_packed(item, tensors, f"{place}.{i}") for i, item in enumerate(value)]}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise FxnasError(f"the state can't be stored: {place.lstrip('.')} is a {type(value).__name__}")


def _unpacked(value: Any, tensors: Mapping[str, Tensor], path: str | Path) -> Any:
    if not isinstance(value, dict):
        return value
    try:
        ((kind, content),) = value.items()
        if kind == "tensor":
            return tensors[content]
        if kind == "dict":
            return {key: _unpacked(item, tensors, path) for key, item in content}
        if kind in ("list", "tuple"):
            items = [_unpacked(item, tensors, path) for item in content]
            return items if kind == "list" else tuple(items)
        return {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}[content]
    except (KeyError, TypeError, ValueError) as error:
        raise FxnasError(f"{path} is damaged: {value!r:.80} is no part of a state") from error


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()
