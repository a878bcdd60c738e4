"""The legality of graphs: each rule fires on a graph that breaks it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.fx import GraphModule, Node

from fxnas import ops
from fxnas.conditions import chosen
from fxnas.errors import PassError
from fxnas.nn import LayerChoice
from fxnas.passes import materialize
from fxnas.trace import trace
from fxnas.verify import STAGES, problems, verify
from tests.graph_help import Guide, x4


def node_named(module: GraphModule, name: str) -> Node:
    return next(node for node in module.graph.nodes if node.name == name)


def broken(change: Callable[[GraphModule], None], stage: str) -> list[str]:
    graph = trace(Guide(), x4())
    module = (
        materialize(graph, {"first": "wide", "second": 1, "skip": [0]}) if stage == "materialized" else graph.module
    )
    change(module)
    return problems(module, stage)  # type: ignore[arg-type]


def key(module: GraphModule) -> None:
    node = node_named(module, "second")
    node.kwargs = {**node.kwargs, "key": "first"}


def fewer_options(module: GraphModule) -> None:
    node = node_named(module, "second")
    node.args = (node.args[0][:1],)


def other_shape(module: GraphModule) -> None:
    node_named(module, "second_0").meta["shape"] = (2, 5)


def unreachable(module: GraphModule) -> None:
    node = node_named(module, "first")
    node.replace_all_uses_with(node.args[0][0])


def order(module: GraphModule) -> None:
    node_named(module, "second_1").append(node_named(module, "first_wide"))


def missing_module(module: GraphModule) -> None:
    node_named(module, "first_wide").target = "first.wider"


def no_module(module: GraphModule) -> None:
    module.register_buffer("table", torch.zeros(4))
    node_named(module, "first_wide").target = "table"


def argument(module: GraphModule) -> None:
    node_named(module, "x").target = "x); print(1"


def odd_path(module: GraphModule) -> None:
    module._modules["odd name"] = nn.Tanh()
    node_named(module, "second_1").target = "odd name"


def odd_keyword(module: GraphModule) -> None:
    node = node_named(module, "second_1")
    node.kwargs = {"class": 1}


def op_of_ours(module: GraphModule) -> None:
    node = node_named(module, "add")
    node.target = ops.mask


def module_of_ours(module: GraphModule) -> None:
    module._modules["choice"] = LayerChoice([nn.Tanh()])


def shared_write(module: GraphModule) -> None:
    node_named(module, "second_0").meta["mutates"] = node_named(module, "first").meta["storages"] = (99,)
    for index in range(2):
        node_named(module, f"second_{index}").meta["guard"] = chosen("second", index, 2, 1)


BROKEN = {
    "keys_agree": (key, "traced"), "options_fit": (fewer_options, "traced"), "options_agree": (other_shape, "traced"),
    "reachable": (unreachable, "traced"), "defined_before_use": (order, "traced"),
    "targets_exist": (missing_module, "traced"), "arguments_named": (argument, "traced"),
    "no_shared_writes": (shared_write, "relaxed"),
    "names_safe": (odd_path, "materialized"), "no_choices": (op_of_ours, "materialized"),
}  # fmt: skip


@pytest.mark.parametrize("rule", BROKEN)
def test_each_rule_finds_a_graph_that_breaks_it(rule: str) -> None:
    change, stage = BROKEN[rule]
    assert any(problem.startswith(f"{rule}: ") for problem in broken(change, stage))


@pytest.mark.parametrize(
    ("rule", "change"), [("targets_exist", no_module), ("names_safe", odd_keyword), ("no_choices", module_of_ours)]
)
def test_the_other_ways_to_break_a_rule(rule: str, change: Callable[[GraphModule], None]) -> None:
    stage = "traced" if rule == "targets_exist" else "materialized"
    assert any(problem.startswith(f"{rule}: ") for problem in broken(change, stage))


def test_every_rule_of_the_table_has_a_graph_that_breaks_it() -> None:
    assert {rule.__name__ for rules in STAGES.values() for rule in rules} == set(BROKEN)


@pytest.mark.parametrize("stage", ["traced", "materialized"])
def test_legal_graphs_have_no_problems(stage: str) -> None:
    assert broken(lambda module: None, stage) == []


def test_verify_lists_what_is_wrong_and_where() -> None:
    graph = trace(Guide(), x4())
    fewer_options(graph.module)
    other_shape(graph.module)
    with pytest.raises(PassError, match=r"my pass is not legal at stage 'traced': .*options_fit.*second"):
        verify(graph.module, "traced", where="my pass")
