"""Single-Path NAS (arXiv 1904.02877): one superkernel for each choice, whose shells are let through by thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fxnas.architecture import Architecture
from fxnas.graph import ChoiceGraph
from fxnas.oneshot.base import Batch, Metrics, OneShotMethod
from fxnas.oneshot.merged import MergedGraph
from fxnas.oneshot.penalty import Penalty
from fxnas.oneshot.trainer import OneShotTrainer
from fxnas.oneshot.update import Parameters, check_builder
from fxnas.oneshot.warmup import warms_up

WARMUP = 2


class SinglePathNas(OneShotMethod):
    """Single-Path NAS: all candidates of a choice are parts of one superkernel, and one path runs.

    For choices whose candidates are convolutions, or chains around them such as MBConv, of several kernel sizes and
    widths, and at most one without weights; see `MergeKernels`. A shell of the superkernel takes part where its squared
    norm exceeds a threshold: w = w₃ + 1(‖w₅∖₃‖² > t) · w₅∖₃. The indicator has the gradient of the sigmoid, by which
    weights and threshold learn. Candidates of few channels leave out the last inputs of the next convolution,
    whose norm decides about them; the paper cuts the depthwise convolution instead, after which a batch norm would
    still add its bias. All weights and thresholds are trained by one optimizer, on the training batches alone; the
    validation batch of a step isn't used.

    In the first `warmup` epochs, as `begin_epoch` tells, the penalty rests and each indicator is dropped with the
    probability 0.4, so that the smaller candidates are trained too; without that call there is no warm-up.

    Defaults of the paper: thresholds start from 0, loss + λ · log(E[cost]). RMSprop 0.016 with momentum 0.9 is as for
    MnasNet, whose training the paper takes over, but for its ε of 1e-3: far from a threshold gradients are smaller.

    Args:
        graph: as `OneShotMethod`.
        penalty: what an expensive architecture costs, such as `LogAdded(cost, weight)`; None: nothing.
        warmup: epochs before the penalty acts; by default 2, a choice of ours for the 8 epochs that the paper's search
            takes, but at most a quarter of all.
        options: as `OneShotMethod`; an optimizer is given as a function, since it trains thresholds too.

    Attributes:
        merged: the graph with superkernels in place of choices.
        thresholds: key → t, for each indicator of `MergedGraph`.
        warming: whether the penalty rests and indicators are dropped.

    Raises:
        PassError: some choice can't be merged, a choice of inputs among them; the message names the key, and why.
    """

    keep = 0.6  # of the paper: the probability to keep an indicator in the warm-up

    def __init__(
        self, graph: ChoiceGraph, *, penalty: Penalty | None = None, warmup: int | None = None, **options: Any
    ) -> None:
        check_builder(self, options.get("optimizer"), "thresholds")
        super().__init__(graph, **options)
        self.penalty, self.warmup, self.warming = penalty, warmup, False

    def trained(self) -> Parameters:
        """The parameters of the model, and the thresholds."""
        self.merged = MergedGraph(self.graph)
        self.thresholds = {
            key: nn.Parameter(torch.zeros_like(self.merged.norms(key))) for key in self.merged.superkernels
        }
        return [*super().trained(), *self.thresholds.values()]

    def default_optimizer(self, parameters: Parameters) -> torch.optim.Optimizer:
        """RMSprop; see the class."""
        return torch.optim.RMSprop(parameters, 0.016, alpha=0.9, momentum=0.9)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Sets whether the penalty rests.

        Raises:
            FxnasError: it would rest in all epochs.
        """
        super().begin_epoch(epoch, epochs)
        self.warming = warms_up(self, self.warmup, WARMUP, epoch, epochs)

    def step(self, batch: Batch, valid_batch: Batch) -> Metrics:
        """One step of the weights and thresholds, on the training batch."""
        indicators = self.indicators()
        if self.warming:
            indicators = {key: each * self._kept(each) for key, each in indicators.items()}
        self.merged.set(indicators)
        loss = self.loss_of(self.merged.module, batch)
        whole = loss if self.warming or self.penalty is None else self.penalty(loss, self._probabilities(indicators))
        self.weights(whole)
        return {"loss": loss.detach()}

    def indicators(self) -> dict[str, Tensor]:
        """Which shells take part: exactly 1 and 0, with the gradient of the sigmoid."""
        return {key: indicator(self.merged.norms(key) - t) for key, t in self.thresholds.items()}

    def decide(self) -> Architecture:
        """The candidates that the indicators stand for."""
        with torch.no_grad():
            probabilities = self._probabilities(self.indicators())
        return self.space.canonical(
            {
                key: (int(probabilities[key].argmax()),) if key in self.thresholds else c.default
                for key, c in self.space.items()
            }
        )

    def inherit(self, architecture: Mapping[str, Sequence[int]]) -> None:
        """Writes the superkernels' slices into the candidates, those of other architectures too."""
        self.merged.fill()

    def forward(self, inputs: Any) -> Any:
        """The output of the graph with superkernels."""
        with torch.no_grad():
            self.merged.set(self.indicators())
        return self.run(self.merged.module, inputs)

    def extra_state(self) -> dict[str, Any]:
        """The thresholds, and whether the penalty rests."""
        return {"thresholds": {key: t.detach() for key, t in self.thresholds.items()}, "warming": self.warming}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Takes what `extra_state` gave."""
        with torch.no_grad():
            for key, threshold in self.thresholds.items():
                threshold.copy_(state["thresholds"][key])
        self.warming = state["warming"]

    def _kept(self, indicators: Tensor) -> Tensor:
        draws = torch.rand(len(indicators), generator=self.generator) < self.keep
        return draws.to(indicators)

    def _probabilities(self, indicators: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Of all candidates of the space; choices that leave nothing to choose take all or none."""
        found = {}
        for key, choice in self.space.items():
            if key in indicators:
                found[key] = self.merged.probabilities(key, indicators[key])
            else:
                found[key] = torch.full((len(choice.candidates),), float(choice.n_chosen != 0), device=self.device)
        return found


class SinglePathNasTrainer(OneShotTrainer):
    """Trains by `SinglePathNas`; see `OneShotTrainer`."""

    method_type = SinglePathNas


def indicator(x: Tensor) -> Tensor:
    """1 where x ≥ 0 and 0 elsewhere, with the gradient of sigmoid(x)."""
    smooth = torch.sigmoid(x)
    return (x >= 0).to(x.dtype) + (smooth - smooth.detach())  # the sum is exact: what is added is zero
