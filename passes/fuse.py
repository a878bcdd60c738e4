"""FuseConvBn: a convolution and the batch norm after it become one convolution."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.fx import Node
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fxnas.children import replace
from fxnas.errors import PassError
from fxnas.graph import ChoiceGraph
from fxnas.modules import attribute
from fxnas.passes.rules import Rewrite, Rule

_CONVOLUTIONS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
}


class FuseConvBn(Rewrite):
    """Multiplies the scale of a batch norm into the weights of the convolution before it.

    For materialized modules in evaluation mode. Changes rounding: outputs differ by at most k·eps·max|reference| per
    output, k = 64 in float32 and 8 in float16 and bfloat16. The result can't be trained on as before: the batch norm is
    gone.

    Raises:
        PassError: the module is in training mode.
    """

    requires = ("materialized",)

    def __init__(self) -> None:
        super().__init__(_ConvBn())

    def rewrite(self, graph: ChoiceGraph) -> bool:
        """Fuses every pair that has no other user."""
        if graph.module.training:
            raise PassError(
                "FuseConvBn: the module is in training mode, where a batch norm takes its statistics from the "
                "batch; call .eval() first"
            )
        return super().rewrite(graph)


class _ConvBn(Rule):
    def match(self, node: Node, graph: ChoiceGraph) -> bool | str:
        """A batch norm whose input comes from a convolution that nothing else uses."""
        norm = _module(node, graph)
        if not isinstance(norm, tuple(_CONVOLUTIONS.values())):
            return False
        (source,) = node.args
        conv = _module(source, graph)
        if _CONVOLUTIONS.get(type(conv)) is not type(norm):
            return "its input comes from no convolution of its kind"
        assert isinstance(source, Node)
        return _obstacle(source, node, conv, norm) or True

    def rewrite(self, node: Node, graph: ChoiceGraph) -> None:
        """Puts the fused convolution in the place of the first."""
        (source,) = node.args
        assert isinstance(source, Node)
        fused = fuse_conv_bn_eval(_module(source, graph), _module(node, graph))
        replace(graph.module, str(source.target), fused)
        node.replace_all_uses_with(source)
        graph.graph.erase_node(node)


def _obstacle(source: Node, node: Node, conv: Any, norm: Any) -> str:
    """Why the pair can't become one; empty when it can."""
    if len(source.users) > 1:
        return f"the convolution's output is used by {len(source.users)} nodes"
    for call in (source, node):
        calls = sum(other.op == "call_module" and other.target == call.target for other in call.graph.nodes)
        if calls > 1:
            return f"module {call.target} is called {calls} times"
    if conv.training or norm.training:
        return "one of the two is in training mode"
    if norm.running_mean is None:
        return "the batch norm keeps no statistics"
    return ""


def _module(node: Any, graph: ChoiceGraph) -> Any:
    if not isinstance(node, Node) or node.op != "call_module":
        return None
    return attribute(graph.module, str(node.target))
