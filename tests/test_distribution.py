"""The distribution of a choice's decisions, against the enumeration of all of them."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from fxnas import subsets
from fxnas.oneshot import distribution

KINDS = [(4, 1), (4, 2), (4, 3), (4, 4), (4, 0), (4, None), (1, 1), (1, None), (2, 1)]
CASES = pytest.mark.parametrize(("count", "n_chosen"), KINDS, ids=str)


def logits(count: int) -> torch.Tensor:
    return torch.linspace(-1.2, 1.5, count, dtype=torch.float64).roll(1).requires_grad_()


def enumerated(alpha: torch.Tensor, n_chosen: int | None) -> dict[tuple[int, ...], torch.Tensor]:
    decisions = list(subsets.listed(len(alpha), n_chosen))
    scores = torch.stack([alpha[list(d)].sum() for d in decisions])
    return dict(zip(decisions, torch.softmax(scores, 0), strict=True))


@CASES
def test_probabilities_are_those_of_the_enumeration(count: int, n_chosen: int | None) -> None:
    alpha = logits(count)
    for decision, p in enumerated(alpha, n_chosen).items():
        torch.testing.assert_close(distribution.log_probability(alpha, n_chosen, decision).exp(), p)


@CASES
def test_inclusion_and_its_gradient(count: int, n_chosen: int | None) -> None:
    alpha, weights = logits(count), torch.arange(1.0, count + 1, dtype=torch.float64)
    whole = enumerated(alpha, n_chosen)
    expected = torch.stack([sum((p for d, p in whole.items() if i in d), alpha.sum() * 0) for i in range(count)])
    found = distribution.inclusion(alpha, n_chosen)
    torch.testing.assert_close(found, expected)
    if n_chosen not in (0, count):
        gradients = [torch.autograd.grad((p * weights).sum(), alpha, retain_graph=True)[0] for p in (found, expected)]
        torch.testing.assert_close(*gradients)


@CASES
def test_entropy(count: int, n_chosen: int | None) -> None:
    alpha = logits(count)
    expected = -sum(p * p.log() for p in enumerated(alpha, n_chosen).values())
    torch.testing.assert_close(distribution.entropy(alpha, n_chosen), expected)


@CASES
def test_draws_follow_the_probabilities(count: int, n_chosen: int | None) -> None:
    alpha, generator, draws = logits(count), torch.Generator().manual_seed(0), 3000
    seen = Counter(distribution.sample(alpha, n_chosen, generator) for _ in range(draws))
    whole = enumerated(alpha.detach(), n_chosen)
    assert set(seen) <= set(whole)
    statistic = sum((seen[d] - draws * float(p)) ** 2 / (draws * float(p)) for d, p in whole.items())
    freedom = len(whole) - 1
    assert statistic <= freedom + 4 * (2 * freedom) ** 0.5 + 1e-9


@CASES
def test_the_most_probable_decision(count: int, n_chosen: int | None) -> None:
    alpha = logits(count).detach()
    whole = enumerated(alpha, n_chosen)
    assert distribution.most_probable(alpha, n_chosen) == max(whole, key=lambda d: float(whole[d]))


def test_straight_through_is_exact_and_passes_gradients() -> None:
    alpha = logits(3)
    p = distribution.inclusion(alpha, 1)
    hot = distribution.straight_through((2,), p)
    assert hot.tolist() == [0.0, 0.0, 1.0]
    (gradient,) = torch.autograd.grad(hot[2], alpha, retain_graph=True)
    torch.testing.assert_close(gradient, torch.autograd.grad(p[2], alpha)[0])
