"""The search of 07_hardware_aware.py on Ray: here a cluster of its own on this machine, elsewhere the address of yours.

Trials that run at the same time share the machine, which their latencies show; on a cluster give each one a machine:
RayEngine("head:6379", cpus=16). Run it with: pip install "fxnas[ray]", python examples/08_ray.py
"""

import sys
from pathlib import Path

import fxnas
from fxnas.named import load_object
from fxnas.strategies import Nsga2

EXAMPLE = Path(__file__).with_name("07_hardware_aware.py")


def main() -> None:
    space = load_object(f"{EXAMPLE}:graph", what="graph")().space
    try:
        result = fxnas.search(
            f"{EXAMPLE}:graph",  # names, not objects: each worker makes its own
            Nsga2(space, population=6),
            f"{EXAMPLE}:evaluate",
            trials=6,
            workers=2,
            engine="ray",
            objectives=("score", "latency_ms"),
            study="hardware_aware.db",  # stays here: if the cluster is lost, the same search goes on with another
        )
    except fxnas.errors.FxnasError as error:
        sys.exit(f"the search can't run: {error}")
    for trial in result.pareto("score", "latency_ms"):
        print(
            f"{trial.metrics['latency_ms']:6.2f} ms  accuracy {trial.score:.3f}  on {trial.host}, process {trial.pid}"
        )


if __name__ == "__main__":
    main()
