"""The layers of the package: who may import whom, which parts are free of torch, and that public names are told.

A module imports only from the rows above its own, or from its own package. A new module goes into one row of LAYERS.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"fxnas": "fxnas", "fxnas.passes": "passes", "fxnas.exporters": "exporters"}

# Modules of fxnas from the bottom to the top; a package stands for everything in it.
LAYERS = [
    "errors lazy",
    "strict_json conditions subsets tree named objectives",
    "files forms trial_table",
    "choice lines",
    "counting active_if",
    "entries wiring",
    "architecture",
    "space",
    "strategies",
    "strategy_contract",
    "ops mixing shells",
    "inputs mutables",
    "nn",
    "zoo",
    "modules",
    "fixed select",
    "ir",
    "verify inherit",
    "graph",
    "tracing",
    "trace",
    "passes retrain",
    "costs",
    "testing trial",
    "exporters evaluators",
    "results recipe doctor digits",
    "progress stopping study",
    "oneshot",
    "report",
    "running",
    "search",
    "demo",
    "cli",
    "__main__",
]
LEVEL = {name: level for level, row in enumerate(LAYERS) for name in row.split()}

# Free of torch: what else these may import, whatever their rows say.
ONLY = {
    "strategies": {"errors", "subsets", "conditions", "choice", "wiring", "architecture", "space"},
    "strategy_contract": {"errors", "conditions", "choice", "architecture", "space", "strategies"},
}


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the package under the name it is imported by."""
    for package, folder in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            if package == "fxnas" and parts[0] in ("passes", "exporters"):
                continue  # the same files, met through the links
            yield ".".join([package, *(part for part in parts if part != "__init__")]), path


MODULES = dict(modules())


def imports(name: str, path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of every module of fxnas that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] == "fxnas")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}, line {node.lineno}: a relative import"
            if node.module is not None and node.module.split(".")[0] == "fxnas":
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    yield node.lineno, whole if whole in MODULES else node.module


def layer(name: str) -> str:
    """The row entry of a module: the first name below fxnas."""
    return name.split(".")[1] if "." in name else ""


def test_every_module_has_a_layer() -> None:
    assert {layer(name) for name in MODULES} - {""} <= set(LEVEL), "put the new module into a row of LAYERS"


@pytest.mark.parametrize("name", [name for name in MODULES if name != "fxnas"])
def test_imports_only_from_layers_below(name: str) -> None:
    own = layer(name)
    for line, imported in imports(name, MODULES[name]):
        other = layer(imported)
        if imported == "fxnas" or other == own:  # of the root only the version, which a test below holds
            continue
        assert LEVEL[other] < LEVEL[own], f"{name}, line {line}: imports {imported}, a layer not below its own"
        assert own not in ONLY or other in ONLY[own], f"{name}, line {line}: {own} must not import {imported}"


@pytest.mark.parametrize("name", [name for name in MODULES if name != "fxnas"])
def test_imports_the_defining_module_never_the_root(name: str) -> None:
    for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "fxnas":
            from_root = {alias.name for alias in node.names if f"fxnas.{alias.name}" not in MODULES}
            assert from_root <= {"__version__"}, f"line {node.lineno} imports {from_root} from the package root"


@pytest.mark.parametrize("folder", ["passes", "exporters"])
def test_links_point_to_the_real_folders(folder: str) -> None:
    link = ROOT / "fxnas" / folder
    assert link.is_symlink(), f"{link} is not a link; run `ln -s ../{folder} fxnas/{folder}`"
    assert os.readlink(link) == f"../{folder}"
    assert link.resolve() == ROOT / folder


@pytest.mark.parametrize(
    "module",
    [
        "fxnas",
        "fxnas.space",
        "fxnas.architecture",
        "fxnas.strategies",
        "fxnas.study",
        "fxnas.stopping",
        "fxnas.costs.model",
        "fxnas.trial",
        "fxnas.evaluators.command",
        "fxnas.cli",
    ],
)
def test_is_free_of_torch(run_python: Callable[..., Any], module: str) -> None:
    done = run_python(
        "-c", f"import sys, {module}; print(*(n for n in ('torch', 'onnx', 'numpy') if n in sys.modules))"
    )
    assert done.stdout.split() == []


def lazy_packages() -> list[str]:
    return [name for name, path in MODULES.items() if "_DEFINED_IN" in path.read_text("utf-8")]


@pytest.mark.parametrize("name", lazy_packages())
def test_lazy_names_are_those_that_type_checkers_see(name: str) -> None:
    package = importlib.import_module(name)
    (guarded,) = (
        node
        for node in ast.parse(MODULES[name].read_text("utf-8")).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {a.asname: n.module for n in guarded.body if isinstance(n, ast.ImportFrom) for a in n.names}
    modules = {module: name for module in getattr(package, "_MODULES", ())}
    assert seen == {**package._DEFINED_IN, **modules}
    assert set(seen) == set(package.__all__) - {"__version__"}


PACKAGES = ["costs", "errors", "evaluators", "exporters", "nn", "oneshot", "passes", "strategies", "zoo"]
PUBLIC = [
    (name, each)
    for name in ("fxnas", *(f"fxnas.{package}" for package in PACKAGES))
    for each in getattr(importlib.import_module(name), "__all__", ())
]


@pytest.mark.parametrize(("module", "name"), PUBLIC, ids=[f"{module}.{name}" for module, name in PUBLIC])
def test_public_names_exist_and_are_documented(module: str, name: str) -> None:
    value = getattr(importlib.import_module(module), name)
    if not (inspect.ismodule(value) or inspect.isclass(value) or inspect.isroutine(value)):
        return  # a constant or a type alias
    assert inspect.getdoc(value), f"{module}.{name} has no docstring"
    for member, function in vars(value).items() if inspect.isclass(value) else ():
        if not member.startswith("_") and (inspect.isroutine(function) or isinstance(function, property)):
            assert inspect.getdoc(getattr(value, member)), f"{module}.{name}.{member} has no docstring"


def test_a_function_called_like_its_module_stays_the_function() -> None:
    import fxnas

    for name in ("search", "trace", "select"):
        importlib.import_module(f"fxnas.{name}")
        assert callable(getattr(fxnas, name))


def test_unknown_names_are_attribute_errors() -> None:
    import fxnas

    with pytest.raises(AttributeError, match="module 'fxnas' has no attribute 'nowhere'"):
        _ = fxnas.nowhere
    assert set(fxnas.__all__) <= set(dir(fxnas))
