"""Runs the benchmarks but the long ones (`supernets.py`, `killing.py`), one process each, and prints what they print.

make bench
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ("graph", "oneshot", "tracing", "costs", "faults", "study", "workers", "strategies")


def main() -> int:
    """0 when all of them ran."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    failed = []
    for name in BENCHMARKS:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py")]
        if subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
