"""Passes: text before and after, and that the graph computes the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx import Node

import fxnas
from fxnas.errors import PassError
from fxnas.graph import ChoiceGraph
from fxnas.passes import (
    EliminateDead,
    FoldIdentity,
    FuseConvBn,
    Materialize,
    Pass,
    PassManager,
    RepairInPlace,
    Rewrite,
    Rule,
)
from fxnas.testing import check_pass
from fxnas.verify import problems

X = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))


class Apply(nn.Module):
    """A network given by a function of its layers and the input."""

    def __init__(self, function: Any, **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def traced(function: Any, **layers: nn.Module) -> ChoiceGraph:
    return fxnas.trace(Apply(function, **layers), X)


def plain(function: Any, **layers: nn.Module) -> ChoiceGraph:
    return Materialize({})(traced(function, **layers)).graph


# -- FoldIdentity


def test_an_identity_is_folded() -> None:
    graph = plain(lambda m, x: m.conv(m.same(x)), same=nn.Identity(), conv=nn.Conv2d(4, 4, 1))
    assert graph.text() == "%x = input x\n%same = same(%x)\n%conv = conv(%same)\nreturn %conv\n"
    result = check_pass(FoldIdentity(), graph, X)
    assert result.modified
    assert result.graph.text() == "%x = input x\n%conv = conv(%x)\nreturn %conv\n"


def test_an_identity_that_is_a_candidate_is_folded_and_stays_a_candidate() -> None:
    choice = fxnas.LayerChoice([nn.Identity(), nn.Conv2d(4, 4, 1)])
    graph = traced(lambda m, x: m.op(x), op=choice)
    result = check_pass(FoldIdentity(), graph, X)
    assert "choose 'op' 1 of (0: %x, 1: %op_1)" in result.graph.text()
    assert result.graph.space == graph.space
    for candidate in (0, 1):
        assert torch.equal(result.graph.select({"op": candidate})(X), graph.select({"op": candidate})(X))


def test_writing_to_a_folded_identity_writes_to_its_input() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = x * 2
        m.same(y).add_(1)
        return y

    check_pass(FoldIdentity(), plain(forward, same=nn.Identity()), X)


def test_what_is_not_folded_has_a_reason() -> None:
    hooked = nn.Identity()
    hooked.register_forward_hook(lambda module, args, output: output + 1)
    rewrite = FoldIdentity()
    graph = plain(lambda m, x: m.drop(m.hooked(x)), hooked=hooked, drop=nn.Dropout(0.5))
    assert not rewrite(graph).modified
    assert [miss.reason for miss in rewrite.misses] == ["it has hooks", "a Dropout acts in training mode"]


# -- EliminateDead


def test_a_dead_node_goes_and_a_write_that_is_read_stays() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = x * 2
        y.view(-1).add_(1)
        return y

    graph = plain(forward)
    with graph.graph.inserting_before(graph.graph.output_node()):
        graph.graph.call_function(torch.neg, (graph.graph.find_nodes(op="placeholder")[0],))
    graph.module.recompile()
    result = check_pass(EliminateDead(), graph, X)
    assert result.modified
    assert result.graph.text() == (
        "%x = input x\n%mul = .mul(%x, 2)\n%view = .view(%mul, -1)\n%add_ = .add_(%view, 1)\nreturn %mul\n"
    )


def test_unused_modules_go_with_their_node() -> None:
    graph = plain(lambda m, x: m.a(m.b(x)), a=nn.Conv2d(4, 4, 1), b=nn.ReLU())
    (relu,) = (node for node in graph.graph.nodes if node.target == "a")
    relu.replace_all_uses_with(relu.args[0])
    graph.module.recompile()
    assert "a.weight" in graph.module.state_dict()
    assert "a.weight" not in EliminateDead()(graph).graph.module.state_dict()


# -- RepairInPlace


def test_an_in_place_candidate_is_repaired_where_a_sibling_reads() -> None:
    choice = fxnas.LayerChoice([nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1), nn.Identity()])
    graph = traced(lambda m, x: m.op(x * 2), op=choice)
    assert "no_shared_writes" in str(problems(graph.module, "relaxed"))
    result = check_pass(RepairInPlace(), graph, X)
    assert result.modified
    assert not problems(result.graph.module, "relaxed")
    assert choice[0].inplace  # the user's module stays as it is
    for candidate in range(3):
        expected = graph.select({"op": candidate})(X)
        assert torch.equal(result.graph.select({"op": candidate})(X), expected)


@pytest.mark.parametrize("write", [lambda x: x.mul_(2), lambda x: torch.nn.functional.relu(x, inplace=True)])
def test_functions_and_methods_are_repaired(write: Any) -> None:
    class Writes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return write(x)

    graph = traced(lambda m, x: m.op(x + 1), op=fxnas.LayerChoice([Writes(), nn.Tanh()]))
    result = check_pass(RepairInPlace(), graph, X)
    assert result.modified
    assert not problems(result.graph.module, "relaxed")


def test_a_write_that_nobody_shares_stays() -> None:
    choice = fxnas.LayerChoice([nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True)), nn.Tanh()])
    assert not RepairInPlace()(traced(lambda m, x: m.op(x), op=choice)).modified


def test_a_write_that_is_read_by_another_name_is_refused() -> None:
    class Writes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            view = x.view(-1)
            view.add_(1)
            return x * 1

    graph = traced(lambda m, x: m.op(x + 1), op=fxnas.LayerChoice([Writes(), nn.Tanh()]))
    with pytest.raises(PassError, match="by another name"):
        RepairInPlace()(graph)


# -- FuseConvBn


def conv_bn() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4)
    norm.running_mean.normal_()  # type: ignore[union-attr]
    norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    nn.init.normal_(norm.weight)
    return {"conv": nn.Conv2d(4, 4, 3), "norm": norm}


def test_a_batch_norm_goes_into_the_convolution_before_it() -> None:
    graph = plain(lambda m, x: m.norm(m.conv(x)), **conv_bn()).eval()
    result = check_pass(FuseConvBn(), graph, X, tolerance=64)
    assert result.graph.text() == "%x = input x\n%conv = conv(%x)\nreturn %conv\n"
    double = graph.module.double()(X.double())
    distance = (result.graph.module(X) - double).abs().max()
    assert distance <= 64 * torch.finfo(torch.float32).eps * double.abs().max()


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (lambda m, x: (lambda y: m.norm(y) + y)(m.conv(x)), "used by 2 nodes"),
        (lambda m, x: m.norm(m.conv(m.conv(x))), "called 2 times"),
        (lambda m, x: m.norm(x), "no convolution"),
    ],
)
def test_a_pair_that_is_not_fused_has_a_reason(forward: Any, reason: str) -> None:
    rewrite = FuseConvBn()
    assert not rewrite(plain(forward, **conv_bn()).eval()).modified
    assert reason in rewrite.misses[0].reason


def test_fusing_needs_evaluation_mode() -> None:
    with pytest.raises(PassError, match=r"call \.eval\(\) first"):
        FuseConvBn()(plain(lambda m, x: m.norm(m.conv(x)), **conv_bn()).train())


# -- the contract


class Double(Rule):
    """torch.neg becomes torch.abs: not the same function."""

    def match(self, node: Node, graph: ChoiceGraph) -> bool | str:
        return node.target is torch.neg

    def rewrite(self, node: Node, graph: ChoiceGraph) -> None:
        node.target = torch.abs


class Dishonest(Pass):
    def rewrite(self, graph: ChoiceGraph) -> bool:
        for node in graph.graph.nodes:
            node.target = torch.abs if node.target is torch.neg else node.target
        return False


class Breaks(Pass):
    def rewrite(self, graph: ChoiceGraph) -> bool:
        first, *_, last = graph.graph.nodes
        first.append(last.prev) if last.prev is not first else None
        last.prev.append(first)
        return True


class Forever(Rule):
    def match(self, node: Node, graph: ChoiceGraph) -> bool | str:
        return node.op == "output"

    def rewrite(self, node: Node, graph: ChoiceGraph) -> None:
        pass


def test_a_pass_that_changes_the_function_is_found_out() -> None:
    with pytest.raises(AssertionError, match="changes outputs"):
        check_pass(Rewrite(Double()), plain(lambda m, x: torch.neg(x)), X)


def test_a_pass_that_lies_about_changes_is_refused() -> None:
    with pytest.raises(PassError, match="Dishonest: says that it changed nothing"):
        Dishonest()(plain(lambda m, x: torch.neg(x)))


def test_an_ill_formed_result_is_refused_and_the_input_is_untouched() -> None:
    graph = plain(lambda m, x: torch.neg(x))
    text = graph.text()
    with pytest.raises(PassError, match="Breaks: the result is not legal"):
        Breaks()(graph)
    assert graph.text() == text


def test_rules_that_never_end_are_stopped() -> None:
    with pytest.raises(PassError, match="does one undo another"):
        Rewrite(Forever())(plain(lambda m, x: x + 1))


def test_a_manager_tells_what_had_run() -> None:
    graph = plain(lambda m, x: m.norm(m.conv(x)), **conv_bn()).train()
    with pytest.raises(PassError, match=r"training mode.*\(after FoldIdentity, EliminateDead\)"):
        PassManager(FoldIdentity(), EliminateDead(), FuseConvBn())(graph)


def test_a_manager_is_a_pass() -> None:
    layers = {**conv_bn(), "same": nn.Identity()}
    graph = traced(lambda m, x: m.norm(m.conv(m.same(x))), **layers).eval()
    result = PassManager(Materialize({}), FoldIdentity(), FuseConvBn(), EliminateDead())(graph)
    assert result.modified
    assert result.graph.text() == "%x = input x\n%conv = conv(%x)\nreturn %conv\n"


def test_a_pass_names_the_stage_that_it_takes() -> None:
    with pytest.raises(PassError, match="takes a graph at stage 'traced', got one at stage 'materialized'"):
        Materialize({})(plain(lambda m, x: x))
