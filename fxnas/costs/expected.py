"""The expected cost under independent decisions, as a differentiable tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from fxnas.choice import Choice
from fxnas.costs.polynomial import Diagram
from fxnas.errors import ArchitectureError, nearest, shown

if TYPE_CHECKING:
    from fxnas.costs.model import CostModel


class Level(NamedTuple):
    """The branches of one level: where each belongs, how likely it is, where it leads."""

    nodes: int
    node: Tensor
    weight: Tensor
    after: Tensor


class Arrays(NamedTuple):
    """The numbers of a diagram on one device."""

    costs: Tensor
    joint: Tensor
    bias: Tensor
    sign: Tensor
    weight: Tensor
    source: Tensor
    levels: list[Level]
    roots: Tensor


class Expectation:
    """The expected cost of a cost model; see `CostModel.expected`."""

    def __init__(self, model: CostModel) -> None:
        self.model = model
        self.diagram = Diagram([term.when for term in model.joint], model.space)
        self.together = {weight.key for weight in self.diagram.weights if weight.of_decisions}
        self._first = self._places()
        self._arrays: dict[tuple[torch.device, torch.dtype], Arrays] = {}

    def __call__(self, probabilities: Mapping[str, Tensor]) -> Tensor:
        """The expected cost."""
        given = self._given(probabilities)
        candidates: list[Tensor] = []
        decisions: list[Tensor] = []
        for key, choice in self.model.space.items():
            candidates.append(_of_candidates(choice, given[key]))
            if key in self.together:
                decisions.append(_of_decisions(choice, given[key]))
        if not candidates:
            return torch.tensor(float(self.model.base))
        each = torch.cat(candidates)
        arrays = self._on(each)
        total = each @ arrays.costs + self.model.base
        if not self.model.joint:
            return total
        return total + self._likely(torch.cat([each, *decisions]), arrays) @ arrays.joint

    def _likely(self, flat: Tensor, arrays: Arrays) -> Tensor:
        """How likely each joint term holds."""
        weights = arrays.bias.index_add(0, arrays.weight, flat[arrays.source] * arrays.sign)
        values = flat.new_tensor([0.0, 1.0])
        for level in arrays.levels:
            branches = weights[level.weight] * values[level.after]
            values = torch.cat([values, flat.new_zeros(level.nodes).index_add(0, level.node, branches)])
        return values[arrays.roots]

    def _given(self, probabilities: Mapping[str, Tensor]) -> dict[str, Tensor]:
        space = self.model.space
        for key in probabilities:
            if key not in space:
                raise ArchitectureError(f"there is no choice {shown(key)}{nearest(str(key), space)}")
        for key, choice in space.items():
            if key not in probabilities:
                raise ArchitectureError(
                    f"choice {shown(key)} needs the probabilities of its candidates: none are given"
                )
            _check(choice, probabilities[key])
        return dict(probabilities)

    def _places(self) -> dict[tuple[str, bool], int]:
        """Where the probabilities of each choice begin: of candidates, then of decisions."""
        first: dict[tuple[str, bool], int] = {}
        at = 0
        for of_decisions in (False, True):
            for key, choice in self.model.space.items():
                if not of_decisions or key in self.together:
                    first[key, of_decisions] = at
                    at += choice.count if of_decisions else len(choice.candidates)
        return first

    def _on(self, like: Tensor) -> Arrays:
        place = (like.device, like.dtype)
        if place not in self._arrays:
            self._arrays[place] = self._made(like)
        return self._arrays[place]

    def _made(self, like: Tensor) -> Arrays:
        def numbers(values: list[int]) -> Tensor:
            return torch.tensor(values, dtype=torch.long, device=like.device)

        model, diagram = self.model, self.diagram
        parts = [
            (number, self._first[weight.key, weight.of_decisions] + i, -1.0 if weight.inverted else 1.0)
            for number, weight in enumerate(diagram.weights)
            for i in weight.numbers
        ]
        levels, first = [], 2
        for branches in diagram.levels:
            count = len({node for node, _, _ in branches})
            node, weight, after = ([branch[i] for branch in branches] for i in range(3))
            levels.append(Level(count, numbers([n - first for n in node]), numbers(weight), numbers(after)))
            first += count
        return Arrays(
            torch.tensor([c for costs in model.costs.values() for c in costs], dtype=like.dtype, device=like.device),
            torch.tensor([term.cost for term in model.joint], dtype=like.dtype, device=like.device),
            torch.tensor([float(w.inverted) for w in diagram.weights], dtype=like.dtype, device=like.device),
            torch.tensor([sign for _, _, sign in parts], dtype=like.dtype, device=like.device),
            numbers([weight for weight, _, _ in parts]),
            numbers([source for _, source, _ in parts]),
            levels,
            numbers(diagram.roots),
        )


def _check(choice: Choice, given: object) -> None:
    count = len(choice.candidates)
    legal = {(count,)} if choice.n_chosen in (None, 1) else {(count,), (choice.count,)}
    if not isinstance(given, Tensor) or not given.is_floating_point() or tuple(given.shape) not in legal:
        wanted = " or ".join(f"[{size}]" for (size,) in sorted(legal))
        got = f"{given.dtype} of shape {list(given.shape)}" if isinstance(given, Tensor) else shown(given)
        raise ArchitectureError(
            f"choice {shown(choice.key)} needs a tensor of probabilities of shape {wanted}, got {got}"
        )


def _is_joint(choice: Choice, given: Tensor) -> bool:
    return given.shape[0] != len(choice.candidates)


def _of_candidates(choice: Choice, given: Tensor) -> Tensor:
    """How likely each candidate is chosen."""
    if not _is_joint(choice, given):
        return given
    members = [[i in decision for i in range(len(choice.candidates))] for decision in choice.decisions()]
    return given @ given.new_tensor(members)


def _of_decisions(choice: Choice, given: Tensor) -> Tensor:
    """How likely each decision is; from candidates alone it is known only where one of them is left out."""
    if _is_joint(choice, given):
        return given
    count = len(choice.candidates)
    if choice.n_chosen == count - 1:
        return 1 - torch.stack([given[(set(range(count)) - set(d)).pop()] for d in choice.decisions()])
    raise ArchitectureError(
        f"choice {shown(choice.key)} takes {choice.n_chosen} of {count} candidates, and a cost depends on two of them "
        f"together: a tensor of shape [{choice.count}] is needed, how likely each decision is (Choice.decisions())"
    )
