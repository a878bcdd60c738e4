"""FoldIdentity: calls that return what they are given."""

from __future__ import annotations

from torch import nn
from torch.fx import Node

from fxnas.graph import ChoiceGraph
from fxnas.modules import attribute
from fxnas.passes.rules import Rewrite, Rule


class FoldIdentity(Rewrite):
    """Replaces each call of an `nn.Identity` by its input. Exact, in every mode and at every stage.

    Dropout is not folded: it changes its input in training mode.
    """

    def __init__(self) -> None:
        super().__init__(_Identity())


class _Identity(Rule):
    """An `nn.Identity` returns the very tensor that it is given, so that aliases stay what they were."""

    def match(self, node: Node, graph: ChoiceGraph) -> bool | str:
        """A call of an Identity without hooks."""
        if node.op != "call_module":
            return False
        module = attribute(graph.module, str(node.target))
        if type(module) is not nn.Identity:
            return "a Dropout acts in training mode" if isinstance(module, nn.Dropout) else False
        if module._forward_hooks or module._forward_pre_hooks:
            return "it has hooks"
        return True if len(node.args) == 1 and isinstance(node.args[0], Node) else "its input is no value of the graph"

    def rewrite(self, node: Node, graph: ChoiceGraph) -> None:
        """Users take the input."""
        (value,) = node.args
        assert isinstance(value, Node)
        node.replace_all_uses_with(value)
        graph.graph.erase_node(node)
