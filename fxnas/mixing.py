"""The ops of relaxed graphs: what stands where a choice was, once its candidates are mixed instead of chosen.

`mix` takes the place of `choose` and of `switch`. Its weights are values of the graph, so that gradients reach what
they were computed from. Which options run is decided as in a traced graph: an option that doesn't run is left out of
the sum, whatever its weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fxnas.errors import FxnasError

TINY = 1e-12  # keeps a division by the probability of "something is chosen" finite where it is zero


def mix(
    options: Sequence[Any],
    weights: Tensor,
    *,
    key: str,
    candidates: Sequence[str],
    n_chosen: None = None,
) -> Any:
    """The weighted sum of options: the op that a `choose` or `switch` becomes where all its options run.

    Args:
        options: tensors of one shape, or nests (tuples, lists, dicts) of them.
        weights: a weight for each option, shape [options].
        key: the decision which options run: any number of them.
        candidates: names of the options.
        n_chosen: always None: any number of options runs.

    Returns:
        Σ weights[i] · options[i], added from left to right.
    """
    return weighted_sum(options, weights, range(len(options)), key)


def weighted_sum(outputs: Sequence[Any], weights: Tensor, running: Sequence[int], key: str) -> Any:
    """The weighted sum of the options that run; None where none does.

    Args:
        outputs: the outputs of the options that run.
        weights: the weights of all options, shape [options].
        running: which options run, as indices in the order of `outputs`.
        key: the decision, for messages.

    Raises:
        FxnasError: the outputs are no floating-point tensors, and differ.
    """
    if not outputs:
        return None
    each = weights.unbind()  # one step for autograd, where indexing is one for each weight
    return _mixed(outputs, [each[i] for i in running], key)


def _mixed(outputs: Sequence[Any], weights: Sequence[Tensor], key: str) -> Any:
    first = outputs[0]
    if all(isinstance(output, Tensor) and (output.is_floating_point() or output.is_complex()) for output in outputs):
        total = first * weights[0]
        for output, weight in zip(outputs[1:], weights[1:], strict=True):
            total = torch.addcmul(total, output, weight)
        return total
    if not all(_is_alike(output, first) for output in outputs):
        forms = ", ".join(dict.fromkeys(type(output).__name__ for output in outputs))
        raise FxnasError(
            f"the options of {key!r} can't be mixed: they are no floating-point tensors, and differ ({forms})"
        )
    if isinstance(first, tuple | list):
        items = [_mixed(column, weights, key) for column in zip(*outputs, strict=True)]
        return type(first)(*items) if hasattr(first, "_fields") else type(first)(items)
    if isinstance(first, dict):
        return {name: _mixed([output[name] for output in outputs], weights, key) for name in first}
    return first


def _is_alike(one: Any, other: Any) -> bool:
    """Nests of the same form; other values that are equal."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one is other or torch.equal(one, other)
    if type(one) is not type(other):
        return False
    if isinstance(one, tuple | list):
        return len(one) == len(other)
    return one.keys() == other.keys() if isinstance(one, dict) else bool(one == other)


def given_presence(weights: Tensor) -> Tensor:
    """Inclusion probabilities where it is known that something is chosen, for independent inclusions.

    The output of a choice of any number of inputs is only used where there is one, so it is the expectation there:
    wᵢ / (1 - Π (1 - wⱼ)).

    Args:
        weights: inclusion probabilities, shape [candidates]. Where they are all zero the limit of equal ones is taken,
            so that what would be computed if there were something is computed of something.
    """
    present = _presence(weights)
    return torch.where(present > 0, weights / present.clamp_min(TINY), 1 / len(weights))


def summands(weights: Tensor) -> Tensor:
    """Weights of the sum that a mean over any number divides by `number`; equal ones where they are all zero."""
    return torch.where(weights.sum() > 0, weights, 1 / len(weights))


def number(weights: Tensor) -> Tensor:
    """How many are chosen, Σ wᵢ: what a mean divides by; one where nothing is. A scalar."""
    total = weights.sum()
    return torch.where(total > 0, total, 1.0)


def sides(weights: Tensor, candidate: int | None) -> Tensor:
    """The probabilities of the two sides of a Python branch, shape [2].

    Args:
        weights: inclusion probabilities, shape [candidates].
        candidate: the first side runs where this one is chosen; None: where anything is.
    """
    present = _presence(weights) if candidate is None else weights[candidate]
    return torch.stack([present, 1 - present])


def _presence(weights: Tensor) -> Tensor:
    return 1 - (1 - weights).prod()


def divided(total: Any, count: Tensor | int) -> Any:
    """A mixed sum divided by how many are chosen; None where nothing runs."""
    return None if total is None else total / count
