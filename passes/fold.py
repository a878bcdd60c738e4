"""FoldIdentity: calls that return what they are given."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import nn
from torch.fx import Node
from torch.fx.node import map_aggregate

from fxnas.graph import ChoiceGraph
from fxnas.modules import attribute
from fxnas.passes.calls import obstacle_of_call, single_argument
from fxnas.passes.rules import Match, NoMatch, Rewrite, Rule

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
_PLUS = (operator.pos, torch.positive, "positive")


class FoldIdentity(Rewrite):
    """Replaces by their input the calls that return the very tensor that they are given.

    These are `nn.Identity` and a plus sign. An element of a tuple that stands in the graph is taken directly, too.
    Exact, in every mode and at every stage. A Dropout stays: it changes its input in training mode.
    """

    def __init__(self) -> None:
        super().__init__(_Identity(), _Element())


class _Identity(Rule):
    """The output is the input, not a copy or a view, so that aliases stay what they were."""

    def match(self, node: Node, graph: ChoiceGraph) -> Match | NoMatch | None:
        """A call of an Identity, or a plus sign."""
        if node.op == "call_module":
            module = attribute(graph.module, str(node.target))
            if isinstance(module, _DROPOUTS):
                return NoMatch(f"{type(module).__name__} acts in training mode")
            if type(module) is not nn.Identity:
                return None
            if obstacle := obstacle_of_call(module):
                return NoMatch(obstacle)
        elif node.op not in ("call_function", "call_method") or node.target not in _PLUS:
            return None
        value = single_argument(node)
        return NoMatch("its input is not one value of the graph") if value is None else Match(node, value)

    def rewrite(self, match: Match, graph: ChoiceGraph) -> None:
        """Users take the input."""
        match.node.replace_all_uses_with(match.found)


class _Element(Rule):
    """`(a, b)[0]` is a."""

    def match(self, node: Node, graph: ChoiceGraph) -> Match | NoMatch | None:
        """A constant index into a tuple or list of the graph."""
        items = node.args[0] if node.target is operator.getitem else None
        if not isinstance(items, tuple | list):
            return None
        index = node.args[1]
        if not isinstance(index, int):
            return NoMatch("its index is no constant")
        return Match(node, items[index]) if -len(items) <= index < len(items) else NoMatch("its index is out of range")

    def rewrite(self, match: Match, graph: ChoiceGraph) -> None:
        """Users take the element, which may be a value of the graph or a constant."""

        def element(value: Any) -> Any:
            return match.found if value is match.node else value

        for user in list(match.node.users):
            user.args, user.kwargs = map_aggregate((user.args, user.kwargs), element)
