"""`trace`: from an `nn.Module` to a ChoiceGraph."""

from __future__ import annotations

from typing import Any

from torch import nn

from fxnas.errors import PassError, TraceError
from fxnas.graph import ChoiceGraph
from fxnas.inputs import bind_inputs
from fxnas.ir.supernet import Supernet
from fxnas.nn import scopes, space_of
from fxnas.tracing.build import build_graph
from fxnas.tracing.merge import merged_program
from fxnas.tracing.runs import Runner
from fxnas.verify import verify


def trace(model: nn.Module, example_inputs: Any, *, dynamic_batch: bool = True, check: bool = False) -> ChoiceGraph:
    """Traces a model into a graph in which its choices are nodes.

    The model is run (on fake tensors where possible) and its torch calls are recorded. Branches of Python on what a
    choice gives (`if skip is not None`), on a mask, or on `self.training` become part of the graph. Parameters and
    submodules are shared with the model, under the same names.

    Args:
        model: any module, with or without choices.
        example_inputs: see `fxnas.inputs.bind_inputs`: a tensor, a tuple of arguments, a dict of keyword arguments, or
        a
            pair of both. Only shapes and dtypes matter; other values (flags, None) become part of the graph.
        dynamic_batch: the first dimension of the first tensor is the batch, and the graph runs at any batch size.
        check: also run model and graph on the example inputs, and at another batch size, and compare.

    Returns:
        A graph at stage "traced", set to the default architecture.

    Raises:
        TraceError: the model fails, or does what no graph can express; the message names the user's line.
        SearchSpaceError: the choices of the model contradict each other.
    """
    if not isinstance(model, nn.Module):
        raise TraceError(f"trace takes a module, not a {type(model).__name__}")
    args, kwargs = bind_inputs(model, example_inputs)
    space = space_of(model)
    runner = Runner(model, space, args, kwargs, dynamic_batch)
    graph, constants = build_graph(merged_program(runner), runner)
    module = Supernet(model, graph, {}, constants)
    traced = ChoiceGraph(module, example_inputs=(args, kwargs), scopes=[path for path, _ in scopes(model)])
    try:
        verify(module, "traced", where="the traced graph")
    except PassError as error:
        raise TraceError(str(error)) from error
    if check:
        from fxnas.tracing.check import check_trace

        check_trace(model, traced, dynamic_batch=dynamic_batch)
    return traced
