"""Counting, numbering and sampling the canonical architectures of a space, exactly.

The space is compiled into a diagram of three kinds of node: a *leaf* (decide freely among some candidates of a choice),
a *branch* (is one candidate chosen or not) and a *product* (independent parts). Choices become branches only where a
condition still depends on them; parts that share no condition are compiled apart, and equal parts once. Every path
through the diagram is one canonical architecture, so counts add and multiply.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod

from fxnas import subsets

Decision = tuple[int, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Leaf:
    """Choose `need` of the candidates `left` of choice `key`; None: any number."""

    key: str
    left: Decision
    need: int | None
    count: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", subsets.count(len(self.left), self.need))


@dataclass(frozen=True, eq=False, slots=True)
class Branch:
    """Candidate `candidate` of choice `key` is refused (`no`) or taken (`yes`); None where that is impossible."""

    key: str
    candidate: int
    no: Node | None
    yes: Node | None
    count: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", sum(n.count for n in (self.no, self.yes) if n is not None))


@dataclass(frozen=True, eq=False, slots=True)
class Product:
    """Independent parts; the first one is the most significant in numbers."""

    parts: tuple[Node, ...]
    count: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", prod(part.count for part in self.parts))


Node = Leaf | Branch | Product


def unrank(root: Node, number: int) -> dict[str, Decision]:
    """The decisions of the architecture with the given number, in 0..count-1; keys in no particular order."""
    chosen: dict[str, list[int]] = {}
    stack: list[tuple[Node, int]] = [(root, number)]
    while stack:
        node, number = stack.pop()
        if isinstance(node, Leaf):
            positions = subsets.unrank(len(node.left), node.need, number)
            chosen.setdefault(node.key, []).extend(node.left[i] for i in positions)
        elif isinstance(node, Branch):
            stack.append(_side(node, number, chosen.setdefault(node.key, [])))
        else:
            for part in reversed(node.parts):
                number, digit = divmod(number, part.count)
                stack.append((part, digit))
    return {key: tuple(sorted(indices)) for key, indices in chosen.items()}


def _side(node: Branch, number: int, chosen: list[int]) -> tuple[Node, int]:
    refused = node.no.count if node.no is not None else 0
    if node.no is not None and number < refused:
        return node.no, number
    assert node.yes is not None
    chosen.append(node.candidate)
    return node.yes, number - refused


def rank(root: Node, decisions: Mapping[str, Decision]) -> int:
    """The number of a canonical architecture, the reverse of `unrank`."""
    number = 0
    stack: list[tuple[Node, int]] = [(root, 1)]
    while stack:
        node, weight = stack.pop()
        if isinstance(node, Leaf):
            chosen = set(decisions[node.key])
            positions = [position for position, i in enumerate(node.left) if i in chosen]
            number += weight * subsets.rank(len(node.left), node.need, positions)
        elif isinstance(node, Branch):
            taken = node.candidate in decisions[node.key]
            side = node.yes if taken else node.no
            assert side is not None
            number += weight * node.no.count if taken and node.no is not None else 0
            stack.append((side, weight))
        else:
            stack.extend(_weighted(node.parts, weight))
    return number


def _weighted(parts: tuple[Node, ...], weight: int) -> Iterable[tuple[Node, int]]:
    for part in reversed(parts):
        yield part, weight
        weight *= part.count
