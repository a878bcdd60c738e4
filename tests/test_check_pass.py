"""`check_pass` holds passes to their contract: every broken promise is found out."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import fxnas
from fxnas.graph import ChoiceGraph
from fxnas.passes import Pass
from fxnas.testing import check_pass
from tests.pass_nets import Edit, Nothing, Replace, X, choice, nodes_of, plain, traced


class WritesToWeights(Pass):
    def rewrite(self, graph: ChoiceGraph) -> bool:
        with torch.no_grad():
            next(graph.module.parameters()).mul_(1)
        return False


class Aliases(Pass):
    def __call__(self, graph: Any) -> Any:
        return fxnas.passes.PassResult(graph, False)

    def rewrite(self, graph: ChoiceGraph) -> bool:
        raise NotImplementedError


class SwapsModule(Pass):
    """Denies that it puts another module in the place of one; the text can't tell."""

    def rewrite(self, graph: ChoiceGraph) -> bool:
        graph.module._modules["conv"] = copy.deepcopy(graph.module._modules["conv"])
        return False


def add(graph: ChoiceGraph, function: Any, *args: Any) -> bool:
    """Puts a call in front of the output, which takes its value."""
    output = graph.graph.output_node()
    with graph.graph.inserting_before(output):
        made = graph.graph.call_function(function, (output.args[0], *args))
    output.args = (made,)
    return True


def silent_random_number(graph: ChoiceGraph) -> bool:
    with graph.graph.inserting_before(graph.graph.output_node()):
        graph.graph.call_function(torch.rand, (1,)).meta["effect"] = True
    return True


def write_to_input(graph: ChoiceGraph) -> bool:
    (x,) = graph.graph.find_nodes(op="placeholder")
    with graph.graph.inserting_before(graph.graph.output_node()):
        graph.graph.call_method("add_", (x, 1)).meta["effect"] = True
    return True


def detach(graph: ChoiceGraph) -> bool:
    return add(graph, torch.detach)


@pytest.mark.parametrize(
    ("pass_", "reason"),
    [
        (Replace(torch.neg, torch.abs), r"output is off by"),
        (Replace(torch.neg, torch.numel), r"output is .*, not"),
        (WritesToWeights(), "changes the graph that it is given"),
        (Aliases(), "gives its input back"),
        (SwapsModule(), "says that it changed nothing, but it did"),
        (Edit(lambda graph: add(graph, torch.mul, 1)), "finds more to do in its own result"),
    ],
)
def test_a_broken_promise_is_found_out(pass_: Pass, reason: str) -> None:
    graph = plain(lambda m, x: torch.neg(m.conv(x)), conv=nn.Conv2d(4, 4, 1))
    with pytest.raises(AssertionError, match=reason):
        check_pass(pass_, graph, X)


class Once(Edit):
    """Applies an edit to a graph that doesn't have it yet, so that a second application finds nothing to do."""

    def rewrite(self, graph: ChoiceGraph) -> bool:
        if graph.module.meta.get("done"):
            return False
        graph.module.meta["done"] = True
        return super().rewrite(graph)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda graph: add(graph, torch.mul, -1), "output is off by"),
        (lambda graph: add(graph, torch.mul, 1 + 2**-20), "output is off by"),
        (detach, "the gradient of input 0"),
        (silent_random_number, "the random state differs afterwards"),
        (write_to_input, "input 0 afterwards is off by 1"),
        (lambda graph: add(graph, torch.Tensor.double), "output is torch.float64"),
    ],
)
def test_a_change_of_what_is_computed_is_found_out(edit: Any, reason: str) -> None:
    graph = plain(lambda m, x: m.conv(x), conv=nn.Conv2d(4, 4, 1))
    with pytest.raises(AssertionError, match=reason):
        check_pass(Once(edit), graph, X)


def test_a_negative_zero_is_another_value() -> None:
    graph = plain(lambda m, x: x * 0.0)
    with pytest.raises(AssertionError, match="output is off by 0"):
        check_pass(Once(lambda graph: add(graph, torch.neg)), graph, X)


def test_statistics_that_are_not_updated_are_found_out() -> None:
    def edit(graph: ChoiceGraph) -> bool:
        graph.module._modules["norm"] = frozen = copy.copy(graph.module.norm)
        frozen.momentum = 0.0
        return True

    graph = plain(lambda m, x: m.norm(x), norm=nn.BatchNorm2d(4))
    with pytest.raises(AssertionError, match=r"training mode.* buffer 'norm.running_mean' is off by"):
        check_pass(Once(edit), graph, X)


def test_the_other_side_of_a_choice_is_compared_too() -> None:
    class Breaks(Pass):
        def rewrite(self, graph: ChoiceGraph) -> bool:
            found = nodes_of(graph, torch.sin)
            for node in found:
                node.target = torch.cos
            return bool(found)

    graph = traced(lambda m, x: m.op(x), op=choice(nn.Tanh(), lambda x: torch.sin(x)))
    with pytest.raises(AssertionError, match=r"architecture .*'op': 1.* output is off by"):
        check_pass(Breaks(), graph, X)


def test_a_tolerance_is_relative_to_the_largest_value() -> None:
    eps = torch.finfo(torch.float32).eps
    graph = plain(lambda m, x: m.conv(x), conv=nn.Conv2d(4, 4, 1))
    near = Once(lambda graph: add(graph, torch.mul, 1 + 8 * eps))
    check_pass(near, graph, X, tolerance=9)
    with pytest.raises(AssertionError, match=r"more than 4·eps"):
        check_pass(near, graph, X, tolerance=4)


def test_a_reference_of_zeros_checks_nothing() -> None:
    with pytest.raises(AssertionError, match="all zeros before"):
        check_pass(Nothing(), plain(lambda m, x: x * 0), X, tolerance=64)


def test_the_text_is_compared_where_it_is_given() -> None:
    graph = plain(lambda m, x: torch.neg(x))
    with pytest.raises(AssertionError, match="the graph reads\n%x = input x\n%neg"):
        check_pass(Nothing(), graph, X, before="%x = input x\nreturn %x")
    with pytest.raises(AssertionError, match="the result reads\n%x = input x\n%neg"):
        check_pass(Nothing(), graph, X, after="%x = input x\nreturn %x")


def test_inputs_come_in_every_form_and_the_random_state_stays() -> None:
    graph = plain(lambda m, x: nn.functional.dropout(x, 0.5, m.training))
    before = torch.get_rng_state()
    for inputs in (X, (X,), {"x": X}, ((), {"x": X})):
        check_pass(Nothing(), graph, inputs)
    assert torch.equal(torch.get_rng_state(), before)
