"""Evolution over architectures that cost little to score, as on a trained supernet (arXiv 1904.00420, algorithm 1)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.errors import FxnasError
from fxnas.space import SearchSpace
from fxnas.strategies.moves import built, crossed, drawn

DRAWS = 1000  # without a new architecture, before a generation stays as small as it is


@dataclass(frozen=True)
class Limit:
    """A limit of what architectures may cost.

    Attributes:
        cost: from an architecture to a number; a cost model of `fxnas.costs`, or a function.
        most: the largest cost that is allowed.
    """

    cost: Callable[[Architecture], float]
    most: float

    def allows(self, architecture: Architecture) -> bool:
        """Whether the architecture keeps to the limit."""
        return self.cost(architecture) <= self.most


@dataclass(frozen=True)
class Evolution:
    """How a population evolves; the defaults are those of the paper.

    Attributes:
        population: architectures in a generation.
        parents: the best so far, which the next generation comes from.
        crossovers: children of two parents.
        mutations: children of one parent.
        probability: of each decision to be drawn anew in a mutation.
        generations: how many there are.

    Raises:
        FxnasError: a number is out of range.
    """

    population: int = 50
    parents: int = 10
    crossovers: int = 25
    mutations: int = 25
    probability: float = 0.1
    generations: int = 20

    def __post_init__(self) -> None:
        least = {"population": 1, "parents": 1, "crossovers": 0, "mutations": 0, "generations": 1}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise FxnasError(f"{name} is at least {smallest}, got {getattr(self, name)}")
        if not 0 <= self.probability <= 1:
            raise FxnasError(f"probability is between 0 and 1, got {self.probability}")

    def run(
        self, space: SearchSpace, score: Callable[[Architecture], float], rng: random.Random, limit: Limit | None = None
    ) -> Architecture:
        """The best architecture that was met; of equal ones the first.

        Args:
            space: the search space.
            score: larger is better.
            rng: the source of randomness.
            limit: what all architectures keep to.

        Raises:
            FxnasError: no architecture was found that keeps to the limit.
        """
        scores: dict[Architecture, float] = {}
        generation = distinct(self.population, lambda: draw(space, rng, limit), scores)
        for _ in range(self.generations):
            scores.update((each, score(each)) for each in generation)
            best = sorted(scores, key=lambda each: -scores[each])[: self.parents]
            generation = self._children(space, best, scores, rng, limit)
        return max(scores, key=lambda each: scores[each])

    def _children(
        self,
        space: SearchSpace,
        best: list[Architecture],
        seen: dict[Architecture, float],
        rng: random.Random,
        limit: Limit | None,
    ) -> list[Architecture]:
        def mutant() -> Architecture:
            return _mutated(space, rng.choice(best), self.probability, rng)

        def child() -> Architecture:
            return crossed(space, rng.choice(best), rng.choice(best), rng)

        kept = seen.copy()
        children = distinct(self.crossovers, child, kept, limit) + distinct(self.mutations, mutant, kept, limit)
        fresh = self.population - len(children)
        return children + distinct(fresh, lambda: draw(space, rng, limit), kept)


def draw(space: SearchSpace, rng: random.Random, limit: Limit | None = None) -> Architecture:
    """An architecture whose choices are decided one by one, each uniformly.

    Args:
        space: the search space.
        rng: the source of randomness.
        limit: draws are repeated until one keeps to it.

    Raises:
        FxnasError: none of 1,000 draws does; the message tells the smallest cost among them.
    """
    drawings = (built(space, lambda choice: drawn(choice, rng)) for _ in range(DRAWS))
    if limit is None:
        return next(drawings)
    costs = []
    for architecture in drawings:
        costs.append(limit.cost(architecture))
        if costs[-1] <= limit.most:
            return architecture
    raise FxnasError(
        f"none of {DRAWS} random architectures costs at most {limit.most}; the cheapest of them costs {min(costs)}"
    )


def distinct(
    count: int, make: Callable[[], Architecture], seen: dict[Architecture, float], limit: Limit | None = None
) -> list[Architecture]:
    """Up to `count` new architectures, noted in `seen`; fewer where 1,000 attempts in a row give nothing new."""
    found: list[Architecture] = []
    misses = 0
    while len(found) < count and misses < DRAWS:
        architecture = make()
        if architecture in seen or (limit is not None and not limit.allows(architecture)):
            misses += 1
            continue
        seen[architecture] = float("-inf")
        found.append(architecture)
        misses = 0
    return found


def _mutated(space: SearchSpace, parent: Architecture, probability: float, rng: random.Random) -> Architecture:
    def decide(choice: Choice) -> tuple[int, ...]:
        kept = choice.key in parent and rng.random() >= probability
        return parent[choice.key] if kept else drawn(choice, rng)

    return built(space, decide)
