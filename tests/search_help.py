"""What several test files do with searches: on a bare space, where a trial costs nothing, and with processes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from spaces import nested_space

import fxnas
from fxnas.architecture import Architecture
from fxnas.search import SearchResult
from fxnas.space import SearchSpace
from fxnas.strategies import RegularizedEvolution, Strategy
from fxnas.strategy_contract import separable

SPACE = nested_space()


def score(architecture: Architecture) -> float:
    return float(sum(sum(decision) for decision in architecture.values()))


def evolution(space: SearchSpace = SPACE, seed: int = 0) -> RegularizedEvolution:
    return RegularizedEvolution(space, seed=seed, population=4, sample_size=2)


def search(strategy: Strategy | None = None, evaluator: Any = score, **options: Any) -> SearchResult:
    return fxnas.search(SPACE, strategy or evolution(), evaluator, **{"trials": 20, "progress": False, **options})


def outcome(result: Any) -> list[tuple[Architecture, str, float | None]]:
    return [(trial.architecture, trial.state, trial.score) for trial in result.trials]


def asked(strategy: Strategy, trials: int) -> list[Architecture]:
    """What a strategy proposes that is told a separable reward each time."""
    proposals = []
    for _ in range(trials):
        proposals.append(strategy.ask())
        strategy.tell(proposals[-1], separable(proposals[-1]))
    return proposals


def ends(pid: int) -> bool:
    """Whether a process ends (or is only waiting to be reaped) within some seconds."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False
