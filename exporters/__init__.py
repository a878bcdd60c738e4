"""Writing networks to files that were loaded again, run and compared before they are handed out.

An exporter takes a materialized network: one without choices left open. It writes under a temporary name, checks what
it wrote, and renames. A failure raises `ExportError` and leaves nothing behind.
"""

from typing import TYPE_CHECKING

from fxnas.lazy import lazily

if TYPE_CHECKING:
    from fxnas.exporters.architecture import export_architecture as export_architecture
    from fxnas.exporters.module import export_module as export_module
    from fxnas.exporters.module import verify_module as verify_module
    from fxnas.exporters.onnx import export_onnx as export_onnx
    from fxnas.exporters.onnx import verify_onnx as verify_onnx
    from fxnas.exporters.program import export_program as export_program
    from fxnas.exporters.report import ExportReport as ExportReport

# Where each public name is defined; resolved at first use, since ONNX Runtime and torch.export take long to import.
_DEFINED_IN = {
    "ExportReport": "fxnas.exporters.report",
    "export_architecture": "fxnas.exporters.architecture",
    "export_module": "fxnas.exporters.module",
    "export_onnx": "fxnas.exporters.onnx",
    "export_program": "fxnas.exporters.program",
    "verify_module": "fxnas.exporters.module",
    "verify_onnx": "fxnas.exporters.onnx",
}

__all__ = [*_DEFINED_IN]
__getattr__, __dir__ = lazily(__name__, _DEFINED_IN)
