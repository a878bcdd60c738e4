"""Random models: relaxed with weights of one and zero, a graph computes what the materialized network computes.

FXNAS_LAW_EXAMPLES sets how many models there are, and FXNAS_LAW_START where their numbers start.
"""

from __future__ import annotations

import copy
import os
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from fxnas.errors import FxnasError
from fxnas.graph import ChoiceGraph
from fxnas.oneshot.distribution import multi_hot
from fxnas.oneshot.relaxed import RelaxedGraph
from fxnas.passes import materialize
from fxnas.trace import trace
from tests.law import architectures
from tests.random_models import sketch
from tests.random_source import Sketch

PARTS = 4
EXAMPLES = int(os.environ.get("FXNAS_LAW_EXAMPLES", "304")) // 8
START = int(os.environ.get("FXNAS_LAW_START", "0"))
RELAXED = 0.25  # masks, concatenations, lists and writes through a choice are refused; at least this share isn't


def relaxed(one: Sketch) -> tuple[ChoiceGraph, RelaxedGraph] | None:
    """The graph in both forms; None where it can't be traced or relaxed."""
    try:
        graph = trace(one.build(), one.inputs(2))
        return (graph, RelaxedGraph(graph)) if graph.space else None
    except (FxnasError, AssertionError):
        return None


@pytest.mark.parametrize("part", range(PARTS))
def test_one_hot_is_materialized(part: int) -> None:
    seeds = range(START + part, START + EXAMPLES, PARTS)
    compared = 0
    for seed in seeds:
        one = sketch(seed, 1 + seed % 10)
        graphs = relaxed(one)
        if graphs is None:
            continue
        compared += 1
        for decisions in architectures(one.build(), seed, 3):
            for training in (False, True):
                compare(*graphs, decisions, one, training)
    assert compared >= RELAXED * len(seeds)


def compare(
    graph: ChoiceGraph, mixed: RelaxedGraph, decisions: dict[str, tuple[int, ...]], one: Sketch, training: bool
) -> None:
    """Both with the same random numbers and the same buffers: what doesn't run draws none and writes none."""
    child = materialize(graph, {key: list(decisions[key]) for key in graph.space}).train(training)
    before = copy.deepcopy(graph.module.state_dict())
    hot = {key: multi_hot(decisions[key], torch.zeros(len(c.candidates))) for key, c in graph.space.items()}
    mixed.mix(hot, {key: [decisions[key]] for key in graph.space})
    mixed.module.train(training)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            expected = child(*copy.deepcopy(one.inputs(3)))
    except RuntimeError:  # eager fails too: the random model writes where torch doesn't allow it
        graph.module.load_state_dict(before)
        return
    try:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            found = mixed(*copy.deepcopy(one.inputs(3)))
    except FxnasError as error:  # options of different forms
        assert "can't be mixed" in str(error)
        return
    finally:
        graph.module.load_state_dict(before)
    if _form(found) == _form(expected):  # else an absent input is part of the output
        for a, b in zip(_floats(found), _floats(expected), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, equal_nan=True)


def _form(value: Any) -> Any:
    return pytree.tree_structure(value)


def _floats(value: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
