"""Which of several points no other one beats, and how crowded each place is; higher is better."""

from __future__ import annotations

import math
from collections.abc import Sequence

Point = tuple[float, ...]


def dominates(one: Point, other: Point) -> bool:
    """True if `one` is nowhere worse than `other` and somewhere better."""
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def first_front(points: Sequence[Point]) -> list[int]:
    """The positions of the points that no other one beats, in order; equal points don't beat each other."""
    found: list[int] = []
    # Whatever beats a point sorts before it, so that only those kept so far need to be asked.
    for i in sorted(range(len(points)), key=lambda i: points[i], reverse=True):
        if not any(dominates(points[kept], points[i]) for kept in found):
            found.append(i)
    return sorted(found)


def fronts(points: Sequence[Point]) -> list[list[int]]:
    """The positions of the points, front by front: each is beaten only by points of earlier ones."""
    beats: list[list[int]] = [[] for _ in points]
    beaten = [0] * len(points)
    for i, one in enumerate(points):
        for j, other in enumerate(points):
            if dominates(one, other):
                beats[i].append(j)
                beaten[j] += 1
    found: list[list[int]] = []
    current = [i for i, count in enumerate(beaten) if count == 0]
    while current:
        found.append(current)
        following = []
        for i in current:
            for j in beats[i]:
                beaten[j] -= 1
                if beaten[j] == 0:
                    following.append(j)
        current = sorted(following)
    return found


def crowding(points: Sequence[Point]) -> list[float]:
    """For each point of a front the distance between its neighbors, summed over objectives; infinite at the ends."""
    distances = [0.0] * len(points)
    for objective in range(len(points[0]) if points else 0):
        order = sorted(range(len(points)), key=lambda i: points[i][objective])
        values = [points[i][objective] for i in order]
        distances[order[0]] = distances[order[-1]] = math.inf
        width = values[-1] - values[0]
        if not 0 < width < math.inf:
            continue
        for place in range(1, len(order) - 1):
            distances[order[place]] += (values[place + 1] - values[place - 1]) / width
    return distances
