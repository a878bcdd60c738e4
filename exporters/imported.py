"""Importing a generated source file for a check, without leaving anything behind."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any


class _Loader(SourceFileLoader):
    """Doesn't write `__pycache__` beside the source."""

    def set_data(self, path: Any, data: Any, *, _mode: int = 0o666) -> None:
        pass


@contextmanager
def imported(path: Path) -> Iterator[ModuleType]:
    """Imports a file that fxnas wrote, under a name of its own, for the length of a block."""
    name = f"fxnas_exported_{secrets.token_hex(8)}"
    spec = spec_from_file_location(name, path, loader=_Loader(name, str(path)))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up there
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[name]
