"""Understanding and simplifying one-shot search (Bender et al. 2018): all paths run together, some are dropped."""

from __future__ import annotations

import random
from typing import Any

import torch

from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.errors import FxnasError
from fxnas.graph import ChoiceGraph
from fxnas.oneshot.base import Batch, Metrics, OneShotMethod
from fxnas.oneshot.distribution import Decision, multi_hot
from fxnas.oneshot.evolution import distinct, draw
from fxnas.oneshot.relaxed import RelaxedGraph
from fxnas.oneshot.scoring import SupernetScores
from fxnas.oneshot.selection import Metric
from fxnas.oneshot.trainer import OneShotTrainer
from fxnas.oneshot.update import Parameters


class PathDropout(OneShotMethod):
    """One-shot search by path dropout: no controller, no α.

    In each step every choice adds up the outputs of its candidates, but for those that are dropped: each of k with the
    probability r^(1/k), so that all of them are with the probability r. Where all are dropped and something has to be
    chosen, one that is drawn stays. r grows linearly from 0 in the first epoch to `rate` in the last one, as
    `begin_epoch` tells; without that call it is `rate`. What is dropped doesn't run, gets no gradient, and is not moved
    by weight decay either.

    At the end random architectures are ranked on `valid_batches`: all paths but theirs are cut. The BatchNorm
    statistics of each are computed from `train_batches` before; the paper has batch statistics there, of small parts of
    a batch while it trains (ghost batch normalization), which this method leaves to the model.

    Defaults: r 0.05; SGD 0.1 along a cosine, momentum 0.9, weight decay 1e-4; 500 architectures.

    Args:
        graph: as `OneShotMethod`.
        rate: r of the last epoch, 0 to 1.
        samples: how many architectures `decide` compares.
        calibration: training batches for BatchNorm statistics; 0: those of the supernet are taken.
        metric: from the model's output and the target to a number, larger is better; None: the loss, smaller is better.
        options: as `OneShotMethod`.

    Attributes:
        current_rate: r.

    Raises:
        FxnasError: a number is out of range.
    """

    clip_norm, final_rate = 5.0, 0.0

    def __init__(
        self,
        graph: ChoiceGraph,
        *,
        rate: float = 0.05,
        samples: int = 500,
        calibration: int = 20,
        metric: Metric | None = None,
        **options: Any,
    ) -> None:
        if not 0 <= rate <= 1:
            raise FxnasError(f"rate is between 0 and 1, got {rate}")
        if samples < 1:
            raise FxnasError(f"samples is at least 1, got {samples}")
        super().__init__(graph, **options)
        self.relaxed = RelaxedGraph(graph)
        self.rate = self.current_rate = rate
        self.samples, self.calibration, self.metric = samples, calibration, metric

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Sets r."""
        super().begin_epoch(epoch, epochs)
        self.current_rate = self.rate * (epoch / (epochs - 1) if epochs > 1 else 1)

    def default_optimizer(self, parameters: Parameters) -> torch.optim.Optimizer:
        """SGD, see the class."""
        return torch.optim.SGD(parameters, 0.1, momentum=0.9, weight_decay=1e-4)

    def step(self, batch: Batch, valid_batch: Batch) -> Metrics:
        """One step of the weights, some paths dropped."""
        kept = {key: self._kept(choice) for key, choice in self.space.items()}
        weights = {key: multi_hot(which, self.relaxed.mixtures[key].weights) for key, which in kept.items()}
        self.relaxed.mix(weights, {key: [which] for key, which in kept.items()})
        loss = self.loss_of(self.relaxed.module, batch)
        self.weights(loss)
        return {"loss": loss.detach()}

    def forward(self, inputs: Any) -> Any:
        """The output with all paths."""
        every = {key: torch.ones_like(mixture.weights) for key, mixture in self.relaxed.mixtures.items()}
        self.relaxed.mix(every)
        return self.run(self.relaxed.module, inputs)

    def decide(self) -> Architecture:
        """The best of random architectures; asking again gives the same, and leaves the training as it is.

        Raises:
            FxnasError: there are no batches to compare on.
        """
        rng = random.Random(self.seed)
        candidates = distinct(self.samples, lambda: draw(self.space, rng), {})
        with SupernetScores(self, self.metric, self.calibration) as score:
            return max(candidates, key=score)

    def extra_state(self) -> dict[str, Any]:
        """The rate."""
        return {"current_rate": self.current_rate}

    def load_extra_state(self, state: Any) -> None:
        """Takes what `extra_state` gave."""
        self.current_rate = state["current_rate"]

    def _kept(self, choice: Choice) -> Decision:
        """The candidates that are not dropped."""
        count = len(choice.candidates)
        draws = torch.rand(count + 1, generator=self.generator, dtype=torch.double).tolist()
        kept = tuple(i for i in range(count) if draws[i] >= self.current_rate ** (1 / count))
        if kept or choice.n_chosen in (None, 0):
            return kept
        return (int(draws[count] * count),)


class PathDropoutTrainer(OneShotTrainer):
    """Trains by `PathDropout`; see `OneShotTrainer`."""

    method_type = PathDropout
