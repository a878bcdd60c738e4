"""Under which decisions each node of a graph is needed.

One pass from the output backwards. A value is needed where something needed uses it, through a `choose` or `switch`
only where that takes it. A node that writes to memory is needed where something reads that memory afterwards, under the
guard that eager Python would have run it. A node with an effect that others can see is needed under its guard.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from torch.fx import Graph, Node
from torch.fx.node import map_aggregate

from fxnas import mixing, ops
from fxnas.conditions import ALWAYS, NEVER, TRAINING, TRAINING_KEY, Condition, all_of, any_of, chosen, negate, present


def is_choose(node: Node) -> bool:
    """Whether the node is a `choose`."""
    return node.op == "call_function" and node.target is ops.choose


def is_switch(node: Node) -> bool:
    """Whether the node is a `switch`."""
    return node.op == "call_function" and node.target is ops.switch


def is_mix(node: Node) -> bool:
    """Whether the node is a `mix`."""
    return node.op == "call_function" and node.target is mixing.mix


def is_decided(node: Node) -> bool:
    """Whether a decision says what runs below the node."""
    return is_choose(node) or is_switch(node) or is_mix(node)


def switch_condition(node: Node) -> Condition:
    """Where a `switch` gives its first value."""
    key, candidate = node.kwargs["key"], node.kwargs["candidate"]
    if key == TRAINING_KEY:
        return TRAINING
    assert isinstance(key, str) and isinstance(node.kwargs["candidates"], tuple)
    count, n_chosen = len(node.kwargs["candidates"]), node.kwargs["n_chosen"]
    if candidate is None:
        return present(key, count, n_chosen)  # type: ignore[arg-type]
    return chosen(key, candidate, count, n_chosen)  # type: ignore[arg-type]


def option_condition(node: Node, index: int) -> Condition:
    """Where a `choose` or `mix` takes its option of that index."""
    key, candidates, n_chosen = node.kwargs["key"], node.kwargs["candidates"], node.kwargs["n_chosen"]
    return chosen(key, index, len(candidates), n_chosen)  # type: ignore[arg-type]


def inputs_of(node: Node) -> Iterator[tuple[Node, Condition]]:
    """The nodes that a node uses, each with the condition under which it uses it."""
    if is_choose(node) or is_mix(node):
        for i, option in enumerate(node.args[0]):  # type: ignore[arg-type]
            yield from ((used, option_condition(node, i)) for used in _nodes(option))
        yield from ((used, ALWAYS) for used in _nodes((node.args[1:], node.kwargs.get("device"))))
    elif is_switch(node):
        condition = switch_condition(node)
        yield from ((used, condition) for used in _nodes(node.args[0]))
        yield from ((used, negate(condition)) for used in _nodes(node.args[1]))
    else:
        yield from ((used, ALWAYS) for used in node.all_input_nodes)


def _nodes(value: Any) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _nodes(item)


def needs(graph: Graph) -> dict[Node, Condition]:
    """The condition of each node; NEVER for a dead one.

    Reads `node.meta`: `guard` (default ALWAYS), `storages` and `mutates` (numbers of storages), `effect`.
    """
    users: dict[Node, list[Condition]] = {}
    readers: dict[int, list[Condition]] = {}
    found: dict[Node, Condition] = {}
    written = {storage for node in graph.nodes for storage in node.meta.get("mutates", ())}
    for node in reversed(graph.nodes):
        condition = found[node] = _need(node, users.pop(node, []), readers)
        if condition is NEVER:
            continue
        for used, when in inputs_of(node):
            edge = ALWAYS if condition is when is ALWAYS else all_of([condition, when])
            if edge is NEVER:
                continue
            users.setdefault(used, []).append(edge)
            for storage in written.intersection(used.meta.get("storages", ())) if written else ():
                readers.setdefault(storage, []).append(edge)
    return found


def _need(node: Node, uses: list[Condition], readers: dict[int, list[Condition]]) -> Condition:
    if node.op == "output" or node.op == "placeholder":
        return ALWAYS
    guard = guard_of(node)
    if node.meta.get("effect"):
        return guard
    reads = [read for storage in node.meta.get("mutates", ()) for read in readers.get(storage, ())]
    if reads:
        uses.append(all_of([guard, any_of(dict.fromkeys(reads))]))
    return ALWAYS if ALWAYS in uses else any_of(dict.fromkeys(uses))


def erase_dead(graph: Graph) -> int:
    """Erases the nodes that no decision needs; writes to memory that is read later stay, and so do placeholders.

    Where a choice or switch names a dead node for a case that never arises, None takes its place.

    Returns:
        the number of erased nodes.
    """
    conditions = needs(graph)
    dead = [node for node in reversed(graph.nodes) if conditions[node] is NEVER]
    for node in dead:
        for user in list(node.users):
            user.args = map_aggregate(user.args, partial(_without, node))
        graph.erase_node(node)
    return len(dead)


def _without(gone: Node, value: Any) -> Any:
    return None if value is gone else value


def guard_of(node: Node) -> Condition:
    """Under which decisions eager Python runs the node, whether or not its value is used."""
    guard: Condition = node.meta.get("guard", ALWAYS)
    return guard
