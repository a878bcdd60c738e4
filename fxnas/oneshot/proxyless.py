"""ProxylessNAS (arXiv 1812.00332): binary gates decide which paths run, and their gradients teach α."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fxnas.graph import ChoiceGraph
from fxnas.oneshot import distribution
from fxnas.oneshot.base import Batch, Metrics, OneShotMethod
from fxnas.oneshot.differentiable import DifferentiableMethod
from fxnas.oneshot.distribution import Decision, multi_hot, straight_through
from fxnas.oneshot.trainer import OneShotTrainer
from fxnas.oneshot.update import Parameters
from fxnas.oneshot.warmup import warms_up

WARMUP = 25


@dataclass(frozen=True)
class Gates:
    """The gates of one choice in a step of α.

    Attributes:
        values: one at what is chosen, else zero; their gradients become those of α; shape [candidates].
        probabilities: inclusion probabilities, by which a cost is expected, with the gradients of α that this step may
            follow; shape [candidates].
        paths: the candidates that run, and whose probabilities may change.
    """

    values: Tensor
    probabilities: Tensor
    paths: Decision


MakeGates = Callable[[Tensor, int | None, torch.Generator], Gates]


def every_path(logits: Tensor, n_chosen: int | None, generator: torch.Generator) -> Gates:
    """Gates of all candidates: ∂L/∂αᵢ = Σⱼ ∂L/∂gⱼ · pⱼ · (δᵢⱼ - pᵢ), where all of them run.

    This is the product of ∂L/∂g and ∂p/∂α, so that it holds for other inclusion probabilities p than the softmax.

    Args:
        logits: α, shape [candidates].
        n_chosen: how many are chosen; None: any number, each with a gate of its own.
        generator: the source of randomness, on the CPU.
    """
    probabilities = distribution.inclusion(logits, n_chosen)
    decision = distribution.sample(logits, n_chosen, generator)
    return Gates(straight_through(decision, probabilities), probabilities, tuple(range(len(logits))))


def two_paths(logits: Tensor, n_chosen: int | None, generator: torch.Generator) -> Gates:
    """Gates of two candidates that are drawn by their probabilities: one of them is open, only these two run.

    For the two it is as if there were no others; together they stay as probable as they are.

    A choice of any number of inputs has two paths for each, with it and without it, so that all its inputs run. All run
    too where a fixed number above one is chosen: a step of two αs would change how probable the others are.

    Args:
        logits: as for `every_path`.
        n_chosen: as for `every_path`.
        generator: as for `every_path`.
    """
    if n_chosen != 1 or len(logits) < 3:
        return every_path(logits, n_chosen, generator)
    pair = _pair(logits, generator)
    among = every_path(logits[list(pair)], 1, generator)
    where = torch.tensor(pair, device=logits.device)
    whole = torch.softmax(logits.detach(), 0)
    values = torch.zeros_like(whole).index_copy(0, where, among.values)
    probabilities = whole.index_copy(0, where, whole[where].sum() * among.probabilities)
    return Gates(values, probabilities, pair)


def _pair(logits: Tensor, generator: torch.Generator) -> Decision:
    """Two candidates, one after the other without replacement."""
    (first,) = distribution.sample(logits, 1, generator)
    rest = [i for i in range(len(logits)) if i != first]
    (second,) = distribution.sample(logits[rest], 1, generator)
    return tuple(sorted((first, rest[second])))


class ProxylessNas(DifferentiableMethod):
    """ProxylessNAS, by the gradients of its gates.

    In each step the weights move on the training batch, with one path drawn by softmax(α), which alone runs; then α on
    the validation batch, through the gates of the paths that `gates` lets run. At the end each choice takes its largest
    α. The expected cost of a penalty is that under softmax(α); the paper takes `Scaled` or `Added`.

    In the first `warmup` epochs, as `begin_epoch` tells, α rests; without that call it never does.

    Defaults of the authors' code: Adam 1e-3, betas (0, 0.999), no weight decay; weights by Nesterov's SGD 0.05,
    momentum 0.9, weight decay 4e-5.

    Args:
        graph: as `OneShotMethod`.
        gates: `two_paths`, which costs the memory of two paths, or `every_path`.
        warmup: epochs before α moves; by default the 25 of the authors' code, but at most a quarter of all.
        options: as `DifferentiableMethod`.

    Attributes:
        warming: whether α rests.
    """

    def __init__(
        self, graph: ChoiceGraph, *, gates: MakeGates = two_paths, warmup: int | None = None, **options: Any
    ) -> None:
        super().__init__(graph, **options)
        self.gates, self.warmup, self.warming = gates, warmup, False

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Sets whether α rests.

        Raises:
            FxnasError: it would rest in all epochs.
        """
        super().begin_epoch(epoch, epochs)
        self.warming = warms_up(self, self.warmup, WARMUP, epoch, epochs)

    def default_optimizer(self, parameters: Parameters) -> torch.optim.Optimizer:
        """Nesterov's SGD, as in the authors' code."""
        return torch.optim.SGD(parameters, 0.05, momentum=0.9, weight_decay=4e-5, nesterov=True)

    def default_architecture_optimizer(self, parameters: Parameters) -> torch.optim.Optimizer:
        """Adam without momentum, as in the authors' code: what isn't drawn doesn't move."""
        return torch.optim.Adam(parameters, 1e-3, betas=(0.0, 0.999))

    def step(self, batch: Batch, valid_batch: Batch) -> Metrics:
        """One step of the weights, one of α unless it rests."""
        path = {k: distribution.sample(a, self.space[k].n_chosen, self.generator) for k, a in self.alphas.items()}
        weights = {key: multi_hot(decision, self.alphas[key].detach()) for key, decision in path.items()}
        self.relaxed.mix(weights, {key: [decision] for key, decision in path.items()})
        loss = self.mixed_loss(batch)
        self.weights(loss)
        metrics: Metrics = {"loss": loss.detach()}
        if not self.warming:
            metrics["valid_loss"] = self._architecture_step(valid_batch).detach()
        return metrics

    def forward(self, inputs: Any) -> Any:
        """The output of the architecture that it would choose now: the weights know one path at a time."""
        self.graph.select(self.decide())
        return OneShotMethod.forward(self, inputs)

    def extra_state(self) -> dict[str, Any]:
        """α, the state of their optimizer, and whether they rest."""
        return super().extra_state() | {"warming": self.warming}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Takes what `extra_state` gave."""
        super().load_extra_state(state)
        self.warming = state["warming"]

    def _architecture_step(self, valid_batch: Batch) -> Tensor:
        before = {key: alpha.detach().clone() for key, alpha in self.alphas.items()}
        with self.weights.frozen():
            gates = {k: self.gates(a, self.space[k].n_chosen, self.generator) for k, a in self.alphas.items()}
            partial = {k: g.paths for k, g in gates.items() if len(g.paths) < len(self.space[k].candidates)}
            runs = {key: [(path,) for path in paths] for key, paths in partial.items()}
            self.relaxed.mix({key: gate.values for key, gate in gates.items()}, runs)
            loss = self.penalized(self.mixed_loss(valid_batch), {k: g.probabilities for k, g in gates.items()})
            self.architecture(loss)
        for key, paths in partial.items():
            _keep_others(self.alphas[key], before[key], paths)
        return loss


class ProxylessNasTrainer(OneShotTrainer):
    """Trains by `ProxylessNas`; see `OneShotTrainer`."""

    method_type = ProxylessNas


@torch.no_grad()
def _keep_others(alpha: Tensor, before: Tensor, moved: Decision) -> None:
    """Puts α back but for what moved, and shifts that so that it is as probable together as it was before."""
    where = list(moved)
    shift = torch.logsumexp(before[where], 0) - torch.logsumexp(alpha[where], 0)
    after = before.clone()
    after[where] = alpha[where] + shift
    alpha.copy_(after)
