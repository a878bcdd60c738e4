"""The best of several architectures, by the weights of the supernet."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from fxnas.architecture import Architecture
from fxnas.errors import FxnasError
from fxnas.oneshot import distributed
from fxnas.oneshot.base import Batch, OneShotMethod

Metric = Callable[[Any, Any], Tensor | float]


def best_of(
    method: OneShotMethod, architectures: Iterable[Architecture], batches: Iterable[Batch], metric: Metric
) -> Architecture:
    """The architecture with the largest mean of the metric over the batches; of equal ones the first.

    The weights are those of the supernet, in evaluation mode. What the graph runs stays as it was.

    Args:
        method: the method whose supernet scores them.
        architectures: what to choose from.
        batches: of data that the weights weren't trained on; gone through once.
        metric: from the model's output and the target to a number, larger is better; what is no number is the worst.

    Raises:
        FxnasError: there is nothing to choose from, or no batch.
    """
    totals = dict.fromkeys(architectures, 0.0)
    if not totals:
        raise FxnasError("the best of no architectures was asked for: give at least one")
    graph, before, count = method.graph, method.graph.architecture, 0
    try:
        with method.evaluating():
            for count, (inputs, target) in enumerate(batches, 1):  # noqa: B007  (counted, for what follows the loop)
                for architecture in totals:
                    output = method.run(graph.select(architecture).module, inputs)
                    totals[architecture] += float(metric(output, method.moved(target)))
    finally:
        graph.select(before)
    if not count:
        raise FxnasError("architectures can't be compared without a batch: the validation data is empty")
    scores = {architecture: distributed.mean(total / count) for architecture, total in totals.items()}
    return max(scores, key=lambda each: -math.inf if math.isnan(scores[each]) else scores[each])
