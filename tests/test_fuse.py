"""FuseConvBn: rounding is all that changes, and every pair that is left alone has a reason."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fxnas
from fxnas.errors import PassError
from fxnas.graph import ChoiceGraph
from fxnas.passes import FuseConvBn, Materialize
from fxnas.testing import check_pass
from tests.pass_nets import Apply, X, plain, traced

FACTOR = {torch.float32: 64, torch.float16: 8, torch.bfloat16: 8}


def settled(norm: nn.Module) -> nn.Module:
    """A batch norm that has seen data."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in [*norm.named_parameters(), *norm.named_buffers()]:
        if tensor.dtype.is_floating_point:
            positive = name in ("running_var", "weight")
            values = torch.rand(tensor.shape, generator=generator) * 1.5 + 0.5
            tensor.data.copy_(values if positive else values - 1)
    return norm


def pair(
    layer: nn.Module, norm: nn.Module, shape: tuple[int, ...], dynamic_batch: bool = True
) -> tuple[ChoiceGraph, Tensor]:
    """The graph of a layer and a batch norm in evaluation mode, and an input."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    model = Apply(lambda m, x: m.norm(m.layer(x)), layer=layer, norm=settled(norm)).eval()
    return Materialize({})(fxnas.trace(model, x, dynamic_batch=dynamic_batch)).graph, x


def conv_bn() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"conv": nn.Conv2d(4, 4, 3), "norm": settled(nn.BatchNorm2d(4))}


def test_a_batch_norm_goes_into_the_convolution_before_it() -> None:
    graph = plain(lambda m, x: torch.relu(m.norm(m.conv(x))), **conv_bn()).eval()
    weight = graph.module.conv.weight
    result = check_pass(
        FuseConvBn(),
        graph,
        X,
        tolerance=64,
        before="""
            %x = input x
            %conv = conv(%x)
            %norm = norm(%conv)
            %relu = relu(%norm)
            return %relu
        """,
        after="""
            %x = input x
            %conv = conv(%x)
            %relu = relu(%conv)
            return %relu
        """,
    )
    assert list(result.graph.module.state_dict()) == ["conv.weight", "conv.bias"]
    assert graph.module.conv.weight is weight
    assert "norm.weight" in graph.module.state_dict()


PAIRS: list[tuple[Any, nn.Module, tuple[int, ...]]] = [
    (lambda: nn.Conv1d(3, 5, 3), nn.BatchNorm1d(5), (2, 3, 9)),
    (lambda: nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), (2, 3, 9, 9)),
    (lambda: nn.Conv3d(3, 5, 2), nn.BatchNorm3d(5), (2, 3, 4, 4, 4)),
    (lambda: nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d(6), (2, 4, 9, 9)),
    (lambda: nn.Conv2d(4, 4, 3, groups=4, stride=2, dilation=2), nn.BatchNorm2d(4), (2, 4, 9, 9)),
    (lambda: nn.Conv2d(3, 5, 3, padding=1, padding_mode="circular"), nn.BatchNorm2d(5), (2, 3, 9, 9)),
    (lambda: nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5, affine=False), (2, 3, 9, 9)),
    (lambda: nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5, eps=0.1), (2, 3, 9, 9)),
    (lambda: nn.ConvTranspose1d(3, 5, 3), nn.BatchNorm1d(5), (2, 3, 9)),
    (lambda: nn.ConvTranspose2d(3, 5, 3, stride=2, output_padding=1), nn.BatchNorm2d(5), (2, 3, 9, 9)),
    (lambda: nn.ConvTranspose3d(3, 5, 2, bias=False), nn.BatchNorm3d(5), (2, 3, 4, 4, 4)),
    (lambda: nn.Linear(6, 5), nn.BatchNorm1d(5), (7, 6)),
    (lambda: nn.Linear(6, 5, bias=False), nn.BatchNorm1d(5, affine=False), (7, 6)),
]


@pytest.mark.parametrize("dtype", list(FACTOR), ids=str)
@pytest.mark.parametrize(("layer", "norm", "shape"), PAIRS)
def test_every_kind_of_layer_is_fused_within_tolerance(
    layer: Any, norm: nn.Module, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    """max|Δ| ≤ k·eps·max|reference|, against eager and against float64."""
    torch.manual_seed(0)
    graph, x = pair(layer(), copy.deepcopy(norm), shape)
    graph.to(dtype)
    result = check_pass(FuseConvBn(), graph, x.to(dtype), tolerance=FACTOR[dtype])
    assert result.modified
    assert result.graph.text() == "%x = input x\n%layer = layer(%x)\nreturn %layer\n"
    assert result.graph.module.layer.weight.dtype is dtype
    with torch.no_grad():
        exact = copy.deepcopy(graph.module).double()(x.to(dtype).double())
        eager, fused = graph(x.to(dtype)), result.graph(x.to(dtype))
    eps = torch.finfo(dtype).eps
    distance, own = ((output.double() - exact).abs().max() for output in (fused, eager))
    assert distance <= FACTOR[dtype] * eps * exact.abs().max()
    assert distance <= max(2 * own, 2 * eps * exact.abs().max())


def test_a_channel_of_small_variance_is_fused_within_tolerance() -> None:
    norm = nn.BatchNorm2d(4)
    graph, x = pair(nn.Conv2d(4, 4, 3), norm, (2, 4, 9, 9))
    with torch.no_grad():
        graph.module.norm.running_var.copy_(torch.tensor([1e-6, 1e-3, 1.0, 1e3]))
    check_pass(FuseConvBn(), graph, x, tolerance=64)


def test_flags_and_devices_of_the_weights_are_kept() -> None:
    graph, _ = pair(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), (2, 4, 9, 9))
    graph.module.layer.weight.requires_grad_(False)
    fused = FuseConvBn()(graph).graph.module.layer
    assert (fused.weight.requires_grad, fused.bias.requires_grad) == (False, False)
    assert not fused.training
    assert (fused.stride, fused.padding) == (graph.module.layer.stride, graph.module.layer.padding)


def test_a_whole_network_is_fused() -> None:
    block = nn.Sequential(
        nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4),
        nn.Flatten(), nn.Linear(4, 5), nn.BatchNorm1d(5),
    )  # fmt: skip
    for layer in block:
        settled(layer) if isinstance(layer, nn.modules.batchnorm._BatchNorm) else None
    graph = plain(lambda m, x: m.block(x), block=block).eval()
    result = check_pass(FuseConvBn(), graph, X, tolerance=64)
    assert [node.target for node in result.graph.graph.find_nodes(op="call_module")] == [
        "block.0", "block.2", "block.3", "block.5", "block.6",
    ]  # fmt: skip


def test_a_batch_norm_after_a_fused_one_is_fused_too() -> None:
    layers = {**conv_bn(), "again": settled(nn.BatchNorm2d(4))}
    graph = plain(lambda m, x: m.again(m.norm(m.conv(x))), **layers).eval()
    assert (
        check_pass(FuseConvBn(), graph, X, tolerance=64).graph.text()
        == "%x = input x\n%conv = conv(%x)\nreturn %conv\n"
    )


def test_a_norm_that_is_called_twice_is_fused_where_it_can_be() -> None:
    graph = plain(lambda m, x: m.norm(m.conv(m.norm(x))), **conv_bn()).eval()
    result = check_pass(FuseConvBn(), graph, X, tolerance=64)
    assert result.graph.text() == "%x = input x\n%norm = norm(%x)\n%conv = conv(%norm)\nreturn %conv\n"


def test_a_call_by_keyword_is_fused() -> None:
    graph = plain(lambda m, x: m.norm(input=m.conv(input=x)), **conv_bn()).eval()
    assert check_pass(FuseConvBn(), graph, X, tolerance=64).modified


# -- what is left alone, and why


def missed(graph: ChoiceGraph) -> str:
    """Why the one pair of a graph is not fused."""
    rewrite = FuseConvBn()
    result = rewrite(graph)
    assert not result.modified
    assert result.graph.text() == graph.text()
    return rewrite.misses[0].reason


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (lambda m, x: (lambda y: m.norm(y) + y)(m.conv(x)), "the output of conv is used by 2 nodes"),
        (lambda m, x: m.norm(m.conv(m.conv(x))), "module conv is called again, by conv"),
        (lambda m, x: m.norm(m.conv(x)) * m.conv.weight.sum(), "conv_weight uses conv.weight beside the call"),
        (
            lambda m, x: m.norm(m.conv(x)) + m.norm.eps * m.norm.running_var.sum(),
            "norm_running_var uses norm.running_var",
        ),
        (lambda m, x: m.norm(x), "its input comes from no convolution or linear layer of its kind"),
        (lambda m, x: m.norm(torch.relu(m.conv(x))), "its input comes from no convolution or linear layer of its kind"),
    ],
)
def test_a_pair_that_something_else_uses_stays(forward: Any, reason: str) -> None:
    assert reason in missed(plain(forward, **conv_bn()).eval())


def test_a_write_between_the_two_keeps_them_apart() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.conv(x)
        y.mul_(2)
        return m.norm(y)

    assert "no convolution" in missed(plain(forward, **conv_bn()).eval())


def replaced(**changes: nn.Module) -> ChoiceGraph:
    graph = plain(lambda m, x: m.norm(m.conv(x)), **{**conv_bn(), **changes})
    return graph.eval()


def hooked(module: nn.Module) -> nn.Module:
    module.register_forward_hook(lambda module, args, output: output + 1)
    return module


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"norm": nn.BatchNorm2d(4, track_running_stats=False)}, "the batch norm keeps no statistics"),
        ({"norm": hooked(nn.BatchNorm2d(4))}, "it has hooks"),
        ({"conv": hooked(nn.Conv2d(4, 4, 3))}, "it has hooks"),
        ({"conv": nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3))}, "no convolution"),
        ({"conv": nn.ConvTranspose2d(4, 4, 3, groups=2)}, "in groups holds its weights in another order"),
        ({"norm": nn.InstanceNorm2d(4)}, ""),
    ],
)
def test_a_pair_of_another_kind_stays(changes: dict[str, nn.Module], reason: str) -> None:
    graph = replaced(**changes)
    if reason:
        assert reason in missed(graph)
    else:
        rewrite = FuseConvBn()
        assert not rewrite(graph).modified
        assert rewrite.misses == []


def test_a_layer_that_is_trained_on_stays() -> None:
    graph = replaced()
    graph.module.norm.train()
    assert missed(graph) == "one of the two is in training mode"


def test_a_norm_over_another_dimension_stays() -> None:
    """A batch norm scales the second dimension; a linear layer of three dimensions has its channels in the last."""
    graph, _ = pair(nn.Linear(6, 5), nn.BatchNorm1d(5), (7, 5, 6))
    assert missed(graph) == "its input isn't known to have 2 dimensions, of which the second is the channels"
    # without a batch the length is taken for the channels
    graph, _ = pair(nn.Conv1d(3, 5, 3, padding=1), nn.BatchNorm1d(5), (3, 5), dynamic_batch=False)
    assert "isn't known to have 3 dimensions" in missed(graph)


def test_fusing_needs_evaluation_mode() -> None:
    with pytest.raises(PassError, match=r"^FuseConvBn: the module is in training mode.*call \.eval\(\) first$"):
        FuseConvBn()(plain(lambda m, x: m.norm(m.conv(x)), **conv_bn()).train())


def test_fusing_needs_a_materialized_graph() -> None:
    with pytest.raises(PassError, match="takes a graph at stage 'materialized', got one at stage 'traced'"):
        FuseConvBn()(traced(lambda m, x: m.norm(m.conv(x)), **conv_bn()).eval())


def test_fusing_leaves_the_model_alone() -> None:
    layers = conv_bn()
    model = Apply(lambda m, x: m.norm(m.conv(x)), **layers).eval()
    state = copy.deepcopy(model.state_dict())
    FuseConvBn()(Materialize({})(fxnas.trace(model, X)).graph)
    assert model.conv is layers["conv"]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name])
