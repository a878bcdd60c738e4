"""A module as an ONNX graph in memory: translated by torch, then named, and cleaned of traces of this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from onnxscript import ir
from torch import Tensor, nn

from fxnas.errors import ExportError
from fxnas.exporters.inputs import TensorInputs
from fxnas.exporters.outputs import tensor_leaves
from fxnas.exporters.running import untouched
from fxnas.exporters.tracing import export_tensors, quiet, root_cause, varying

_WRAPPER = "module."


class _Flat(nn.Module):
    """The module with a flat list of tensors in, and out."""

    def __init__(self, module: nn.Module, inputs: TensorInputs) -> None:
        super().__init__()
        self.module = module
        self.inputs = inputs
        self.train(module.training)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        args, kwargs = self.inputs.arguments(tensors)
        return tuple(tensor_leaves(self.module(*args, **kwargs)))


def onnx_graph(
    module: nn.Module, inputs: TensorInputs, outputs: Sequence[str], *, dynamic: bool, opset: int | None
) -> Any:
    """Translates a module in evaluation mode.

    Args:
        module: the module.
        inputs: its example inputs; their names become those of the graph's inputs.
        outputs: names for the graph's outputs.
        dynamic: whether the batch dimension may vary.
        opset: the ONNX operator set; None leaves it to torch.

    Returns:
        An `onnxscript.ir.Model`.

    Raises:
        ExportError: torch can't translate it.
    """
    model = _translated(module, inputs, dynamic, opset)
    _name(model.graph, inputs.names, outputs)
    if dynamic:
        _name_batch(model.graph, inputs.batched)
    _clean(model)
    return model


def _translated(module: nn.Module, inputs: TensorInputs, dynamic: bool, opset: int | None) -> Any:
    try:
        with quiet(), untouched(module):
            program = torch.onnx.export(
                _Flat(module, inputs),
                tuple(export_tensors(inputs, dynamic)),
                dynamo=True,
                dynamic_shapes=(tuple(map(varying, inputs.batched)),) if dynamic else None,
                opset_version=opset,
                verbose=False,
            )
    except Exception as error:
        raise ExportError(f"torch can't translate {type(module).__name__} to ONNX: {root_cause(error)}") from error
    assert program is not None
    return program.model


def _values(graph: Any) -> Iterator[Any]:
    """Every value of a graph and its subgraphs."""
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in ir.traversal.RecursiveGraphIterator(graph):
        yield from node.outputs


def _name(graph: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    if (len(graph.inputs), len(graph.outputs)) != (len(inputs), len(outputs)):
        raise ExportError(f"torch's translation has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs, "
                          f"expected {len(inputs)} and {len(outputs)}")  # fmt: skip
    ends = [*graph.inputs, *graph.outputs]
    names = [*inputs, *outputs]
    inner = [value for value in _values(graph) if not any(value is end for end in ends)]
    taken = {*names, *(value.name for value in (*inner, *ends))}
    for value in inner:
        wanted = value.name.removeprefix(_WRAPPER)
        if wanted in names or (wanted != value.name and wanted in taken):
            wanted = _free(wanted, taken)
        if wanted != value.name:
            taken.add(wanted)
            value.name = wanted
    for i, value in enumerate(ends):  # two steps, since an old name may be another's new one
        value.name = _free(f"end_{i}", taken)
    for value, name in zip(ends, names, strict=True):
        value.name = name


def _free(name: str, taken: set[str]) -> str:
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    taken.add(f"{name}_{number}")
    return f"{name}_{number}"


def _name_batch(graph: Any, batched: Sequence[bool]) -> None:
    """Calls the varying dimension "batch", instead of "s77"."""
    symbols = [value.shape[0].value for value, is_batch in zip(graph.inputs, batched, strict=True) if is_batch]
    pattern = re.compile("|".join(rf"\b{re.escape(str(symbol))}\b" for symbol in symbols))
    for value in _values(graph):
        if value.shape is not None and not value.shape.is_static():
            value.shape = ir.Shape([_named(dimension, pattern) for dimension in value.shape])


def _named(dimension: Any, pattern: re.Pattern[str]) -> Any:
    if isinstance(dimension, int) or dimension.value is None:
        return dimension
    return ir.SymbolicDim(pattern.sub("batch", str(dimension.value)))


def _clean(model: Any) -> None:
    """Drops what torch notes at each node: stack traces with the paths of this machine, and class names."""
    for part in (model.graph, *model.functions.values()):
        part.metadata_props.clear()
        part.doc_string = None
        for node in ir.traversal.RecursiveGraphIterator(part):
            node.metadata_props.clear()
            node.doc_string = None
        for value in _values(part) if part is model.graph else ():
            value.metadata_props.clear()
            value.doc_string = None


def set_metadata(model: Any, metadata: Mapping[str, str]) -> None:
    """Stores texts with the model, in the order given."""
    model.metadata_props.clear()
    model.metadata_props.update(metadata)
