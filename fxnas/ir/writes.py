"""In-place writes: who reads, by a name from before the write, the memory that a call overwrites."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch.fx import Node

from fxnas.conditions import ALWAYS, NEVER, TRAINING_KEY, Condition, all_of, any_of, negate
from fxnas.counting.tautology import always_true
from fxnas.ir.liveness import guard_of, inputs_of


class OldRead(NamedTuple):
    """A node that reads written memory by a value from before the write.

    Attributes:
        reader: the node.
        value: what it reads.
        when: where eager Python does so.
        later: whether it stands after the write.
    """

    reader: Node
    value: Node
    when: Condition
    later: bool


def old_reads(write: Node) -> Iterator[OldRead]:
    """The reads of what `write` overwrites by other values than its own result, in graph order."""
    written = set(write.meta.get("mutates", ()))
    old: set[Node] = set()
    later = False
    for node in write.graph.nodes:
        if node is write:
            later = True
            continue
        for value, when in inputs_of(node):
            if value in old and (runs := all_of([guard_of(node), when])) is not NEVER:
                yield OldRead(node, value, runs, later)
        if not later and not written.isdisjoint(node.meta.get("storages", ())):
            old.add(node)


def is_written(value: Node) -> bool:
    """Whether a call of the graph writes to memory that the value may share: it is not the same everywhere then."""
    memory = set(value.meta.get("storages", ()))
    return any(not memory.isdisjoint(node.meta.get("mutates", ())) for node in value.graph.nodes)


def is_shared_write(node: Node) -> bool:
    """Whether the node overwrites what some architecture reads without running the node.

    Such a write is right as long as one architecture runs at a time. Where candidates are mixed all of them run, and a
    later reader gets the new value. An earlier reader in another candidate has what it needs, but autograd may have
    kept the memory for its gradient.
    """
    guard = guard_of(node)
    if guard is ALWAYS or not node.meta.get("mutates"):
        return False
    return any(not implies(read.when, guard) if read.later else disjoint(read.when, guard) for read in old_reads(node))


def implies(one: Condition, other: Condition) -> bool:
    """Whether `other` holds wherever `one` does. A mode in which `other` can't hold at all is left out."""
    for training in ((), (0,)):
        then = other.under(TRAINING_KEY, training)
        if then is not NEVER and not _always(any_of([negate(one.under(TRAINING_KEY, training)), then])):
            return False
    return True


def disjoint(one: Condition, other: Condition) -> bool:
    """Whether the two never hold together."""
    return _always(negate(all_of([one, other])))


def _always(condition: Condition) -> bool:
    return always_true(condition, {atom.key: (atom.count, atom.n_chosen) for atom in condition.atoms()})


def renumber(first: Node, new: int) -> None:
    """Notes that `first` holds memory of its own from here on: storage `new`.

    What got its memory from `first`, directly or not, shares the new storage in place of the old one; what may have got
    it from elsewhere too shares both.
    """
    before = {node: node.meta.get("storages", ()) for node in first.graph.nodes}
    old = frozenset(before[first])
    if not old:
        return
    first.meta["storages"] = (new,)
    node = first.next
    while node.op != "root":
        for note in ("storages", "mutates"):
            if node.meta.get(note):
                moved = (place for number in node.meta[note] for place in _moved(node, number, new, old, before))
                node.meta[note] = tuple(dict.fromkeys(moved))
        node = node.next


def _moved(
    node: Node, number: int, new: int, old: frozenset[int], before: dict[Node, tuple[int, ...]]
) -> Iterator[int]:
    sources = [used for used in _sources(node, before) if number in before[used]]
    if number not in old or not sources:
        yield number
    else:
        yield from (place for used in sources for place in used.meta["storages"] if place in (number, new))


def _sources(node: Node, before: dict[Node, tuple[int, ...]]) -> Iterator[Node]:
    """The inputs that have notes of their memory; a tuple of tensors has none, so its own inputs count."""
    for used in node.all_input_nodes:
        if before[used]:
            yield used
        else:
            yield from _sources(used, before)
