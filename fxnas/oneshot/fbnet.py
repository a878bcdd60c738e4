"""FBNet (arXiv 1812.03443): candidates are mixed by Gumbel-softmax masks, which the expected latency shares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fxnas.architecture import Architecture
from fxnas.graph import ChoiceGraph
from fxnas.oneshot import distribution, gumbel
from fxnas.oneshot.base import Batch, Metrics
from fxnas.oneshot.differentiable import DifferentiableMethod, Probabilities
from fxnas.oneshot.penalty import Cost, LogScaled, Penalty
from fxnas.oneshot.selection import Metric, best_of
from fxnas.oneshot.trainer import OneShotTrainer
from fxnas.oneshot.update import Parameters
from fxnas.oneshot.warmup import warms_up

WARMUP = 10
TEMPERATURE, DECAY = 5.0, 0.045  # of the paper: τ = 5 · exp(-0.045 · epoch)


class FBNet(DifferentiableMethod):
    """FBNet: every candidate runs, weighted by a random soft mask.

    In each step the weights move on the training batch, then θ (the paper's name of α) on the validation batch. Each
    draws masks softmax((θ + Gumbel noise) / τ); those of the step of θ weigh the candidates' outputs and their costs
    alike. `begin_epoch` tells the epoch, by which τ = 5 · exp(-0.045 · epoch); in the first `warmup` epochs
    θ rests. Without that call there is no warm-up, and τ stays; users with a loop of their own may set `temperature`.

    At the end several architectures are sampled from the distribution, and the best on `valid_batches` is taken; where
    there are none, the most probable one.

    Defaults of the paper: θ by Adam 0.01, weight decay 5e-4; weights by SGD 0.1, momentum 0.9, weight decay 1e-4. Its
    data are split 80 % to 20 %.

    Args:
        graph: as `OneShotMethod`.
        penalty: as `DifferentiableMethod`; a cost alone stands for `LogScaled(cost)`, the loss of the paper.
        warmup: epochs before θ moves; by default the paper's 10, but at most a quarter of all.
        samples: how many architectures `decide` compares.
        metric: by which: from output and target to a number, larger is better; None: the loss, smaller is better.
        options: as `DifferentiableMethod`.

    Attributes:
        temperature: τ.
        warming: whether θ rests.
    """

    def __init__(
        self,
        graph: ChoiceGraph,
        *,
        penalty: Penalty | Cost | None = None,
        warmup: int | None = None,
        samples: int = 10,
        metric: Metric | None = None,
        **options: Any,
    ) -> None:
        whole = penalty if penalty is None or isinstance(penalty, Penalty) else LogScaled(penalty)
        super().__init__(graph, penalty=whole, **options)
        self.warmup, self.samples, self.metric = warmup, samples, metric
        self.temperature, self.warming = TEMPERATURE, False

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Sets the temperature, and whether θ rests.

        Raises:
            FxnasError: it would rest in all epochs.
        """
        super().begin_epoch(epoch, epochs)
        self.warming = warms_up(self, self.warmup, WARMUP, epoch, epochs)
        self.temperature = TEMPERATURE * math.exp(-DECAY * epoch)

    def default_optimizer(self, parameters: Parameters) -> torch.optim.Optimizer:
        """SGD, as in the paper."""
        return torch.optim.SGD(parameters, 0.1, momentum=0.9, weight_decay=1e-4)

    def default_architecture_optimizer(self, parameters: Parameters) -> torch.optim.Optimizer:
        """Adam, as in the paper."""
        return torch.optim.Adam(parameters, 0.01, weight_decay=5e-4)

    def step(self, batch: Batch, valid_batch: Batch) -> Metrics:
        """One step of the weights, one of θ unless it rests."""
        with torch.no_grad():
            self.relaxed.mix(self._masks())
        loss = self.mixed_loss(batch)
        self.weights(loss)
        metrics: Metrics = {"loss": loss.detach()}
        if not self.warming:
            metrics["valid_loss"] = self._architecture_step(valid_batch).detach()
        return metrics

    def decide(self) -> Architecture:
        """The best of the sampled architectures on the validation batches, or the most probable one without them.

        Asking changes nothing: the samples come from a generator of their own.
        """
        if self.valid_batches is None:
            return super().decide()
        metric = self.metric or (lambda output, target: -self.loss(output, target))
        generator = torch.Generator().manual_seed(self.seed)
        return best_of(self, [self._sample(generator) for _ in range(self.samples)], self.valid_batches, metric)

    def extra_state(self) -> dict[str, Any]:
        """θ, the state of its optimizer, and the schedule."""
        return super().extra_state() | {"temperature": self.temperature, "warming": self.warming}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Takes what `extra_state` gave."""
        super().load_extra_state(state)
        self.temperature, self.warming = state["temperature"], state["warming"]

    def _architecture_step(self, valid_batch: Batch) -> Tensor:
        with self.weights.frozen():
            masks = self._masks()  # one draw, for the output and for the cost
            self.relaxed.mix(masks)
            loss = self.penalized(self.mixed_loss(valid_batch), masks)
            self.architecture(loss)
        return loss

    def _masks(self) -> Probabilities:
        return {
            key: gumbel.draw(theta, self.space[key].n_chosen, self.temperature, self.generator, key=key).soft
            for key, theta in self.alphas.items()
        }

    def _sample(self, generator: torch.Generator) -> Architecture:
        choices = self.alphas.items()
        decisions = {k: distribution.sample(theta, self.space[k].n_chosen, generator) for k, theta in choices}
        return self.space.canonical(decisions)


class FBNetTrainer(OneShotTrainer):
    """Trains by `FBNet`; see `OneShotTrainer`."""

    method_type = FBNet
