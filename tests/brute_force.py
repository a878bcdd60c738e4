"""Small random search spaces, and what their canonical architectures are by definition, found by trying everything."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from math import prod

from fxnas.choice import Choice
from fxnas.conditions import ALWAYS, Condition, all_of, any_of, chosen, negate, present
from fxnas.space import SearchSpace

Decisions = dict[str, tuple[int, ...]]


def random_condition(rng: random.Random, choices: list[Choice], depth: int) -> Condition:
    """An expression over `choices`, at most `depth` operators deep."""
    if depth == 0 or rng.random() < 0.3:
        choice = rng.choice(choices)
        count = len(choice.candidates)
        if rng.random() < 0.25:
            return present(choice.key, count, choice.n_chosen)
        return chosen(choice.key, rng.randrange(count), count, choice.n_chosen)
    operator = rng.choice([all_of, any_of, negate])
    if operator is negate:
        return negate(random_condition(rng, choices, depth - 1))
    return operator([random_condition(rng, choices, depth - 1) for _ in range(rng.randint(2, 3))])


def random_choice(rng: random.Random, key: str) -> Choice:
    """A choice of up to three candidates."""
    count = rng.randint(1, 3)
    names = tuple(f"c{i}" for i in range(count))
    if rng.random() < 0.5:
        return Choice(key, "layer_choice", names, 1)
    return Choice(key, "input_choice", names, rng.choice([None, None, *range(count + 1)]))


def random_space(rng: random.Random, *, circles: bool = False, most: int = 120) -> SearchSpace:
    """Up to five choices with at most `most` combinations, each of which may depend on others.

    Args:
        rng: the source of randomness.
        circles: choices may depend on each other in circles.
        most: limit of the product of the decisions.
    """
    while True:
        choices = [random_choice(rng, f"k{i}") for i in range(rng.randint(1, 5))]
        if prod(choice.count for choice in choices) <= most:
            break
    order = rng.sample(range(len(choices)), len(choices))
    active = dict.fromkeys(order, ALWAYS)
    for position, number in enumerate(order):
        others = [choices[i] for i in (order if circles else order[:position]) if i != number]
        if others and rng.random() < 0.7:
            active[number] = random_condition(rng, others, rng.randint(0, 3))
    return SearchSpace(
        Choice(c.key, c.kind, c.candidates, c.n_chosen, active[number]) for number, c in enumerate(choices)
    )


def combinations(space: Mapping[str, Choice]) -> list[Decisions]:
    """Every combination of decisions, whether they play a role or not."""
    return [
        dict(zip(space, decisions, strict=True))
        for decisions in itertools.product(*(choice.decisions() for choice in space.values()))
    ]


def canonical(space: Mapping[str, Choice], given: Decisions, everything: list[Decisions]) -> Decisions:
    """The decisions that play a role: a choice does if it is active whatever the others (not yet found) decide."""
    known: Decisions = {}
    while True:
        possible = [other for other in everything if all(other[key] == known[key] for key in known)]
        found = [
            key for key, c in space.items() if key not in known and all(c.active.holds(other) for other in possible)
        ]
        if not found:
            return known
        known |= {key: given[key] for key in found}


def canonical_architectures(space: Mapping[str, Choice]) -> set[frozenset[tuple[str, tuple[int, ...]]]]:
    """All canonical architectures of a small space."""
    everything = combinations(space)
    return {frozenset(canonical(space, given, everything).items()) for given in everything}
