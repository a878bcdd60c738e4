"""What an expensive architecture costs: terms of the loss of the architecture's step.

A cost is anything with `expected`, from inclusion probabilities of the candidates of each key to a scalar tensor:
`fxnas.costs.flops(graph)`, a latency table, or an object of yours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Cost(Protocol):
    """What a penalty asks of a cost model."""

    def expected(self, probabilities: Mapping[str, Tensor]) -> Tensor:
        """The expected cost under these inclusion probabilities, differentiable; a scalar."""


class Penalty(ABC):
    """Combines a loss with the expected cost."""

    @abstractmethod
    def __call__(self, loss: Tensor, probabilities: Mapping[str, Tensor]) -> Tensor:
        """The loss to minimize; a scalar."""


@dataclass(frozen=True)
class Added(Penalty):
    """loss + weight · E[cost].

    Attributes:
        cost: the cost model.
        weight: λ, in units of the loss per unit of the cost.
    """

    cost: Cost
    weight: float

    def __call__(self, loss: Tensor, probabilities: Mapping[str, Tensor]) -> Tensor:
        """See the class."""
        return loss + self.weight * self.cost.expected(probabilities)


@dataclass(frozen=True)
class Scaled(Penalty):
    """loss · (E[cost] / target)^power (ProxylessNAS, arXiv 1812.00332, section 3.2).

    Attributes:
        cost: the cost model.
        target: the cost that leaves the loss as it is, in the unit of the cost.
        power: β; 0.6 is a usual value.
    """

    cost: Cost
    target: float
    power: float = 0.6

    def __call__(self, loss: Tensor, probabilities: Mapping[str, Tensor]) -> Tensor:
        """See the class."""
        return loss * (self.cost.expected(probabilities) / self.target) ** self.power


@dataclass(frozen=True)
class LogScaled(Penalty):
    """loss · factor · log(E[cost])^power (FBNet, arXiv 1812.03443, equation 3).

    Attributes:
        cost: the cost model; its values have to be larger than 1.
        factor: α of the paper.
        power: β of the paper.
    """

    cost: Cost
    factor: float = 0.2
    power: float = 0.6

    def __call__(self, loss: Tensor, probabilities: Mapping[str, Tensor]) -> Tensor:
        """See the class."""
        return loss * self.factor * torch.log(self.cost.expected(probabilities)) ** self.power


@dataclass(frozen=True)
class LogAdded(Penalty):
    """loss + weight · log(E[cost]) (Single-Path NAS, arXiv 1904.02877, equation 9).

    Attributes:
        cost: the cost model; its values have to be positive.
        weight: λ, in units of the loss.
    """

    cost: Cost
    weight: float

    def __call__(self, loss: Tensor, probabilities: Mapping[str, Tensor]) -> Tensor:
        """See the class."""
        return loss + self.weight * torch.log(self.cost.expected(probabilities))
