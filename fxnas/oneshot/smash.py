"""SMASH (arXiv 1708.05344): a HyperNet gives each sampled architecture weights of its own."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fxnas.architecture import Architecture
from fxnas.errors import FxnasError
from fxnas.graph import ChoiceGraph
from fxnas.oneshot import distributed
from fxnas.oneshot.base import Batch, Metrics, OneShotMethod
from fxnas.oneshot.generated import Predicate, layers, substituted
from fxnas.oneshot.hypernet import HyperNet
from fxnas.oneshot.trainer import OneShotTrainer
from fxnas.oneshot.update import Parameters, check_builder

Metric = Callable[[Any, Any], Tensor | float]


class Smash(OneShotMethod):
    """SMASH: one architecture is sampled for each step, and a HyperNet generates the weights of its convolutions.

    The HyperNet is told the whole architecture, as ones at the chosen candidates, so a layer has other weights in
    another architecture. All other weights are the model's own. One optimizer trains both, on the training batches.

    At the end random architectures are scored with generated weights on validation batches, then neighbors of the best
    one, each better one taking its place. Batch norms take their statistics from the batch meanwhile: those that they
    keep are of no single architecture. `inherit` writes the generated weights into the model.

    The paper's HyperNet is a convolutional network over a layout of the memory that its layers share; this one is a
    small dense network with an embedding of each layer, for any model. Adam 1e-3 is a choice of ours.

    Args:
        graph: as `OneShotMethod`.
        generated: whether a module's weight is generated, from its path and the module; None: those of all convolutions
            that some candidate holds.
        validation: batches on which `decide` compares architectures; may be set later. None: the validation batches of
            the last steps.
        samples: how many random architectures it compares; of a space that is not larger, all.
        perturbations: how many neighbors of the best one.
        metric: by which: from output and target to a number, larger is better; None: the loss, smaller is better.
        kept: how many validation batches are kept where none are given.
        hypernet: sizes of the HyperNet, such as `{"hidden": 32}`; see `HyperNet`.
        options: as `OneShotMethod`; an optimizer is given as a function, since it trains the HyperNet too.

    Attributes:
        hypernet: the HyperNet.

    Raises:
        FxnasError: there is nothing to generate, or the predicate names a module without a weight.
    """

    def __init__(
        self,
        graph: ChoiceGraph,
        *,
        generated: Predicate | None = None,
        validation: Iterable[Batch] | None = None,
        samples: int = 500,
        perturbations: int = 100,
        metric: Metric | None = None,
        kept: int = 8,
        hypernet: Mapping[str, int] | None = None,
        **options: Any,
    ) -> None:
        check_builder(self, options.get("optimizer"), "a HyperNet")
        self._generated, self._hypernet = generated, dict(hypernet or {})
        super().__init__(graph, **options)
        self.validation, self.samples, self.perturbations, self.metric = validation, samples, perturbations, metric
        self._seen: deque[Batch] = deque(maxlen=kept)

    def trained(self) -> Parameters:
        """The weights that aren't generated, and those of the HyperNet."""
        self._layers = layers(self.graph, self._generated)
        self._offsets, length = {}, 0
        for key, choice in self.space.items():
            self._offsets[key] = length
            length += len(choice.candidates)
        shapes = {path: tuple(layer.weight.shape) for path, layer in self._layers.items()}
        self.hypernet = HyperNet(shapes, length, generator=self.generator, **self._hypernet).to(self.device)
        replaced = {id(layer.weight) for layer in self._layers.values()}
        return [*(p for p in super().trained() if id(p) not in replaced), *self.hypernet.parameters()]

    def default_optimizer(self, parameters: Parameters) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(parameters, 1e-3)

    def step(self, batch: Batch, valid_batch: Batch) -> Metrics:
        """One step of the HyperNet and the weights with a random architecture, all alike."""
        architecture = self._sample(self.generator)
        self.graph.select(architecture)
        with substituted(self._layers, self.generate(architecture)):
            loss = self.loss_of(self.graph.module, batch)
        self.weights(loss)
        if self.validation is None:
            self._seen.append(valid_batch)
        return {"loss": loss.detach()}

    def generate(self, architecture: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
        """The weights that the HyperNet gives an architecture: path of the layer → weight, of the layers it runs."""
        complete = self.space.complete(architecture)
        used = [path for path, layer in self._layers.items() if layer.runs(complete)]
        return self.hypernet(self.encoded(architecture), used) if used else {}

    def encoded(self, architecture: Mapping[str, Sequence[int]]) -> Tensor:
        """Ones at the chosen candidates of all choices that take part, zeros elsewhere."""
        encoding = torch.zeros(sum(len(choice.candidates) for choice in self.space.values()))
        for key, decision in self.space.canonical(self.space.complete(architecture)).items():
            encoding[[self._offsets[key] + candidate for candidate in decision]] = 1.0
        return encoding.to(self.device)

    def forward(self, inputs: Any) -> Any:
        """The output of the architecture that is set, with generated weights."""
        with torch.no_grad(), substituted(self._layers, self.generate(self.graph.architecture)):
            return self.run(self.graph.module, inputs)

    def decide(self) -> Architecture:
        """The best architecture that the random search and its perturbations find; asking changes nothing.

        Raises:
            FxnasError: there is no validation batch: none was given, and no step taken.
        """
        batches = list(self._seen if self.validation is None else self.validation)
        if not batches:
            raise FxnasError("Smash compares architectures on validation batches: train first, or set `validation`")
        before = self.graph.architecture
        try:
            with self.evaluating(), _batch_statistics(self.graph.module):
                return self._search(batches, torch.Generator().manual_seed(self.seed))
        finally:
            self.graph.select(before)

    @torch.no_grad()
    def inherit(self, architecture: Mapping[str, Sequence[int]]) -> None:
        """Writes the weights that are generated for an architecture into the graph."""
        for path, weight in self.generate(architecture).items():
            self._layers[path].weight.copy_(weight)

    def extra_state(self) -> dict[str, Any]:
        """The HyperNet, and the validation batches that are kept."""
        return {"hypernet": self.hypernet.state_dict(), "seen": list(self._seen)}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Takes what `extra_state` gave."""
        self.hypernet.load_state_dict(state["hypernet"])
        self._seen.clear()
        self._seen.extend(state["seen"])

    def _search(self, batches: Sequence[Batch], generator: torch.Generator) -> Architecture:
        scores: dict[Architecture, float] = {}
        for architecture in self._candidates(generator):
            self._score(architecture, batches, scores)
        best = max(scores, key=scores.__getitem__)
        for _ in range(self.perturbations):
            neighbors = self.space.neighbors(best)
            if neighbors:
                other = neighbors[int(torch.randint(len(neighbors), (), generator=generator))]
                best = max(best, other, key=lambda each: self._score(each, batches, scores))
        return best

    def _candidates(self, generator: torch.Generator) -> Iterator[Architecture]:
        if self.space.size <= self.samples:
            yield from map(self.space.architecture, range(self.space.size))
        else:
            yield from (self._sample(generator) for _ in range(self.samples))

    def _sample(self, generator: torch.Generator) -> Architecture:
        return self.space.sample(random.Random(int(torch.randint(2**62, (), generator=generator))))

    def _score(self, architecture: Architecture, batches: Sequence[Batch], scores: dict[Architecture, float]) -> float:
        """The mean of the metric with generated weights, larger is better; asked once for each architecture."""
        if architecture not in scores:
            metric = self.metric or (lambda output, target: -self.loss(output, target))
            self.graph.select(architecture)
            with substituted(self._layers, self.generate(architecture)):
                outputs = ((self.run(self.graph.module, inputs), self.moved(target)) for inputs, target in batches)
                total = sum(float(metric(output, target)) for output, target in outputs)
            score = distributed.mean(total / len(batches))
            scores[architecture] = -math.inf if math.isnan(score) else score
        return scores[architecture]


class SmashTrainer(OneShotTrainer):
    """Trains by `Smash`; see `OneShotTrainer`."""

    method_type = Smash


@contextmanager
def _batch_statistics(module: nn.Module) -> Iterator[None]:
    """Batch norms in evaluation mode take their statistics from the batch within, and keep those that they have."""
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm) and part.running_mean is not None]
    kept = [(norm.running_mean, norm.running_var) for norm in norms]
    try:
        for norm in norms:
            norm.running_mean = norm.running_var = None
        yield
    finally:
        for norm, (mean, variance) in zip(norms, kept, strict=True):
            norm.running_mean, norm.running_var = mean, variance
