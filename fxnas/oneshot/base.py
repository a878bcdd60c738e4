"""The contract of one-shot methods: a training step of the supernet, and the decision at the end."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from fxnas.architecture import Architecture
from fxnas.errors import FxnasError
from fxnas.graph import ChoiceGraph, device_of
from fxnas.inputs import bind_inputs
from fxnas.oneshot.update import MakeOptimizer, Parameters, Update

Batch = tuple[Any, Any]
Loss = Callable[[Any, Any], Tensor]
Precision = Literal["float32", "bfloat16", "float16"]
Metrics = dict[str, Tensor | float]


class OneShotMethod(ABC):
    """A search method that trains the supernet of a traced graph.

    A method writes `step` and `decide`; users who own their training loop call them themselves:

        method = Darts(graph)
        for batch, valid_batch in zip(train, valid):
            method.step(batch, valid_batch)
        architecture = method.decide()

    Batches are pairs (inputs, target); inputs are what example inputs may be: a tensor, a tuple of arguments, a dict of
    keyword arguments, or a nest of them, on any device.

    Args:
        graph: a traced graph; its weights are trained in place, and are those of the model.
        loss: from the model's output and the target to a scalar.
        optimizer: of the weights: an optimizer of the model's parameters, or a function that builds one from a list
            of them. By default that of the method's paper.
        seed: of every random decision of the method.
        clip_norm: the largest norm of the weights' gradients; by default that of the method's paper.
        precision: "float32"; "bfloat16" or "float16" run the forward pass in torch.autocast.
        compile: the backend of torch.compile to run the supernet with, such as "inductor"; None: it runs as it is. Each
            set of candidates that runs is compiled for itself, so it pays where all of them run.

    Attributes:
        graph: the traced graph.
        space: its search space.
        generator: the source of the method's randomness, on the CPU.
        weights: the update of the model's weights.
        train_batches: training batches that `decide` may read, again and again; None: there are none.
        valid_batches: validation batches likewise. A trainer sets both; in a loop of your own you may.

    Class attributes:
        clip_norm: see above.
        final_rate: where the learning rate of the default optimizer ends, along half a cosine; None: it stays.

    Raises:
        FxnasError: the graph isn't at stage "traced", or there is nothing to search.
    """

    clip_norm: ClassVar[float | None] = None
    final_rate: ClassVar[float | None] = None

    def __init__(
        self,
        graph: ChoiceGraph,
        *,
        loss: Loss = nn.functional.cross_entropy,
        optimizer: torch.optim.Optimizer | MakeOptimizer | None = None,
        seed: int = 0,
        clip_norm: float | None = None,
        precision: Precision = "float32",
        compile: str | None = None,
    ) -> None:
        _check(graph, precision)
        self.graph, self.space, self.loss, self.seed = graph, graph.space, loss, seed
        self.device, self.precision = device_of(graph.module), precision
        self.generator = torch.Generator().manual_seed(seed)
        scaler = torch.amp.GradScaler(self.device.type) if precision == "float16" else None
        self.weights = Update(
            self.trained(),
            self.default_optimizer if optimizer is None else optimizer,
            clip_norm=type(self).clip_norm if clip_norm is None else clip_norm,
            scaler=scaler,
        )
        self.progress = 0.0
        self.train_batches: Iterable[Batch] | None = None
        self.valid_batches: Iterable[Batch] | None = None
        self._first_rates = [group["lr"] for group in self._scheduled()] if optimizer is None else None
        self._backend = compile
        self._compiled: dict[nn.Module, Callable[..., Any]] = {}

    # -- what a method writes

    @abstractmethod
    def step(self, batch: Batch, valid_batch: Batch) -> Metrics:
        """Trains on one batch.

        Args:
            batch: of the training data.
            valid_batch: of the validation data, for what is learned about the architecture.

        Returns:
            what to show: at least "loss", that of the weights' step.
        """

    @abstractmethod
    def decide(self) -> Architecture:
        """The architecture that the method would choose now."""

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Called before each epoch, for schedules; once more where training goes on within an epoch.

        Args:
            epoch: from 0.
            epochs: how many there will be.
        """
        self.progress = epoch / max(epochs, 1)
        if self._first_rates is None or self.final_rate is None:
            return
        for group, first in zip(self._scheduled(), self._first_rates, strict=True):
            group["lr"] = self.final_rate + (first - self.final_rate) * (1 + math.cos(math.pi * self.progress)) / 2

    def _scheduled(self) -> list[dict[str, Any]]:
        return [] if self.weights.optimizer is None else self.weights.optimizer.param_groups

    def end_epoch(self, valid_batches: Iterable[Batch]) -> None:  # noqa: B027  (most methods do all in `step`)
        """Called after each epoch, for what a method does once in each.

        Args:
            valid_batches: validation batches, which can be iterated again and again.
        """

    def inherit(self, architecture: Mapping[str, Sequence[int]]) -> None:  # noqa: B027  (most methods train them)
        """Writes the weights that an architecture was trained with into the graph, where they aren't there already.

        After it `materialize(method.graph, architecture)` has them. Training goes on as if nothing had been written.
        """

    def default_optimizer(self, parameters: Parameters) -> torch.optim.Optimizer:
        """The optimizer of the weights where none is given."""
        return torch.optim.SGD(parameters, 0.025, momentum=0.9, weight_decay=3e-4)

    def trained(self) -> Parameters:
        """What the weights' update trains; the parameters of the model, each once."""
        return list(dict.fromkeys(self.graph.parameters()))

    def forward(self, inputs: Any) -> Any:
        """The output of the supernet as it is set now; what `validate` measures."""
        return self.run(self.graph.module, inputs)

    def extra_state(self) -> dict[str, Any]:
        """What else has to be kept to go on later: nests of tensors, numbers and strings."""
        return {}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:  # noqa: B027  (nothing to take by default)
        """Takes what `extra_state` gave."""

    # -- what they share

    def run(self, module: nn.Module, inputs: Any) -> Any:
        """The output of a module for a batch's inputs, on the method's device, in its precision and mode."""
        module.training = self.graph.module.training  # a rewritten graph shares the model's modules, but not this flag
        args, kwargs = bind_inputs(self.graph.module, self.moved(inputs))
        call = module if self._backend is None else self._compile(module, self._backend)
        if self.precision == "float32":
            return call(*args, **kwargs)
        with torch.autocast(self.device.type, getattr(torch, self.precision)):
            return call(*args, **kwargs)

    def _compile(self, module: nn.Module, backend: str) -> Callable[..., Any]:
        if module not in self._compiled:
            self._compiled[module] = torch.compile(module, backend=backend)
        return self._compiled[module]

    def loss_of(self, module: nn.Module, batch: Batch) -> Tensor:
        """The loss of a module on a batch."""
        inputs, target = batch
        return self.loss(self.run(module, inputs), self.moved(target))

    def moved(self, values: Any) -> Any:
        """The tensors of a nest, on the method's device."""
        return tree_map(lambda v: v.to(self.device) if isinstance(v, Tensor) else v, values)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode without gradients within; the mode before comes back after it."""
        modes = {module: module.training for module in self.graph.module.modules()}
        self.graph.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for module, mode in modes.items():
                module.training = mode

    def entropy(self) -> Tensor | None:
        """The mean entropy of the choices in nats, None where the method has no probabilities."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """Everything that the method needs to go on: weights, optimizers, generator, and its own."""
        return {
            "method": type(self).__name__,
            "model": self.graph.module.state_dict(),
            "weights": self.weights.state_dict(),
            "generator": self.generator.get_state(),
            "progress": self.progress,
            "extra": self.extra_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes the state that `state_dict` gave.

        Raises:
            FxnasError: it is the state of another method.
        """
        if state["method"] != type(self).__name__:
            raise FxnasError(f"this is the state of {state['method']}, which {type(self).__name__} can't go on from")
        self.graph.module.load_state_dict(state["model"])
        self.weights.load_state_dict(state["weights"])
        self.generator.set_state(state["generator"])
        self.progress = state["progress"]
        self.load_extra_state(state["extra"])


def _check(graph: ChoiceGraph, precision: str) -> None:
    if not isinstance(graph, ChoiceGraph) or graph.stage != "traced":
        what = f"a graph at stage {graph.stage!r}" if isinstance(graph, ChoiceGraph) else f"a {type(graph).__name__}"
        raise FxnasError(f"a one-shot method takes a traced graph (fxnas.trace(model, example_inputs)), got {what}")
    if not graph.space:
        raise FxnasError("the graph has no choices: there is nothing to search")
    if precision not in ("float32", "bfloat16", "float16"):
        raise FxnasError(f"precision is float32, bfloat16 or float16, got {precision!r}")
