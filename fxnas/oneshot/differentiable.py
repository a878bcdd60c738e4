"""What methods share that learn logits of the choices by gradient: α, their update, and the mixtures they feed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fxnas.architecture import Architecture
from fxnas.graph import ChoiceGraph
from fxnas.oneshot import distribution
from fxnas.oneshot.base import Batch, OneShotMethod
from fxnas.oneshot.penalty import Penalty
from fxnas.oneshot.relaxed import RelaxedGraph
from fxnas.oneshot.update import Parameters, Update

Probabilities = dict[str, Tensor]


class DifferentiableMethod(OneShotMethod):
    """A method whose architecture is described by logits α, one vector for each key.

    α belongs to the method: it is no parameter of the model.

    Args:
        graph: as `OneShotMethod`.
        penalty: what an expensive architecture costs in the step of α; None: nothing.
        architecture_optimizer: builds the optimizer of α from a list of them; by default that of the method's paper.
        options: as `OneShotMethod`.

    Attributes:
        alphas: key → logits, shape [candidates].
        relaxed: the graph with mixtures in place of choices.
        architecture: the update of α.
    """

    def __init__(
        self,
        graph: ChoiceGraph,
        *,
        penalty: Penalty | None = None,
        architecture_optimizer: Callable[[Parameters], torch.optim.Optimizer] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(graph, **options)
        self.penalty = penalty
        self.relaxed = RelaxedGraph(graph)
        self.alphas = {key: self._initial(len(self.space[key].candidates)) for key in self.learned()}
        self.architecture = Update(self.alphas.values(), architecture_optimizer or self.default_architecture_optimizer)

    def learned(self) -> list[str]:
        """The keys that have logits of their own."""
        return list(self.space)

    def _initial(self, count: int) -> nn.Parameter:
        return nn.Parameter((1e-3 * torch.randn(count, generator=self.generator)).to(self.device))

    def default_architecture_optimizer(self, parameters: Parameters) -> torch.optim.Optimizer:
        """Adam as in DARTS (arXiv 1806.09055)."""
        return torch.optim.Adam(parameters, 3e-4, betas=(0.5, 0.999), weight_decay=1e-3)

    def probabilities(self) -> Probabilities:
        """The inclusion probability of each candidate, key by key, differentiable."""
        return {key: distribution.inclusion(a, self.space[key].n_chosen) for key, a in self.alphas.items()}

    def mixed_loss(self, batch: Batch) -> Tensor:
        """The loss of the relaxed graph, with the weights it is set to."""
        return self.loss_of(self.relaxed.module, batch)

    def penalized(self, loss: Tensor, probabilities: Mapping[str, Tensor]) -> Tensor:
        """The loss with what the expected cost adds to it."""
        return loss if self.penalty is None else self.penalty(loss, probabilities)

    def decide(self) -> Architecture:
        """The most probable decision of each choice."""
        decisions = {k: distribution.most_probable(a, self.space[k].n_chosen) for k, a in self.alphas.items()}
        return self.space.canonical(decisions)

    def entropy(self) -> Tensor:
        """The mean entropy of the choices, in nats."""
        each = [distribution.entropy(a, self.space[key].n_chosen) for key, a in self.alphas.items()]
        return torch.stack(each).detach().mean()

    def forward(self, inputs: Any) -> Any:
        """The output of the relaxed graph, each candidate weighted by its probability."""
        with torch.no_grad():
            self.relaxed.mix(self.probabilities())
        return self.run(self.relaxed.module, inputs)

    def extra_state(self) -> dict[str, Any]:
        """α and the state of their optimizer."""
        alphas = {key: alpha.detach() for key, alpha in self.alphas.items()}
        return {"alphas": alphas, "architecture": self.architecture.state_dict()}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Takes what `extra_state` gave."""
        with torch.no_grad():
            for key, alpha in self.alphas.items():
                alpha.copy_(state["alphas"][key])
        self.architecture.load_state_dict(state["architecture"])
