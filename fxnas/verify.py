"""The legality of graphs: one table of rules for each stage.

A rule is a function of the graph that yields what is wrong, in words. A pass states the stage it takes and gives; its
base class checks the rules on both sides.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Iterator
from typing import Literal

from torch import nn
from torch.fx import GraphModule, Node

from fxnas.conditions import NEVER
from fxnas.errors import PassError
from fxnas.ir.liveness import is_choose, is_switch, needs
from fxnas.ir.writes import is_shared_write
from fxnas.modules import attribute

Stage = Literal["traced", "relaxed", "materialized"]
Rule = Callable[[GraphModule], Iterator[str]]


def keys_agree(module: GraphModule) -> Iterator[str]:
    """Equal keys have the same kind, candidates and `n_chosen`."""
    known: dict[object, tuple[Node, tuple[object, ...]]] = {}
    for node in module.graph.nodes:
        if is_choose(node) or is_switch(node):
            details = tuple(node.kwargs[name] for name in ("kind", "candidates", "n_chosen"))
            first, agreed = known.setdefault(node.kwargs["key"], (node, details))
            if details != agreed:
                yield f"{first} and {node} share the key {node.kwargs['key']!r} and disagree: {agreed} and {details}"


def options_agree(module: GraphModule) -> Iterator[str]:
    """The options of a choice have one shape and dtype."""
    for node in filter(is_choose, module.graph.nodes):
        forms: dict[object, Node] = {}
        for option in node.all_input_nodes:
            if "shape" in option.meta:
                forms.setdefault((option.meta["shape"], option.meta["dtype"]), option)
        if len(forms) > 1:
            (one, first), (other, second) = list(forms.items())[:2]
            yield f"{node} (key {node.kwargs['key']!r}) has options of {one} ({first}) and {other} ({second})"


def options_fit(module: GraphModule) -> Iterator[str]:
    """A choice has one option for each candidate; a mask has none."""
    for node in filter(is_choose, module.graph.nodes):
        options, candidates = node.args[0], node.kwargs["candidates"]
        if node.kwargs["reduction"] != "mask" and len(options) != len(candidates):
            yield f"{node} has {len(options)} options for the candidates {candidates}"


def reachable(module: GraphModule) -> Iterator[str]:
    """Every choice matters under some decisions."""
    choices = list(filter(is_choose, module.graph.nodes))
    conditions = needs(module.graph) if choices else {}
    for node in choices:
        if conditions[node] is NEVER:
            yield f"{node} (key {node.kwargs['key']!r}) is never used"


def defined_before_use(module: GraphModule) -> Iterator[str]:
    """A node's inputs stand before it."""
    seen: set[Node] = set()
    for node in module.graph.nodes:
        for used in node.all_input_nodes:
            if used not in seen:
                yield f"{node} uses {used}, which stands after it"
        seen.add(node)


def targets_exist(module: GraphModule) -> Iterator[str]:
    """What the graph refers to is there."""
    for node in module.graph.nodes:
        if node.op in ("call_module", "get_attr"):
            try:
                found = attribute(module, str(node.target))
            except (KeyError, AssertionError):
                yield f"{node} refers to {node.target!r}, which the module doesn't have"
                continue
            if node.op == "call_module" and not isinstance(found, nn.Module):
                yield f"{node} calls {node.target!r}, which is no module"


def arguments_named(module: GraphModule) -> Iterator[str]:
    """Arguments have names that Python takes."""
    for node in module.graph.nodes:
        if node.op == "placeholder":
            name = str(node.target).strip("*")
            if not name.isidentifier() or keyword.iskeyword(name):
                yield f"argument {name!r} has a name that can't be written in Python"


def no_shared_writes(module: GraphModule) -> Iterator[str]:
    """No in-place call changes what an architecture without the call reads: where candidates are mixed, all run."""
    for node in filter(is_shared_write, module.graph.nodes):
        yield f"{node} writes in place to what is also read where it doesn't run; RepairInPlace makes it out of place"


def names_safe(module: GraphModule) -> Iterator[str]:
    """torch.fx writes module paths and keyword names into source: only identifiers and numbers may stand there."""
    for node in module.graph.nodes:
        parts = str(node.target).split(".") if node.op in ("call_module", "get_attr") else []
        for name in (*parts, *node.kwargs):
            if not (name.isidentifier() or name.isdigit()) or keyword.iskeyword(name) or not name.isascii():
                yield f"{node} holds the name {name!r}, which is no plain identifier"


def no_choices(module: GraphModule) -> Iterator[str]:
    """Nothing of fxnas is left: no op, and no module."""
    for node in module.graph.nodes:
        if getattr(node.target, "__module__", "").partition(".")[0] == "fxnas":
            yield f"{node} is an op of fxnas ({getattr(node.target, '__name__', node.target)})"
    for name, child in module.named_modules():
        if type(child).__module__.partition(".")[0] == "fxnas":
            yield f"module {name!r} is a {type(child).__name__} of fxnas"


_WELL_FORMED: tuple[Rule, ...] = (defined_before_use, targets_exist, arguments_named)
STAGES: dict[Stage, tuple[Rule, ...]] = {
    "traced": (*_WELL_FORMED, keys_agree, options_fit, options_agree, reachable),
    "relaxed": (*_WELL_FORMED, keys_agree, no_shared_writes),
    "materialized": (*_WELL_FORMED, names_safe, no_choices),
}
"""The rules of each stage."""


def problems(module: GraphModule, stage: Stage) -> list[str]:
    """What keeps the module's graph from being legal at a stage; empty when it is."""
    return [f"{rule.__name__}: {problem}" for rule in STAGES[stage] for problem in rule(module)]


def verify(module: GraphModule, stage: Stage, *, where: str = "the graph") -> None:
    """Checks the module's graph.

    Raises:
        PassError: it is not legal; the message lists what is wrong.
    """
    found = problems(module, stage)
    if found:
        raise PassError(f"{where} is not legal at stage {stage!r}: " + "; ".join(found))
