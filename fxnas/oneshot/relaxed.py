"""A graph whose choices are mixed, with weights that a search method sets before each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fxnas.choice import Choice
from fxnas.graph import ChoiceGraph, device_of
from fxnas.ir.supernet import Supernet
from fxnas.oneshot.distribution import Decision
from fxnas.passes.base import PassManager
from fxnas.passes.inplace import RepairInPlace
from fxnas.passes.relax import ABSENT, PRESENT, Relax, side_key


class Given(nn.Module):
    """A mixture whose weights are set from outside; no parameter, so no part of the model's state.

    Attributes:
        weights: shape [candidates].
    """

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = weights

    def forward(self) -> Tensor:
        """The weights."""
        return self.weights


class RelaxedGraph:
    """The relaxed form of a traced graph; it shares the weights of the model.

    Args:
        graph: a traced graph; it stays as it is.

    Attributes:
        graph: the `ChoiceGraph` at stage "relaxed".

    Raises:
        PassError: some choice can't be mixed; see `Relax`.
    """

    def __init__(self, graph: ChoiceGraph) -> None:
        self.space = graph.space
        device = device_of(graph.module)
        self.mixtures = {key: Given(_uniform(choice, device)) for key, choice in self.space.items()}
        self.graph = PassManager(RepairInPlace(), Relax(self.mixtures))(graph).graph
        assert isinstance(self.graph.module, Supernet)
        self.module = self.graph.module
        self._all = self.module.decisions

    def mix(self, weights: Mapping[str, Tensor], runs: Mapping[str, Sequence[Decision]] | None = None) -> None:
        """Sets the weights, and what runs.

        Args:
            weights: inclusion probabilities of the candidates of each key, shape [candidates]; gradients flow back to
                what they were computed from. Keys that are left out keep their weights.
            runs: for each key the decisions of which some candidate has to run; a key that is left out runs whole.
                The weights of what doesn't run play no role. None: everything runs.
        """
        for key, weight in weights.items():
            self.mixtures[key].weights = weight
        decided = dict(self._all)
        for key, decisions in (runs or {}).items():
            decided.update(self._running(key, decisions))
        if decided != self.module.decisions:
            self.module.decide(decided)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the graph; the signature is that of the model."""
        return self.module(*args, **kwargs)

    def _running(self, key: str, decisions: Sequence[Decision]) -> dict[str, tuple[int, ...]]:
        chosen = tuple(sorted({candidate for decision in decisions for candidate in decision}))
        running = {key: chosen}
        for candidate in (None, *range(len(self.space[key].candidates))):
            side = side_key(key, candidate)
            if side in self._all:
                held = [bool(d) if candidate is None else candidate in d for d in decisions]
                running[side] = (*((PRESENT,) if any(held) else ()), *((ABSENT,) if not all(held) else ()))
        return {name: which for name, which in running.items() if name in self._all}


def _uniform(choice: Choice, device: torch.device) -> Tensor:
    """Weights before a method sets any: every candidate alike."""
    count = len(choice.candidates)
    return torch.full((count,), 0.5 if choice.n_chosen is None else choice.n_chosen / count, device=device)
