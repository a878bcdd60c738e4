"""Which choices are superkernels: candidates that are one chain of layers, with convolutions of several sizes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.fx import Node

from fxnas.choice import Choice
from fxnas.errors import PassError
from fxnas.graph import ChoiceGraph
from fxnas.ir.liveness import guard_of, is_choose, is_switch
from fxnas.modules import attribute
from fxnas.passes.aliases import crossings
from fxnas.passes.alignment import CONVOLUTIONS, Column, Obstacle, aligned
from fxnas.shells import Size


@dataclass(frozen=True)
class Shells:
    """A convolution whose weights lie in shells.

    Attributes:
        path: of the module.
        sizes: (inputs in a group, *kernel) of the core, then with each shell around it.
    """

    path: str
    sizes: tuple[Size, ...]


@dataclass(frozen=True)
class Superkernel:
    """What the candidates of a key merge into: the largest of them, in shells that may be left out.

    Attributes:
        key: the key of the choice.
        levels: for each candidate how many shells beside the core it has on each axis; None: it drops everything.
        axes: what varies independently; each the convolutions whose shells come and go together.
        core: what is dropped where everything is: of these convolutions the first size.
        slices: (path in a candidate, path in the largest one) of the modules and tensors of the smaller candidates.
    """

    key: str
    levels: tuple[tuple[int, ...] | None, ...]
    axes: tuple[tuple[Shells, ...], ...]
    core: tuple[Shells, ...]
    slices: tuple[tuple[str, str], ...]

    @property
    def drop(self) -> int | None:
        """The candidate that drops everything, if there is one."""
        return self.levels.index(None) if None in self.levels else None

    @property
    def counts(self) -> list[int]:
        """The number of shells on each axis, the core among them."""
        return [len(axis[0].sizes) for axis in self.axes]


@dataclass(frozen=True)
class Place:
    """One `choose` of a key.

    Attributes:
        node: the `choose`.
        regions: candidate → its nodes, in graph order.
        columns: the nodes of the candidates that have weights, side by side.
    """

    node: Node
    regions: Mapping[int, Sequence[Node]]
    columns: Sequence[Column]

    @property
    def kept(self) -> tuple[int, ...]:
        """The candidates that have weights."""
        return tuple(self.columns[0].nodes)


@dataclass(frozen=True)
class Merger:
    """A superkernel and where it stands.

    Attributes:
        superkernel: the superkernel.
        largest: the candidate that stays.
        places: the `choose` nodes of the key.
    """

    superkernel: Superkernel
    largest: int
    places: Sequence[Place]


def mergers(graph: ChoiceGraph) -> dict[str, Merger]:
    """The superkernel of each key that leaves something to choose.

    Raises:
        PassError: some choice can't be merged; the message names each, and why.
    """
    found, misses = {}, []
    for key, choice in graph.space.items():
        if choice.count == 1:
            continue
        try:
            found[key] = _merger(graph, choice)
        except Obstacle as obstacle:
            misses.append(f"choice {key!r} can't become one superkernel: {obstacle}")
    misses = misses or list(_shared_weights(graph, found))
    if misses:
        raise PassError("; ".join(misses))
    return found


def _merger(graph: ChoiceGraph, choice: Choice) -> Merger:
    if choice.kind != "layer_choice" or choice.n_chosen != 1:
        raise Obstacle("only one of several layers can, no choice of inputs and none of several layers")
    places = [_place(node, choice, graph) for node in _nodes_of(graph, choice.key)]
    kept = places[0].kept
    if any(place.kept != kept for place in places):
        raise Obstacle("the places that share the key differ in which candidates have weights")
    _check_guards(graph, choice, places)
    axes: dict[tuple[int, ...], list[tuple[Column, tuple[Size, ...]]]] = {}  # what always varies together
    for column in (column for place in places for column in place.columns):
        for sizes in column.varying:
            steps = tuple(sorted(set(sizes.values())))
            axes.setdefault(tuple(steps.index(sizes[i]) for i in kept), []).append((column, steps))
    levels = {i: tuple(axis[place] for axis in axes) for place, i in enumerate(kept)}
    counts = [len(axis[0][1]) for axis in axes.values()]
    _check_grid(choice.candidates, levels, counts)
    largest = max(kept, key=levels.__getitem__)
    shells = tuple(
        tuple(dict.fromkeys(Shells(str(c.nodes[largest].target), steps) for c, steps in axis)) for axis in axes.values()
    )  # a module that is called twice is one
    superkernel = Superkernel(
        choice.key,
        tuple(levels.get(i) for i in range(len(choice.candidates))),
        shells,
        tuple(each for axis in shells for each in axis) or _whole(places, largest, graph),
        tuple(dict.fromkeys(_slices(places, largest, graph))),
    )
    return Merger(superkernel, largest, places)


def _check_grid(names: Sequence[str], levels: Mapping[int, tuple[int, ...]], counts: Sequence[int]) -> None:
    seen: dict[tuple[int, ...], int] = {}
    for i, level in levels.items():
        if level in seen:
            raise Obstacle(f"candidates {names[seen[level]]!r} and {names[i]!r} are of the same size")
        seen[level] = i
    if len(seen) != math.prod(counts):
        raise Obstacle(
            f"{len(counts)} sizes vary independently, with {' · '.join(map(str, counts))} = {math.prod(counts)} "
            f"combinations, and only {len(seen)} of them are candidates"
        )


# -- one place


def _nodes_of(graph: ChoiceGraph, key: str) -> list[Node]:
    found = [node for node in graph.graph.nodes if (is_choose(node) or is_switch(node)) and node.kwargs["key"] == key]
    if not all(is_choose(node) and node.kwargs["reduction"] not in ("mask", "none") for node in found):
        raise Obstacle("the model asks for its mask or its list of outputs")
    return found


def _place(node: Node, choice: Choice, graph: ChoiceGraph) -> Place:
    options: Any = node.args[0]
    regions = {i: list(_region(node, i, choice)) for i in range(len(choice.candidates))}
    for i, region in regions.items():
        _check_region(node, choice.candidates[i], region)
    kept = [i for i, region in regions.items() if any(_has_state(each, graph) for each in region)]
    if len(kept) < len(regions) - 1:
        names = [choice.candidates[i] for i in regions if i not in kept]
        raise Obstacle(f"candidates {names} have no weights; only one can be what is left when the kernel is dropped")
    crossing = next(crossings(node), None) if len(kept) < len(regions) else None
    if crossing is not None:  # the weightless candidate may be the input itself
        raise Obstacle(f"{crossing.write} writes in place what is also read on the other side of the choice")
    columns = aligned({i: regions[i] for i in kept}, {i: options[i] for i in kept}, choice.candidates, graph)
    return Place(node, regions, columns)


def _region(node: Node, candidate: int, choice: Choice) -> Iterator[Node]:
    """The nodes that only this candidate needs, in graph order."""
    option: Any = node.args[0][candidate]  # type: ignore[index]
    found: set[Node] = set()
    stack = [option]
    while stack:
        each = stack.pop()
        if each not in found and _is_of(each, candidate, choice):
            found.add(each)
            stack.extend(each.all_input_nodes)
    yield from (each for each in node.graph.nodes if each in found)


def _is_of(node: Node, candidate: int, choice: Choice) -> bool:
    guard = guard_of(node)
    if choice.key not in guard.keys:
        return False
    return any(atom.key == choice.key and atom.candidate == candidate for atom in guard.atoms())


def _check_region(choose: Node, name: str, region: Sequence[Node]) -> None:
    inside = {*region, choose}
    for node in region:
        if is_choose(node) or is_switch(node):
            raise Obstacle(f"candidate {name!r} holds a decision of its own, {node.kwargs['key']!r}")
        if not inside.issuperset(node.users):
            raise Obstacle(f"{node} of candidate {name!r} is also used outside of it")
        if node.meta.get("effect"):
            raise Obstacle(f"{node} of candidate {name!r} writes to what others see")


def _has_state(node: Node, graph: ChoiceGraph) -> bool:
    return next(_tensors(node, graph), None) is not None


def _tensors(node: Node, graph: ChoiceGraph) -> Iterator[Tensor]:
    if node.op in ("call_module", "get_attr"):
        found = attribute(graph.module, str(node.target))
        if isinstance(found, nn.Module):
            yield from found.parameters()
            yield from found.buffers()
        elif isinstance(found, Tensor):
            yield found


def _check_guards(graph: ChoiceGraph, choice: Choice, places: Sequence[Place]) -> None:
    merged = {node for place in places for region in place.regions.values() for node in region}
    for node in graph.graph.nodes:
        if node not in merged and choice.key in guard_of(node).keys:
            raise Obstacle(f"{node} runs only for some of its candidates, and is no part of them")


def _whole(places: Sequence[Place], largest: int, graph: ChoiceGraph) -> tuple[Shells, ...]:
    """The convolutions of the only size there is."""
    found = []
    for node in (column.nodes[largest] for place in places for column in place.columns):
        module: Any = attribute(graph.module, str(node.target)) if node.op == "call_module" else None
        if type(module) in CONVOLUTIONS:
            found.append(Shells(str(node.target), (tuple(module.weight.shape[1:]),)))
    if not found:
        raise Obstacle("no candidate has a convolution")
    return tuple(found)


def _slices(places: Sequence[Place], largest: int, graph: ChoiceGraph) -> Iterator[tuple[str, str]]:
    for column in (column for place in places for column in place.columns):
        for i, node in column.nodes.items():
            if i != largest and _has_state(node, graph):
                yield str(node.target), str(column.nodes[largest].target)


def _shared_weights(graph: ChoiceGraph, found: Mapping[str, Merger]) -> Iterator[str]:
    """Where the smaller candidates' weights are used elsewhere: they could not be slices of the largest one's."""
    source: dict[int, tuple[str, int]] = {}
    goes = {node for merger in found.values() for node in _left_out(merger)}
    held = {id(tensor) for node in graph.graph.nodes if node not in goes for tensor in _tensors(node, graph)}
    for key, merger in found.items():
        for column in (column for place in merger.places for column in place.columns):
            largest = list(_tensors(column.nodes[merger.largest], graph))
            for i, node in column.nodes.items():
                for tensor, large in zip(_tensors(node, graph), largest, strict=True):
                    other = source.setdefault(id(tensor), (key, id(large)))[1]
                    if tensor is not large and (id(tensor) in held or other != id(large)):
                        name = graph.space[key].candidates[i]
                        yield (
                            f"choice {key!r} can't become one superkernel: weights of candidate {name!r}, of "
                            f"{node.target}, are also used elsewhere"
                        )
                        return


def _left_out(merger: Merger) -> Iterator[Node]:
    for place in merger.places:
        for column in place.columns:
            yield from (node for i, node in column.nodes.items() if i != merger.largest)
