"""Building blocks of the random models: layers that keep the form (batch, 4, 4, 4), and helpers that take None."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 4
SHAPE = (WIDTH, WIDTH, WIDTH)


def conv(size: int = 3) -> nn.Conv2d:
    return nn.Conv2d(WIDTH, WIDTH, size, padding=size // 2)


def norm() -> nn.BatchNorm2d:
    return nn.BatchNorm2d(WIDTH)


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.rand(WIDTH, 1, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Noisy(nn.Module):
    """Functional dropout that follows the mode."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.4, training=self.training)


class Tally(nn.Module):
    """Counts its calls in a buffer, and lets the count show."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + self.calls.clone() * 0.125


class Poke(nn.Module):
    """Writes to parts of its result, by index and through views."""

    def forward(self, x: Tensor) -> Tensor:
        y = x + 0.5
        y[:, 0] = 0.25
        y[:, 1:3].mul_(2)
        y.flatten(1)[:, :5] += 1
        return y


class Sting(nn.Module):
    """Writes to its input."""

    def forward(self, x: Tensor) -> Tensor:
        x.mul_(0.5)
        return x


class Moody(nn.Module):
    """Branches on the mode."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return x * 1.25
        return x - 0.5


class Tables(nn.Module):
    """Tensors of all kinds: a buffer, a buffer that isn't saved, a plain attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("saved", torch.rand(WIDTH, 1, 1))
        self.register_buffer("unsaved", torch.rand(WIDTH, 1, 1), persistent=False)
        self.plain = torch.rand(WIDTH, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.saved + self.unsaved - self.plain


class ByHand(nn.Module):
    """A convolution and batch norm called as functions."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, WIDTH, 1, 1))
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.register_buffer("var", torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv2d(x, self.weight)
        return F.batch_norm(y, self.mean, self.var, training=self.training)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        y, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return y.transpose(1, 2).reshape(x.shape)


class Merge(nn.Module):
    """Takes an optional second input."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(1), conv(1)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        y = self.one(x)
        if other is None:
            return y
        return y + self.two(other)


class Twins(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(1), conv(1)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.two(torch.tanh(self.one(x)))


class Pair(NamedTuple):
    main: Tensor
    extra: Any


@dataclass
class Result:
    main: Tensor
    extra: Any = None


def fold(x: Tensor) -> Tensor:
    """Any number of channels back to the usual ones."""
    return x.reshape(x.shape[0], -1, *SHAPE).sum(1)


def add_if(x: Tensor, other: Tensor | None) -> Tensor:
    if other is None:
        return x
    return x + other


def either(one: Tensor | None, other: Tensor) -> Tensor:
    return other if one is None else one


def present(values: Iterable[Tensor | None]) -> list[Tensor]:
    return [value for value in values if value is not None]


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator of the kind that projects have many of."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@logged
def mix(x: Tensor, other: Tensor | None, *, strength: float = 0.5) -> Tensor:
    if other is not None:
        x = torch.lerp(x, other, strength)
    return x


def there(values: Iterable[Tensor | None]) -> Iterable[Tensor]:
    for value in values:
        if value is not None:
            yield value
