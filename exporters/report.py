"""What an export tells about the file it wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fxnas.exporters.compare import Difference


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of an exported network.

    Attributes:
        name: its name.
        dtype: "float32", …
        shape: a number for each dimension, or the name of one that may vary ("batch").
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class FileInfo:
    """An exported file: name, size in bytes and sha256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class ExportReport:
    """The result of an export whose file was loaded again, run and compared.

    Attributes:
        path: the file or folder.
        format: "onnx", "module" or "program".
        opset: the ONNX operator set; None for other formats.
        max_abs_error: the largest max|Δ| of any output in any comparison.
        max_rel_error: the largest max|Δ| / max|reference| of any floating-point output.
        max_eps_error: the same in units of the output's machine epsilon.
        batch_sizes: the batch sizes compared; empty where no input has a batch.
        comparisons: how many sets of inputs were compared.
        providers: the ONNX Runtime providers of the session, the one in use first; for other formats the torch device.
        files: the files written.
        inputs: the inputs of the network.
        outputs: the outputs of the network.
        parameters: the number of parameters, tied ones once.
        notes: what the user should know.
    """

    path: Path
    format: str
    opset: int | None
    max_abs_error: float
    max_rel_error: float
    max_eps_error: float
    batch_sizes: tuple[int, ...]
    comparisons: int
    providers: tuple[str, ...]
    files: tuple[FileInfo, ...]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    parameters: int
    notes: tuple[str, ...] = field(default=())

    @property
    def provider(self) -> str:
        """The ONNX Runtime provider, or torch device, that ran the comparison."""
        return self.providers[0]

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)

    def to_json(self) -> dict[str, Any]:
        """The report as plain data."""
        return {**asdict(self), "path": str(self.path), "provider": self.provider, "size": self.size}

    def __str__(self) -> str:
        opset = "" if self.opset is None else f" (opset {self.opset})"
        sizes = ", ".join(map(str, self.batch_sizes)) or "none"
        rows = [
            ("format", f"{self.format}{opset}"),
            ("files", ", ".join(f"{file.name} ({_bytes(file.size)})" for file in self.files)),
            ("inputs", ", ".join(map(str, self.inputs))),
            ("outputs", ", ".join(map(str, self.outputs))),
            ("parameters", f"{self.parameters:,}"),
            ("compared", f"{self.comparisons} runs on {self.provider}, batch sizes {sizes}"),
            ("max error", self._error()),
            *(("note", note) for note in self.notes),
        ]
        return "\n".join([f"exported {self.path}", *(f"  {name:<11}{text}" for name, text in rows)])

    def _error(self) -> str:
        if self.max_abs_error == 0:
            return "none, bit for bit" if self.format == "module" else "none"
        return f"{self.max_abs_error:.3g} ({self.max_eps_error:.1f} eps of the largest output)"


@dataclass(frozen=True)
class Comparison:
    """All comparisons of an export.

    Attributes:
        found: the difference of each output in each run.
        runs: the number of runs.
        batch_sizes: the batch sizes, in the order in which they were first used.
    """

    found: tuple[Difference, ...]
    runs: int
    batch_sizes: tuple[int, ...]

    @property
    def errors(self) -> dict[str, float]:
        """The three error fields of a report."""
        real = [d for d in self.found if d.eps]
        return {
            "max_abs_error": max((d.max_abs for d in self.found), default=0.0),
            "max_rel_error": max((d.max_rel for d in real), default=0.0),
            "max_eps_error": max((d.max_rel / d.eps for d in real), default=0.0),
        }


def describe_tensors(tensors: Mapping[str, Tensor], batch_size: int | None) -> tuple[TensorInfo, ...]:
    """Describes tensors; a first dimension of `batch_size` is called "batch" (None: nothing is)."""
    return tuple(TensorInfo(name, dtype_name(tensor), _shape(tensor, batch_size)) for name, tensor in tensors.items())


def dtype_name(tensor: Tensor) -> str:
    """The dtype of a tensor: "float32"."""
    return str(tensor.dtype).removeprefix("torch.")


def describe_files(paths: Iterable[Path]) -> tuple[FileInfo, ...]:
    """Sizes and hashes of files."""
    return tuple(FileInfo(path.name, path.stat().st_size, sha256(path)) for path in paths)


def sha256(path: Path) -> str:
    """The sha256 of a file in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def count_parameters(module: nn.Module) -> int:
    """The number of parameters, tied ones once."""
    return sum(parameter.numel() for parameter in module.parameters())


def _shape(tensor: Tensor, batch_size: int | None) -> tuple[int | str, ...]:
    if tensor.ndim and batch_size is not None and tensor.shape[0] == batch_size:
        return ("batch", *tensor.shape[1:])
    return tuple(tensor.shape)


def _bytes(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    for unit in ("kB", "MB"):
        count_in_unit = count / (1000 if unit == "kB" else 1_000_000)
        if count_in_unit < 1000:
            return f"{count_in_unit:.1f} {unit}"
    return f"{count / 1e9:.2f} GB"
