"""The space of a graph: derived from its nodes, so that it counts the networks there are."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from fxnas.conditions import ALWAYS, chosen, present
from fxnas.graph import ChoiceGraph
from fxnas.nn import InputChoice, LayerChoice
from fxnas.passes import materialize
from fxnas.trace import trace
from tests.graph_help import Cells, Guide, Nested, Several, x4


def test_the_space_has_the_choices_in_graph_order_with_what_they_depend_on() -> None:
    space = trace(Nested(), x4()).space
    assert list(space) == ["outer.nested.1", "outer", "side", "pick"]
    assert space["outer"].candidates == ("nested", "sigmoid")
    assert space["outer"].paths == ("outer",)
    assert space["side"].active is chosen("pick", 1, 2, 1)
    assert space["pick"].active is ALWAYS
    decisions = {"outer.nested.1": (0,), "outer": (0,), "side": (0,), "pick": (0,)}
    active = space["outer.nested.1"].active
    assert active.holds(decisions)
    assert not active.holds({**decisions, "outer": (1,)})
    assert not active.holds({**decisions, "pick": (1,)})
    assert space.size == 2 + 1 + 3


def test_a_choice_in_a_branch_counts_where_the_branch_is_taken() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.skip, self.op = InputChoice(1), LayerChoice([nn.Tanh(), nn.ReLU(), nn.ELU()])

        def forward(self, x):
            old = self.skip([x * 2])
            return x if old is None else self.op(old)

    space = trace(Branch(), x4()).space
    assert space["op"].active is present("skip", 1, None)
    assert space.size == 1 + 3


def test_choices_that_play_no_role_are_not_in_the_space() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.never, self.unused, self.op = (LayerChoice([nn.Tanh(), nn.ReLU()]) for _ in range(3))
            self.nothing = InputChoice(1, n_chosen=0)

        def forward(self, x):
            self.unused(x)
            self.nothing([self.never(x)])
            return self.op(x)

    graph = trace(Unused(), x4())
    assert list(graph.space) == ["op"]
    assert graph.space.size == 2


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = (LayerChoice({"a": nn.Tanh(), "b": nn.Linear(4, 4)}, key="both") for _ in range(2))
        self.alias = self.one

    def forward(self, x):
        return self.alias(self.two(self.one(x)))


def test_equal_keys_are_one_choice() -> None:
    graph = trace(Shared(), x4())
    assert list(graph.space) == ["both"]
    assert graph.space["both"].paths == ("one", "two", "alias")
    assert graph.space.size == 2


class Subsets(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pick = InputChoice(3, reduction="sum")
        self.two = LayerChoice([nn.Tanh(), nn.ReLU(), nn.Sigmoid()], n_chosen=2)

    def forward(self, x):
        picked = self.pick([torch.sin(x), torch.cos(x), x * 2])
        return self.two(x if picked is None else picked)


SPACES: list[tuple[type[nn.Module], int]] = [
    (Guide, 8), (Nested, 6), (Shared, 2), (Subsets, 8 * 3), (Several, 3),
    # the cell: tanh, one of two, ELU, or a Guide; then no skip, or one of three with an activation
    (Cells, (1 + 2 + 1 + 8) * (1 + 3 * 2)),
]  # fmt: skip


@pytest.mark.parametrize(("model", "size"), SPACES, ids=lambda value: getattr(value, "__name__", ""))
def test_the_size_counts_the_networks_there_are(model: type[nn.Module], size: int) -> None:
    """Every canonical architecture materializes to another network, and every complete one to one of these."""
    graph = trace(model(), x4())
    space = graph.space
    canonical = {space.architecture(rank) for rank in range(space.size)}
    assert len(canonical) == space.size == size
    texts = {ChoiceGraph(materialize(graph, architecture), "materialized").text() for architecture in canonical}
    assert len(texts) == size
    complete = itertools.product(*(list(choice.decisions()) for choice in space.values()))
    given = [dict(zip(space, decisions, strict=True)) for decisions in complete]
    found = {space.canonical(space.complete({key: list(d) for key, d in one.items()})) for one in given}
    assert found == canonical


def test_the_space_follows_the_graph() -> None:
    graph = trace(Guide(), x4())
    fork = graph.fork()
    node = next(n for n in fork.graph.nodes if n.name == "second")
    node.replace_all_uses_with(node.args[0][0])
    fork.graph.erase_node(node)
    fork.module.recompile()
    assert list(fork.space) == ["skip", "first"]
    assert list(graph.space) == ["skip", "first", "second"]
    assert graph.space is graph.space


def test_scopes_show_in_the_tree_and_not_among_the_decisions() -> None:
    graph = trace(nn.Sequential(Nested(), nn.Tanh()), x4())
    assert graph.scopes == ("0",)
    assert all(key.startswith("0.") for key in graph.space)
    assert "0" in graph.space.tree()
