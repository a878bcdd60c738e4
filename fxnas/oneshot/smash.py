"""SMASH (arXiv 1708.05344): a HyperNet gives each sampled architecture weights of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fxnas.architecture import Architecture
from fxnas.graph import ChoiceGraph
from fxnas.oneshot.base import Batch, Metrics, OneShotMethod
from fxnas.oneshot.candidates import candidate_rows
from fxnas.oneshot.generated import Predicate, layers, substituted
from fxnas.oneshot.hypernet import HyperNet
from fxnas.oneshot.scoring import SupernetScores
from fxnas.oneshot.selection import Metric
from fxnas.oneshot.trainer import OneShotTrainer
from fxnas.oneshot.update import Parameters, check_builder


class Smash(OneShotMethod):
    """SMASH: one architecture is sampled for each step, and a HyperNet generates the weights of its convolutions.

    The HyperNet is told the whole architecture, as ones at the chosen candidates, so a layer has other weights in
    another architecture. All other weights are the model's own. One optimizer trains both, on the training batches.

    At the end random architectures are scored with generated weights on `valid_batches`, then neighbors of the best
    one, each better one taking its place; before each score the statistics of BatchNorm are computed from
    `train_batches`. `inherit` writes the generated weights into the model. Validation batches play no part in steps.

    The paper's HyperNet is a convolutional network over a layout of the memory that its layers share; this one is a
    small dense network with an embedding of each layer, for any model. Adam 1e-3 is a choice of ours.

    Args:
        graph: as `OneShotMethod`.
        generated: whether a module's weight is generated, from its path and the module; None: those of all convolutions
            that some candidate holds.
        samples: how many random architectures it compares; of a space that is not larger, all.
        perturbations: how many neighbors of the best one.
        calibration: training batches for BatchNorm statistics; 0: those of the supernet are taken. The 8 are a choice
            of ours.
        metric: from the model's output and the target to a number, larger is better; None: the loss, smaller is better.
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
        samples: int = 500,
        perturbations: int = 100,
        calibration: int = 8,
        metric: Metric | None = None,
        hypernet: Mapping[str, int] | None = None,
        **options: Any,
    ) -> None:
        check_builder(self, options.get("optimizer"), "a HyperNet")
        self._generated, self._hypernet = generated, dict(hypernet or {})
        super().__init__(graph, **options)
        self.samples, self.perturbations = samples, perturbations
        self.calibration, self.metric = calibration, metric

    def trained(self) -> Parameters:
        """The weights that aren't generated, and those of the HyperNet."""
        self._layers = layers(self.graph, self._generated)
        self._rows = candidate_rows(self.space)
        self._width = sum(map(len, self._rows.values()))
        shapes = {path: tuple(layer.weight.shape) for path, layer in self._layers.items()}
        self.hypernet = HyperNet(shapes, self._width, generator=self.generator, **self._hypernet).to(self.device)
        replaced = {id(layer.weight) for layer in self._layers.values()}
        return [*(p for p in super().trained() if id(p) not in replaced), *self.hypernet.parameters()]

    def default_optimizer(self, parameters: Parameters) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(parameters, 1e-3)

    def step(self, batch: Batch, valid_batch: Batch) -> Metrics:
        """One step of the HyperNet and the weights with a random architecture, all alike."""
        self.graph.select(self._sample(self.generator))
        loss = self.loss_of(self.graph.module, batch)
        self.weights(loss)
        return {"loss": loss.detach()}

    def generate(self, architecture: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
        """The weights that the HyperNet gives an architecture: path of the layer → weight, of the layers it runs."""
        complete = self.space.complete(architecture)
        used = [path for path, layer in self._layers.items() if layer.runs(complete)]
        return self.hypernet(self.encoded(architecture), used) if used else {}

    def encoded(self, architecture: Mapping[str, Sequence[int]]) -> Tensor:
        """Ones at the chosen candidates of all choices that take part, zeros elsewhere."""
        encoding = torch.zeros(self._width)
        for key, decision in self.space.canonical(self.space.complete(architecture)).items():
            encoding[[self._rows[key][candidate] for candidate in decision]] = 1.0
        return encoding.to(self.device)

    def run(self, module: nn.Module, inputs: Any) -> Any:
        """The output of the graph's module with the weights that are generated for the architecture it is set to."""
        with substituted(self._layers, self.generate(self.graph.architecture)):
            return super().run(module, inputs)

    def decide(self) -> Architecture:
        """The best that random search and perturbations find; asking again gives the same, and changes nothing.

        Raises:
            FxnasError: there are no batches to compare on.
        """
        generator = torch.Generator().manual_seed(self.seed)
        with SupernetScores(self, self.metric, self.calibration) as score:
            best = max(self._candidates(generator), key=score)
            for _ in range(self.perturbations):
                neighbors = self.space.neighbors(best)
                if neighbors:
                    best = max(best, neighbors[int(torch.randint(len(neighbors), (), generator=generator))], key=score)
        return best

    @torch.no_grad()
    def inherit(self, architecture: Mapping[str, Sequence[int]]) -> None:
        """Writes the weights that are generated for an architecture into the graph."""
        for path, weight in self.generate(architecture).items():
            self._layers[path].weight.copy_(weight)

    def extra_state(self) -> dict[str, Any]:
        """The HyperNet."""
        return {"hypernet": self.hypernet.state_dict()}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Takes what `extra_state` gave."""
        self.hypernet.load_state_dict(state["hypernet"])

    def _candidates(self, generator: torch.Generator) -> Iterator[Architecture]:
        if self.space.size <= self.samples:
            yield from map(self.space.architecture, range(self.space.size))
        else:
            yield from (self._sample(generator) for _ in range(self.samples))

    def _sample(self, generator: torch.Generator) -> Architecture:
        return self.space.sample(random.Random(int(torch.randint(2**62, (), generator=generator))))


class SmashTrainer(OneShotTrainer):
    """Trains by `Smash`; see `OneShotTrainer`."""

    method_type = Smash
