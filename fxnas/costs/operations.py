"""The floating-point operations of an architecture."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from fxnas.costs.alternatives import Call
from fxnas.costs.model import CostModel
from fxnas.costs.walk import walk
from fxnas.graph import ChoiceGraph

aten = torch.ops.aten


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _lstm(x: Any, w_input: Any, w_hidden: Any, *_: Any, **__: Any) -> int:
    """One layer and direction: a product with each weight at every step."""
    steps = x[0] * x[1]
    return int(2 * steps * (w_input[0] * w_input[1] + w_hidden[0] * w_hidden[1]))


FORMULAS: dict[Any, Any] = {
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten.mkldnn_rnn_layer: _lstm,
}
"""What `FlopCounterMode` counts on a GPU and passes over on a CPU; give it as `custom_mapping` to compare."""


def flops(graph: ChoiceGraph, *, batch: int | None = 1) -> CostModel:
    """The FLOPs of a forward pass in evaluation mode: 2 × multiply-adds.

    Counted are convolutions, matrix products and attention, as `torch.utils.flop_counter.FlopCounterMode` counts them
    (with `FORMULAS`, so that a CPU gives what a GPU gives). Biases, norms, activations and additions are not; see
    `fxnas.costs.elementwise`. Each node is run once on tensors without data.

    Args:
        graph: a traced graph.
        batch: the batch size; None: that of the example inputs, for graphs that run at no other.

    Raises:
        PassError: a node can't be run without data; the message names it and the user's line.
    """
    seen = walk(graph, _counted, batch=batch)
    return CostModel(graph.space, [(one.when, one.measured) for one in seen if one.measured], "FLOPs")


def _counted(call: Call) -> tuple[Any, int]:
    with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
        value = call.run()
    return value, counter.get_total_flops()
