"""FoldIdentity: calls that return what they are given."""

from __future__ import annotations

import operator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fxnas.passes import FoldIdentity
from fxnas.testing import check_pass
from tests.pass_nets import X, choice, plain, traced


def test_an_identity_is_folded() -> None:
    result = check_pass(
        FoldIdentity(),
        plain(lambda m, x: m.conv(m.same(x)), same=nn.Identity(), conv=nn.Conv2d(4, 4, 1)),
        X,
        before="""
            %x = input x
            %same = same(%x)
            %conv = conv(%same)
            return %conv
        """,
        after="""
            %x = input x
            %conv = conv(%x)
            return %conv
        """,
    )
    assert [name for name, _ in result.graph.module.named_modules()] == ["", "conv"]


def test_a_chain_of_identities_and_plus_signs_is_folded() -> None:
    graph = plain(lambda m, x: m.same(+m.same(input=torch.positive(m.same(x)))), same=nn.Identity())
    check_pass(FoldIdentity(), graph, X, after="%x = input x\nreturn %x")


def test_an_identity_that_is_a_candidate_stays_a_candidate() -> None:
    graph = traced(lambda m, x: m.op(x), op=choice(nn.Identity(), nn.Conv2d(4, 4, 1)))
    result = check_pass(
        FoldIdentity(),
        graph,
        X,
        before="""
            %x = input x
            %op_0 = op.0(%x)
            %op_1 = op.1(%x)
            %op = choose 'op' 1 of (0: %op_0, 1: %op_1)
            return %op
        """,
        after="""
            %x = input x
            %op_1 = op.1(%x)
            %op = choose 'op' 1 of (0: %x, 1: %op_1)
            return %op
        """,
    )
    assert result.graph.space == graph.space


def test_a_choice_of_identities_is_still_a_choice() -> None:
    graph = traced(lambda m, x: m.op(x), op=choice(nn.Identity(), nn.Identity(), n_chosen=2))
    result = check_pass(FoldIdentity(), graph, X)
    assert "choose 'op' 2 of (0: %x, 1: %x) sum" in result.graph.text()


# -- the output of an Identity is its input, and stays it


def write_to_output(m: Any, x: Tensor) -> Tensor:
    y = x * 2
    m.same(y).add_(1)
    return y


def write_to_input(m: Any, x: Tensor) -> Tensor:
    y = x * 2
    z = m.same(y)
    y.add_(1)
    return z


@pytest.mark.parametrize("forward", [write_to_output, write_to_input])
def test_writes_are_seen_through_a_folded_identity(forward: Any) -> None:
    for make in (traced, plain):
        result = check_pass(FoldIdentity(), make(forward, same=nn.Identity()), X)
        assert "same" not in result.graph.text()
        assert "add_" in result.graph.text()


# -- elements of tuples


def test_an_element_of_a_tuple_is_taken_directly() -> None:
    graph = plain(lambda m, x: torch.sin(x) * torch.cos(x))
    sin, cos, mul = (node for node in graph.graph.nodes if node.op.startswith("call"))
    with graph.graph.inserting_before(mul):
        first = graph.graph.call_function(operator.getitem, ((sin, cos), -1))
        second = graph.graph.call_function(operator.getitem, ([sin, 3.0], True))
    mul.args = (first, second)
    graph.module.recompile()
    check_pass(
        FoldIdentity(),
        graph,
        X,
        after="""
            %x = input x
            %cos = cos(%x)
            %mul = .mul(%cos, 3.0)
            return %mul
        """,
    )


@pytest.mark.parametrize(("index", "reason"), [(2, "out of range"), (slice(0, 1), "no constant")])
def test_another_index_is_left_alone(index: Any, reason: str) -> None:
    graph = plain(lambda m, x: torch.sin(x))
    (sin,) = (node for node in graph.graph.nodes if node.op.startswith("call"))
    with graph.graph.inserting_after(sin):
        made = graph.graph.call_function(operator.getitem, ((sin, sin), index))
    graph.graph.output_node().args = (made,)
    rewrite = FoldIdentity()
    assert not rewrite(graph).modified
    assert reason in rewrite.misses[0].reason


# -- what stays, and why


def hooked(register: str) -> nn.Module:
    module = nn.Identity()
    getattr(module, register)(lambda *args: None)
    return module


def patched() -> nn.Module:
    module = nn.Identity()
    module.forward = lambda x: x + 1
    return module


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Dropout(0.0), "Dropout acts in training mode"),
        (nn.Dropout2d(0.5), "Dropout2d acts in training mode"),
        (nn.AlphaDropout(0.5), "AlphaDropout acts in training mode"),
        (hooked("register_forward_hook"), "it has hooks"),
        (hooked("register_forward_pre_hook"), "it has hooks"),
        (hooked("register_full_backward_hook"), "it has hooks"),
        (patched(), "its forward has been replaced"),
    ],
)
def test_what_is_not_folded_has_a_reason(layer: nn.Module, reason: str) -> None:
    rewrite = FoldIdentity()
    graph = plain(lambda m, x: m.layer(x), layer=layer)
    assert not check_pass(rewrite, graph, X, after=graph.text()).modified
    assert [miss.reason for miss in rewrite.misses] == [reason]


def test_an_identity_of_no_value_is_left_alone() -> None:
    graph = plain(lambda m, x: m.same(x), same=nn.Identity())
    (node,) = graph.graph.find_nodes(op="call_module")
    node.args = (1.5,)
    rewrite = FoldIdentity()
    assert not rewrite(graph).modified
    assert rewrite.misses[0].reason == "its input is not one value of the graph"


@pytest.mark.parametrize("layer", [nn.Flatten(0, 0), nn.ReLU(), nn.Sequential(nn.Tanh())])
def test_other_modules_are_none_of_its_business(layer: nn.Module) -> None:
    rewrite = FoldIdentity()
    graph = plain(lambda m, x: m.layer(x), layer=layer)
    assert not check_pass(rewrite, graph, X, after=graph.text()).modified
    assert rewrite.misses == []


@pytest.mark.parametrize("function", [lambda x: x.contiguous(), lambda x: x.view_as(x), lambda x: x[...], torch.relu])
def test_what_may_return_another_tensor_is_left_alone(function: Any) -> None:
    graph = plain(lambda m, x: function(x * 2))
    assert not check_pass(FoldIdentity(), graph, X, after=graph.text()).modified
