"""What is installed here, and what is wrong with it."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass, field
from importlib import metadata

from fxnas import __version__

PACKAGES = ("torch", "numpy", "networkx", "onnx", "onnxscript", "safetensors", "typer", "rich")
RUNTIMES = ("onnxruntime-gpu", "onnxruntime")
TORCH = ("2.13", "2.14")  # from, up to but without: the range that pyproject.toml states


@dataclass
class Diagnosis:
    """What `diagnose` found.

    Attributes:
        versions: package → version, None where it is absent.
        providers: what ONNX Runtime can run on.
        devices: what torch can run on.
        problems: each with the way out; empty where all is well.
        remarks: what is worth knowing and no problem.
    """

    versions: dict[str, str | None]
    providers: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """The diagnosis as plain data."""
        return {
            "versions": self.versions,
            "providers": self.providers,
            "devices": self.devices,
            "problems": self.problems,
            "remarks": self.remarks,
        }


def diagnose() -> Diagnosis:
    """Looks at versions, devices and providers of this environment."""
    found = Diagnosis({"python": platform.python_version(), "fxnas": __version__})
    found.versions |= {name: _version(name) for name in (*PACKAGES, *RUNTIMES)}
    found.problems += [f"{name} is not installed: pip install {name}" for name in PACKAGES if _version(name) is None]
    found.problems += runtime_problems({name: _version(name) for name in RUNTIMES})
    _look_at_torch(found)
    _look_at_runtime(found)
    return found


def runtime_problems(versions: dict[str, str | None]) -> list[str]:
    """What is wrong with the ONNX Runtime packages.

    Args:
        versions: version of each of `RUNTIMES`, None where it is absent.
    """
    present = [name for name in RUNTIMES if versions[name] is not None]
    wanted = "onnxruntime" if sys.platform == "darwin" else "onnxruntime-gpu"
    if len(present) == 2:
        return [
            "onnxruntime-gpu and onnxruntime are both installed and have overwritten each other's files: "
            f"pip uninstall -y onnxruntime onnxruntime-gpu && pip install {wanted}"
        ]
    return [] if present else [f"ONNX Runtime is not installed: pip install {wanted}"]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _look_at_torch(found: Diagnosis) -> None:
    version = found.versions["torch"]
    if version is None:
        return
    import torch

    found.devices.append(f"cpu ({torch.get_num_threads()} threads)")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found.devices.append(f"cuda:{index} {properties.name} ({properties.total_memory / 2**30:.0f} GiB)")
    lower, upper = (tuple(map(int, bound.split("."))) for bound in TORCH)
    if not lower <= tuple(map(int, version.split(".")[:2])) < upper:
        found.remarks.append(f"fxnas was tested with torch {TORCH[0]}, this is {version}")


def _look_at_runtime(found: Diagnosis) -> None:
    if all(found.versions[name] is None for name in RUNTIMES):
        return
    try:
        import onnxruntime
    except Exception as error:  # a broken install fails in many ways
        found.problems.append(f"ONNX Runtime is installed but can't be imported: {error}")
        return
    found.providers += onnxruntime.get_available_providers()
    if any(device.startswith("cuda") for device in found.devices) and "CUDAExecutionProvider" not in found.providers:
        found.problems.append(
            "torch sees a GPU and ONNX Runtime has no CUDA provider: "
            "pip uninstall -y onnxruntime && pip install --force-reinstall onnxruntime-gpu"
        )
