"""What is connected to what in a graph with choices, and under which decisions: plain data, to store and to draw.

Free of torch, so that who looks at a study needs none; `fxnas.ir.wires` makes it from a graph.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from fxnas import active_if
from fxnas.choice import Choice
from fxnas.conditions import ALWAYS, Condition
from fxnas.errors import SearchSpaceError, shown

Kind = Literal["input", "output", "module", "call", "value", "choice"]
MOST_NODES = 1000  # of a graph that is still readable, and whose picture is small
MOST_EDGES = 5000
MOST_TEXT = 60  # characters kept of a label in a file


@dataclass(frozen=True)
class Box:
    """One step of the computation.

    Attributes:
        label: the path of a module, the name of a function, the key of a choice.
        kind: "input" and "output" of the model, "module", "call" of a function, "value" that is kept in the model, or
            "choice" where the chosen candidates come out.
        detail: the class of a module; else empty.
        when: under which decisions it runs.
    """

    label: str
    kind: Kind
    detail: str = ""
    when: Condition = ALWAYS


@dataclass(frozen=True)
class Wire:
    """A value on its way.

    Attributes:
        source: the place of the box that gives it.
        target: the place of the box that takes it, a later one.
        when: under which decisions that one takes it.
    """

    source: int
    target: int
    when: Condition = ALWAYS


@dataclass(frozen=True)
class Wiring:
    """A graph as boxes and wires.

    Attributes:
        boxes: in the order in which they run.
        wires: each pair of boxes once.
    """

    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]

    @property
    def conditions(self) -> list[Condition]:
        """The condition of each box, then that of each wire."""
        return [box.when for box in self.boxes] + [wire.when for wire in self.wires]

    def to_json(self, choices: Mapping[str, Choice]) -> dict[str, Any]:
        """Plain data; conditions stand in it as `fxnas.active_if` writes them, and are named by their places there.

        Of long labels the end is kept, which tells more of a path than its start.

        Args:
            choices: what the conditions are over.
        """
        parts, places = active_if.as_json(self.conditions, choices)
        when = iter(places)
        return {
            "nodes": [
                {
                    "id": i,
                    "label": _short(box.label),
                    "kind": box.kind,
                    "detail": _short(box.detail),
                    "when": next(when),
                }
                for i, box in enumerate(self.boxes)
            ],
            "edges": [[wire.source, wire.target, next(when)] for wire in self.wires],
            "conditions": parts,
        }

    def fingerprint(self, choices: Mapping[str, Choice]) -> str:
        """SHA-256 (hexadecimal) of the JSON."""
        text = json.dumps(self.to_json(choices), separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def from_json(cls, value: object, choices: Mapping[str, Choice]) -> Wiring:
        """The wiring that `to_json` wrote.

        Raises:
            SearchSpaceError: says what is wrong with it.
        """
        if not isinstance(value, Mapping) or not {"nodes", "edges", "conditions"} <= set(value):
            raise SearchSpaceError(f"a graph has nodes, edges and conditions, got {shown(value)}")
        conditions = active_if.all_from_json("the graph", value["conditions"], choices)
        boxes = tuple(_box(each, i, conditions) for i, each in enumerate(_listed(value, "nodes", MOST_NODES)))
        return cls(boxes, tuple(_wires(_listed(value, "edges", MOST_EDGES), len(boxes), conditions)))


def _short(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"…{text[1 - MOST_TEXT :]}"


def _listed(value: Mapping[str, Any], name: str, most: int) -> list[Any]:
    found = value[name]
    if not isinstance(found, list) or len(found) > most:
        raise SearchSpaceError(f"the {name} of a graph are a list of at most {most:,}, got {shown(found)}")
    return found


def _box(value: object, place: int, conditions: list[Condition]) -> Box:
    if not isinstance(value, Mapping) or value.get("id") != place or value.get("kind") not in get_args(Kind):
        raise SearchSpaceError(f"node {place} of a graph has its place as id, and a kind of {get_args(Kind)}")
    texts = [value.get(name) for name in ("label", "detail")]
    if not all(isinstance(text, str) and len(text) <= MOST_TEXT for text in texts):
        raise SearchSpaceError(f"node {place} of a graph has a label and a detail of at most {MOST_TEXT} characters")
    return Box(texts[0], value["kind"], texts[1], conditions[_index(value.get("when"), len(conditions))])  # type: ignore[arg-type]


def _wires(values: list[Any], count: int, conditions: list[Condition]) -> Iterator[Wire]:
    for value in values:
        if not isinstance(value, list) or len(value) != 3:
            raise SearchSpaceError(f"an edge of a graph is a list of source, target and condition, got {shown(value)}")
        source, target, when = value
        yield Wire(_index(source, _index(target, count)), target, conditions[_index(when, len(conditions))])


def _index(value: object, count: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
        raise SearchSpaceError(f"a graph has an index of 0..{count - 1} here, got {shown(value)}")
    return value
