"""The tensors among a module's outputs, by name."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from fxnas.exporters.nests import leaves, names

Outputs = dict[str, Tensor]


def tensor_leaves(output: Any) -> list[Tensor]:
    """The tensors of any nest of outputs, in order."""
    return [leaf for _, leaf in leaves(output) if isinstance(leaf, Tensor)]


def named_outputs(output: Any) -> Outputs:
    """The tensors of any nest of outputs by name: "output", "output_1", or the key of a dict or dataclass."""
    paths = [path for path, leaf in leaves(output) if isinstance(leaf, Tensor)]
    return dict(zip(names(paths, "output"), tensor_leaves(output), strict=True))


def constant_outputs(output: Any) -> dict[str, Any]:
    """What a nest of outputs holds beside tensors and None, by name."""
    found = [(path, leaf) for path, leaf in leaves(output) if not isinstance(leaf, Tensor) and leaf is not None]
    return dict(zip(names([path for path, _ in found], "output"), [leaf for _, leaf in found], strict=True))
