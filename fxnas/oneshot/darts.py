"""DARTS (arXiv 1806.09055): every candidate runs, weighted by the softmax of α, which a validation batch teaches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from fxnas.architecture import Architecture
from fxnas.graph import ChoiceGraph
from fxnas.ir.liveness import is_choose
from fxnas.oneshot import distributed, distribution
from fxnas.oneshot.base import Batch, Metrics
from fxnas.oneshot.differentiable import DifferentiableMethod, Probabilities
from fxnas.oneshot.trainer import OneShotTrainer

NONE = ("none", "zero")  # names of the candidate that cuts an edge


class Darts(DifferentiableMethod):
    """DARTS of the first order.

    In each step α moves on the validation batch, then the weights on the training batch. At the end each choice takes
    its largest α.

    The cells of the paper have no α for edges: each node adds up all of its inputs, and at the end keeps those whose
    strongest operation other than "none" is strongest. So an InputChoice of a fixed number of inputs (summed) whose
    inputs are all outputs of LayerChoices has no α here; it takes all inputs while it is trained and the strongest at
    the end, and their LayerChoices take their strongest candidate that isn't called "none" or "zero".

    Defaults of the paper: α starts from 1e-3 · N(0, 1); Adam 3e-4, betas (0.5, 0.999), weight decay 1e-3; weights by
    SGD from 0.025 to 0.001 along a cosine, momentum 0.9, weight decay 3e-4, gradients clipped at 5.
    """

    clip_norm, final_rate = 5.0, 0.001

    def __init__(self, graph: ChoiceGraph, **options: Any) -> None:
        self.edges = _edges(graph)
        super().__init__(graph, **options)

    def learned(self) -> list[str]:
        """The keys that have logits: all but the choices of edges."""
        return [key for key in self.space if key not in self.edges]

    def probabilities(self) -> Probabilities:
        """The softmax of α; ones for the choices of edges."""
        ones = {key: torch.ones(len(layers), device=self.device) for key, layers in self.edges.items()}
        return super().probabilities() | ones

    def step(self, batch: Batch, valid_batch: Batch) -> Metrics:
        """One step of α, one of the weights."""
        valid_loss = self.architecture_step(batch, valid_batch)
        with torch.no_grad():
            self.relaxed.mix(self.probabilities())
        loss = self.mixed_loss(batch)
        self.weights(loss)
        return {"loss": loss.detach(), "valid_loss": valid_loss.detach()}

    def architecture_step(self, batch: Batch, valid_batch: Batch) -> Tensor:
        """Moves α along the gradient of the validation loss, the weights held; returns that loss."""
        with self.weights.frozen():
            loss = self._validation_loss(valid_batch)
            self.architecture(loss)
        return loss

    def _validation_loss(self, valid_batch: Batch) -> Tensor:
        probabilities = self.probabilities()
        self.relaxed.mix(probabilities)
        return self.penalized(self.mixed_loss(valid_batch), probabilities)

    def decide(self) -> Architecture:
        """The largest α of each choice, and the strongest edges; see the class."""
        strengths = {key: torch.softmax(alpha.detach(), 0) for key, alpha in self.alphas.items()}
        decisions = {k: distribution.most_probable(a, self.space[k].n_chosen) for k, a in self.alphas.items()}
        for key, layers in self.edges.items():
            for layer in layers:
                strengths[layer][self._cuts(layer)] = 0.0
                decisions[layer] = (int(strengths[layer].argmax()),)
            best = torch.stack([strengths[layer].max() for layer in layers])
            decisions[key] = distribution.most_probable(best, self.space[key].n_chosen)
        return self.space.canonical(decisions)

    def _cuts(self, key: str) -> list[int]:
        """The candidates that cut the edge, unless there are no others."""
        names = self.space[key].candidates
        cuts = [i for i, name in enumerate(names) if name in NONE]
        return cuts if len(cuts) < len(names) else []


class UnrolledDarts(Darts):
    """DARTS of the second order: α sees one step of the weights ahead (equations 6 to 8 of the paper).

    With w' the weights after the step that the training batch asks for (learning rate ξ, momentum and weight decay of
    the optimizer, as for SGD), the gradient of α is

        ∇α L_valid(w') - ξ · (∇α L_train(w⁺) - ∇α L_train(w⁻)) / (2R),    w± = w ± R · ∇w' L_valid(w'),

    with R = 0.01 / ‖∇w' L_valid(w')‖. Buffers, such as BatchNorm's, are put back after it. About three times the work
    of the first order.
    """

    def architecture_step(self, batch: Batch, valid_batch: Batch) -> Tensor:
        """Moves α along the gradient at the weights one step ahead; returns the validation loss there."""
        kept = _Kept(self.graph.module, self.weights.parameters)
        loss, by_alpha, by_weight = self._look_ahead(batch, valid_batch)
        kept.restore()
        norm = torch.sqrt(sum((g**2).sum() for g in by_weight.values()))  # type: ignore[arg-type]
        if norm > 0:
            correction = self._correction(batch, by_weight, 0.01 / norm)
            by_alpha = [g - self._rate() * c for g, c in zip(by_alpha, correction, strict=True)]
        kept.restore()
        for alpha, gradient in zip(self.alphas.values(), by_alpha, strict=True):
            alpha.grad = gradient
        self.architecture.apply()  # the mean over all processes once more, of what is equal by now
        return loss

    def _look_ahead(self, batch: Batch, valid_batch: Batch) -> tuple[Tensor, list[Tensor], dict[nn.Parameter, Tensor]]:
        """The validation loss after one step of the weights, and its gradients by α and by these weights."""
        with torch.no_grad():
            self.relaxed.mix(self.probabilities())
        moved = _gradients(self.mixed_loss(batch), self.weights.parameters)
        with torch.no_grad():
            for parameter, direction in self._directions(moved).items():
                parameter.sub_(direction)
        loss = self._validation_loss(valid_batch)
        alphas = list(self.alphas.values())
        found = _gradients(loss, [*alphas, *self.weights.parameters])
        by_alpha = [found.pop(alpha, torch.zeros_like(alpha)) for alpha in alphas]
        return loss.detach(), by_alpha, found

    def _correction(self, batch: Batch, along: dict[nn.Parameter, Tensor], distance: Tensor) -> list[Tensor]:
        """∇α∇w L_train · along, by central differences around the weights."""
        sides = []
        for factor in (distance, -2 * distance):  # to w⁺, then to w⁻
            with torch.no_grad():
                for parameter, gradient in along.items():
                    parameter.add_(factor * gradient)
            with self.weights.frozen():
                self.relaxed.mix(self.probabilities())
                found = _gradients(self.mixed_loss(batch), list(self.alphas.values()))
            sides.append([found.get(alpha, torch.zeros_like(alpha)) for alpha in self.alphas.values()])
        return [(plus - minus) / (2 * distance) for plus, minus in zip(*sides, strict=True)]

    def _directions(self, gradients: dict[nn.Parameter, Tensor]) -> dict[nn.Parameter, Tensor]:
        """What a step of the optimizer subtracts from each parameter: ξ · (momentum · v + ∇ + weight decay · w)."""
        optimizer = self.weights.optimizer
        found = {}
        for group in optimizer.param_groups if optimizer is not None else ():
            for parameter in group["params"]:
                if parameter in gradients:
                    velocity = optimizer.state[parameter].get("momentum_buffer")  # type: ignore[union-attr]
                    step = gradients[parameter] + group.get("weight_decay", 0.0) * parameter
                    if velocity is not None:
                        step = step + group["momentum"] * velocity
                    found[parameter] = group["lr"] * step
        return found

    def _rate(self) -> float:
        optimizer = self.weights.optimizer
        return float(optimizer.param_groups[0]["lr"]) if optimizer is not None else 0.0


class DartsTrainer(OneShotTrainer):
    """Trains by `Darts`; see `OneShotTrainer`."""

    method_type = Darts


class UnrolledDartsTrainer(OneShotTrainer):
    """Trains by `UnrolledDarts`; see `OneShotTrainer`."""

    method_type = UnrolledDarts


class _Kept:
    """Parameters and buffers as they were."""

    def __init__(self, module: nn.Module, parameters: list[nn.Parameter]) -> None:
        self.values = [(t, t.detach().clone()) for t in (*parameters, *module.buffers())]

    @torch.no_grad()
    def restore(self) -> None:
        """Puts them back."""
        for tensor, value in self.values:
            tensor.copy_(value)


def _gradients(loss: Tensor, tensors: list[nn.Parameter]) -> dict[nn.Parameter, Tensor]:
    """The gradients of those that the loss depends on, averaged over all processes."""
    wanted = [t for t in tensors if t.requires_grad]
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    gradients = {t: gradient for t, gradient in zip(wanted, found, strict=True) if gradient is not None}
    distributed.average(list(gradients.values()))
    return gradients


def _edges(graph: ChoiceGraph) -> dict[str, list[str]]:
    """The choices of edges: key → the keys of the LayerChoices that it takes its inputs from."""
    found: dict[str, list[str]] = {}
    for node in filter(is_choose, graph.graph.nodes):
        details: Any = node.kwargs
        options: Any = node.args[0]
        fixed = details["n_chosen"] is not None and details["kind"] == "input_choice" and details["reduction"] == "sum"
        if fixed and all(isinstance(o, Node) and _is_layer(o) for o in options):
            found[details["key"]] = [o.kwargs["key"] for o in options]
    return found


def _is_layer(node: Node) -> bool:
    return is_choose(node) and (node.kwargs["kind"], node.kwargs["n_chosen"]) == ("layer_choice", 1)
