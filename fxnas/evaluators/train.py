"""Train the materialized child as any model is trained, and score it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from fxnas.architecture import Architecture
from fxnas.errors import FxnasError
from fxnas.evaluators.base import Report
from fxnas.evaluators.seeded import seeded
from fxnas.graph import ChoiceGraph
from fxnas.inputs import bind_inputs
from fxnas.passes.materialize import materialize

Batches = Iterable[tuple[Any, Tensor]]
Device = torch.device | str
MakeOptimizer = Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer]


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    """Share of the rows whose largest entry stands at the target: output [n, classes], target [n]."""
    return (output.argmax(dim=1) == target).float().mean()


def adam(parameters: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam with torch's defaults (learning rate 1e-3)."""
    return torch.optim.Adam(parameters)


class TrainAndScore:
    """Evaluator: materializes the child, trains it, and measures it on held-out batches.

    The child starts from a copy of the weights in the graph, which stay as they are. Every random decision (dropout,
    the order of the batches) follows from the trial's seed, so a trial that is run again gives the same score on the
    same machine; a DataLoader with a generator of its own is reseeded too.

    Args:
        train: batches (inputs, target), iterated once per epoch: a list, a DataLoader, a `TensorBatches`. Inputs are
            what example inputs may be: a tensor, a tuple of arguments, a dict of keyword arguments.
        held_out: batches that the child is scored on.
        loss: from the model's output and the target to a scalar.
        metric: from the output and the target to a scalar, higher is better; averaged over the held-out elements.
        optimizer: builds the optimizer from the child's parameters.
        epochs: how many times `train` is iterated.
        device: where to train; by default where the graph's parameters are.

    Raises:
        FxnasError: the batches can be iterated only once, or epochs is negative.
    """

    def __init__(
        self,
        train: Batches,
        held_out: Batches,
        *,
        loss: Callable[[Any, Tensor], Tensor] = nn.functional.cross_entropy,
        metric: Callable[[Any, Tensor], Tensor | float] = accuracy,
        optimizer: MakeOptimizer = adam,
        epochs: int = 1,
        device: Device | None = None,
    ) -> None:
        for name, batches in (("train", train), ("held_out", held_out)):
            if isinstance(batches, Iterator):
                raise FxnasError(
                    f"{name} is an iterator, which is empty after the first trial; give a list or a loader"
                )
        if epochs < 0:
            raise FxnasError(f"epochs is 0 or more, got {epochs}")
        self.train, self.held_out = train, held_out
        self.loss, self.metric = loss, metric
        self.optimizer = optimizer
        self.epochs = epochs
        self.device = device

    @property
    def settings(self) -> dict[str, object]:
        """What scores depend on, as plain data; functions by their names, the data left out."""
        functions = {"loss": self.loss, "metric": self.metric, "optimizer": self.optimizer}
        names = {name: getattr(each, "__qualname__", type(each).__qualname__) for name, each in functions.items()}
        return {"name": type(self).__name__, "epochs": self.epochs, **names}

    def evaluate(self, graph: ChoiceGraph, architecture: Architecture, report: Report) -> dict[str, float]:
        """Trains and scores one child; returns "score" and its number of "parameters"."""
        child = materialize(graph, architecture)
        with seeded(report.seed):
            self._reseed_loaders(report.seed)
            fit(
                child,
                self.train,
                loss=self.loss,
                optimizer=self.optimizer,
                epochs=self.epochs,
                device=self.device,
                report=report,
            )
            score = measure(child, self.held_out, metric=self.metric)
        return {"score": score, "parameters": sum(p.numel() for p in child.parameters())}

    def _reseed_loaders(self, seed: int) -> None:
        for batches in (self.train, self.held_out):
            generator = getattr(batches, "generator", None)
            if isinstance(generator, torch.Generator):
                generator.manual_seed(seed)


def fit(
    module: nn.Module,
    train: Batches,
    *,
    loss: Callable[[Any, Tensor], Tensor] = nn.functional.cross_entropy,
    optimizer: MakeOptimizer = adam,
    epochs: int = 1,
    device: Device | None = None,
    report: Callable[..., None] | None = None,
) -> None:
    """Trains `module` in place, in training mode; see `TrainAndScore` for the arguments.

    Raises:
        FxnasError: there are no batches, or the loss stops being finite.
    """
    if device is not None:
        module.to(device)
    place = _device_of(module)
    steps = optimizer(module.parameters()) if any(True for _ in module.parameters()) else None
    module.train()
    for epoch in range(epochs):
        total, count = 0.0, 0
        for inputs, target in train:
            target = _moved(target, place)
            value = loss(_output(module, inputs, place), target)
            if steps is not None:
                steps.zero_grad()
                value.backward()  # type: ignore[no-untyped-call]
                steps.step()
            total, count = total + value.item() * len(target), count + len(target)
            if not math.isfinite(total):
                raise FxnasError(f"the loss is {value.item()} in epoch {epoch}")
        if not count:
            raise FxnasError("there are no training batches")
        if report is not None:
            report(epoch=epoch + 1, loss=total / count)


@torch.no_grad()
def measure(
    module: nn.Module, batches: Batches, *, metric: Callable[[Any, Tensor], Tensor | float] = accuracy
) -> float:
    """The metric of `module` in eval mode, averaged over all elements of `batches`.

    Raises:
        FxnasError: there are no batches.
    """
    place = _device_of(module)
    module.eval()
    total, count = 0.0, 0
    for inputs, target in batches:
        target = _moved(target, place)
        total += float(metric(_output(module, inputs, place), target)) * len(target)
        count += len(target)
    if not count:
        raise FxnasError("there are no batches to measure on")
    return total / count


def _output(module: nn.Module, inputs: Any, place: torch.device) -> Any:
    args, kwargs = bind_inputs(module, _moved(inputs, place))
    return module(*args, **kwargs)


def _moved(values: Any, place: torch.device) -> Any:
    return tree_map(lambda value: value.to(place) if isinstance(value, Tensor) else value, values)


def _device_of(module: nn.Module) -> torch.device:
    return next((tensor.device for tensor in (*module.parameters(), *module.buffers())), torch.device("cpu"))
