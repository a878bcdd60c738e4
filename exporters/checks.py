"""What may be exported: a network without choices left open, and without a reference to fxnas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import fx, nn

from fxnas.errors import ExportError, shown
from fxnas.nn import InputChoice, LayerChoice

_WAY_OUT = "give the result of fxnas.materialize(graph, architecture)"


def check_exportable(module: object) -> nn.Module:
    """The module itself.

    Raises:
        ExportError: it is no module, has no architecture chosen yet, or (for a graph) refers to fxnas.
    """
    if not isinstance(module, nn.Module):
        raise ExportError(f"can't export a {type(module).__name__}: {_WAY_OUT}, or any nn.Module without choices")
    for path, part in _modules(module):
        if isinstance(part, LayerChoice | InputChoice):
            key = part.key if part.key is not None else path
            raise ExportError(
                f"module {path!r} is the open choice {key!r} ({type(part).__name__}); {_WAY_OUT}, or of "
                "fxnas.apply_fixed_architecture"
            )
    if isinstance(module, fx.GraphModule):
        _check_graph(module)
    for path, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_meta:
            raise ExportError(f"{path!r} has no values (it lies on the meta device)")
    return module


def check_graph_module(module: object) -> fx.GraphModule:
    """The module itself, which has a graph to be written as source.

    Raises:
        ExportError: as `check_exportable`, and for a module without a graph.
    """
    checked = check_exportable(module)
    if not isinstance(checked, fx.GraphModule):
        raise ExportError(f"{type(module).__name__} has no graph to write as source: {_WAY_OUT}")
    return checked


def _check_graph(module: fx.GraphModule) -> None:
    for path, part in _modules(module):
        if _of_fxnas(type(part)):
            raise ExportError(
                f"module {path!r} is a {type(part).__name__} of fxnas, the graph isn't materialized; {_WAY_OUT}"
            )
    for node in module.graph.nodes:
        if not isinstance(node.target, str) and _of_fxnas(node.target):
            key = node.kwargs.get("key")
            choice = f" (key {shown(key)})" if key is not None else ""
            name = getattr(node.target, "__name__", shown(node.target))
            raise ExportError(
                f"node {node.name!r} calls {name} of fxnas{choice}, the graph isn't materialized; {_WAY_OUT}"
            )


def _of_fxnas(thing: Any) -> bool:
    module = getattr(thing, "__module__", None)
    return isinstance(module, str) and module.partition(".")[0] == "fxnas"


def _modules(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    yield path, module
    for name, child in module._modules.items():
        if child is not None:
            yield from _modules(child, f"{path}.{name}" if path else name)
