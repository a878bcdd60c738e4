"""Legal decisions as subsets of 0..n-1: counting, listing, and numbering them.

`size` is the number of chosen elements, or None for any number. Subsets of one size are numbered in lexicographic
order; subsets of any size by their bit mask (bit i set: i is chosen).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import comb


def count(n: int, size: int | None) -> int:
    """The number of subsets."""
    return 2**n if size is None else comb(n, size)


def listed(n: int, size: int | None) -> Iterator[tuple[int, ...]]:
    """Every subset, in the order of their numbers."""
    if size is not None:
        return combinations(range(n), size)
    return (unrank(n, None, number) for number in range(2**n))


def unrank(n: int, size: int | None, number: int) -> tuple[int, ...]:
    """The subset with the given number, in 0..count-1."""
    if size is None:
        return tuple(i for i in range(n) if number >> i & 1)
    if size == 1:
        return (number,)
    subset: list[int] = []
    for i in range(n):
        with_i = comb(n - i - 1, size - len(subset) - 1) if len(subset) < size else 0
        if number < with_i:
            subset.append(i)
        else:
            number -= with_i
    return tuple(subset)


def rank(n: int, size: int | None, subset: Sequence[int]) -> int:
    """The number of a sorted subset."""
    if size is None:
        return sum(1 << i for i in subset)
    number, previous = 0, -1
    for position, i in enumerate(subset):
        left = size - position - 1
        number += sum(comb(n - j - 1, left) for j in range(previous + 1, i))
        previous = i
    return number


def adjacent(n: int, size: int | None, subset: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The subsets one step away: one element toggled where any size is legal, else one exchanged."""
    if size is None:
        for i in range(n):
            yield tuple(sorted(set(subset) ^ {i}))
        return
    for old in subset:
        for new in range(n):
            if new not in subset:
                yield tuple(sorted(set(subset) - {old} | {new}))
