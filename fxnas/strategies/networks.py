"""The network of an architecture, reduced to what is searched: what is chosen, and who takes whose value."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.conditions import ALWAYS, NEVER, Condition, Evaluation, all_of, any_of
from fxnas.wiring import Box, Wire, Wiring

_MASK = 2**64 - 1
Joined = dict[int, dict[int, Condition]]  # target → source → when


class Part(NamedTuple):
    """An input, an output, or what is chosen at a LayerChoice.

    Attributes:
        what: a number for its kind, or the names of what is chosen.
        sources: the places of the parts whose values it takes, each once for every way they take.
    """

    what: int
    sources: tuple[int, ...]


class Networks:
    """Finds the network of an architecture.

    Two parts are joined where a value gets from one to the other without passing a third. So an InputChoice shows in
    who takes whose value, and fixed layers play no role: whether places differ in channels or strides is not told here.

    Args:
        wiring: what is connected to what, under which decisions.
        choices: what the decisions are of.

    Attributes:
        searched: whether decisions change who takes whose value; else the places of the layers tell all of it.
        fingerprint: SHA-256 (hexadecimal) of what the networks follow from; fixed layers and names play no role in it.
    """

    def __init__(self, wiring: Wiring, choices: Mapping[str, Choice]) -> None:
        self._default = {key: choice.default for key, choice in choices.items()}
        self._names = {
            key: [_drawn(f"{choice.kind} {name or f'#{i}'}") for i, name in enumerate(choice.candidates)]
            for key, choice in choices.items()
        }
        boxes = wiring.boxes
        parts = {place for place, box in enumerate(boxes) if _is_part(box, choices)}
        joined = _joined(wiring, parts)
        self._places = [place for place in range(len(boxes)) if place in parts or joined[place]]
        self._kinds = {place: _drawn(boxes[place].kind) for place in parts}
        self._keys = {place: boxes[place].label for place in parts if boxes[place].kind == "choice"}
        self._sources = {place: list(joined[place]) for place in self._places}
        self.searched = any(when is not ALWAYS for sources in joined.values() for when in sources.values())
        self.fingerprint = self._reduced(boxes, joined).fingerprint(choices)
        when = [condition for place in self._places for condition in (boxes[place].when, *joined[place].values())]
        self._evaluation = Evaluation(when)

    def _reduced(self, boxes: Sequence[Box], joined: Joined) -> Wiring:
        """The wiring with parts and joints alone."""
        number = {place: i for i, place in enumerate(self._places)}
        kept = [
            Box(self._keys.get(place, ""), boxes[place].kind if place in self._kinds else "call", "", boxes[place].when)
            for place in self._places
        ]
        wires = [
            Wire(number[source], number[place], when)
            for place in self._places
            for source, when in joined[place].items()
            if source in number
        ]
        return Wiring(tuple(kept), tuple(wires))

    def parts(self, architecture: Architecture) -> list[Part]:
        """The parts of the network that an architecture makes, sources first."""
        decisions = {**self._default, **architecture}
        truth = iter(self._evaluation(decisions))
        found: list[Part] = []
        given: dict[int, tuple[int, ...]] = {}  # the parts whose values a box gives
        for place in self._places:
            runs = next(truth)
            taken = [source for source in self._sources[place] if next(truth)]
            values = tuple(part for source in taken for part in given.get(source, ()))
            if place in self._kinds and runs:
                key = self._keys.get(place)
                what = self._kinds[place] if key is None else sum(self._names[key][i] for i in decisions[key])
                found.append(Part(what, values))
                values = (len(found) - 1,)
            given[place] = values
        return found


def number(parts: Sequence[Part]) -> int:
    """A number for a network, below 2**64: the same for two that have the same layers, one behind the other.

    The number of a part follows from what it is and from the numbers of its sources (value numbering, Cocke and
    Schwartz 1970), that of a network from those of its parts. So layers that stand side by side may trade places.
    """
    numbers: list[int] = []
    for part in parts:
        numbers.append(_mixed(3 * part.what + 5 * sum(_mixed(numbers[source]) for source in part.sources)))
    return _mixed(sum(map(_mixed, numbers)))


def labels(parts: Sequence[Part], depths: int) -> list[list[int]]:
    """The labels of the parts, at each depth: what they are, then that and what is next to them, and so on.

    These are the labels of Weisfeiler and Lehman, as kernels use them for graphs (Shervashidze et al. 2011) and for
    architectures (Ru et al. 2021, arXiv:2006.07556); what comes before a part and what after it are told apart.
    """
    users: dict[int, list[int]] = defaultdict(list)
    for place, part in enumerate(parts):
        for source in part.sources:
            users[source].append(place)
    found = [[_mixed(part.what) for part in parts]]
    for _ in range(depths - 1):
        last = found[-1]
        found.append(
            [
                _mixed(
                    3 * last[place]
                    + 5 * sum(_mixed(7 * last[source]) for source in part.sources)
                    + 11 * sum(_mixed(13 * last[user]) for user in users[place])
                )
                for place, part in enumerate(parts)
            ]
        )
    return found


def _is_part(box: Box, choices: Mapping[str, Choice]) -> bool:
    if box.kind == "choice":
        return box.label in choices and choices[box.label].kind != "input_choice"
    return box.kind in ("input", "output")


def _joined(wiring: Wiring, parts: set[int]) -> Joined:
    """The wires between parts. Of the other boxes those stay that several values pass on the way to several boxes."""
    into: Joined = {place: {} for place in range(len(wiring.boxes))}
    out: Joined = {place: {} for place in range(len(wiring.boxes))}

    def join(source: int, target: int, when: Condition) -> None:
        into[target][source] = out[source][target] = any_of([into[target].get(source, NEVER), when])

    for wire in wiring.wires:
        join(wire.source, wire.target, wire.when)
    for place in range(len(wiring.boxes)):
        sources, targets = into[place], out[place]
        if place in parts or len(sources) * len(targets) > len(sources) + len(targets):
            continue
        for target, taken in targets.items():
            del into[target][place]
            for source, given in sources.items():
                join(source, target, all_of([given, taken]))
        for source in sources:
            del out[source][place]
        into[place] = {}
    return {
        target: {source: when for source, when in sorted(sources.items()) if when is not NEVER}
        for target, sources in into.items()
    }


def _drawn(text: str) -> int:
    """A number for a text, the same in every process."""
    return random.Random(text).getrandbits(64)


def _mixed(number: int) -> int:
    """Another number of 64 bits, so that sums of such numbers tell what was added (the finalizer of splitmix64)."""
    number &= _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)
