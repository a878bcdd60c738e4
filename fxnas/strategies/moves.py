"""Small changes of architectures: what strategies that walk through the space share."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from functools import lru_cache

from fxnas import subsets
from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.space import SearchSpace

Decision = tuple[int, ...]
Move = tuple[str, Decision]

SAMPLES = 20  # draws before an unseen architecture is looked for one by one
STEPS = 100  # of a walk to an unseen architecture


def built(space: SearchSpace, decision_of: Callable[[Choice], Decision]) -> Architecture:
    """The canonical architecture of legal decisions; `decision_of(choice)` is asked for active choices only."""
    return Architecture.trusted(space.activity.resolve(decision_of), space)


def drawn(choice: Choice, rng: random.Random) -> Decision:
    """A decision of a choice, drawn uniformly."""
    return choice.decision(rng.randrange(choice.count))


def steps(space: SearchSpace, architecture: Architecture, key: str) -> tuple[Decision, ...]:
    """The decisions of one choice that are one step away."""
    choice = space[key]
    return _adjacent(len(choice.candidates), choice.n_chosen, architecture[key])


@lru_cache(maxsize=4096)
def _adjacent(count: int, n_chosen: int | None, decision: Decision) -> tuple[Decision, ...]:
    return tuple(subsets.adjacent(count, n_chosen, decision))


def moves(space: SearchSpace, architecture: Architecture) -> list[Move]:
    """Every change of one decision by one step, in the order of the choices: a key and its new decision."""
    return [(key, step) for key in architecture for step in steps(space, architecture, key)]


def moved(space: SearchSpace, architecture: Architecture, move: Move, rng: random.Random) -> Architecture:
    """The architecture with one decision changed; decisions that this brings into play are drawn uniformly."""
    key, decision = move
    if not space.activity.conditional:
        return Architecture.trusted(dict(architecture.items()) | {key: decision}, space)

    def decide(choice: Choice) -> Decision:
        if choice.key == key:
            return decision
        return architecture[choice.key] if choice.key in architecture else drawn(choice, rng)

    return built(space, decide)


def mutated(space: SearchSpace, architecture: Architecture, rng: random.Random, count: int = 1) -> Architecture:
    """The architecture after `count` random steps: a decision drawn uniformly, then one of its steps."""
    for _ in range(count):
        changeable = [key for key in architecture if space[key].count > 1]
        if not changeable:
            return architecture
        key = rng.choice(changeable)
        architecture = moved(space, architecture, (key, rng.choice(steps(space, architecture, key))), rng)
    return architecture


def crossed(space: SearchSpace, one: Architecture, other: Architecture, rng: random.Random) -> Architecture:
    """A child that has each decision from one of its parents, and draws those that neither has."""

    def decide(choice: Choice) -> Decision:
        parents = [parent[choice.key] for parent in (one, other) if choice.key in parent]
        return rng.choice(parents) if parents else drawn(choice, rng)

    return built(space, decide)


def latin(space: SearchSpace, rng: random.Random, count: int) -> list[Architecture]:
    """A Latin hypercube of `count` architectures (McKay et al. 1979): each choice goes evenly through its decisions."""
    places = {key: rng.sample(range(count), count) for key in space}

    def decide(number: int) -> Callable[[Choice], Decision]:
        def decision(choice: Choice) -> Decision:
            place = places[choice.key][number]
            return choice.decision((place * choice.count + rng.randrange(choice.count)) // count)

        return decision

    return [built(space, decide(number)) for number in range(count)]


def near(
    space: SearchSpace,
    start: Architecture,
    rng: random.Random,
    seen: Collection[Architecture],
    allows: Callable[[Architecture], bool] = lambda _: True,
) -> Architecture | None:
    """The first unseen architecture on a random walk; any unseen one where the walk finds none; None for none at all.

    Args:
        space: the space.
        start: where the walk starts.
        rng: the source of randomness.
        seen: canonical architectures of the space, a set or a dict.
        allows: where the walk may go, and what may be returned.
    """
    walker = start
    for _ in range(STEPS if len(seen) < space.size else 0):
        step = mutated(space, walker, rng)
        if allows(step):
            walker = step
            if walker not in seen:
                return walker
    found = unseen(space, rng, seen)
    return found if found is not None and allows(found) else None


def unseen(space: SearchSpace, rng: random.Random, seen: Collection[Architecture]) -> Architecture | None:
    """An architecture that isn't in `seen`: random draws first, then one after another; None when all are seen.

    Args:
        space: the space.
        rng: the source of randomness.
        seen: canonical architectures of the space, a set or a dict.
    """
    if len(seen) >= space.size:
        return None
    for _ in range(SAMPLES):
        architecture = space.sample(rng)
        if architecture not in seen:
            return architecture
    rank = rng.randrange(space.size)
    while (architecture := space.architecture(rank)) in seen:
        rank = (rank + 1) % space.size
    return architecture
