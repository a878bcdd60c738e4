"""The Gumbel trick: decisions drawn by noise on the logits, and soft weights that gradients pass through.

With Gumbel noise gᵢ the largest αᵢ + gᵢ is candidate i with the probability softmax(α)ᵢ (Maddison, Tarlow and Minka
2014, "A* sampling"), and softmax((α + g) / τ) comes near that decision as τ falls (Jang, Gu and Poole, arXiv
1611.01144; Maddison, Mnih and Teh, arXiv 1611.00712). For any number of candidates the noise is logistic, the
difference of two Gumbel variables, and each candidate is taken where its sum is positive. For k of them the k largest
are taken: drawn one after the other without replacement (Vieira 2014, "Gumbel-max trick and weighted reservoir
sampling"; Kool, van Hoof and Welling, arXiv 1903.06059).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from fxnas.errors import FxnasError
from fxnas.oneshot import distribution
from fxnas.oneshot.distribution import Decision

DRAWS = 100  # a draw of noise is finite nearly always: after that many it is the logits that aren't


class Draw(NamedTuple):
    """A decision, and the soft weights that the same noise gives.

    Attributes:
        decision: the chosen candidates.
        soft: the inclusion probabilities under (α + noise) / τ, differentiable by α, shape [candidates].
    """

    decision: Decision
    soft: Tensor


def draw(
    logits: Tensor, n_chosen: int | None, temperature: float, generator: torch.Generator, *, key: str = "α"
) -> Draw:
    """Draws a decision and its soft weights; noise that makes either infinite or undefined is drawn anew.

    Args:
        logits: α, shape [candidates].
        n_chosen: how many are chosen; None: any number.
        temperature: τ, positive.
        generator: the source of randomness, on the CPU.
        key: the choice, for messages.

    Raises:
        FxnasError: the logits are not finite.
    """
    for _ in range(DRAWS):
        perturbed = logits + _noise(len(logits), n_chosen, generator).to(logits)
        soft = distribution.inclusion(perturbed / temperature, n_chosen)
        if math.isfinite(perturbed.detach().sum() + soft.detach().sum()):  # one look for all: a device waits for each
            return Draw(distribution.most_probable(perturbed, n_chosen), soft)
    raise FxnasError(
        f"no finite draw from the logits of {key!r} at temperature {temperature}: {logits.tolist()}; "
        "if they are not finite the search has diverged: a smaller learning rate or a clipped gradient helps"
    )


def _noise(count: int, n_chosen: int | None, generator: torch.Generator) -> Tensor:
    """Gumbel noise, logistic where any number is chosen; shape [candidates], float64."""
    rows = torch.empty(2 if n_chosen is None else 1, count, dtype=torch.double)
    gumbel = -rows.exponential_(generator=generator).log()
    return gumbel[0] - gumbel[1] if n_chosen is None else gumbel[0]
