"""What must occur nowhere in the sources: unpickling, evaluating text, running a shell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCANNED = ["fxnas", "passes", "exporters", "examples", "benchmarks", "setup.py"]

BANNED_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "yaml"}
BANNED_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "yaml.load", "jit.load"}
BANNED_KEYWORDS = {("shell", True), ("allow_pickle", True), ("weights_only", False)}

# (file, what) → why it is harmless there. Every line must be in use.
CODEGEN = "compiles the code generated for a graph, in which every name is a generated identifier"
ALLOWED: dict[tuple[str, str], str] = {
    ("fxnas/ir/supernet.py", "exec"): CODEGEN,
    ("fxnas/ir/supernet.py", "compile"): CODEGEN,
}


def files() -> Iterator[Path]:
    """Every Python file of the project but the tests."""
    for name in SCANNED:
        path = ROOT / name
        found = [path] if path.is_file() else sorted(path.rglob("*.py"))
        yield from (file for file in found if file.relative_to(ROOT).parts[:2] not in LINKS)


LINKS = {("fxnas", "passes"), ("fxnas", "exporters")}


def findings(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of everything in a source that is banned."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, a.name) for a in names if a.name.split(".")[0] in BANNED_MODULES)
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in BANNED_MODULES:
                yield node.lineno, module
            case ast.ImportFrom(module=str(module), names=names):
                yield from ((node.lineno, a.name) for a in names if f"{module}.{a.name}" in BANNED_CALLS)
            case ast.Call(func=func, keywords=keywords):
                called = ast.unparse(func)
                if called in BANNED_CALLS or ".".join(called.split(".")[-2:]) in BANNED_CALLS:
                    yield node.lineno, called
                for keyword in keywords:
                    if (
                        isinstance(keyword.value, ast.Constant)
                        and (keyword.arg, keyword.value.value) in BANNED_KEYWORDS
                    ):
                        yield node.lineno, f"{keyword.arg}={keyword.value.value}"
            case ast.Name(id="eval" | "exec"):
                yield node.lineno, node.id


FOUND = {
    (str(path.relative_to(ROOT)), what): line for path in files() for line, what in findings(path.read_text("utf-8"))
}


def test_nothing_banned_occurs() -> None:
    surprises = [f"{file}, line {line}: {what}" for (file, what), line in FOUND.items() if (file, what) not in ALLOWED]
    assert not surprises


def test_every_allowance_is_in_use_and_has_a_reason() -> None:
    assert set(ALLOWED) <= set(FOUND)
    assert all(len(reason) > 20 for reason in ALLOWED.values())


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from yaml import load",
        "from torch import load",
        "eval('1')",
        "run = exec",
        "torch.load(path)",
        "x.torch.load(path, weights_only=True)",
        "subprocess.run('ls', shell=True)",
        "np.load(path, allow_pickle=True)",
        "def f():\n    import marshal",
    ],
)
def test_the_scan_finds(source: str) -> None:
    assert list(findings(source))


def test_the_scan_lets_pass() -> None:
    source = (
        "model.eval()\nspec.loader.exec_module(m)\nre.compile('a')\nnp.load(p, allow_pickle=False)\ntorch.compile(m)"
    )
    assert not list(findings(source))


def test_files_are_where_the_scan_looks() -> None:
    assert len(list(files())) > 50
