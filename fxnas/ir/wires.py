"""The wiring of a graph: what a study keeps of it, to draw any architecture later."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn
from torch.fx import Graph, Node

from fxnas.active_if import MOST_PARTS
from fxnas.choice import Choice
from fxnas.conditions import NEVER, TRAINING_KEY, Atom, Condition, all_of, any_of, parts_of
from fxnas.ir.liveness import inputs_of, is_choose, is_switch
from fxnas.modules import submodule
from fxnas.wiring import MOST_EDGES, MOST_NODES, Box, Kind, Wire, Wiring


def wiring_of(
    module: nn.Module, graph: Graph, conditions: Mapping[Node, Condition], choices: Mapping[str, Choice]
) -> Wiring | None:
    """The wiring of a graph in evaluation mode; None where it is too large to be drawn.

    Args:
        module: what the graph's targets are paths in.
        graph: with its choices.
        conditions: under which decisions each node is needed.
        choices: the space; what depends on other choices plays no role.
    """
    memo: dict[Condition, Condition] = {}

    def evaluated(condition: Condition) -> Condition:
        return condition.substitute(lambda atom: _truth(atom, choices), memo)

    when = {node: evaluated(conditions[node]) for node in graph.nodes}
    nodes = [node for node in graph.nodes if when[node] is not NEVER]
    if len(nodes) > MOST_NODES:
        return None
    places = {node: place for place, node in enumerate(nodes)}
    boxes = tuple(_box(node, module, when[node]) for node in nodes)
    wires: dict[tuple[int, int], Condition] = {}
    for node in nodes:
        for used, condition in inputs_of(node):
            if used in places:
                pair = (places[used], places[node])
                taken = all_of([when[node], evaluated(condition)])
                wires[pair] = any_of([wires.get(pair, NEVER), taken])
    wiring = Wiring(boxes, tuple(Wire(*pair, taken) for pair, taken in wires.items() if taken is not NEVER))
    parts, _ = parts_of(wiring.conditions)
    return None if len(wiring.wires) > MOST_EDGES or len(parts) > MOST_PARTS else wiring


def _truth(atom: Atom, choices: Mapping[str, Choice]) -> bool | None:
    if atom.key == TRAINING_KEY:
        return False
    return None if atom.key in choices else False


def _box(node: Node, module: nn.Module, when: Condition) -> Box:
    target = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "call")
    kind: Kind = "call"
    detail = ""
    match node.op:
        case "placeholder" | "get_attr":
            kind = "input" if node.op == "placeholder" else "value"
        case "output":
            kind, target = "output", "output"
        case "call_module":
            kind, detail = "module", type(submodule(module, target)).__name__
        case "call_method":
            target = f".{target}"
    if is_choose(node) or is_switch(node):
        kind, target = "choice", str(node.kwargs["key"])
    return Box(target, kind, detail, when)
