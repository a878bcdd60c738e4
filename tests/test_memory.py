"""No leak per graph: tracing and materializing thousands of times keeps nothing.

What would be kept is known: torch.fx holds on to every source it generates, and so does linecache. These are counted
first, since they tell exactly what leaks; resident memory confirms.
"""

from __future__ import annotations

import gc
import linecache
import sys
from collections.abc import Callable

import psutil
import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.graph_module import _loader

from fxnas.conditions import Condition
from fxnas.graph import ChoiceGraph
from fxnas.ir.supernet import Supernet
from fxnas.nn import InputChoice, LayerChoice
from fxnas.passes import materialize
from fxnas.trace import trace

LAYERS = 30
KIB = 1024


class Deep(nn.Module):
    """About 400 nodes; the layers have few weights, so that a copy costs little."""

    def __init__(self, layers: int = LAYERS) -> None:
        super().__init__()
        self.ops = nn.ModuleList(LayerChoice([nn.Tanh(), nn.PReLU(), nn.ReLU()]) for _ in range(layers))
        self.skips = nn.ModuleList(InputChoice(2, n_chosen=1) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for op, skip in zip(self.ops, self.skips, strict=True):
            y = op(x)
            x = skip([y + x, y * x]) * 0.5 + torch.sin(y) - 1 + x.clamp(-1, 1) * 0.1
        return x


def resident() -> int:
    gc.collect()
    memory: int = psutil.Process().memory_info().rss
    return memory


def counts() -> dict[str, int]:
    """How much of everything that could pile up there is."""
    gc.collect()
    modules = sum(issubclass(type(thing), GraphModule) for thing in gc.get_objects())  # isinstance asks lazy objects
    return {
        "sources that torch.fx keeps": len(_loader.eval_cache),
        "lines that linecache keeps": len(linecache.cache),
        "graph modules": modules,
        "conditions": len(Condition._interned),
        "modules imported": len(sys.modules),
        "classes": len(Supernet.__subclasses__()) + len(GraphModule.__subclasses__()),
    }


def growth(work: Callable[[int], object], *, warm_up: int, times: int) -> tuple[dict[str, int], float]:
    """How much each count grows while work is done so many times, and KiB of memory per time.

    The allocator takes memory from the system in pieces, now and then, whatever the work; a leak takes it in every
    round. So the memory is that of the smallest of three rounds.
    """
    for number in range(warm_up):
        work(number)
    before, rounds = counts(), []
    for _ in range(3):
        memory = resident()
        for number in range(times // 3):
            work(number)
        rounds.append((resident() - memory) / (times // 3) / KIB)
    after = counts()
    return {name: after[name] - before[name] for name in before if after[name] != before[name]}, min(rounds)


@pytest.fixture(scope="module")
def deep() -> ChoiceGraph:
    graph = trace(Deep(), torch.randn(2, 4))
    assert 350 <= len(graph.graph.nodes) <= 450
    return graph


def architecture(graph: ChoiceGraph, number: int) -> dict[str, int]:
    return {key: number % (i + 2) % choice.count for i, (key, choice) in enumerate(graph.space.items())}


def test_two_thousand_materializations(deep: ChoiceGraph) -> None:
    grown, kib = growth(lambda number: materialize(deep, architecture(deep, number)), warm_up=200, times=2000)
    assert grown == {}
    assert kib <= 2


def test_selecting_another_architecture(deep: ChoiceGraph) -> None:
    x = torch.randn(2, 4)
    grown, kib = growth(lambda number: deep.select(architecture(deep, number))(x), warm_up=50, times=300)
    assert grown == {}
    assert kib <= 2


def test_traces() -> None:
    model, x = Deep(3), torch.randn(2, 4)
    grown, kib = growth(lambda _: trace(model, x), warm_up=20, times=100)
    assert grown == {}
    assert kib <= 8


def test_forks_and_copies_of_what_was_materialized() -> None:
    graph = trace(Deep(3), torch.randn(2, 4))
    child = materialize(graph, architecture(graph, 0))

    def work(_: int) -> None:
        graph.fork()
        ChoiceGraph(child, "materialized").fork()

    grown, kib = growth(work, warm_up=50, times=300)
    assert grown == {}
    assert kib <= 2


def test_what_is_alive_keeps_its_source(deep: ChoiceGraph) -> None:
    """Tracebacks show the generated code for as long as its graph lives, and not longer."""
    child = materialize(deep, architecture(deep, 1))
    filename = child.forward.__code__.co_filename
    assert linecache.getline(filename, child.forward.__code__.co_firstlineno + 1) or filename in _loader.eval_cache
    del child
    gc.collect()
    assert filename not in linecache.cache
    assert filename not in _loader.eval_cache
    source = deep.module.forward.__code__.co_filename
    assert "def forward" in linecache.getline(source, 1)
