"""The training loop of one-shot methods: data, schedules, checkpoints, callbacks, progress."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fxnas.architecture import Architecture
from fxnas.errors import FxnasError
from fxnas.evaluators.seeded import seed_python_and_numpy, seeded
from fxnas.graph import ChoiceGraph
from fxnas.oneshot import distributed
from fxnas.oneshot.base import Batch, Loss, OneShotMethod
from fxnas.oneshot.callbacks import Callback
from fxnas.oneshot.checkpoint import load_state, save_state
from fxnas.oneshot.data import Batches, Shuffled, batches_of, elements, halves
from fxnas.oneshot.display import display
from fxnas.oneshot.update import MakeOptimizer
from fxnas.trace import trace

MetricsFunction = Callable[[Any, Any], Mapping[str, Any] | float | Tensor]


class OneShotTrainer:
    """Trains the supernet of a model by a one-shot method, and exports the architecture that it finds.

        trainer = DartsTrainer(model, loss=criterion, metrics=accuracy, num_epochs=50,
                               dataset_train=train, dataset_valid=valid)
        trainer.train()
        trainer.export(file="final_architecture.json")

    Every random decision follows from the seed and the number of the step: the same seed gives the same architecture in
    another process, and a training that was killed goes on from its checkpoint to the same result, bit for bit on a
    CPU. With torch.distributed initialized, all processes take the same decisions; each gets an equal part of every
    batch, and gradients are averaged.

    A subclass names its method: `class MyTrainer(OneShotTrainer): method_type = MyMethod`.

    Args:
        model: an `nn.Module` with choices, or a traced `ChoiceGraph`. Its weights are trained in place.
        loss: from the model's output and the target to a scalar.
        metrics: from the model's output and the target to a dict of numbers, or one number, called "metric".
        optimizer: of the weights: an optimizer of the model's parameters, or a function that builds one from a list of
            them; by default that of the method's paper.
        num_epochs: passes through the training data.
        dataset_train: a data set of pairs (inputs, target), or batches of them.
        dataset_valid: likewise, for what is learned about the architecture. None: half of `dataset_train`.
        batch_size: elements in a batch of a data set, of all processes together.
        workers: processes that load the data set.
        device: where to train; by default where the model is.
        log_frequency: steps between two updates of the progress; None: 10 in an epoch.
        callbacks: see `fxnas.oneshot.callbacks`.
        checkpoint: a file that is written after each epoch; where it exists, `train` goes on from it.
        checkpoint_frequency: steps between two writes of the checkpoint within an epoch; None: none within.
        seed: of every random decision.
        progress: whether to show progress on standard error; None: a bar in a terminal, lines elsewhere.
        options: of the method.

    Attributes:
        method: the `OneShotMethod`.
        history: a dict of numbers for each finished epoch.

    Raises:
        FxnasError: the data, or the options, don't fit; the message says which.
        TraceError: the model can't be traced.
    """

    method_type: ClassVar[type[OneShotMethod]]

    def __init__(
        self,
        model: nn.Module | ChoiceGraph,
        *,
        loss: Loss = nn.functional.cross_entropy,
        metrics: MetricsFunction | None = None,
        optimizer: torch.optim.Optimizer | MakeOptimizer | None = None,
        num_epochs: int,
        dataset_train: Any,
        dataset_valid: Any = None,
        batch_size: int = 64,
        workers: int = 0,
        device: torch.device | str | None = None,
        log_frequency: int | None = None,
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | None = None,
        checkpoint_frequency: int | None = None,
        seed: int = 0,
        progress: bool | None = None,
        **options: Any,
    ) -> None:
        _check_positive(num_epochs=num_epochs, log_frequency=log_frequency, checkpoint_frequency=checkpoint_frequency)
        if dataset_valid is None:
            dataset_train, dataset_valid = halves(dataset_train, seed)
        self.train_batches = batches_of(dataset_train, batch_size, seed=seed, workers=workers)
        self.valid_batches = batches_of(dataset_valid, batch_size, seed=seed + 1, workers=workers)
        self.num_epochs, self.seed, self.metrics = num_epochs, seed, metrics
        self.callbacks = tuple(callbacks)
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.checkpoint_frequency = checkpoint_frequency
        self.log_frequency = log_frequency or max(len(self.train_batches) // 10, 1)
        self.progress = progress
        graph = _graph(model, self.train_batches, seed)
        if device is not None:
            graph.to(device)
        distributed.broadcast([*graph.parameters(), *graph.module.buffers()])
        self.method = self.method_type(graph, loss=loss, optimizer=optimizer, seed=seed, **options)
        self.method.train_batches, self.method.valid_batches = Shuffled(self.train_batches), self.valid_batches
        self.history: list[dict[str, float]] = []
        self._step = 0
        self._sums: dict[str, Tensor | float] = {}

    # -- training

    def train(self) -> None:
        """Trains until `num_epochs` are done; goes on from the checkpoint where there is one.

        Raises:
            FxnasError: the loss stops being finite, or the checkpoint is of another training.
        """
        if self.checkpoint is not None and self.checkpoint.exists():
            self.resume(self.checkpoint)
        per_epoch = len(self.train_batches)
        screen = display(
            self.progress if distributed.rank() == 0 else False,
            per_epoch * self.num_epochs,
            self._step,
            self.num_epochs,
        )
        try:
            with seeded(self.seed):  # and what was there before comes back
                for epoch in range(self._step // per_epoch, self.num_epochs):
                    self._train_epoch(epoch, screen)
        finally:
            screen.close()

    def _train_epoch(self, epoch: int, screen: Any) -> None:
        began, per_epoch = time.monotonic(), len(self.train_batches)
        if self._step % per_epoch == 0:
            self._sums = {}
            self._call("on_epoch_begin", epoch)
        self.method.begin_epoch(epoch, self.num_epochs)
        self.method.graph.train()
        train, valid = self.train_batches.stream(self._step), self.valid_batches.stream(self._step)
        for _ in range(self._step % per_epoch, per_epoch):
            self._train_step(train, valid)
            done = self._step % per_epoch or per_epoch
            if self._step % self.log_frequency == 0 or done == per_epoch:
                screen.step(self._step, epoch, self._means(done))
            if self.checkpoint_frequency and self._step % self.checkpoint_frequency == 0 and done < per_epoch:
                self._save()
        distributed.average([b for b in self.method.graph.module.buffers() if b.is_floating_point()])
        self._reseed(self._step, 1)
        self.method.end_epoch(Shuffled(self.valid_batches, self._step))
        self.history.append(self._means(per_epoch) | self._measured() | {"seconds": time.monotonic() - began})
        screen.epoch(epoch, self.history[-1])
        self._call("on_epoch_end", epoch)
        self._save()

    def _train_step(self, train: Iterator[Batch], valid: Iterator[Batch]) -> None:
        self._reseed(self._step, 0)
        batch, valid_batch = next(train), next(valid)
        self._call("on_batch_begin", self._step)
        metrics = self.method.step(batch, valid_batch)
        for name, value in metrics.items():  # tensors are added as such: reading them would wait for the device
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._call("on_batch_end", self._step, metrics)
        self._step += 1

    def _reseed(self, step: int, part: int) -> None:
        """What is random in a step, such as dropout and augmentation, is a function of seed, process and step."""
        words = (self.seed, distributed.rank(), step, part)
        torch.manual_seed(hash(words) % 2**63)
        seed_python_and_numpy(hash(words) % 2**32)

    def _means(self, steps: int) -> dict[str, float]:
        means = {name: float(total) / steps for name, total in self._sums.items()}
        if not math.isfinite(means["loss"]):
            raise FxnasError(
                f"the loss isn't finite at step {self._step} or a few before: a smaller learning rate, clip_norm, or "
                "another precision may help"
            )
        entropy = self.method.entropy()
        return means if entropy is None else {**means, "entropy": float(entropy)}

    def _measured(self) -> dict[str, float]:
        return {f"valid_{name}": value for name, value in self.validate().items()} if self.metrics else {}

    def _call(self, hook: str, *values: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(self, *values)

    # -- results

    def validate(self) -> dict[str, float]:
        """Loss and metrics of the supernet, as the method runs it, on the validation data in evaluation mode.

        Returns:
            "loss" and what `metrics` gives, each averaged over the elements.
        """
        totals: dict[str, float] = {}
        count = 0
        with self.method.evaluating():
            for inputs, target in self.valid_batches:
                output, target = self.method.forward(inputs), self.method.moved(target)
                size = elements(target)
                for name, value in {"loss": self.method.loss(output, target), **self._named(output, target)}.items():
                    totals[name] = totals.get(name, 0.0) + float(value) * size
                count += size
        total = distributed.mean(float(count))
        return {name: distributed.mean(value) / total for name, value in totals.items()}

    def _named(self, output: Any, target: Any) -> dict[str, Any]:
        if self.metrics is None:
            return {}
        values = self.metrics(output, target)
        return dict(values) if isinstance(values, Mapping) else {"metric": values}

    def export(self, file: str | Path | None = None) -> Architecture:
        """The architecture that the method decides for; written to a JSON file where one is named.

        The training goes on as if it had not been asked. The graph then holds the weights that the architecture was
        trained with, for `materialize`.

        Args:
            file: its folder is made where it is absent; one process writes it.
        """
        before = self.method.generator.get_state()
        with seeded(self.seed):
            architecture = self.method.decide()
            self.method.inherit(architecture)
        self.method.generator.set_state(before)
        if file is not None and distributed.rank() == 0:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            architecture.save(file)
        return architecture

    # -- going on later

    def state_dict(self) -> dict[str, Any]:
        """Everything that is needed to go on: the method's state, the place in the data, and the history."""
        return {
            "settings": self._settings(),
            "step": self._step,
            "sums": dict(self._sums),
            "history": [dict(numbers) for numbers in self.history],
            "method": self.method.state_dict(),
            "callbacks": [callback.state_dict() for callback in self.callbacks],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes the state that `state_dict` gave.

        Raises:
            FxnasError: it is that of another training; the message tells the difference. Nothing has changed then.
        """
        differing = _difference(state["settings"], self._settings())
        if differing:
            raise FxnasError(f"the state is that of another training: {differing}")
        self.method.load_state_dict(state["method"])
        self._step, self._sums = state["step"], dict(state["sums"])
        self.history = [dict(numbers) for numbers in state["history"]]
        for callback, each in zip(self.callbacks, state["callbacks"], strict=True):
            callback.load_state_dict(each)

    def resume(self, file: str | Path) -> None:
        """Goes on from a checkpoint file.

        Raises:
            FxnasError: there is none, it is damaged, or of another training.
        """
        state = load_state(file)
        try:
            self.load_state_dict(state)
        except (FxnasError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise FxnasError(f"checkpoint {file} doesn't fit: {error}") from error

    def _save(self) -> None:
        if self.checkpoint is not None and distributed.rank() == 0:
            save_state(self.checkpoint, self.state_dict())

    def _settings(self) -> dict[str, Any]:
        return {
            "method": type(self.method).__name__,
            "space": json.dumps(self.method.space.to_json()),
            "seed": self.seed,
            "epochs": self.num_epochs,
            "steps in an epoch": len(self.train_batches),
            "validation batches": len(self.valid_batches),
            "callbacks": [type(callback).__name__ for callback in self.callbacks],
        }


def _graph(model: nn.Module | ChoiceGraph, batches: Batches, seed: int) -> ChoiceGraph:
    if isinstance(model, ChoiceGraph):
        return model
    with seeded(seed):
        inputs, _ = next(islice(batches, 1))
        return trace(model, inputs)


def _difference(stored: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} was {stored.get(name)!r:.200}, is {value!r:.200}" for name, value in own.items()
                     if stored.get(name) != value)  # fmt: skip


def _check_positive(**numbers: int | None) -> None:
    for name, value in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise FxnasError(f"{name} is a positive integer, got {value!r}")
