"""ENAS (arXiv 1802.03268): children share weights, and a controller learns by REINFORCE which of them are good."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, repeat
from typing import Any, ClassVar

import torch
from torch import Tensor

from fxnas.architecture import Architecture
from fxnas.errors import FxnasError
from fxnas.evaluators.train import accuracy
from fxnas.graph import ChoiceGraph
from fxnas.oneshot import distributed
from fxnas.oneshot.base import Batch, Metrics, OneShotMethod
from fxnas.oneshot.controller import Controller, Sample
from fxnas.oneshot.selection import Metric, best_of
from fxnas.oneshot.trainer import OneShotTrainer
from fxnas.oneshot.update import Parameters, Update

ENTROPY_WEIGHT, BASELINE_DECAY, SKIP_WEIGHT = 1e-4, 0.99, 0.8


class Enas(OneShotMethod):
    """ENAS: efficient search by shared weights.

    A step trains the weights of one architecture that the controller draws; nothing else runs. After each epoch the
    controller takes `controller_steps` steps. For each of them `aggregate` architectures are drawn and scored in
    evaluation mode, each on the next validation batch, from where the epoch before ended:

        R = reward + 1e-4 · entropy        loss = mean of -log P · (R - b) + 0.8 · skip penalty

    and after each of them b ← 0.99·b + 0.01·R. The skip penalty is that of `Controller`. The authors' b starts at 0 and
    takes R in before the loss does, which scales R - b by 0.99; here b starts at the first R, so that rewards may have
    any offset, and the gradient stays unbiased.

    Without epochs, in a loop of your own, call `controller_step` when it suits.

    Defaults are those of the authors' code for the macro space; for the micro space it takes
    `controller_rate=3.5e-3, controller_steps=30, aggregate=10`. The controller learns by Adam, betas (0, 0.999),
    epsilon 1e-3; the weights by Nesterov's SGD 0.05, momentum 0.9, weight decay 1e-4.

    Args:
        graph: as `OneShotMethod`.
        reward_function: from the model's output and the target to a number, larger is better; by default the accuracy
            of a classifier.
        controller_steps: steps of the controller after each epoch.
        aggregate: architectures in each.
        controller_rate: learning rate of the controller.
        samples: how many architectures `decide` compares.
        options: as `OneShotMethod`.

    Attributes:
        controller: the distribution of architectures, on the CPU: its steps are tiny.
        policy: the update of the controller.
        baseline: b; None before the first reward.

    Raises:
        FxnasError: a number is not positive.
    """

    clip_norm: ClassVar[float | None] = 5.0
    final_rate: ClassVar[float | None] = 0.001

    def __init__(
        self,
        graph: ChoiceGraph,
        *,
        reward_function: Metric = accuracy,
        controller_steps: int = 50,
        aggregate: int = 20,
        controller_rate: float = 1e-3,
        samples: int = 10,
        **options: Any,
    ) -> None:
        _check(controller_steps=controller_steps, aggregate=aggregate, controller_rate=controller_rate, samples=samples)
        super().__init__(graph, **options)
        self.reward_function, self.samples = reward_function, samples
        self.controller_steps, self.aggregate = controller_steps, aggregate
        self.controller = Controller(self.space, self.generator)
        self.policy = Update(
            self.controller.parameters(),
            lambda parameters: torch.optim.Adam(parameters, controller_rate, betas=(0.0, 0.999), eps=1e-3),
        )
        self.baseline: float | None = None
        self._position = 0  # of the next validation batch

    def default_optimizer(self, parameters: Parameters) -> torch.optim.Optimizer:
        """Nesterov's SGD, as in the authors' code."""
        return torch.optim.SGD(parameters, 0.05, momentum=0.9, weight_decay=1e-4, nesterov=True)

    def step(self, batch: Batch, valid_batch: Batch) -> Metrics:
        """One step of the weights of an architecture that the controller draws; `valid_batch` is not read."""
        with torch.no_grad():
            self.graph.select(self._architecture(self.controller.sample(self.generator)))
        loss = self.loss_of(self.graph.module, batch)
        self.weights(loss)
        return {"loss": loss.detach()}

    def end_epoch(self, valid_batches: Iterable[Batch]) -> None:
        """The steps of the controller.

        Raises:
            FxnasError: there is no batch, or a reward is not finite.
        """
        batches = self._next_ones(valid_batches)
        for _ in range(self.controller_steps):
            self._controller_step(batches)

    def controller_step(self, valid_batch: Batch) -> Metrics:
        """One step of the controller, all its architectures scored on one batch.

        Returns:
            "reward", the mean over the architectures, and "baseline".

        Raises:
            FxnasError: a reward is not finite.
        """
        return self._controller_step(repeat(valid_batch))

    def decide(self) -> Architecture:
        """The best of the sampled architectures on the validation batches, or the most probable one without them.

        Asking changes nothing: the samples come from a generator of their own.
        """
        if self.valid_batches is None:
            return self._most_probable()
        generator = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            drawn = [self._architecture(self.controller.sample(generator)) for _ in range(self.samples)]
        return best_of(self, drawn, self.valid_batches, self.reward_function)

    def entropy(self) -> Tensor:
        """The mean entropy of the choices that take part in the most probable architecture, in nats."""
        with torch.no_grad():
            sample = self.controller.greedy()
        return sample.entropy / len(sample.decisions)

    def forward(self, inputs: Any) -> Any:
        """The output of the most probable architecture: the weights know one at a time."""
        self.graph.select(self._most_probable())
        return super().forward(inputs)

    def extra_state(self) -> dict[str, Any]:
        """The controller, the state of its optimizer, the baseline, and the place in the validation batches."""
        return {
            "controller": self.controller.state_dict(),
            "policy": self.policy.state_dict(),
            "baseline": self.baseline,
            "position": self._position,
        }

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Takes what `extra_state` gave."""
        self.controller.load_state_dict(state["controller"])
        self.policy.load_state_dict(state["policy"])
        self.baseline, self._position = state["baseline"], state["position"]

    def _controller_step(self, batches: Iterator[Batch]) -> Metrics:
        losses, rewards = [], []
        for batch in islice(batches, self.aggregate):
            sample = self.controller.sample(self.generator)
            rewards.append(self._reward(self._architecture(sample), batch))
            losses.append(self._loss(sample, rewards[-1]))
        self.policy(torch.stack(losses).mean())
        assert self.baseline is not None
        return {"reward": sum(rewards) / len(rewards), "baseline": self.baseline}

    def _reward(self, architecture: Architecture, batch: Batch) -> float:
        inputs, target = batch
        with self.evaluating():
            output = self.run(self.graph.select(architecture).module, inputs)
            reward = distributed.mean(float(self.reward_function(output, self.moved(target))))
        if not math.isfinite(reward):
            raise FxnasError(
                f"the reward of {architecture.to_json()} is {reward}: the controller can't learn from that"
            )
        return reward

    def _loss(self, sample: Sample, reward: float) -> Tensor:
        """What one architecture adds to the loss of the controller; moves the baseline."""
        total = reward + ENTROPY_WEIGHT * float(sample.entropy)
        before = total if self.baseline is None else self.baseline
        self.baseline = BASELINE_DECAY * before + (1 - BASELINE_DECAY) * total
        return SKIP_WEIGHT * sample.skip_penalty - sample.log_probability * (total - before)

    def _next_ones(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Batches without an end, from where the last ones ended."""
        while True:
            first = self._position
            for batch in islice(batches, first, None):
                self._position += 1
                yield batch
            if not first and not self._position:
                raise FxnasError("the controller can't learn without a batch: the validation data is empty")
            self._position = 0

    def _architecture(self, sample: Sample) -> Architecture:
        return self.space.canonical(sample.decisions)

    def _most_probable(self) -> Architecture:
        with torch.no_grad():
            return self._architecture(self.controller.greedy())


class EnasTrainer(OneShotTrainer):
    """Trains by `Enas`; see `OneShotTrainer`."""

    method_type = Enas


def _check(**numbers: float) -> None:
    for name, value in numbers.items():
        if not value > 0:
            raise FxnasError(f"{name} is positive, got {value!r}")
