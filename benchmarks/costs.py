"""Cost models of NAS-Bench-Macro's network: making one, one lookup, many lookups, the expected cost.

python benchmarks/costs.py
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from fxnas import costs
from fxnas.trace import trace
from fxnas.zoo import NasBenchMacro

REPEATS = 7


def seconds(function: Callable[[], Any]) -> float:
    """The median time of some runs, after one that doesn't count."""
    function()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return median(times)


def main() -> None:
    torch.set_num_threads(1)
    graph = trace(NasBenchMacro().eval(), torch.randn(2, 3, 32, 32))
    kinds = {"params": costs.params, "flops": costs.flops, "elementwise": costs.elementwise, "memory": costs.memory}
    for name, make in kinds.items():
        print(f"making {name} of {graph!r}: {1e3 * seconds(lambda m=make: m(graph)):.0f} ms")
    flops = costs.flops(graph)
    found = [graph.space.sample(random.Random(seed)) for seed in range(1000)]
    written = [a.to_json() for a in found]
    print(f"one lookup: {1e3 * seconds(lambda: [flops(a) for a in found]):.1f} µs for an Architecture")
    print(f"one lookup: {1e3 * seconds(lambda: [flops(a) for a in written]):.1f} µs for a dict of names")
    for dtype in (np.int64, np.uint8):
        rows = np.random.default_rng(0).integers(0, 3, (2_000_000, 8)).astype(dtype)
        rate = len(rows) / seconds(lambda r=rows: flops.many(r)) / 1e6
        print(f"many: {rate:.0f} million architectures/s from {dtype.__name__}")
    likely = {key: torch.full((3,), 1 / 3, requires_grad=True) for key in graph.space}
    print(f"expected: {1e6 * seconds(lambda: flops.expected(likely)):.0f} µs")
    print(f"expected and its gradient: {1e6 * seconds(lambda: flops.expected(likely).backward()):.0f} µs")


if __name__ == "__main__":
    main()
