"""A graph whose choices are superkernels, with indicators that a search method sets before each run."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from fxnas.graph import ChoiceGraph, device_of
from fxnas.modules import attribute, join
from fxnas.oneshot.relaxed import Given
from fxnas.passes.inplace import RepairInPlace
from fxnas.passes.kernels import Shells, Superkernel
from fxnas.passes.superkernel import MergeKernels, superkernels
from fxnas.shells import inner, squared_norms


class MergedGraph:
    """The form of a traced graph in which each choice is its largest candidate, in shells that may be left out.

    The indicators of a key say which shells take part, 1 or 0: first that of everything, where a candidate drops
    everything; then for each axis those of the shells around the core, from the inside. A shell only takes part where
    all within it do.

    Args:
        graph: a traced graph; it stays as it is, and shares the weights.

    Attributes:
        superkernels: key → what its candidates merged into.
        graph: the `ChoiceGraph` at stage "relaxed".

    Raises:
        PassError: some choice can't be merged; see `MergeKernels`.
    """

    def __init__(self, graph: ChoiceGraph) -> None:
        repaired = RepairInPlace()(graph).graph
        self.superkernels = superkernels(repaired)
        device = device_of(graph.module)
        self._gates = {key: [Given(gate) for gate in _opened(each, device)] for key, each in self.superkernels.items()}
        self.graph = MergeKernels(self._gates)(repaired).graph
        self.module = self.graph.module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the graph; the signature is that of the model."""
        return self.module(*args, **kwargs)

    def norms(self, key: str) -> Tensor:
        """The squared norm of what each indicator of a key lets through, differentiable; shape [indicators]."""
        superkernel = self.superkernels[key]
        parts = [torch.stack([self._norms(shells)[1:] for shells in axis]).sum(0) for axis in superkernel.axes]
        if superkernel.drop is not None:
            parts.insert(0, torch.stack([self._norms(shells)[:1] for shells in superkernel.core]).sum(0))
        return torch.cat(parts)

    def set(self, indicators: Mapping[str, Tensor]) -> None:
        """Sets what takes part; gradients flow back to what the indicators were computed from."""
        for key, each in indicators.items():
            for module, gate in zip(self._gates[key], _gates(self.superkernels[key], each), strict=True):
                module.weights = gate

    def indicators_of(self, key: str, candidate: int) -> Tensor:
        """The indicators that make the superkernel of a key one of its candidates."""
        superkernel = self.superkernels[key]
        level = superkernel.levels[candidate]
        parts = [] if superkernel.drop is None else [float(level is not None)]
        for count, shells in zip(superkernel.counts, level or [0] * len(superkernel.axes), strict=True):
            parts += [float(i < shells) for i in range(count - 1)]
        return torch.tensor(parts, device=self._gates[key][0].weights.device)

    def probabilities(self, key: str, indicators: Tensor) -> Tensor:
        """Which candidate the superkernel of a key is: one-hot for indicators of 0 and 1, differentiable.

        Args:
            key: the key.
            indicators: shape [indicators].

        Returns:
            shape [candidates]; the sum is 1.
        """
        superkernel = self.superkernels[key]
        *axes, last = _gates(superkernel, indicators)
        presence = last if superkernel.drop is not None else torch.ones_like(indicators[:2])
        if superkernel.drop is None:
            axes.append(last)
        exactly = [gates - torch.cat([gates[1:], gates.new_zeros(1)]) for gates in axes]
        found = []
        for level in superkernel.levels:
            share = presence[1] if level is None else presence[0]
            for axis, shells in zip(exactly, level or (), strict=level is not None):
                share = share * axis[shells]
            found.append(share)
        return torch.stack(found)

    @torch.no_grad()
    def fill(self) -> None:
        """Copies the slices of the superkernels into the weights, and buffers, of the smaller candidates.

        After it the network of any architecture, materialized from the source, computes what the superkernels compute
        with its indicators.
        """
        for key in self.superkernels:
            for small, large in self.superkernels[key].slices:
                for to, source in zip(_state(self.module, small), _state(self.module, large), strict=True):
                    if to is not source:
                        to.copy_(inner(source, to.shape))

    def _norms(self, shells: Shells) -> Tensor:
        return squared_norms(attribute(self.module, join(shells.path, "weight")), shells.sizes)


def _opened(superkernel: Superkernel, device: torch.device) -> list[Tensor]:
    gates = [torch.ones(count, device=device) for count in superkernel.counts]
    return gates if superkernel.drop is None else [*gates, torch.tensor([1.0, 0.0], device=device)]


def _gates(superkernel: Superkernel, indicators: Tensor) -> list[Tensor]:
    """The gates of each axis, and where a candidate drops everything, of the kernel and of what is left without it."""
    first = 0 if superkernel.drop is None else 1
    ends = [first]
    for count in superkernel.counts:
        ends.append(ends[-1] + count - 1)
    one = indicators.new_ones(1)
    gates = [torch.cat([one, indicators[start:end].cumprod(0)]) for start, end in pairwise(ends)]
    return gates if superkernel.drop is None else [*gates, torch.stack([indicators[0], 1 - indicators[0]])]


def _state(module: nn.Module, path: str) -> list[Tensor]:
    found = attribute(module, path)
    return [found] if isinstance(found, Tensor) else [*found.parameters(), *found.buffers()]
