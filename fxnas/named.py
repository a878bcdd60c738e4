"""Objects by the names that people and processes hand each other: `file.py:name`, `package.module:name`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any

from fxnas.errors import FxnasError, nearest


def load_object(name: str, *, what: str, beside: str | None = None) -> Any:
    """The object that `file.py:name` or `package.module:name` names.

    Args:
        name: where it is; only its own name if it stands in the module of `beside`.
        what: what it is, for messages ("model").
        beside: another such name.

    Raises:
        FxnasError: there is no such file or object, or the module raises.
    """
    module, attribute = module_of(full_name(name, beside), what)
    try:
        return reduce(getattr, attribute.split("."), module)
    except AttributeError:
        known = [each for each in dir(module) if not each.startswith("_")]
        raise FxnasError(f"{what} {name}: no {attribute!r} there{nearest(attribute, known)}") from None


def full_name(name: str, beside: str | None) -> str:
    """The name with its place, which is that of `beside` where it has none."""
    return name if ":" in name or beside is None else f"{beside.rpartition(':')[0]}:{name}"


def module_of(name: str, what: str) -> tuple[ModuleType, str]:
    """The module that a name leads to, imported, and what is named there.

    Raises:
        FxnasError: the name is malformed, there is no such file, or the module raises.
    """
    place, _, attribute = name.rpartition(":")
    if not place or not attribute:
        raise FxnasError(f"{what} {name!r}: expected path/to/file.py:name or package.module:name")
    with users_code(place):
        return (_file(Path(place), what) if place.endswith(".py") else _package(place)), attribute


@contextmanager
def users_code(name: str) -> Iterator[None]:
    """Names the file and line of an error in code that isn't ours; what it prints goes to standard error.

    Raises:
        FxnasError: in place of any other exception.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except FxnasError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        frame = next((f for f in reversed(frames) if "site-packages" not in f.filename), frames[-1])
        place = f"{frame.filename}, line {frame.lineno}"
        raise FxnasError(f"{name} raised {type(error).__name__}: {error} ({place})") from error


def _file(path: Path, what: str) -> ModuleType:
    path = path.resolve()
    if not path.is_file():
        raise FxnasError(f"{what}: file {path} does not exist")
    known = next((m for m in sys.modules.values() if getattr(m, "__file__", None) == str(path)), None)
    if known is not None:
        return known
    _importable(path.parent)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # a .py file has both
    module = importlib.util.module_from_spec(spec)
    shadowed = sys.modules.get(path.stem)
    sys.modules[path.stem] = module  # dataclasses and pickling look their module up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    finally:
        if shadowed is not None:
            sys.modules[path.stem] = shadowed
    return module


def _package(name: str) -> ModuleType:
    _importable(Path.cwd())
    return importlib.import_module(name)


def _importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
