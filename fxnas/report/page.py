"""The page of a report: one HTML file that runs only the script it was written with, and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from fxnas.files import write_atomic
from fxnas.report.data import report_data
from fxnas.study import Study

_START = "fxnasReport.start();\n"  # the script only defines this name, so that tests can call its functions by it


def write_report(study: Study, path: str | Path, *, front: Sequence[str] = (), title: str | None = None) -> None:
    """Writes a study as one HTML page, whole or not at all: `fxnas report` on the command line.

    Args:
        study: what to report on.
        path: where to; an existing file is replaced.
        front: two columns for the Pareto front, as `report_data` takes them.
        title: what the page is headed; by default the study's file name without ending.

    Raises:
        FxnasError: the study has not begun, or there is no such column.
        SearchSpaceError: the study is damaged.
        ExportError: the file can't be written.
    """
    write_atomic(path, report_page(report_data(study, front=front, title=title)))


def report_page(data: Mapping[str, Any]) -> str:
    """The page with its data, as HTML.

    The only code that a browser runs in it is the script with the hash that the page's policy names. The data is JSON
    in an element that is never run, and reaches the document as text only.

    Args:
        data: what `report_data` returns.
    """
    script = _web("report.js") + _START
    style = _web("page.css")
    parts = {
        "policy": f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'",
        "style": style,
        "data": _embedded(data),
        "script": script,
    }
    # One pass, so that a part that looks like a placeholder stays what it is.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _web("page.html"))


def _web(name: str) -> str:
    return files("fxnas.report").joinpath("web", name).read_text("utf-8")


def _source(text: str) -> str:
    """How a policy names an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _embedded(data: Mapping[str, Any]) -> str:
    """JSON that no HTML parser takes for a tag or the end of its element."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
