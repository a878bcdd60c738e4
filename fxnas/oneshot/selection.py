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
from fxnas.oneshot.data import elements

Metric = Callable[[Any, Any], Tensor | float]


def best_of(
    method: OneShotMethod, architectures: Iterable[Architecture], batches: Iterable[Batch], metric: Metric
) -> Architecture:
    """The architecture with the largest mean of the metric over the elements; of equal ones the first.

    The weights are those of the supernet, in evaluation mode. What the graph runs stays as it was.

    Args:
        method: the method whose supernet scores them.
        architectures: what to choose from.
        batches: of data that the weights weren't trained on; gone through once.
        metric: from the model's output and the target to a number, larger is better; what is no number is the worst.

    Raises:
        FxnasError: there is nothing to choose from, or no batch.
    """
    scores = _scores(method, architectures, batches, metric)
    if not scores:
        raise FxnasError("the best of no architectures was asked for: give at least one")
    return max(scores, key=scores.__getitem__)


def score(method: OneShotMethod, architecture: Architecture, batches: Iterable[Batch], metric: Metric) -> float:
    """The mean of the metric over the elements of the batches, as in `best_of`; -inf where it is no number.

    Raises:
        FxnasError: there is no batch.
    """
    return _scores(method, [architecture], batches, metric)[architecture]


def _scores(
    method: OneShotMethod, architectures: Iterable[Architecture], batches: Iterable[Batch], metric: Metric
) -> dict[Architecture, float]:
    totals = dict.fromkeys(architectures, 0.0)
    graph, before, count = method.graph, method.graph.architecture, 0
    try:
        with method.evaluating():
            for inputs, target in batches:
                size = elements(target)
                for architecture in totals:
                    output = method.run(graph.select(architecture).module, inputs)
                    totals[architecture] += float(metric(output, method.moved(target))) * size
                count += size
    finally:
        graph.select(before)
    if not count:
        raise FxnasError("architectures can't be compared without a batch: the validation data is empty")
    whole = distributed.mean(float(count))
    means = {architecture: distributed.mean(total) / whole for architecture, total in totals.items()}
    return {architecture: -math.inf if math.isnan(mean) else mean for architecture, mean in means.items()}
