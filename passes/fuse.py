"""FuseConvBn: a convolution or linear layer and the batch norm after it become one layer."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.nn.utils.fusion import fuse_conv_bn_weights

from fxnas.errors import PassError
from fxnas.graph import ChoiceGraph
from fxnas.ir.children import replace
from fxnas.modules import attribute
from fxnas.passes.calls import obstacle_of_call, single_argument
from fxnas.passes.rules import Match, NoMatch, Rewrite, Rule

# layer → its batch norm, and the rank of the output that the norm scales channel by channel
_PAIRS: dict[type[nn.Module], tuple[type[nn.Module], int]] = {
    nn.Linear: (nn.BatchNorm1d, 2),
    nn.Conv1d: (nn.BatchNorm1d, 3),
    nn.Conv2d: (nn.BatchNorm2d, 4),
    nn.Conv3d: (nn.BatchNorm3d, 5),
    nn.ConvTranspose1d: (nn.BatchNorm1d, 3),
    nn.ConvTranspose2d: (nn.BatchNorm2d, 4),
    nn.ConvTranspose3d: (nn.BatchNorm3d, 5),
}
_NORMS = tuple({norm: None for norm, _ in _PAIRS.values()})
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class FuseConvBn(Rewrite):
    """Multiplies the scale of a batch norm into the weights of the convolution or linear layer before it.

    For materialized modules in evaluation mode. Changes rounding: outputs differ by at most k·eps·max|reference| each,
    k = 64 in float32 and 8 in float16 and bfloat16, as far as the network doesn't amplify rounding itself. The result
    can't be trained on as before: the batch norm is gone. The module that is given keeps its weights.

    Raises:
        PassError: the module is in training mode.
    """

    requires = ("materialized",)

    def __init__(self) -> None:
        super().__init__(_LayerBn())

    def rewrite(self, graph: ChoiceGraph) -> bool:
        """Fuses every pair that nothing else looks into."""
        if graph.module.training:
            raise PassError(
                f"{self}: the module is in training mode, where a batch norm takes its statistics from the batch; "
                "call .eval() first"
            )
        return super().rewrite(graph)


class _LayerBn(Rule):
    def match(self, node: Node, graph: ChoiceGraph) -> Match | NoMatch | None:
        """A batch norm whose input comes from a layer that nothing else uses."""
        norm = _module(node, graph)
        if type(norm) not in _NORMS:
            return None
        source = single_argument(node)
        layer = _module(source, graph)
        if source is None or type(layer) not in _PAIRS or _PAIRS[type(layer)][0] is not type(norm):
            return NoMatch("its input comes from no convolution or linear layer of its kind")
        reason = _obstacle_of_use(source, layer, norm, graph) or _obstacle_of_modules(source, layer, norm)
        return NoMatch(reason) if reason else Match(node, (source, layer, norm))

    def rewrite(self, match: Match, graph: ChoiceGraph) -> None:
        """Puts the fused layer in the place of the first."""
        source, layer, norm = match.found
        replace(graph.module, str(source.target), _fused(layer, norm))
        match.node.replace_all_uses_with(source)


def _obstacle_of_use(source: Node, layer: nn.Module, norm: nn.Module, graph: ChoiceGraph) -> str:
    """What else uses the layer, its tensors or those of the norm; empty for nothing. The norm may have other calls."""
    if len(source.users) > 1:
        return f"the output of {source} is used by {len(source.users)} nodes"
    tensors = {id(tensor) for part in (layer, norm) for tensor in (*part.parameters(), *part.buffers())}
    for other in graph.graph.nodes:
        if other is source or other.op not in ("call_module", "get_attr"):
            continue
        used = attribute(graph.module, str(other.target))
        if id(used) in tensors:
            return f"{other} uses {other.target} beside the call of the module that holds it"
        if isinstance(used, nn.Module) and any(part is layer for part in used.modules()):
            return f"module {source.target} is called again, by {other}"
    return ""


def _obstacle_of_modules(source: Node, layer: Any, norm: Any) -> str:
    """What about the modules themselves forbids it; empty for nothing."""
    if layer.training or norm.training:
        return "one of the two is in training mode"
    if norm.running_mean is None:
        return "the batch norm keeps no statistics, and takes them from the batch in evaluation mode too"
    if reason := obstacle_of_call(layer) or obstacle_of_call(norm):
        return reason
    if isinstance(layer, _TRANSPOSED) and layer.groups > 1:
        return "a transposed convolution in groups holds its weights in another order"
    rank = _PAIRS[type(layer)][1]
    if rank < 4 and len(source.meta.get("shape", ())) != rank:  # a norm for images takes no other rank anyway
        return f"its input isn't known to have {rank} dimensions, of which the second is the channels"
    return ""


def _fused(layer: Any, norm: Any) -> nn.Module:
    """The layer with the norm's scale and shift; computed in float64, so that rounding happens once."""
    fused: Any = copy.deepcopy(layer)
    weight, bias = fuse_conv_bn_weights(  # serves linear layers too: their weights are those of a convolution of size 1
        _wide(layer.weight),
        _wide(layer.bias),
        _wide(norm.running_mean),
        _wide(norm.running_var),
        norm.eps,
        _wide(norm.weight),
        _wide(norm.bias),
        transpose=isinstance(layer, _TRANSPOSED),
    )
    fused.weight, fused.bias = (_parameter(tensor, layer.weight) for tensor in (weight, bias))
    return fused  # type: ignore[no-any-return]


def _wide(tensor: Any) -> Any:
    return None if tensor is None else tensor.detach().to("cpu", torch.float64)


def _parameter(tensor: Tensor, like: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(tensor.detach().to(like.device, like.dtype), like.requires_grad)


def _module(node: Node | None, graph: ChoiceGraph) -> Any:
    return None if node is None or node.op != "call_module" else attribute(graph.module, str(node.target))
