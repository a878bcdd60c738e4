"""SPOS (arXiv 1904.00420): one path is drawn uniformly for each batch; evolution finds the best one at the end."""

from __future__ import annotations

import random
from typing import Any

import torch

from fxnas.architecture import Architecture
from fxnas.graph import ChoiceGraph
from fxnas.oneshot.base import Batch, Metrics, OneShotMethod
from fxnas.oneshot.evolution import Evolution, Limit, draw
from fxnas.oneshot.scoring import SupernetScores
from fxnas.oneshot.selection import Metric
from fxnas.oneshot.trainer import OneShotTrainer
from fxnas.oneshot.update import Parameters


class Spos(OneShotMethod):
    """Single Path One-Shot: uniform sampling, then evolution.

    Each step trains one architecture, whose choices are drawn one by one, each uniformly; nothing else runs. At the end
    evolution looks for the architecture that is best on `valid_batches`; before each evaluation the statistics of
    BatchNorm are reset and computed from `train_batches`. Validation batches play no part in the steps.

    Defaults of the paper: weights by SGD 0.5 along a cosine for batches of 1,024, here 0.05 for the small ones that are
    usual, momentum 0.9, weight decay 4e-5; 50 architectures in each of 20 generations, statistics of 200 batches.

    Args:
        graph: as `OneShotMethod`.
        limit: what architectures may cost, in training and evolution; None: anything.
        evolution: how the end is searched.
        calibration: training batches for BatchNorm statistics; 0: those of the supernet are taken.
        metric: from the model's output and the target to a number, larger is better; None: the loss, smaller is better.
        options: as `OneShotMethod`.
    """

    clip_norm, final_rate = 5.0, 0.0

    def __init__(
        self,
        graph: ChoiceGraph,
        *,
        limit: Limit | None = None,
        evolution: Evolution | None = None,
        calibration: int = 200,
        metric: Metric | None = None,
        **options: Any,
    ) -> None:
        super().__init__(graph, **options)
        self.limit, self.evolution = limit, evolution or Evolution()
        self.calibration, self.metric = calibration, metric

    def default_optimizer(self, parameters: Parameters) -> torch.optim.Optimizer:
        """SGD, see the class."""
        return torch.optim.SGD(parameters, 0.05, momentum=0.9, weight_decay=4e-5)

    def step(self, batch: Batch, valid_batch: Batch) -> Metrics:
        """One step of the weights of one architecture.

        Raises:
            FxnasError: no architecture was found that keeps to the limit.
        """
        self.graph.select(draw(self.space, self._random(), self.limit))
        loss = self.loss_of(self.graph.module, batch)
        self.weights(loss)
        return {"loss": loss.detach()}

    def decide(self) -> Architecture:
        """The best that evolution finds; asking again gives the same, and leaves the training as it is.

        Raises:
            FxnasError: there are no batches to compare on, or no architecture keeps to the limit.
        """
        with SupernetScores(self, self.metric, self.calibration) as score:
            return self.evolution.run(self.space, score, random.Random(self.seed), self.limit)

    def _random(self) -> random.Random:
        return random.Random(int(torch.randint(2**62, (), generator=self.generator)))


class SposTrainer(OneShotTrainer):
    """Trains by `Spos`; see `OneShotTrainer`."""

    method_type = Spos
