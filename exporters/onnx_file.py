"""ONNX files: writing them, with weights beside where they don't fit, and checking those that others wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
from onnx.external_data_helper import uses_external_data
from onnxscript import ir

from fxnas.errors import ExportError, shown
from fxnas.files import atomic_path

INLINE_BYTES = 2**31 - 2**24  # protobuf can't hold more than 2 GiB; some of it goes to the nodes


@contextmanager
def written(model: Any, path: Path, external_data: bool | None) -> Iterator[Path]:
    """Writes a model under a temporary name, which becomes `path` if nothing fails until the end of the block.

    Weights that lie outside the model go to a file beside it, named after their content: the old model, if there is
    one, keeps its own weights until the moment at which it is replaced.

    Args:
        model: an `onnxscript.ir.Model`.
        path: the final path.
        external_data: whether the weights lie outside; None: only where they don't fit inside.

    Yields:
        The temporary path, which can be loaded.
    """
    outside = _weight_bytes(model) > INLINE_BYTES if external_data is None else external_data
    old = data_files(path) if path.is_file() else []
    data = path.with_name(f"{path.name}.{_digest(model)[:16]}.data") if outside else None
    existed = data is not None and data.exists()
    try:
        with atomic_path(path) as temporary:
            _save(model, temporary, data)
            yield temporary
    except BaseException:
        if data is not None and not existed:
            data.unlink(missing_ok=True)
        raise
    for file in old:
        if file != data and file.name.startswith(f"{path.name}."):  # ours, and no longer referred to
            file.unlink(missing_ok=True)


def check(path: Path) -> onnx.ModelProto:
    """Checks a file before anything runs it: weights beside it stay in its folder, and onnx's own checker passes.

    Returns:
        The model, without external weights loaded.

    Raises:
        ExportError: it is no legal ONNX file.
    """
    model = load(path)
    for tensor in _tensors(model):
        if uses_external_data(tensor):
            _check_external(tensor, path.parent)
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:
        hint = "; export the module in float32" if "unsupported type" in str(error) else ""
        raise ExportError(f"the model fails onnx's checker: {error}{hint}") from error
    return model


def load(path: Path) -> onnx.ModelProto:
    """Parses a file, without its external weights.

    Raises:
        ExportError: it is missing or no ONNX file.
    """
    if not path.is_file():
        raise ExportError(f"{path} is no file")
    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's DecodeError, or OSError
        raise ExportError(f"{path} is no ONNX file: {error}") from error


def data_files(path: Path) -> list[Path]:
    """The files beside an ONNX file that hold its external weights."""
    try:
        tensors = [tensor for tensor in _tensors(load(path)) if uses_external_data(tensor)]
    except ExportError:
        return []
    locations = dict.fromkeys(_external(tensor)["location"] for tensor in tensors)
    return [path.parent / name for name in locations if name == Path(name).name]


def opset_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operator set that a model uses."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)


def _save(model: Any, temporary: Path, data: Path | None) -> None:
    if data is None:
        ir.save(model, temporary, format="protobuf")
        return
    with atomic_path(data) as temporary_data:
        ir.save(model, temporary, format="protobuf", external_data=temporary_data.name)
        _relocate(temporary, data.name)


def _relocate(path: Path, location: str) -> None:
    """Makes the model refer to its weights by their final name."""
    model = onnx.load(path, load_external_data=False)
    for tensor in _tensors(model):
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString(deterministic=True))


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor stored in a model, in whatever corner."""
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_nodes(function.node)
        for attribute in function.attribute_proto:
            yield from _of_attribute(attribute)
    for training in model.training_info:
        yield from _of_graph(training.initialization)
        yield from _of_graph(training.algorithm)


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from _of_attribute(attribute)


def _of_attribute(attribute: onnx.AttributeProto) -> Iterator[onnx.TensorProto]:
    yield from (attribute.t, *attribute.tensors)
    for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
        yield from (sparse.values, sparse.indices)
    for graph in (attribute.g, *attribute.graphs):
        yield from _of_graph(graph)


def _weight_bytes(model: Any) -> int:
    return sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value is not None)


def _digest(model: Any) -> str:
    digest = hashlib.sha256()
    for name, value in model.graph.initializers.items():
        digest.update(name.encode())
        if value.const_value is not None:
            digest.update(value.const_value.tobytes())
    return digest.hexdigest()


def _external(tensor: onnx.TensorProto) -> dict[str, str]:
    return {"location": "", **{entry.key: entry.value for entry in tensor.external_data}}


def _check_external(tensor: onnx.TensorProto, folder: Path) -> None:
    entries = _external(tensor)
    location = entries["location"]
    file = folder / location
    if not location or location != Path(location).name or "\\" in location or file.is_symlink() or not file.is_file():
        raise ExportError(
            f"tensor {shown(tensor.name)} lies in {shown(location)}: external weights must be a plain file in the "
            "folder of the model"
        )
    try:
        end = int(entries.get("offset", 0)) + int(entries.get("length", 0))
    except ValueError as error:
        raise ExportError(f"tensor {shown(tensor.name)} has an offset or length that is no number") from error
    if end > file.stat().st_size:
        raise ExportError(
            f"tensor {shown(tensor.name)} ends at byte {end} of {location!r}, which has {file.stat().st_size}"
        )
