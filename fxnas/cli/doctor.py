"""`fxnas doctor`: is this environment in order?"""

from __future__ import annotations

import typer

from fxnas.cli import console
from fxnas.cli.options import Json


def doctor(json: Json = False) -> None:
    """Report versions, devices and ONNX Runtime providers; exit code 1 where something is wrong.

    For example:

      fxnas doctor

      fxnas doctor --json
    """
    from fxnas.doctor import diagnose

    found = diagnose()
    if json:
        console.print_json(found.to_json())
    else:
        rows = [(name, version or "–") for name, version in found.versions.items()]
        rows += [("devices", ", ".join(found.devices)), ("ONNX Runtime runs on", ", ".join(found.providers))]
        console.print_table(("what", "found"), rows)
        for remark in found.remarks:
            console.print_text(f"note: {remark}")
        for problem in found.problems:
            console.print_text(f"problem: {problem}")
        if not found.problems:
            console.print_text("all is well")
    if found.problems:
        raise typer.Exit(1)
