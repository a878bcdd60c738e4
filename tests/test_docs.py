"""The documentation is true: examples in it run, and what it lists exists."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import fxnas
from fxnas import errors
from fxnas.errors import FxnasError

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_example_of_the_readme_runs(run_python: Callable[..., Any], tmp_path: Path) -> None:
    (example,) = blocks(README, "python")
    body = example[example.index("class Net") :]
    assert sum(bool(line.strip()) for line in body.splitlines()) <= 20
    done = run_python("-c", example)
    assert "Architecture({'conv':" in done.stdout
    assert "exported net.onnx" in done.stdout
    assert (tmp_path / "net.onnx").stat().st_size > 1000


@pytest.mark.parametrize("path", sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.stem)
def test_the_code_of_each_page_runs(run_python: Callable[..., Any], path: Path) -> None:
    code = blocks(path.read_text("utf-8"), "python")
    assert code
    run_python("-c", "\n".join(code))


def test_the_names_of_the_readme_exist() -> None:
    table = README.partition("## Names")[2].partition("## Errors")[0]
    for name in re.findall(r"`fxnas\.([\w.]+)", table):
        value: Any = fxnas
        for part in name.rstrip(".").split("."):
            value = getattr(value, part)
    listed = set(re.findall(r"\w+", table))
    # `errors`, `nn` and the two classes that are only met as attributes have no row of their own
    assert set(fxnas.__all__) - listed <= {"__version__", "errors", "nn", "Choice"}


def test_the_errors_of_the_readme_are_all_there_are() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", README.partition("## Errors")[2], re.MULTILINE)
    kinds = {
        name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, FxnasError)
    }
    assert {name for name, _ in rows} == set(kinds)
    for name, builtin in rows:
        assert issubclass(kinds[name], getattr(importlib.import_module("builtins"), builtin))


def test_the_commands_of_the_readme_exist() -> None:
    from fxnas.cli import app

    commands = {command.callback.__name__ for command in app.registered_commands if command.callback is not None}
    shown = re.findall(r"^fxnas (\w+) +net\.", README, re.MULTILINE)
    assert {"trace", "search", "export"} <= set(shown) <= commands


def test_the_picture_is_a_picture() -> None:
    (path,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert ElementTree.parse(ROOT / path).getroot().tag.endswith("svg")


@pytest.mark.parametrize("path", [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))], ids=str)
def test_links_inside_the_project_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"
