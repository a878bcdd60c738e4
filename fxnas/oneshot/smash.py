"""SMASH (arXiv 1708.05344): a HyperNet gives each sampled architecture weights of its own."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from fxnas.architecture import Architecture
from fxnas.conditions import TRAINING_KEY, Condition
from fxnas.errors import FxnasError
from fxnas.graph import ChoiceGraph
from fxnas.ir.liveness import guard_of
from fxnas.modules import attribute
from fxnas.oneshot import distributed
from fxnas.oneshot.base import Batch, Metrics, OneShotMethod
from fxnas.oneshot.hypernet import HyperNet
from fxnas.oneshot.update import Parameters

Metric = Callable[[Any, Any], Tensor | float]
Predicate = Callable[[str, nn.Module], bool]


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
        if isinstance(options.get("optimizer"), torch.optim.Optimizer):
            raise FxnasError(
                "Smash trains a HyperNet beside the weights: give a function that builds the optimizer from a list of "
                "parameters, no optimizer"
            )
        self._generated, self._hypernet = generated, dict(hypernet or {})
        super().__init__(graph, **options)
        self.validation, self.samples, self.perturbations, self.metric = validation, samples, perturbations, metric
        self._seen: deque[Batch] = deque(maxlen=kept)

    def trained(self) -> Parameters:
        """The weights that aren't generated, and those of the HyperNet."""
        self._layers = {layer.path: layer for layer in _layers(self.graph, self._generated)}
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
        with self._substituted(self.generate(architecture)):
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
        with torch.no_grad(), self._substituted(self.generate(self.graph.architecture)):
            return self.run(self.graph.module, inputs)

    def decide(self) -> Architecture:
        """The best architecture that the random search and its perturbations find; asking changes nothing.

        Raises:
            FxnasError: there is no validation batch: none was given, and no step taken.
        """
        batches = list(self._seen if self.validation is None else self.validation)
        if not batches:
            raise FxnasError("Smash compares architectures on validation batches: train first, or set `validation`")
        generator = torch.Generator().manual_seed(self.seed)
        scores: dict[Architecture, float] = {}
        before = self.graph.architecture
        with self.evaluating(), _batch_statistics(self.graph.module):
            for architecture in self._candidates(generator):
                self._score(architecture, batches, scores)
            best = max(scores, key=scores.__getitem__)
            for _ in range(self.perturbations):
                neighbors = self.space.neighbors(best)
                if neighbors:
                    other = neighbors[int(torch.randint(len(neighbors), (), generator=generator))]
                    best = max(best, other, key=lambda each: self._score(each, batches, scores))
        self.graph.select(before)
        return best

    @torch.no_grad()
    def inherit(self, architecture: Mapping[str, Sequence[int]]) -> None:
        """Writes the weights that are generated for an architecture into the graph: what its network starts from."""
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
            with self._substituted(self.generate(architecture)):
                outputs = ((self.run(self.graph.module, inputs), self.moved(target)) for inputs, target in batches)
                total = sum(float(metric(output, target)) for output, target in outputs)
            score = distributed.mean(total / len(batches))
            scores[architecture] = -math.inf if math.isnan(score) else score
        return scores[architecture]

    @contextmanager
    def _substituted(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """The layers have these weights within."""
        try:
            for path, weight in weights.items():
                for module in self._layers[path].modules:
                    module._parameters["weight"] = weight.to(self._layers[path].weight.dtype)  # type: ignore[assignment]
            yield
        finally:
            for path in weights:
                for module in self._layers[path].modules:
                    module._parameters["weight"] = self._layers[path].weight


@dataclass
class _Layer:
    """A weight that is generated.

    Attributes:
        path: of the first module that has it.
        weight: the model's own one.
        modules: those that have it.
        conditions: under which it is used.
    """

    path: str
    weight: nn.Parameter
    modules: list[nn.Module] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)

    def runs(self, decisions: Mapping[str, tuple[int, ...]]) -> bool:
        """Whether some module that has it is run under these decisions, in training or evaluation."""
        modes = ({**decisions, TRAINING_KEY: mode} for mode in ((), (0,)))
        return any(condition.holds(mode) for mode in modes for condition in self.conditions)


def _layers(graph: ChoiceGraph, generated: Predicate | None) -> Iterable[_Layer]:
    """The weights to generate, in graph order; tied ones are one."""
    found: dict[int, _Layer] = {}
    conditions = graph.conditions()
    for node in graph.graph.nodes:
        if node.op != "call_module":
            continue
        path = str(node.target)
        module = attribute(graph.module, path)
        if generated is None:
            wanted = isinstance(module, _ConvNd) and any(atom.key != TRAINING_KEY for atom in guard_of(node).atoms())
        else:
            wanted = generated(path, module)
        weight = module._parameters.get("weight")
        if not wanted or (weight is None and generated is None):
            continue
        if weight is None or weight.dim() < 2:
            raise FxnasError(f"Smash can't generate the weights of {path!r}: a {type(module).__name__} has no filters")
        layer = found.setdefault(id(weight), _Layer(path, weight))
        layer.conditions.append(conditions[node])
        if module not in layer.modules:
            layer.modules.append(module)
    if not found:
        raise FxnasError(
            "Smash has no weights to generate: no candidate holds a convolution; tell by `generated` which modules' "
            "weights depend on the architecture"
        )
    return found.values()


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
