"""Models with optional inputs: each way in which people write a branch on None."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fxnas.nn import InputChoice

WIDTH = 4


class Net(nn.Module):
    """`count` optional inputs `a`, `b`, …; a case says in `body` what it does with them."""

    count = 1

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, WIDTH)
        self.second = nn.Linear(WIDTH, WIDTH)
        for name in "abcdef"[: self.count]:
            setattr(self, name, InputChoice(1))

    def forward(self, x: Tensor) -> Tensor:
        optional = [getattr(self, name)([torch.sin(x * (i + 1))]) for i, name in enumerate("abcdef"[: self.count])]
        return self.body(x, *optional)


CASES: list[type[nn.Module]] = []


def case(model: type[nn.Module]) -> type[nn.Module]:
    CASES.append(model)
    return model


# -- one optional input


@case
class TheGuide(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Linear(WIDTH, WIDTH)
        self.skipcon = InputChoice(n_candidates=1)

    def forward(self, x):
        x0 = self.skipcon([x])
        x = self.conv(x)
        if x0 is not None:
            x += x0
        return x


@case
class IfElse(Net):
    def body(self, x, a):
        if a is None:  # noqa: SIM108 (the statement is what this case is about)
            y = self.first(x)
        else:
            y = self.second(x + a)
        return y * 2


@case
class OnlyElse(Net):
    def body(self, x, a):
        if a is not None:
            pass
        else:
            x = self.first(x)
        return x


@case
class ConditionalExpression(Net):
    def body(self, x, a):
        return self.first(x) if a is None else self.first(a)


@case
class NotNone(Net):
    def body(self, x, a):
        skip = not (a is None)  # noqa: E714 (one more way to write it)
        return x + a if skip else x


@case
class EqualsNone(Net):
    def body(self, x, a):
        return x if a == None else x + a  # noqa: E711


@case
class IsInstance(Net):
    def body(self, x, a):
        return x + a if isinstance(a, Tensor) else x


@case
class Match(Net):
    def body(self, x, a):
        match a:
            case None:
                return self.first(x)
            case _:
                return self.second(a)


@case
class EarlyReturn(Net):
    def body(self, x, a):
        if a is None:
            return self.first(x)
        x = self.second(x)
        x = torch.tanh(x) + a
        return x * 2


@case
class TryExcept(Net):
    def body(self, x, a):
        try:
            if a is None:
                raise KeyError("absent")
            x = x + a
        except KeyError:
            x = self.first(x)
        finally:
            x = x * 2
        return x


def add_if(x: Tensor, other: Tensor | None) -> Tensor:
    if other is None:
        return x
    return x + other


@case
class Helper(Net):
    def body(self, x, a):
        return add_if(self.first(x), a)


def doubled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(function)
    def wrapper(*args: Tensor | None) -> Tensor:
        return function(*args) * 2

    return wrapper


@doubled
def decorated(x: Tensor, other: Tensor | None) -> Tensor:
    return x if other is None else torch.maximum(x, other)


@case
class DecoratedHelper(Net):
    def body(self, x, a):
        return decorated(x, a) + decorated(self.first(x), a)


@case
class Lambda(Net):
    def body(self, x, a):
        pick = lambda one, other: other if one is None else one  # noqa: E731
        return x + pick(a, self.first(x))


class Merge(nn.Module):
    """A module that takes an optional input."""

    def __init__(self) -> None:
        super().__init__()
        self.plain, self.merged = nn.Linear(WIDTH, WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x, other=None):
        if other is None:
            return self.plain(x)
        return self.merged(torch.cat([x, other], 1))


@case
class NestedModule(Net):
    def __init__(self) -> None:
        super().__init__()
        self.merge = Merge()

    def body(self, x, a):
        return self.merge(x, other=a) + self.merge(self.first(x), a)


@case
class OptionInsideOfAModule(nn.Module):
    """The choice and its branch lie two modules deep, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(TheGuide(), nn.Tanh(), TheGuide())

    def forward(self, x):
        return self.blocks(x)


@case
class Operand(Net):
    """Torch itself takes None: the bias of a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.randn(WIDTH))
        self.with_bias = InputChoice(1)

    def body(self, x, a):
        return F.linear(x, self.first.weight, self.with_bias([self.bias])) + F.linear(x, self.second.weight)


@case
class Operands(Net):
    count = 2

    def body(self, x, a, b):
        low = None if a is None else a.min(0).values
        high = x.new_tensor([0.5]) if b is None else b.max(0).values
        return torch.clamp(x, low, high)


@case
class Formatted(Net):
    """The value decides about something that is no tensor."""

    def body(self, x, a):
        name, times = ("first", 2) if a is None else ("second", 3)
        return getattr(self, name)(x) * times


@case
class Deep(Net):
    """The value travels: through an attribute, a tuple, a dict and a closure."""

    def body(self, x, a):
        kept = {"pair": (x, a)}

        def late() -> Tensor:
            one, other = kept["pair"]
            return one if other is None else one - other

        return late()


# -- in place


@case
class InPlaceInABranch(Net):
    def body(self, x, a):
        y = x * 1.0
        if a is not None:
            y += a
            y[:, 0] = 1
        return self.first(y)


@case
class ViewInABranch(Net):
    def body(self, x, a):
        y = x + 0
        left = y[:, :2]
        if a is None:
            left *= 2
        else:
            left += a[:, 2:]
        return y


@case
class BufferInABranch(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("absences", torch.zeros(()))

    def body(self, x, a):
        if a is None:
            self.absences += 1
        return x * self.absences


@case
class NormInABranch(Net):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH)

    def body(self, x, a):
        x = self.first(x)
        return x if a is None else self.norm(x + a)
