"""Writes that reach others through a choice: a chosen value is the option itself, a mixed one is a copy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch.fx import Node

from fxnas.ir.writes import old_reads


class Crossing(NamedTuple):
    """A write on one side of a choice that is read on the other.

    Attributes:
        write: the call that writes.
        reader: who reads it; None for whoever holds an input, a parameter or a buffer.
    """

    write: Node
    reader: Node | None


def crossings(choice: Node) -> Iterator[Crossing]:
    """The writes after a `choose` whose effect crosses it: from its result to its options, or back."""
    memory = set(choice.meta.get("storages", ()))
    writes = [node for node in _after(choice) if not memory.isdisjoint(node.meta.get("mutates", ()))]
    beyond = _descendants(choice) if writes else set()
    for write in writes:
        through = any(used in beyond for used in _written(write))
        if through and write.meta.get("effect"):
            yield Crossing(write, None)
        for read in old_reads(write):
            if read.later and (read.value in beyond) is not through:
                yield Crossing(write, read.reader)


def _after(node: Node) -> Iterator[Node]:
    while (node := node.next).op != "root":
        yield node


def _written(write: Node) -> Iterator[Node]:
    mutated = set(write.meta["mutates"])
    return (used for used in write.all_input_nodes if not mutated.isdisjoint(used.meta.get("storages", ())))


def _descendants(node: Node) -> set[Node]:
    """The node and all that is computed from it."""
    found, waiting = {node}, [node]
    while waiting:
        for user in waiting.pop().users:
            if user not in found:
                found.add(user)
                waiting.append(user)
    return found
