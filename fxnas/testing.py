"""Public contracts: what a pass has to keep, as a check that its author's tests can call."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.utils import _pytree as pytree

from fxnas.graph import ChoiceGraph
from fxnas.passes.base import Pass, PassResult, as_choice_graph


def check_pass(rewrite: Pass, graph: ChoiceGraph | GraphModule, *inputs: Any, tolerance: float = 0.0) -> PassResult:
    """Applies a pass and checks what every pass promises.

    The graph that it is given stays as it is; the result computes the same outputs, gradients of the inputs, and
    buffers, in evaluation and in training mode; and a second application says that there is nothing left to do.

    Args:
        rewrite: the pass.
        graph: a graph that the pass takes.
        inputs: arguments for the graph; what is drawn at random is drawn alike.
        tolerance: the largest difference allowed, as a multiple of eps·max|reference|; 0 demands equal bits. With a
            tolerance, training mode and buffers are not compared.

    Returns:
        The result of the pass.

    Raises:
        AssertionError: a promise is broken.
        PassError: the pass does not take the graph.
    """
    graph = as_choice_graph(graph)
    before = _snapshot(graph)
    result = rewrite(graph)
    assert _snapshot(graph) == before, f"{rewrite} changed the graph that it was given"
    assert result.graph is not graph, f"{rewrite} gave its input back"
    if result.graph.stage == graph.stage:
        assert not rewrite(result.graph).modified, f"{rewrite} finds more to do in its own result"
    for training in (False,) if tolerance else (False, True):
        _compare(rewrite, graph, result.graph, inputs, training, tolerance)
    return result


def _snapshot(graph: ChoiceGraph) -> tuple[Any, ...]:
    modules = [(name, id(module)) for name, module in graph.module.named_modules()]
    tensors = [(name, id(t), t._version) for name, t in graph.module.state_dict(keep_vars=True).items()]
    return graph.text(), graph.stage, modules, tensors


def _compare(
    rewrite: Pass, one: ChoiceGraph, other: ChoiceGraph, inputs: tuple[Any, ...], training: bool, tolerance: float
) -> None:
    expected, given = _run(one.module, inputs, training), _run(other.module, inputs, training)
    for what, reference, value in zip(("outputs", "gradients", "buffers"), expected, given, strict=True):
        if tolerance and what != "outputs":
            continue
        for name, tensor in reference.items():
            if name in value:
                assert _close(tensor, value[name], tolerance), (
                    f"{rewrite} changes {what} ({name}, {'training' if training else 'evaluation'} mode)"
                )


def _run(module: nn.Module, inputs: tuple[Any, ...], training: bool) -> tuple[dict[str, Any], ...]:
    module = copy.deepcopy(module).train(training)
    leaves, spec = pytree.tree_flatten(copy.deepcopy(inputs))
    for leaf in leaves:
        if isinstance(leaf, Tensor) and leaf.is_floating_point():
            leaf.requires_grad_()
    torch.manual_seed(0)
    given = [leaf * 1 if isinstance(leaf, Tensor) and leaf.requires_grad else leaf for leaf in leaves]
    output = pytree.tree_leaves(module(*pytree.tree_unflatten(given, spec)))
    outputs = {str(i): value for i, value in enumerate(output) if isinstance(value, Tensor)}
    sources = [value.sum() for value in outputs.values() if value.requires_grad]
    if sources:
        torch.autograd.backward(sources)
    gradients = {str(i): leaf.grad for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)}
    return outputs, gradients, dict(module.named_buffers())


def _close(reference: Tensor | None, value: Tensor | None, tolerance: float) -> bool:
    if reference is None or value is None:
        return reference is value
    if not tolerance:
        return torch.equal(reference, value)
    limit = tolerance * torch.finfo(reference.dtype).eps * reference.abs().max()
    return bool((reference - value).abs().max() <= limit)
