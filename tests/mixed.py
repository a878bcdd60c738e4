"""Running every candidate of a graph, as a mixture does: what a repaired graph has to bear."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import Interpreter, Node

import fxnas
from fxnas import ops
from fxnas.graph import ChoiceGraph
from fxnas.ir.liveness import is_choose, is_switch, switch_condition
from fxnas.passes import RepairInPlace
from fxnas.passes.base import PassResult
from fxnas.testing import check_pass
from fxnas.verify import problems
from tests.pass_nets import X


class Mixed(Interpreter):
    """Runs every node of a graph, as a mixture does, and decides only which value a choice gives."""

    def __init__(self, graph: ChoiceGraph) -> None:
        super().__init__(graph.module)
        self.decisions = {**graph.architecture, fxnas.conditions.TRAINING_KEY: ()}

    def run_node(self, n: Node) -> Any:
        values, _ = self.fetch_args_kwargs_from_env(n)
        if is_choose(n) and n.kwargs["reduction"] != "mask":
            return ops.reduce_outputs([values[0][i] for i in self.decisions[n.kwargs["key"]]], n.kwargs["reduction"])
        if is_switch(n):
            return values[0] if switch_condition(n).holds(self.decisions) else values[1]
        return super().run_node(n)


def check_mixed(graph: ChoiceGraph, x: Tensor = X) -> None:
    """Every architecture computes the same, whether or not the other candidates run too."""
    graph.eval()
    for number in range(min(graph.space.size, 12)):
        graph.select(graph.space.architecture(number))
        torch.manual_seed(0)
        expected = graph(x.clone())
        torch.manual_seed(0)
        assert torch.equal(Mixed(graph).run(x.clone()), expected)


def check_repaired(graph: ChoiceGraph, after: str | None = None) -> PassResult:
    """Repairs a graph that needs it, and checks all that a repair promises."""
    assert "no_shared_writes" in str(problems(graph.module, "relaxed"))
    result = check_pass(RepairInPlace(), graph, X, after=after)
    assert result.modified
    assert not problems(result.graph.module, "relaxed")
    check_mixed(result.graph)
    return result
