"""RepairInPlace: in-place calls that would change what a sibling candidate reads."""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterator

from torch.fx import Node

from fxnas.children import replace
from fxnas.conditions import NEVER, all_of
from fxnas.errors import PassError
from fxnas.graph import ChoiceGraph
from fxnas.liveness import guard_of, is_shared_write, later_readers
from fxnas.modules import attribute
from fxnas.passes.base import Pass, around

_OPERATORS = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}


class RepairInPlace(Pass):
    """Makes an in-place call out of place where another candidate reads the value that it writes to.

    Set to one architecture, a graph runs one candidate and an in-place call is right. Where candidates are mixed all of
    them run, and a `ReLU(inplace=True)` changes what its siblings read. Exact: a repaired graph computes the same for
    every architecture. Writes that nobody else sees stay as they are.

    Raises:
        PassError: a write can't be repaired: it has no out-of-place form, or its effect is read through a view.
    """

    requires = ("traced",)

    def rewrite(self, graph: ChoiceGraph) -> bool:
        """Repairs every shared write."""
        shared = [node for node in graph.graph.nodes if is_shared_write(node)]
        for node in shared:
            self._check(node)
            if not _make_functional(node, graph):
                raise PassError(f"{self}: {_place(node)}: this in-place call has no other form:\n{around(node)}")
            node.meta = {key: value for key, value in node.meta.items() if key not in ("mutates", "effect")}
            node.meta["storages"] = (1 + max(_numbers(graph), default=-1),)
        return bool(shared)

    def _check(self, node: Node) -> None:
        """After the repair the old memory keeps its value: nobody who runs with the write may rely on the new one."""
        if node.meta.get("effect"):
            raise PassError(f"{self}: {_place(node)}: it writes to memory that outlives the call:\n{around(node)}")
        followers = _followers(node)
        for reader in later_readers(node):
            if reader not in followers and all_of([guard_of(node), guard_of(reader)]) is not NEVER:
                raise PassError(
                    f"{self}: {_place(node)}: {reader} reads what is written here by another name:\n{around(node)}"
                )


def _followers(node: Node) -> set[Node]:
    """The users of a node's own value, which see the write by it; a choice or switch that takes it counts as one."""
    return set(node.users)


def _make_functional(node: Node, graph: ChoiceGraph) -> bool:
    if node.op == "call_method" and str(node.target).endswith("_"):
        node.target = str(node.target).rstrip("_")
        return True
    if node.op == "call_function" and node.kwargs.get("inplace"):
        node.kwargs = {**node.kwargs, "inplace": False}
        return True
    if node.op == "call_function" and node.target in _OPERATORS:
        node.target = _OPERATORS[node.target]
        return True
    if node.op == "call_module":
        return _module_functional(node, graph)
    return False


def _module_functional(node: Node, graph: ChoiceGraph) -> bool:
    module = attribute(graph.module, str(node.target))
    if not getattr(module, "inplace", False):
        return False
    repaired = copy.copy(module)
    repaired.inplace = False
    replace(graph.module, str(node.target), repaired)
    return True


def _numbers(graph: ChoiceGraph) -> Iterator[int]:
    for node in graph.graph.nodes:
        yield from node.meta.get("storages", ())


def _place(node: Node) -> str:
    return str(node.meta.get("frame") or node)
