"""Who reads what an in-place call overwrites, and how notes of memory are kept true."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given, settings
from torch import nn
from torch.fx import Node

import fxnas
from fxnas.conditions import ALWAYS, NEVER, TRAINING, Condition, all_of, chosen, negate
from fxnas.graph import ChoiceGraph
from fxnas.ir.writes import disjoint, implies, is_written, old_reads, renumber
from tests.pass_nets import X, choice, traced
from tests.test_conditions import conditions, table


def node(graph: ChoiceGraph, name: str) -> Node:
    return next(node for node in graph.graph.nodes if node.name == name)


# -- conditions


@given(conditions, conditions)
@settings(max_examples=200, deadline=None)
def test_implication_and_exclusion_are_decided_exactly(one: Condition, other: Condition) -> None:
    pairs = list(zip(table(one), table(other), strict=True))
    possible = other is not NEVER  # what never runs disturbs nobody
    assert implies(one, other) is (not possible or all(b for a, b in pairs if a))
    assert disjoint(one, other) is not any(a and b for a, b in pairs)


def test_a_mode_in_which_a_write_does_not_run_is_left_out() -> None:
    candidate = chosen("op", 0, 2, 1)
    assert implies(ALWAYS, TRAINING)
    assert implies(candidate, all_of([candidate, TRAINING]))
    assert not implies(ALWAYS, all_of([candidate, TRAINING]))
    assert disjoint(TRAINING, negate(TRAINING))


# -- reads of what is overwritten


def test_reads_by_older_values_are_listed() -> None:
    def forward(m: Any, x: torch.Tensor) -> Any:
        y = x * 2
        view = y.view(-1)
        before = view.sin()
        y.add_(1)
        return before, view.cos(), y.tan()

    graph = traced(forward)
    reads = [(read.reader.name, read.value.name, read.later) for read in old_reads(node(graph, "add_"))]
    assert reads == [("view", "mul", False), ("sin", "view", False), ("cos", "view", True)]


def test_a_choice_reads_an_option_where_it_takes_it() -> None:
    graph = traced(lambda m, x: m.op(x * 2), op=choice(nn.ReLU(inplace=True), lambda x: x))
    (read,) = old_reads(node(graph, "op_0"))
    assert (read.reader.name, read.value.name, str(read.when)) == ("op", "mul", "'op' has 1")


def test_a_written_value_is_known_by_every_name() -> None:
    def forward(m: Any, x: torch.Tensor) -> Any:
        y, z = x * 2, x * 3
        y.view(-1).add_(1)
        return y, z

    graph = traced(forward)
    written = {other.name for other in graph.graph.nodes if is_written(other)}
    assert written == {"mul", "view", "add_"}


# -- new memory


def test_new_memory_is_followed_through_views_tuples_and_choices() -> None:
    def forward(m: Any, x: torch.Tensor) -> Any:
        y = x * 2
        z = y.view(-1)
        part, _ = z.chunk(2)
        return m.op(y), z.detach().add_(1), part, y

    graph = traced(forward, op=choice(lambda x: x, nn.Tanh()))
    old = {other: other.meta.get("storages") for other in graph.graph.nodes}
    before, mul, view = (node(graph, name) for name in ("x", "mul", "view"))
    ((number,), (tanh,)) = old[mul], node(graph, "op_1").meta["storages"]

    renumber(view, 99)

    changed = {other.name: other.meta["storages"] for other in old if other.meta.get("storages") != old[other]}
    assert changed == {"view": (99,), "getitem": (99,), "detach": (99,), "add_": (99,)}
    assert node(graph, "add_").meta["mutates"] == (99,)
    assert mul.meta["storages"] == (number,)
    assert before.meta["storages"] == old[before]
    assert node(graph, "op").meta["storages"] == (number, tanh)


def test_what_may_hold_either_memory_keeps_both() -> None:
    graph = traced(lambda m, x: m.op(x * 2), op=choice(lambda x: x.view_as(x), lambda x: x))
    ((number,), view) = node(graph, "mul").meta["storages"], node(graph, "view_as")
    renumber(view, 99)
    assert node(graph, "op").meta["storages"] == (99, number)


def test_a_call_that_returns_no_memory_has_nothing_to_note() -> None:
    graph = fxnas.trace(nn.Flatten(), X)
    notes = [dict(other.meta) for other in graph.graph.nodes]
    renumber(graph.graph.output_node(), 99)
    assert [dict(other.meta) for other in graph.graph.nodes] == notes
