"""Rules: what they match, what they leave alone and why, and that applying them ends."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn
from torch.fx import Node

from fxnas.errors import PassError
from fxnas.graph import ChoiceGraph
from fxnas.passes import EliminateDead, Match, NoMatch, PassManager, Rewrite, Rule
from fxnas.testing import check_pass
from tests.pass_nets import X, choice, plain, traced


class DoubleNegation(Rule):
    """-(-x) is x, for values that nobody writes to."""

    def match(self, node: Node, graph: ChoiceGraph) -> Match | NoMatch | None:
        if node.target is not torch.neg:
            return None
        (inner,) = node.args
        assert isinstance(inner, Node)
        if inner.target is not torch.neg:
            return NoMatch(f"its input is {inner}, no negation")
        return Match(node, inner.args[0])

    def rewrite(self, match: Match, graph: ChoiceGraph) -> None:
        match.node.replace_all_uses_with(match.found)


class AbsIsRoot(Rule):
    """|x| becomes sqrt(x·x), in two new nodes."""

    def match(self, node: Node, graph: ChoiceGraph) -> Match | NoMatch | None:
        return Match(node, node.args[0]) if node.target is torch.abs else None

    def rewrite(self, match: Match, graph: ChoiceGraph) -> None:
        with graph.graph.inserting_before(match.node):
            squared = graph.graph.call_function(torch.square, (match.found,))
            root = graph.graph.call_function(torch.sqrt, (squared,))
        match.node.replace_all_uses_with(root)


class Flip(Rule):
    """sin becomes cos, or the other way round."""

    def __init__(self, one: object, other: object) -> None:
        self.one, self.other = one, other

    def match(self, node: Node, graph: ChoiceGraph) -> Match | NoMatch | None:
        return Match(node) if node.target is self.one else None

    def rewrite(self, match: Match, graph: ChoiceGraph) -> None:
        match.node.target = self.other


def test_a_rule_is_applied_until_nothing_is_left() -> None:
    graph = plain(lambda m, x: torch.neg(torch.neg(torch.neg(torch.neg(torch.neg(x))))))
    check_pass(
        Rewrite(DoubleNegation()),
        graph,
        X,
        before="""
            %x = input x
            %neg = neg(%x)
            %neg_1 = neg(%neg)
            %neg_2 = neg(%neg_1)
            %neg_3 = neg(%neg_2)
            %neg_4 = neg(%neg_3)
            return %neg_4
        """,
        after="""
            %x = input x
            %neg_4 = neg(%x)
            return %neg_4
        """,
    )


def test_a_near_miss_tells_the_rule_the_line_and_the_reason() -> None:
    rewrite = Rewrite(DoubleNegation())
    assert not rewrite(plain(lambda m, x: torch.neg(torch.sin(x)))).modified
    (miss,) = rewrite.misses
    assert (miss.rule, miss.node) == ("DoubleNegation", "%neg = neg(%sin)")
    assert str(miss) == "DoubleNegation: %neg = neg(%sin): its input is sin, no negation"


def test_misses_are_those_of_the_last_application() -> None:
    rewrite = Rewrite(DoubleNegation())
    rewrite(plain(lambda m, x: torch.neg(x)))
    assert len(rewrite.misses) == 1
    assert rewrite(plain(lambda m, x: torch.neg(torch.neg(x)))).modified
    assert rewrite.misses == []


def test_misses_hold_no_graph_alive() -> None:
    graph = plain(lambda m, x: torch.neg(x))
    rewrite = Rewrite(DoubleNegation())
    rewrite(graph)
    known = weakref.ref(graph.module)
    del graph
    gc.collect()
    assert known() is None
    assert rewrite.misses


def test_rules_are_tried_in_order_and_the_first_wins() -> None:
    to_cos, to_tan = Flip(torch.sin, torch.cos), Flip(torch.sin, torch.tan)
    graph = plain(lambda m, x: torch.sin(x))
    assert "cos(%x)" in Rewrite(to_cos, to_tan)(graph).graph.text()
    assert "tan(%x)" in Rewrite(to_tan, to_cos)(graph).graph.text()


def test_rules_that_undo_each_other_are_stopped() -> None:
    rewrite = Rewrite(Flip(torch.sin, torch.cos), Flip(torch.cos, torch.sin))
    with pytest.raises(PassError, match=r"Rewrite\(Flip, Flip\): the rules still match .* does one undo another\?"):
        rewrite(plain(lambda m, x: torch.sin(x)))


def test_new_nodes_get_the_line_and_the_guard_of_the_match() -> None:
    graph = traced(lambda m, x: m.op(x), op=choice(lambda x: torch.abs(x), nn.Tanh()))
    result = check_pass(Rewrite(AbsIsRoot()), graph, X, tolerance=4)
    (old,) = graph.graph.find_nodes(op="call_function", target=torch.abs)
    for target in (torch.square, torch.sqrt):
        (made,) = result.graph.graph.find_nodes(op="call_function", target=target)
        assert {note: made.meta[note] for note in ("frame", "guard")} == {
            "frame": old.meta["frame"],
            "guard": old.meta["guard"],
        }
        assert str(result.graph.conditions()[made]) == "'op' has 0"


def test_a_match_in_a_candidate_runs_only_with_the_candidate() -> None:
    graph = traced(lambda m, x: m.op(x), op=choice(lambda x: torch.neg(torch.neg(x)), nn.Tanh()))
    result = check_pass(
        Rewrite(DoubleNegation()),
        graph,
        X,
        after="""
            %x = input x
            %op_1 = op.1(%x)
            %op = choose 'op' 1 of (0: %x, 1: %op_1)
            return %op
        """,
    )
    assert result.graph.space == graph.space


def test_a_rewrite_is_named_by_its_rules() -> None:
    assert str(Rewrite(DoubleNegation(), AbsIsRoot())) == "Rewrite(DoubleNegation, AbsIsRoot)"
    assert str(PassManager(Rewrite(AbsIsRoot()), EliminateDead())) == "PassManager(Rewrite(AbsIsRoot), EliminateDead)"


def test_a_rewrite_without_rules_changes_nothing() -> None:
    graph = plain(lambda m, x: torch.neg(x))
    assert not check_pass(Rewrite(), graph, X, after=graph.text()).modified
