"""The graph-level choice ops, and the reduction that eager modules, graphs and materialized code share.

A traced graph holds two ops of ours. `choose` stands where the outputs of candidates meet; `switch` stands where a
value differs between the two sides of a Python branch. Both are decided by the architecture: the code that a
ChoiceGraph generates runs only the part of the graph that the decisions need. Called directly they follow the default
architecture, so that a generic torch.fx interpreter still computes something meaningful.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

Reduction = Literal["sum", "mean", "concat", "none"]
REDUCTIONS: tuple[Reduction, ...] = ("sum", "mean", "concat", "none")


def reduce_outputs(outputs: Sequence[Any], reduction: Reduction) -> Any:
    """Reduces the outputs of the chosen candidates.

    Args:
        outputs: outputs of the chosen candidates, in candidate order.
        reduction: "sum" (left to right), "mean" (the sum divided at the end), "concat" (along dimension 1), or "none".

    Returns:
        The list itself for "none"; else None for no output, the output itself for one, the reduced tensor for more.
    """
    if reduction == "none":
        return list(outputs)
    if not outputs:
        return None
    if len(outputs) == 1:
        return outputs[0]
    if reduction == "concat":
        return torch.cat(list(outputs), dim=1)
    total = operator.add(outputs[0], outputs[1])
    for output in outputs[2:]:
        total = operator.add(total, output)
    return total if reduction == "sum" else operator.truediv(total, len(outputs))


def mask(chosen: Sequence[int], count: int, device: torch.device | None = None) -> Tensor:
    """A bool vector of `count` elements, true at the chosen indices."""
    return torch.tensor([i in chosen for i in range(count)], dtype=torch.bool, device=device)


def choose(
    options: Sequence[Any],
    *,
    key: str,
    kind: str,
    candidates: Sequence[str],
    n_chosen: int | None,
    reduction: str,
    paths: Sequence[str],
    device: torch.device | None = None,
) -> Any:
    """The outputs of the chosen candidates, reduced: the op that a LayerChoice or InputChoice becomes.

    Args:
        options: the candidates' outputs; empty for the reduction "mask".
        key: the decision that it follows.
        kind: "layer_choice" or "input_choice".
        candidates: their names.
        n_chosen: how many candidates an architecture takes; None: any number.
        reduction: one of `REDUCTIONS`, or "mask": the bool vector of what is chosen.
        paths: where the choice is registered in the model.
        device: where a mask lies.

    Returns:
        What the default architecture gives; generated code decides by the architecture instead.
    """
    tensors = tuple(option for option in options if hasattr(option, "__torch_function__"))
    if has_torch_function(tensors):
        return handle_torch_function(
            choose, tensors, options, key=key, kind=kind, candidates=candidates, n_chosen=n_chosen, reduction=reduction,
            paths=paths, device=device,
        )  # fmt: skip
    chosen = range(len(candidates) if n_chosen is None else n_chosen)
    if reduction == "mask":
        return mask(chosen, len(candidates), device)
    return reduce_outputs([options[i] for i in chosen], reduction)  # type: ignore[arg-type]


def switch(
    present: Any,
    absent: Any,
    *,
    key: str,
    candidate: int | None,
    kind: str,
    candidates: Sequence[str],
    n_chosen: int | None,
    paths: Sequence[str],
) -> Any:
    """A value that differs between the sides of a Python branch: on an input's presence, a mask, or the training mode.

    Args:
        present: the value where the condition holds.
        absent: the value where it doesn't.
        key: the decision that it follows, or `conditions.TRAINING_KEY`.
        candidate: the condition is that this candidate is chosen; None: that anything is.
        kind: as for `choose`; "training" for the training mode.
        candidates: as for `choose`.
        n_chosen: as for `choose`.
        paths: as for `choose`.

    Returns:
        What the default architecture gives (and evaluation, for the training mode).
    """
    values = tuple(value for value in (present, absent) if hasattr(value, "__torch_function__"))
    if has_torch_function(values):
        return handle_torch_function(
            switch, values, present, absent, key=key, candidate=candidate, kind=kind, candidates=candidates,
            n_chosen=n_chosen, paths=paths,
        )  # fmt: skip
    count = len(candidates) if n_chosen is None else n_chosen
    return present if (candidate or 0) < count else absent
