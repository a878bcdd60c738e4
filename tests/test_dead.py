"""EliminateDead: what nothing needs goes; what is written and read later stays."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fxnas
from fxnas.graph import ChoiceGraph
from fxnas.passes import EliminateDead
from fxnas.testing import check_pass
from tests.pass_nets import X, choice, plain, traced


def with_dead_calls(graph: ChoiceGraph, *functions: Any) -> ChoiceGraph:
    """The graph with a chain of calls in front of the output that leads nowhere."""
    (value,) = graph.graph.find_nodes(op="placeholder")
    with graph.graph.inserting_before(graph.graph.output_node()):
        for function in functions:
            value = graph.graph.call_function(function, (value,))
    graph.module.recompile()
    return graph


def test_a_chain_that_leads_nowhere_goes() -> None:
    check_pass(
        EliminateDead(),
        with_dead_calls(plain(lambda m, x: torch.neg(x)), torch.sin, torch.cos),
        X,
        before="""
            %x = input x
            %neg = neg(%x)
            %sin = sin(%x)
            %cos = cos(%sin)
            return %neg
        """,
        after="""
            %x = input x
            %neg = neg(%x)
            return %neg
        """,
    )


def test_a_graph_without_dead_nodes_stays() -> None:
    graph = plain(lambda m, x: m.conv(x), conv=nn.Conv2d(4, 4, 1))
    assert not check_pass(EliminateDead(), graph, X, after=graph.text()).modified


def test_an_argument_that_nobody_uses_stays() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor, unused: Tensor) -> Tensor:
            return torch.neg(x)

    graph = fxnas.trace(Net(), (X, X))
    check_pass(
        EliminateDead(),
        graph,
        (X, X),
        after="""
            %x = input x
            %unused = input unused
            %neg = neg(%x)
            return %neg
        """,
    )


# -- in-place writes: the values of these calls have no user


def through_a_view(m: Any, x: Tensor) -> Tensor:
    y = x * 2
    y.view(-1).add_(1)
    return y


def through_a_part(m: Any, x: Tensor) -> Tensor:
    y = x * 2
    y[0] = 0
    return y


def through_a_module(m: Any, x: Tensor) -> Tensor:
    y = x * 2
    m.relu(y[:1])
    return y


def through_out(m: Any, x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    torch.mul(x.detach(), 2, out=y)
    return y


def to_a_buffer(m: Any, x: Tensor) -> Tensor:
    m.norm.running_mean.add_(1)
    return torch.neg(x)


def to_the_input(m: Any, x: Tensor) -> Tensor:
    y = torch.neg(x)
    x.add_(1)
    return y


@pytest.mark.parametrize(
    ("forward", "write"),
    [
        (through_a_view, "%add_ = .add_(%view, 1)"),
        (through_a_part, "%setitem = setitem(%mul, 0, 0)"),
        (through_a_module, "%relu = relu(%getitem)"),
        (through_out, "%mul = mul(%detach, 2, out=%zeros_like)"),
        (to_a_buffer, "%add_ = .add_(%norm_running_mean, 1)"),
        (to_the_input, "%add_ = .add_(%x, 1)"),
    ],
)
def test_a_write_that_is_seen_later_stays(forward: Any, write: str) -> None:
    layers = {"relu": nn.ReLU(inplace=True), "norm": nn.BatchNorm2d(4)}
    for make in (traced, plain):
        graph = make(forward, **layers)
        written = graph.text()
        assert write in written
        check_pass(EliminateDead(), with_dead_calls(graph, torch.sin), X, after=written)


def test_a_write_that_nobody_sees_goes() -> None:
    graph = plain(through_a_view)
    output = graph.graph.output_node()
    (x,) = graph.graph.find_nodes(op="placeholder")
    output.args = (x,)
    assert EliminateDead()(graph).graph.text() == "%x = input x\nreturn %x\n"


def test_the_check_of_a_flag_stays() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor, flag: bool = True) -> Tensor:
            return x if flag else -x

    graph = fxnas.trace(Net(), (X, True))
    assert "_assert" in EliminateDead()(graph).graph.text()


# -- choices


def test_what_one_architecture_needs_stays() -> None:
    graph = traced(lambda m, x: m.op(x), op=choice(nn.Tanh(), nn.Sigmoid()))
    assert not check_pass(EliminateDead(), graph, X, after=graph.text()).modified


def test_a_candidate_that_is_cut_off_goes() -> None:
    graph = traced(lambda m, x: m.op(x), op=choice(nn.Tanh(), lambda x: torch.sin(torch.cos(x))))
    (sin,) = graph.graph.find_nodes(op="call_function", target=torch.sin)
    sin.replace_all_uses_with(graph.graph.find_nodes(op="placeholder")[0])
    graph.module.recompile()
    result = check_pass(
        EliminateDead(),
        graph,
        X,
        after="""
            %x = input x
            %op_0 = op.0(%x)
            %op = choose 'op' 1 of (0: %op_0, 1: %x)
            return %op
        """,
    )
    assert result.graph.space == graph.space


def test_a_choice_that_is_cut_off_leaves_the_space() -> None:
    graph = traced(lambda m, x: m.b(m.a(x)), a=choice(nn.Tanh(), nn.Sigmoid()), b=choice(nn.Tanh(), nn.Sigmoid()))
    (node,) = (node for node in graph.graph.nodes if node.name == "a")
    node.replace_all_uses_with(graph.graph.find_nodes(op="placeholder")[0])
    result = EliminateDead()(graph)
    assert result.modified
    assert list(result.graph.space) == ["b"]


# -- modules


def test_modules_and_tensors_without_a_node_go() -> None:
    block = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    graph = plain(lambda m, x: m.block(x), block=block)
    (norm,) = (node for node in graph.graph.nodes if node.target == "block.1")
    norm.replace_all_uses_with(norm.args[0])
    graph.module.recompile()
    result = check_pass(EliminateDead(), graph, X)
    assert list(result.graph.module.state_dict()) == ["block.0.weight", "block.0.bias"]
    assert "block.1.weight" in graph.module.state_dict()


def test_the_model_keeps_its_modules_while_choices_are_open() -> None:
    graph = traced(lambda m, x: m.a(m.b(x)), a=nn.Conv2d(4, 4, 1), b=choice(nn.Tanh(), nn.Sigmoid()))
    (conv,) = (node for node in graph.graph.nodes if node.target == "a")
    conv.replace_all_uses_with(conv.args[0])
    result = EliminateDead()(graph)
    assert result.modified
    assert list(result.graph.state_dict()) == list(graph.state_dict())
