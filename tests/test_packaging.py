"""The project as others get it: sdist, wheel, editable install, pinned versions."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import fxnas

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"fxnas": "fxnas", "passes": "fxnas/passes", "exporters": "fxnas/exporters"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def sources() -> set[str]:
    """Every source file by the name that it has once installed."""
    web = (path for path in (ROOT / "fxnas/report/web").iterdir() if path.is_file())
    found = {"fxnas/py.typed", *(f"fxnas/report/web/{path.name}" for path in web)}
    for folder, installed in FOLDERS.items():
        for path in (ROOT / folder).rglob("*.py"):
            name = path.relative_to(ROOT / folder).as_posix()
            if folder != "fxnas" or not name.startswith(("passes/", "exporters/")):
                found.add(f"{installed}/{name}")
    return found


def build(tree: Path, kind: str, into: Path) -> Path:
    """Builds with the build backend itself, so that nothing is downloaded."""
    into.mkdir(exist_ok=True)
    script = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(into)!r}))"
    done = subprocess.run([sys.executable, "-c", script], cwd=tree, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return into / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout to build in, links as links."""
    copy = tmp_path_factory.mktemp("checkout") / "fxnas"
    skip = shutil.ignore_patterns(
        ".git", ".venv*", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", "out", "node_modules"
    )
    shutil.copytree(ROOT, copy, symlinks=True, ignore=skip)
    return copy


@pytest.fixture(scope="module")
def sdist(tree: Path) -> Path:
    return build(tree, "sdist", tree / "dist")


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the unpacked sdist, as pip does for those who have no wheel."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = folder.iterdir()
    return build(unpacked, "wheel", folder / "dist")


def imported_from(folder: Path, script: str, cwd: Path) -> str:
    """What a script prints in a Python that has `folder` as a further site folder, and no other editable fxnas."""
    code = (
        "import site, sys\n"
        "sys.meta_path[:] = [f for f in sys.meta_path if '__editable__' not in getattr(f, '__module__', '')]\n"
        "for name in [n for n in sys.modules if '__editable__' in n]: del sys.modules[name]\n"
        f"sys.path.insert(0, {str(folder)!r})\n"
        f"site.addsitedir({str(folder)!r})\n"
        f"{script}"
    )
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_wheel_holds_each_source_once(wheel: Path) -> None:
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert sorted(names) == sorted(sources())


def test_the_sdist_holds_what_is_needed_to_build_and_test(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    names = [member.name.partition("/")[2] for member in members if member.isfile()]
    assert len(names) == len(set(names))
    assert not any(member.issym() for member in members)
    wanted = {"pyproject.toml", "setup.py", "README.md", "LICENSE", "CHANGELOG.md", "Makefile", "constraints.txt"}
    assert wanted | {"tests/conftest.py", "fxnas/py.typed", "passes/__init__.py"} <= set(names)
    web = ROOT / "fxnas/report/web/src"  # what the script of the report is made from
    assert {f"fxnas/report/web/src/{path.name}" for path in web.iterdir() if path.is_file()} <= set(names)


def test_the_wheel_works_where_it_is_installed(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    script = "import fxnas.passes, fxnas.exporters, fxnas.cli; print(fxnas.passes.__file__)"
    assert imported_from(tmp_path / "site", script, tmp_path) == str(tmp_path / "site/fxnas/passes/__init__.py")


def test_an_editable_install_works(tree: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(build(tree, "editable", tmp_path / "dist")).extractall(tmp_path / "site")
    script = "import fxnas.passes, fxnas.exporters; print(fxnas.__file__, fxnas.passes.__file__)"
    first, second = imported_from(tmp_path / "site", script, tmp_path).split()
    assert Path(first) == tree / "fxnas/__init__.py"
    assert Path(second).resolve() == tree / "passes/__init__.py"


def test_the_console_script_is_the_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert "fxnas = fxnas.cli:main" in archive.read(name).decode()


def test_the_version_is_told_once(wheel: Path) -> None:
    assert wheel.name.startswith(f"fxnas-{fxnas.__version__}-")
    assert f"## [{fxnas.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return dict(re.fullmatch(r"([\w.-]+)==([\w.!]+)", line).groups() for line in lines if line and line[0] != "#")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_constraints_pin_every_dependency_within_its_range() -> None:
    pinned = {canonical(name): version for name, version in pins().items()}
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    for requirement in (Requirement(text) for group in groups for text in group):
        if requirement.marker is not None and not requirement.marker.evaluate({"sys_platform": "linux"}):
            continue
        assert pinned[canonical(requirement.name)] in requirement.specifier, requirement


def test_nobody_gets_two_onnx_runtimes() -> None:
    runtimes = [r for r in map(Requirement, PROJECT["dependencies"]) if r.name.startswith("onnxruntime")]
    for platform in ("linux", "win32", "darwin"):
        wanted = [r.name for r in runtimes if r.marker is not None and r.marker.evaluate({"sys_platform": platform})]
        assert wanted == ["onnxruntime" if platform == "darwin" else "onnxruntime-gpu"]


def test_the_torch_range_is_the_one_that_the_doctor_knows() -> None:
    from fxnas.doctor import TORCH

    (torch,) = (r for r in map(Requirement, PROJECT["dependencies"]) if r.name == "torch")
    assert str(torch.specifier) == f"<{TORCH[1]},>={TORCH[0]}"


def test_scripts_are_executable() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
