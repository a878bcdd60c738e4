"""The contract of passes: forks, stages, honesty, errors, and modules from elsewhere."""

from __future__ import annotations

import copy
import operator
import pickle
from typing import Any

import pytest
import torch
from torch import nn
from torch.fx import symbolic_trace

import fxnas
from fxnas.errors import ArchitectureError, PassError
from fxnas.graph import ChoiceGraph
from fxnas.passes import EliminateDead, FoldIdentity, FuseConvBn, Materialize, PassManager
from fxnas.testing import check_pass
from tests.pass_nets import Edit, Nothing, Replace, X, choice, nodes_of, plain, traced

# -- forks


@pytest.mark.parametrize("make", [traced, plain])
def test_a_result_shares_weights_and_nothing_else(make: Any) -> None:
    graph = make(lambda m, x: m.conv(torch.neg(x)), conv=nn.Conv2d(4, 4, 1))
    result = Nothing()(graph)
    assert not result.modified
    assert result.graph is not graph
    assert result.graph.module is not graph.module
    assert result.graph.text() == graph.text()
    assert not set(result.graph.graph.nodes) & set(graph.graph.nodes)
    for one, other in zip(result.graph.graph.nodes, graph.graph.nodes, strict=True):
        assert one.meta == other.meta
        assert one.meta is not other.meta
    for name, tensor in graph.module.state_dict(keep_vars=True).items():
        assert result.graph.module.state_dict(keep_vars=True)[name] is tensor


def test_a_pass_can_not_reach_its_input() -> None:
    def edit(graph: ChoiceGraph) -> bool:
        (neg,) = nodes_of(graph, torch.neg)
        neg.meta["storages"] = (99,)
        neg.target = torch.abs
        graph.module.add_module("conv", nn.Identity())
        return True

    graph = traced(lambda m, x: m.conv(torch.neg(x)), conv=nn.Conv2d(4, 4, 1))
    text, conv, expected = graph.text(), graph.module.conv, graph(X)
    result = Edit(edit)(graph)
    assert "abs(%x)" in result.graph.text()
    assert graph.text() == text
    assert graph.module.conv is conv
    assert nodes_of(graph, torch.neg)[0].meta["storages"] != (99,)
    assert torch.equal(graph(X), expected)


def test_the_decisions_and_the_mode_are_kept() -> None:
    graph = traced(lambda m, x: m.op(x), op=choice(nn.Tanh(), nn.Sigmoid())).select({"op": 1}).eval()
    result = Nothing()(graph).graph
    assert result.architecture == graph.architecture
    assert not result.module.training
    graph.select({"op": 0})
    assert result.architecture["op"] == (1,)
    assert result.example_inputs is graph.example_inputs


# -- what the base class does after the rewrite


def test_dead_nodes_are_dropped_and_count_as_a_change() -> None:
    graph = plain(lambda m, x: torch.neg(x))
    with graph.graph.inserting_before(graph.graph.output_node()):
        graph.graph.call_function(torch.abs, (nodes_of(graph, torch.neg)[0],))
    result = Nothing()(graph)
    assert result.modified
    assert result.graph.text() == "%x = input x\n%neg = neg(%x)\nreturn %neg\n"


def test_unused_modules_are_dropped_and_count_as_a_change() -> None:
    graph = plain(lambda m, x: m.conv(x), conv=nn.Conv2d(4, 4, 1))
    graph.module.add_module("unused", nn.Linear(2, 2))
    result = Nothing()(graph)
    assert result.modified
    assert list(result.graph.module.state_dict()) == ["conv.weight", "conv.bias"]
    assert "unused.weight" in graph.module.state_dict()
    assert not Nothing()(result.graph).modified


def test_the_result_is_compiled() -> None:
    graph = plain(lambda m, x: torch.neg(x))
    assert torch.equal(Replace(torch.neg, torch.abs)(graph).graph(X), X.abs())


# -- what the base class refuses


def test_a_pass_names_the_stage_that_it_takes() -> None:
    with pytest.raises(PassError, match="takes a graph at stage 'traced', got one at stage 'materialized'"):
        Materialize({})(plain(lambda m, x: x))


def test_a_pass_that_denies_a_change_is_refused() -> None:
    with pytest.raises(PassError, match="Replace: says that it changed nothing, but the text of the graph differs"):
        Replace(torch.neg, torch.abs, says=False)(plain(lambda m, x: torch.neg(x)))


def use_before_definition(graph: ChoiceGraph) -> bool:
    first, *_, last = graph.graph.nodes
    last.prev.append(first)
    return True


def call_nothing(graph: ChoiceGraph) -> bool:
    (neg,) = nodes_of(graph, torch.neg)
    neg.op, neg.target = "call_module", "nowhere"
    return True


def leave_an_op_of_ours(graph: ChoiceGraph) -> bool:
    (neg,) = nodes_of(graph, torch.neg)
    neg.target = fxnas.ops.reduce_outputs
    return True


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (use_before_definition, "defined_before_use: neg uses x, which stands after it"),
        (call_nothing, "targets_exist: neg refers to 'nowhere'"),
        (leave_an_op_of_ours, r"no_choices: neg is an op of fxnas \(reduce_outputs\)"),
    ],
)
def test_an_ill_formed_result_is_refused_and_the_input_is_untouched(edit: Any, reason: str) -> None:
    import fxnas.ops  # noqa: F401  loaded on demand

    graph = plain(lambda m, x: torch.neg(x))
    text = graph.text()
    with pytest.raises(PassError, match=f"Edit: the result is not legal at stage 'materialized': {reason}"):
        Edit(edit)(graph)
    assert graph.text() == text
    assert torch.equal(graph(X), -X)


def test_a_mistake_in_a_pass_names_the_pass() -> None:
    with pytest.raises(
        PassError, match=r"Edit: RuntimeError: Tried to erase Node neg but it still had 1 users"
    ) as caught:
        Edit(lambda graph: graph.graph.erase_node(nodes_of(graph, torch.neg)[0]))(plain(lambda m, x: torch.neg(x)))
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_pass_takes_graphs_only() -> None:
    with pytest.raises(PassError, match="not a Linear; trace it first"):
        Nothing()(nn.Linear(2, 2))
    with pytest.raises(PassError, match="passes take the ChoiceGraph that it belongs to"):
        Nothing()(traced(lambda m, x: x).module)


# -- managers


def conv_bn() -> dict[str, nn.Module]:
    return {"conv": nn.Conv2d(4, 4, 1), "norm": nn.BatchNorm2d(4), "same": nn.Identity()}


def test_a_manager_is_a_pass() -> None:
    graph = traced(lambda m, x: m.norm(m.conv(m.same(x))), **conv_bn()).eval()
    manager = PassManager(PassManager(Materialize({}), FoldIdentity()), FuseConvBn(), EliminateDead())
    result = check_pass(manager, graph, X, tolerance=64, after="%x = input x\n%conv = conv(%x)\nreturn %conv")
    assert result.modified
    assert list(result.graph.module.state_dict()) == ["conv.weight", "conv.bias"]


def test_a_manager_without_changes_says_so() -> None:
    graph = plain(lambda m, x: torch.neg(x))
    assert not PassManager(FoldIdentity(), EliminateDead())(graph).modified
    assert not PassManager()(graph).modified


def test_a_manager_tells_what_had_run() -> None:
    graph = plain(lambda m, x: m.norm(m.conv(x)), **conv_bn()).train()
    with pytest.raises(PassError, match=r"^FuseConvBn: .* training mode.* \(after FoldIdentity, EliminateDead\)$"):
        PassManager(FoldIdentity(), EliminateDead(), FuseConvBn())(graph)
    with pytest.raises(PassError, match=r"\(after no other pass\)$"):
        PassManager(FuseConvBn())(graph)


def test_a_manager_keeps_the_kind_of_an_error() -> None:
    graph = traced(lambda m, x: m.op(x), op=choice(nn.Tanh(), nn.Sigmoid()))
    with pytest.raises(ArchitectureError, match=r"'op'.*\(after FoldIdentity\)$"):
        PassManager(FoldIdentity(), Materialize({"op": 5}))(graph)


# -- plain modules, whose notes may be lost


def writes(m: Any, x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    y.view(-1).add_(1)
    return m.same(y)


def test_a_child_is_taken_as_it_is() -> None:
    child = plain(writes, same=nn.Identity()).module
    result = check_pass(FoldIdentity(), child, X)
    assert result.graph.text() == (
        "%x = input x\n%mul = .mul(%x, 2)\n%view = .view(%mul, -1)\n%add_ = .add_(%view, 1)\nreturn %mul\n"
    )


@pytest.mark.parametrize("lose", [lambda child: pickle.loads(pickle.dumps(child)), copy.deepcopy, symbolic_trace])
def test_a_write_stays_even_where_the_notes_are_lost(lose: Any) -> None:
    child = plain(writes, same=nn.Identity()).module
    found = lose(child)
    notes = [dict(node.meta) for node in found.graph.nodes]
    result = check_pass(FoldIdentity(), found, X)
    assert result.modified
    assert "add_" in result.graph.text()
    assert torch.equal(result.graph(X), child(X))
    assert [dict(node.meta) for node in found.graph.nodes] == notes


class Acts(nn.Module):
    """Ways to act that a graph without notes may hold; nobody uses the values."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.relu, self.part = nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Parameter(torch.ones(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.norm(x)
        self.relu(x)
        x.mul_(2)
        torch.relu_(x)
        torch.nn.functional.hardtanh(x, inplace=True)
        torch.add(x, 1, out=x)
        torch._assert(x.dim() == 4, "four dimensions")
        return self.part * 1


def test_whatever_acts_stays_where_the_notes_are_lost() -> None:
    module = symbolic_trace(Acts())
    (x,) = module.graph.find_nodes(op="placeholder")
    with module.graph.inserting_before(module.graph.output_node()):
        for function, arguments in ((operator.iadd, (x, 1)), (operator.setitem, (x, 0, 1)), (helper, (x,))):
            module.graph.call_function(function, arguments)
        for function in (operator.invert, operator.pos, operator.and_, torch.neg):
            module.graph.call_function(function, (x, x) if function is operator.and_ else (x,))
    kept = [node.name for node in EliminateDead()(module).graph.graph.nodes]
    gone = [node.name for node in module.graph.nodes if node.name not in kept]
    assert gone == ["invert", "pos", "and_", "neg"]


def helper(x: torch.Tensor) -> None:
    """A function of the user's, which may do anything."""
