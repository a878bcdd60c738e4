"""Element-wise work and activation memory of an architecture: what nodes write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from fxnas.costs.alternatives import Call
from fxnas.costs.model import CostModel
from fxnas.costs.operations import FORMULAS
from fxnas.costs.walk import walk
from fxnas.graph import ChoiceGraph
from fxnas.ir.liveness import is_choose


def elementwise(graph: ChoiceGraph, *, batch: int | None = 1) -> CostModel:
    """How many numbers the operators write that `flops` doesn't count, in a forward pass in evaluation mode.

    That is one for each element of every result of an ATen operator (activations, norms, pooling, additions, copies),
    unless it is a view; a rough figure for work that is bound by memory.

    Args:
        graph: a traced graph.
        batch: as for `flops`.

    Raises:
        PassError: as `flops`.
    """
    seen = walk(graph, _written, batch=batch)
    return CostModel(graph.space, [(one.when, one.measured) for one in seen if one.measured], "elements")


def memory(graph: ChoiceGraph, *, batch: int | None = 1) -> CostModel:
    """The bytes of all activations of a forward pass in training mode.

    The convention: each call of the graph (a layer of torch.nn is one call) counts the memory of the tensors that it
    returns, unless they lie in memory that it was given: views, and what works in place. So it is what a backward pass
    would keep if it kept every intermediate result once; parameters, inputs, what layers keep inside, and the
    allocator's rounding aren't part of it. A choice that adds several candidates up counts as these additions.

    Args:
        graph: a traced graph.
        batch: as for `flops`.

    Raises:
        PassError: as `flops`.
    """
    seen = walk(graph, _returned, batch=batch, training=True)
    return CostModel(graph.space, [(one.when, one.measured) for one in seen if one.measured], "bytes")


def _written(call: Call) -> tuple[Any, int]:
    with _Elements() as elements:
        value = call.run()
    return value, elements.count


def _returned(call: Call) -> tuple[Any, int]:
    if call.node.kwargs.get("reduction") in ("sum", "mean") and is_choose(call.node):  # an addition after the other
        with _Elements() as elements:
            value = call.run()
        return value, elements.bytes
    value = call.run()
    return value, new_bytes(value, (call.args, call.kwargs))


def new_bytes(value: Any, given: Any) -> int:
    """The bytes of the memory that a value lies in and that nothing given lies in."""
    old = {tensor.untyped_storage()._cdata for tensor in pytree.tree_leaves(given) if isinstance(tensor, Tensor)}
    new = [tensor.untyped_storage() for tensor in pytree.tree_leaves(value) if isinstance(tensor, Tensor)]
    return sum({storage._cdata: storage.nbytes() for storage in new if storage._cdata not in old}.values())


class _Elements(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the elements that operators write, and their bytes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operator and counts."""
        value = func(*args, **(kwargs or {}))
        packet = getattr(func, "_overloadpacket", None)
        if packet is None or packet in flop_registry or packet in FORMULAS:
            return value
        results = value if isinstance(value, tuple | list) else (value,)
        for result, returned in zip(results, func._schema.returns, strict=False):
            view = returned.alias_info is not None and not returned.alias_info.is_write
            for tensor in pytree.tree_leaves(result):
                if isinstance(tensor, Tensor) and not view:
                    self.count += tensor.numel()
                    self.bytes += tensor.nbytes
        return value


def count_elements(run: Callable[[], Any]) -> int:
    """How many numbers operators write while `run` runs, as `elementwise` counts them."""
    with torch.enable_grad(), _Elements() as elements:
        run()
    return int(elements.count)
