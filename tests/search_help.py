"""Searches on a bare space, where a trial costs nothing, that several test files share."""

from __future__ import annotations

from typing import Any

from spaces import nested_space

import fxnas
from fxnas.architecture import Architecture
from fxnas.search import SearchResult
from fxnas.space import SearchSpace
from fxnas.strategies import RegularizedEvolution, Strategy

SPACE = nested_space()


def score(architecture: Architecture) -> float:
    return float(sum(sum(decision) for decision in architecture.values()))


def evolution(space: SearchSpace = SPACE, seed: int = 0) -> RegularizedEvolution:
    return RegularizedEvolution(space, seed=seed, population=4, sample_size=2)


def search(strategy: Strategy | None = None, evaluator: Any = score, **options: Any) -> SearchResult:
    return fxnas.search(SPACE, strategy or evolution(), evaluator, **{"trials": 20, "progress": False, **options})


def outcome(result: Any) -> list[tuple[Architecture, str, float | None]]:
    return [(trial.architecture, trial.state, trial.score) for trial in result.trials]
