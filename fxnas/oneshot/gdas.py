"""GDAS (arXiv 1910.04465): one candidate of each choice is drawn and runs, and its gradient teaches every logit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fxnas.graph import ChoiceGraph
from fxnas.oneshot import gumbel
from fxnas.oneshot.base import Batch, Metrics, OneShotMethod
from fxnas.oneshot.differentiable import DifferentiableMethod
from fxnas.oneshot.distribution import straight_through
from fxnas.oneshot.trainer import OneShotTrainer
from fxnas.oneshot.update import Parameters


class Gdas(DifferentiableMethod):
    """GDAS: search by a differentiable sampler.

    In each step the weights move on the training batch, then α on the validation batch, each with a draw of its own.
    A draw takes the largest of α + Gumbel noise; only that candidate runs, with the weight h = onehot - p + p, in which
    p = softmax((α + noise) / τ) passes gradients on, and whose value is exactly one. (`gumbel` tells what choices of
    several inputs take in place of the softmax.) At the end each choice takes its largest α. The expected cost of a
    penalty is that under softmax(α).

    τ falls linearly over the epochs, from the first to the last, as `begin_epoch` tells. Without that call it stays
    where it is; users with a loop of their own may set `temperature` instead. It doesn't change what is drawn, only how
    far gradients reach.

    Defaults of the paper: Adam 3e-4, betas (0.5, 0.999), weight decay 1e-3; weights by Nesterov's SGD from 0.025 to
    0.001 along a cosine, momentum 0.9, weight decay 5e-4, gradients clipped at 5.

    Args:
        graph: as `OneShotMethod`.
        temperatures: τ of the first and of the last epoch.
        options: as `DifferentiableMethod`.

    Attributes:
        temperature: τ.
    """

    clip_norm, final_rate = 5.0, 0.001

    def __init__(self, graph: ChoiceGraph, *, temperatures: tuple[float, float] = (10.0, 0.1), **options: Any) -> None:
        super().__init__(graph, **options)
        self.temperatures = temperatures
        self.temperature = temperatures[0]

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Sets the temperature."""
        super().begin_epoch(epoch, epochs)
        first, last = self.temperatures
        self.temperature = first + (last - first) * epoch / max(epochs - 1, 1)

    def default_optimizer(self, parameters: Parameters) -> torch.optim.Optimizer:
        """Nesterov's SGD, as in the paper."""
        return torch.optim.SGD(parameters, 0.025, momentum=0.9, weight_decay=5e-4, nesterov=True)

    def step(self, batch: Batch, valid_batch: Batch) -> Metrics:
        """One step of the weights, one of α."""
        with torch.no_grad():
            decisions = {key: draw.decision for key, draw in self._draws().items()}
        self.graph.select(self.space.canonical(decisions))  # without α the weights are ones: nothing to multiply by
        loss = self.loss_of(self.graph.module, batch)
        self.weights(loss)
        return {"loss": loss.detach(), "valid_loss": self._architecture_step(valid_batch).detach()}

    def forward(self, inputs: Any) -> Any:
        """The output of the architecture that it would choose now: the weights know one candidate at a time."""
        self.graph.select(self.decide())
        return OneShotMethod.forward(self, inputs)

    def extra_state(self) -> dict[str, Any]:
        """α, the state of their optimizer, and the temperature."""
        return super().extra_state() | {"temperature": self.temperature}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Takes what `extra_state` gave."""
        super().load_extra_state(state)
        self.temperature = state["temperature"]

    def _architecture_step(self, valid_batch: Batch) -> Tensor:
        with self.weights.frozen():
            self._mix(self._draws())
            loss = self.penalized(self.mixed_loss(valid_batch), self.probabilities())
            self.architecture(loss)
        return loss

    def _draws(self) -> dict[str, gumbel.Draw]:
        """Draws what runs."""
        return {
            key: gumbel.draw(alpha, self.space[key].n_chosen, self.temperature, self.generator, key=key)
            for key, alpha in self.alphas.items()
        }

    def _mix(self, draws: Mapping[str, gumbel.Draw]) -> None:
        weights = {key: straight_through(draw.decision, draw.soft) for key, draw in draws.items()}
        self.relaxed.mix(weights, {key: [draw.decision] for key, draw in draws.items()})


class GdasTrainer(OneShotTrainer):
    """Trains by `Gdas`; see `OneShotTrainer`."""

    method_type = Gdas
