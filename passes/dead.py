"""EliminateDead: drop what nothing needs."""

from __future__ import annotations

from fxnas.graph import ChoiceGraph
from fxnas.passes.base import Pass


class EliminateDead(Pass):
    """Erases nodes that no decision needs, and in a materialized module the submodules and tensors that no node uses.

    Unlike torch.fx's own elimination it keeps an in-place write whose memory is read later, or that others can see.
    Exact.
    """

    def rewrite(self, graph: ChoiceGraph) -> bool:
        """Does nothing of its own: after every rewrite the base class drops what is dead."""
        return False
