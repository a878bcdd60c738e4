"""Comparing a traced graph with its model, on real tensors."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from fxnas.architecture import Architecture
from fxnas.errors import TraceError
from fxnas.graph import ChoiceGraph
from fxnas.select import select
from fxnas.tracing.runs import batch_size

_ARCHITECTURES = 3


def check_trace(model: nn.Module, graph: ChoiceGraph, *, dynamic_batch: bool = True) -> None:
    """Runs model and graph on the example inputs and at another batch size, and compares bit for bit.

    The default architecture and a few random ones are tried, on copies: buffers and decisions stay as they are.

    Args:
        model: the model that was traced.
        graph: its graph, at stage "traced".
        dynamic_batch: also compare at a batch of one row more.

    Raises:
        TraceError: an output differs; the message names the architecture and the place in the output.
    """
    model, graph = copy.deepcopy(model), copy.deepcopy(graph)
    space, rng = graph.space, random.Random(0)
    tried = [space.default, *(space.sample(rng) for _ in range(_ARCHITECTURES if len(space) else 0))]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for architecture in tried:
            select(model, architecture)
            graph.select(architecture)
            for args, kwargs in _inputs(graph.example_inputs, dynamic_batch):
                _compare(model, graph, args, kwargs, architecture)


def _inputs(example: Any, dynamic_batch: bool) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    yield example
    batch = batch_size(example)
    if dynamic_batch and batch is not None:
        yield pytree.tree_map_only(Tensor, lambda t: _longer(t) if t.dim() and t.shape[0] == batch else t, example)


def _longer(tensor: Tensor) -> Tensor:
    return torch.cat([tensor, tensor[:1]])


def _compare(model: nn.Module, graph: ChoiceGraph, args: Any, kwargs: Any, architecture: Architecture) -> None:
    results = []
    for run in (model, graph):
        torch.manual_seed(0)
        results.append(run(*copy.deepcopy(args), **copy.deepcopy(kwargs)))
    (expected, form), (given, other) = map(pytree.tree_flatten_with_path, results)
    if form != other:
        raise TraceError(f"the graph's output has another structure than the model's: {other}, not {form}")
    for (path, one), (_, value) in zip(expected, given, strict=True):
        if isinstance(one, Tensor) and not torch.equal(one, value):
            difference = (one - value).abs().max().item() if one.shape == value.shape else f"shape {tuple(value.shape)}"
            raise TraceError(
                f"the graph computes something else than the model: output{pytree.keystr(path)} differs by "
                f"{difference} for architecture {architecture.to_json()}, batch {batch_size((args, kwargs))}"
            )
