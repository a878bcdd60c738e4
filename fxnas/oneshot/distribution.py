"""The distribution over the decisions of one choice that its logits describe.

One family serves every kind of choice: the probability of a decision S is proportional to Π exp(αᵢ) over i in S, among
the decisions that are legal. For one of n candidates that is the softmax; for any number of them each is taken
independently, with the probability sigmoid(αᵢ); for k of n it is conditional Poisson sampling (Chen, Dempster and Liu
1994, "Weighted finite population sampling to maximize entropy"), computed by elementary symmetric polynomials.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Decision = tuple[int, ...]


def inclusion(logits: Tensor, n_chosen: int | None) -> Tensor:
    """The probability of each candidate to be chosen, differentiable.

    Args:
        logits: α, shape [candidates].
        n_chosen: how many are chosen; None: any number.

    Returns:
        shape [candidates]; the sum is `n_chosen`.
    """
    count = len(logits)
    if n_chosen is None:
        return torch.sigmoid(logits)
    if n_chosen == 1:
        return torch.softmax(logits, 0)
    if n_chosen in (0, count):
        return torch.full_like(logits, float(n_chosen == count))
    rows = []
    for i in range(count):
        rest = torch.cat([logits[:i], logits[i + 1 :]])
        rows.append(logits[i] + _log_sums(rest, n_chosen - 1)[-1])
    return torch.exp(torch.stack(rows) - _log_sums(logits, n_chosen)[-1])


def log_probability(logits: Tensor, n_chosen: int | None, decision: Sequence[int]) -> Tensor:
    """The logarithm of the probability of a decision, differentiable; a scalar."""
    return logits[list(decision)].sum() - _normalizer(logits, n_chosen)


def sample(logits: Tensor, n_chosen: int | None, generator: torch.Generator) -> Decision:
    """Draws a decision.

    Args:
        logits: α, shape [candidates].
        n_chosen: how many are chosen; None: any number.
        generator: the source of randomness, on the CPU; one number for each candidate is drawn.
    """
    given = logits.detach().double().cpu()
    draws = torch.rand(len(given), generator=generator, dtype=torch.double).tolist()
    if n_chosen is None:
        return tuple(i for i, p in enumerate(torch.sigmoid(given).tolist()) if draws[i] < p)
    if n_chosen == 1:
        return _one(torch.softmax(given, 0).tolist(), draws)
    decision, left = [], n_chosen
    for i in range(len(given)):  # one candidate after the other, each given those before
        if left and draws[i] < _taken(given[i:], left):
            decision.append(i)
            left -= 1
    return tuple(decision)


def most_probable(logits: Tensor, n_chosen: int | None) -> Decision:
    """The decision with the largest probability; of equal logits the first."""
    if n_chosen is None:
        return tuple(i for i, logit in enumerate(logits.tolist()) if logit > 0)
    order = torch.argsort(logits.detach(), descending=True, stable=True)
    return tuple(sorted(order[:n_chosen].tolist()))


def entropy(logits: Tensor, n_chosen: int | None) -> Tensor:
    """The entropy of the distribution in nats, differentiable; a scalar."""
    p = inclusion(logits, n_chosen)
    return _normalizer(logits, n_chosen) - (p * logits).sum()  # -E[log P(S)], since log P(S) = Σ αᵢ - log Z


def multi_hot(decision: Sequence[int], like: Tensor) -> Tensor:
    """Ones at the chosen candidates, zeros elsewhere; shape, dtype and device of `like`."""
    hot = torch.zeros_like(like)
    hot[list(decision)] = 1.0
    return hot


def straight_through(decision: Sequence[int], probabilities: Tensor) -> Tensor:
    """Exactly ones at the chosen candidates and zeros elsewhere, with the gradients of `probabilities`."""
    return multi_hot(decision, probabilities.detach()) + (probabilities - probabilities.detach())


def _normalizer(logits: Tensor, n_chosen: int | None) -> Tensor:
    """Log Z: the logarithm of Σ Π exp(αᵢ) over all decisions."""
    if n_chosen is None:
        return torch.nn.functional.softplus(logits).sum()
    return torch.logsumexp(logits, 0) if n_chosen == 1 else _log_sums(logits, n_chosen)[-1]


def _one(probabilities: Sequence[float], draws: Sequence[float]) -> Decision:
    """One candidate after the other, each given that none before was taken."""
    for i, p in enumerate(probabilities[:-1]):
        if draws[i] * sum(probabilities[i:]) < p:
            return (i,)
    return (len(probabilities) - 1,)


def _taken(logits: Tensor, n_chosen: int) -> float:
    """The probability that the first of the candidates is among the chosen ones."""
    if n_chosen >= len(logits):
        return 1.0
    with_first = logits[0] + _log_sums(logits[1:], n_chosen - 1)[-1]
    return float(torch.exp(with_first - _log_sums(logits, n_chosen)[-1]))


def _log_sums(logits: Tensor, degree: int) -> list[Tensor]:
    """The logarithms of the elementary symmetric polynomials of exp(α), of the degrees 0 to `degree`."""
    sums: list[Tensor | None] = [logits.new_zeros(()), *([None] * degree)]
    for logit in logits.unbind():
        for k in range(degree, 0, -1):
            lower, same = sums[k - 1], sums[k]
            if lower is not None:
                sums[k] = logit + lower if same is None else torch.logaddexp(same, logit + lower)
    return [total for total in sums if total is not None]
