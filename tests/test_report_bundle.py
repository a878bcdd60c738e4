"""The script of the report: that it is made from its sources, with exact versions and licences of what it takes."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

WEB = Path(__file__).resolve().parent.parent / "fxnas/report/web"
SOURCES = WEB / "src"
UNREACHABLE = (
    r"\bcode (ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|ERR_SOCKET_TIMEOUT"
    r"|ENOTCACHED|E5\d\d)\b"
)
BUNDLE = (WEB / "report.js").read_text("utf-8")
LOCKED = json.loads((SOURCES / "package-lock.json").read_text("utf-8"))["packages"]


def test_its_sources_are_those_it_was_made_from() -> None:
    digest = hashlib.sha256()
    for kind in ("*.js", "*.json"):
        for path in sorted(SOURCES.glob(kind)):
            digest.update(path.read_bytes())
    assert f"\nsources {digest.hexdigest()}\n" in BUNDLE, "the sources have changed: run `make report-js`"


def test_every_package_in_it_has_its_licence_in_it() -> None:
    head = BUNDLE.partition("*/")[0]
    named = dict(re.findall(r"\b(d3-[a-z]+) ([\d.]+)", head))
    needed = {
        name for path in SOURCES.glob("*.js") for name in re.findall(r'from "(d3-[a-z]+)"', path.read_text("utf-8"))
    }
    assert needed <= named.keys()
    assert {name: LOCKED[f"node_modules/{name}"]["version"] for name in named} == named
    assert all(LOCKED[f"node_modules/{name}"]["license"] == "ISC" for name in named)
    assert head.count("Permission to use, copy") == head.count("Copyright ") == len(re.findall(r"^d3-.*:$", head, re.M))


def test_versions_are_exact_and_hashes_say_what_is_meant() -> None:
    wanted = json.loads((SOURCES / "package.json").read_text("utf-8"))
    for name, version in {**wanted["dependencies"], **wanted["devDependencies"]}.items():
        assert LOCKED[f"node_modules/{name}"]["version"] == version
    assert all(package["integrity"].startswith("sha512-") for path, package in LOCKED.items() if path)
    assert "://" not in json.dumps(LOCKED)  # where packages come from is up to who builds


def test_building_it_again_gives_the_same_bytes(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = tmp_path / "src"
    shutil.copytree(SOURCES, folder, ignore=shutil.ignore_patterns("node_modules"))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([npm, *words], cwd=folder, capture_output=True, text=True, encoding="utf-8", timeout=120)

    installed = run("ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--fetch-retries=0")
    if installed.returncode and (found := re.search(UNREACHABLE, installed.stderr)):
        pytest.skip(f"npm can't reach its registry ({found[1]})")
    assert installed.returncode == 0, installed.stderr
    built = run("run", "build")
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "report.js").read_bytes() == (WEB / "report.js").read_bytes(), "run `make report-js`"
