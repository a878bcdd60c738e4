"""The architecture of a network as JSON, by itself and as part of other exports."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from fxnas.architecture import Architecture
from fxnas.errors import ExportError, shown
from fxnas.files import json_text, write_atomic

ArchitectureLike = Architecture | Mapping[str, Any]


def export_architecture(architecture: ArchitectureLike, path: str | Path) -> Path:
    """Writes an architecture as a JSON file.

    Args:
        architecture: an Architecture, or its JSON form.
        path: where to; an existing file is replaced.

    Returns:
        The path.

    Raises:
        ExportError: it can't be written as JSON, or not to that place.
    """
    write_atomic(path, json_text(architecture_json(architecture)))
    return Path(path)


def architecture_json(architecture: ArchitectureLike) -> dict[str, Any]:
    """The JSON form of an architecture.

    Raises:
        ExportError: JSON can't express it.
    """
    written = architecture.to_json() if isinstance(architecture, Architecture) else dict(architecture)
    try:
        json_text(written)
    except (TypeError, ValueError) as error:
        raise ExportError(f"the architecture {shown(written)} is no JSON: {error}") from error
    return written


def architecture_of(module: nn.Module, given: ArchitectureLike | None) -> tuple[dict[str, Any], str]:
    """The JSON form and the fingerprint of a network's architecture.

    Args:
        module: a materialized graph says itself what it was made from; other modules are taken to have no choices.
        given: goes before what the module says.
    """
    if isinstance(given, Architecture):
        return architecture_json(given.canonical()), given.fingerprint
    known = getattr(module, "meta", {}).get("fxnas", {})
    written = architecture_json(known.get("architecture", {}) if given is None else given)
    if given is None and "fingerprint" in known:
        return written, str(known["fingerprint"])
    text = json.dumps(written, sort_keys=True, separators=(",", ":"))
    return written, hashlib.sha256(text.encode()).hexdigest()
