"""EliminateDead: drop what nothing needs."""

from __future__ import annotations

from fxnas.children import prune
from fxnas.graph import ChoiceGraph
from fxnas.liveness import erase_dead
from fxnas.passes.base import Pass


class EliminateDead(Pass):
    """Erases nodes that no decision needs, and in a materialized module the submodules and tensors that no node uses.

    Unlike torch.fx's own elimination it keeps an in-place write whose memory is read later, or that others can see.
    Exact.
    """

    def rewrite(self, graph: ChoiceGraph) -> bool:
        """Erases."""
        erased = erase_dead(graph.graph)
        return bool(prune(graph.module, graph.graph) + erased) if graph.stage == "materialized" else bool(erased)
