"""RepairInPlace: in-place calls that would change what another candidate reads."""

from __future__ import annotations

from torch.fx import Node

from fxnas.errors import PassError
from fxnas.graph import ChoiceGraph
from fxnas.ir.liveness import guard_of
from fxnas.ir.writes import disjoint, is_shared_write, old_reads
from fxnas.passes.base import Pass, around, line_of
from fxnas.passes.outofplace import take_out_of_place, written_value


class RepairInPlace(Pass):
    """Makes an in-place call out of place where its value is also read where the call doesn't run.

    Set to one architecture, a graph runs one candidate and an in-place call is right. Where candidates are mixed all of
    them run, and a `ReLU(inplace=True)` changes what its siblings read. Exact: a repaired graph computes the same for
    every architecture, bit for bit. Writes that disturb nobody stay as they are.

    Raises:
        PassError: a repair would change what some architecture computes: the write is seen outside of the graph, or
            read by another name than its result. The message names the call, the user's line and the reason.
    """

    requires = ("traced",)

    def rewrite(self, graph: ChoiceGraph) -> bool:
        """Repairs every shared write, in graph order: after one repair a later write may need none."""
        modified = False
        for node in list(graph.graph.nodes):
            if is_shared_write(node):
                self._repair(node, graph)
                modified = True
        return modified

    def _repair(self, write: Node, graph: ChoiceGraph) -> None:
        value, obstacle = written_value(write), _obstacle(write)
        if value is None:
            obstacle = obstacle or "it writes to several values"
        if value is None or obstacle:
            raise PassError(
                f"{self}: {line_of(write)}: {write} can't be made out of place: {obstacle}:\n{around(write)}"
            )
        take_out_of_place(write, value, graph)


def _obstacle(write: Node) -> str:
    """Why a repair would show; empty when it wouldn't. After one the memory keeps its old value."""
    if write.meta.get("effect"):
        return "it writes to an input, a parameter or a buffer, which others see"
    guard = guard_of(write)
    for read in old_reads(write):
        if read.later and not disjoint(read.when, guard):
            return f"{read.reader} reads the new value by another name, {read.value}"
    return ""
