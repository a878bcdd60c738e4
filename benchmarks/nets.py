"""The networks of the tabular benchmarks, as the wiring that fxnas would find in a model of them."""

from __future__ import annotations

from collections.abc import Mapping

from fxnas.choice import Choice
from fxnas.conditions import ALWAYS, NEVER, Condition, all_of, chosen, negate
from fxnas.wiring import Box, Wire, Wiring

INPUT, OUTPUT = Box("x", "input"), Box("output", "output")


def wiring(choices: Mapping[str, Choice]) -> Wiring:
    """The wiring of one of the three spaces, told apart by their keys."""
    if "input1" in choices:
        return _graph_cell(choices)
    return _nb201_cell(choices) if "edge0_1" in choices else _chain(choices)


def _chain(choices: Mapping[str, Choice]) -> Wiring:
    """NAS-Bench-Macro: one layer after the other."""
    boxes = (INPUT, *(Box(key, "choice") for key in choices), OUTPUT)
    return Wiring(boxes, tuple(Wire(i, i + 1) for i in range(len(boxes) - 1)))


def _nb201_cell(choices: Mapping[str, Choice]) -> Wiring:
    """NAS-Bench-201: the layer edge<i>_<j> takes node i, and node j is the sum of those that end there."""
    boxes, wires, nodes = [INPUT], [], {0: 0}
    for end in (1, 2, 3):
        layers = [key for key in choices if key.endswith(f"_{end}")]
        for key in layers:
            wires.append(Wire(nodes[int(key[len("edge")])], len(boxes)))
            boxes.append(Box(key, "choice"))
        wires += [Wire(len(boxes) - 1 - i, len(boxes)) for i in range(len(layers))]
        nodes[end] = len(boxes)
        boxes.append(Box("add", "call"))
    return Wiring((*boxes, OUTPUT), (*wires, Wire(nodes[3], len(boxes))))


def _graph_cell(choices: Mapping[str, Choice]) -> Wiring:
    """NAS-Bench-Graph: layer i takes one of the nodes 0..i; what nobody takes goes to the output."""

    def takes(layer: int, node: int) -> Condition:
        if layer == 0:
            return ALWAYS if node == 0 else NEVER
        return chosen(f"input{layer}", node, layer + 1, 1)

    boxes = (INPUT, *(Box(f"op{i}", "choice") for i in range(4)), OUTPUT)
    wires = [Wire(node, layer + 1, takes(layer, node)) for layer in range(4) for node in range(layer + 1)]
    loose = [Wire(node, 5, all_of(negate(takes(layer, node)) for layer in range(node, 4))) for node in range(1, 5)]
    return Wiring(boxes, (*wires, *loose))
