"""What a sampled architecture is worth, by the weights of the supernet."""

from __future__ import annotations

from itertools import islice
from types import TracebackType
from typing import Self

from fxnas.architecture import Architecture
from fxnas.errors import FxnasError
from fxnas.oneshot.base import Batch, OneShotMethod
from fxnas.oneshot.recalibrate import Recalibration
from fxnas.oneshot.selection import Metric, score


class SupernetScores:
    """Scores architectures within a `with` block, each once; what the graph runs and its statistics come back after it.

        with SupernetScores(method, metric, calibration=200) as score:
            value = score(architecture)

    Before an architecture is measured on all validation batches, its BatchNorm statistics are reset and computed from
    training batches.

    Args:
        method: its graph is scored, on its `valid_batches` and `train_batches`.
        metric: from the model's output and the target to a number, larger is better; what is no number is the worst.
            None: the loss, smaller is better.
        calibration: how many training batches the statistics are computed from; 0: those of the supernet are taken.

    Raises:
        FxnasError: the method has no validation batches, or no training batches to calibrate on.
    """

    def __init__(self, method: OneShotMethod, metric: Metric | None, calibration: int) -> None:
        if calibration < 0:
            raise FxnasError(f"calibration is a number of batches, 0 or more, got {calibration}")
        self.method, self.calibration = method, calibration
        self.metric = metric or (lambda output, target: -method.loss(output, target))
        self.known: dict[Architecture, float] = {}
        self.recalibration = Recalibration(method.graph.module)
        needed = ["valid_batches", *(["train_batches"] if self._calibrates else [])]
        for name in needed:
            if getattr(method, name) is None:
                raise FxnasError(
                    f"{type(method).__name__} compares architectures on data: set its {name} to batches that can be "
                    "iterated again and again; a trainer does so"
                )

    @property
    def _calibrates(self) -> bool:
        return bool(self.calibration and self.recalibration.layers)

    def __enter__(self) -> Self:
        self._before = self.method.graph.architecture
        self._evaluating = self.method.evaluating()
        self._evaluating.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.recalibration.restore()
        self._evaluating.__exit__(kind, error, traceback)
        self.method.graph.select(self._before)

    def __call__(self, architecture: Architecture) -> float:
        """The mean of the metric over the validation data, each element counting alike; see `score`."""
        if architecture not in self.known:
            self.method.graph.select(architecture)
            if self._calibrates:
                self.recalibration.compute(self._run, islice(iter(self.method.train_batches or ()), self.calibration))
            self.known[architecture] = score(self.method, architecture, self.method.valid_batches or (), self.metric)
        return self.known[architecture]

    def _run(self, batch: Batch) -> object:
        return self.method.run(self.method.graph.module, batch[0])
