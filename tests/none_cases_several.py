"""Models with several optional inputs, and with other choices beside them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fxnas.nn import InputChoice, LayerChoice
from tests.none_cases import WIDTH, IfElse, Net, TheGuide, case


@case
class NestedIfs(Net):
    count = 3

    def body(self, x, a, b, c):
        if a is not None:
            x = x + a
            if b is not None:
                x = self.first(x * b)
                if c is None:
                    x = torch.tanh(x)
            elif c is not None:
                x = x - c
        else:
            x = self.second(x) if b is None else x * 2
        return x


@case
class AndOr(Net):
    count = 3

    def body(self, x, a, b, c):
        if a is not None and b is not None:
            x = x + a * b
        if a is not None or c is not None:
            x = self.first(x)
        if not (b is None and c is None):
            x = torch.tanh(x)
        return x


@case
class Elif(Net):
    count = 3

    def body(self, x, a, b, c):
        if a is not None:
            x = x + a
        elif b is not None:
            x = x - b
        elif c is not None:
            x = x * c
        else:
            x = self.first(x)
        return x


@case
class Xor(Net):
    count = 2

    def body(self, x, a, b):
        return self.first(x) if (a is None) != (b is None) else self.second(x)


@case
class Coalesce(Net):
    """The first that is there."""

    count = 3

    def body(self, x, *optional):
        return self.first(next((t for t in optional if t is not None), x))


@case
class ComprehensionFilter(Net):
    count = 3

    def body(self, x, a, b, c):
        return F.adaptive_avg_pool1d(torch.cat([t for t in [x, a, b, c] if t is not None], 1)[None], WIDTH)[0]


@case
class FilterThenStack(Net):
    count = 3

    def body(self, x, *optional):
        there = [t for t in optional if t is not None]
        return torch.stack(there).mean(0) if there else self.first(x)


@case
class FilterBuiltin(Net):
    count = 2

    def body(self, x, a, b):
        return sum(filter(lambda t: t is not None, (a, b)), x)


def there(*values: Tensor | None) -> Iterator[Tensor]:
    for value in values:
        if value is not None:
            yield value


@case
class Generator(Net):
    count = 3

    def body(self, x, *optional):
        for t in there(*optional):
            x = torch.tanh(x + t)
        return x


@case
class Accumulator(Net):
    count = 3

    def body(self, x, *optional):
        total = None
        for t in optional:
            if t is not None:
                total = t if total is None else total + t
        return self.first(x) if total is None else x + total


@case
class Overwritten(Net):
    count = 3

    def body(self, x, a, b, c):
        y = self.first(x)
        if a is not None:
            y = a
        if b is not None:
            y = b
        if c is not None:
            y = c
        return y + 1


@case
class Walrus(Net):
    count = 3

    def body(self, x, *optional):
        rest = list(optional)
        while rest:
            if (t := rest.pop()) is not None:
                x = x * 0.5 + t
        return x


@case
class DictOfOptionals(Net):
    count = 3

    def body(self, x, a, b, c):
        found = {name: t for name, t in {"a": a, "b": b, "c": c}.items() if t is not None}
        for name in sorted(found):
            x = x - found[name]
        return x * 2 if "b" in found else x


@case
class Counted(Net):
    """A number that depends on what is there."""

    count = 3

    def body(self, x, *optional):
        return x / (1 + sum(t is not None for t in optional))


@case
class BothArgumentsOptional(Net):
    count = 2

    def body(self, x, a, b):
        a = x if a is None else a
        b = self.first(x) if b is None else b
        return torch.maximum(a, b) - torch.minimum(a, b)


# -- with other choices


@case
class ChoiceInABranch(Net):
    """The decision at `op` is part of an architecture only where `a` is there."""

    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice([nn.Tanh(), nn.Linear(WIDTH, WIDTH)])

    def body(self, x, a):
        return x if a is None else x + self.op(a)


@case
class OptionOfACandidate(nn.Module):
    """The branch lies in a candidate."""

    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice([TheGuide(), nn.Identity(), IfElse()])

    def forward(self, x):
        return self.op(x) * 2


@case
class OptionFromAnOption(nn.Module):
    """An optional input of an optional input."""

    def __init__(self) -> None:
        super().__init__()
        self.outer, self.inner = InputChoice(1), InputChoice(2)

    def forward(self, x):
        outer = self.outer([torch.sin(x)])
        if outer is None:
            return x
        inner = self.inner([outer, torch.cos(outer)])
        return outer if inner is None else outer * inner


@case
class SharedKey(nn.Module):
    """Both are there or neither."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = InputChoice(1, key="skip"), InputChoice(1, key="skip")

    def forward(self, x):
        one, two = self.one([torch.sin(x)]), self.two([torch.cos(x)])
        if one is not None:
            x = x + one
        return x * 2 if two is None else x * two


@case
class SeveralInputs(nn.Module):
    """Any subset of three, as a sum, and a layer choice that may take none."""

    def __init__(self) -> None:
        super().__init__()
        self.pick = InputChoice(3, reduction="mean")
        self.ops = LayerChoice([nn.Tanh(), nn.Linear(WIDTH, WIDTH)], n_chosen=None)

    def forward(self, x):
        picked, made = self.pick([x, torch.sin(x), -x]), self.ops(x)
        if picked is None:
            picked = torch.ones_like(x)
        return picked if made is None else picked * made


@case
class NeverThere(nn.Module):
    """n_chosen=0 gives None in every architecture."""

    def __init__(self) -> None:
        super().__init__()
        self.pick = InputChoice(2, n_chosen=0)

    def forward(self, x):
        nothing = self.pick([x, x * 2])
        return x + 1 if nothing is None else nothing


@case
class AlwaysThere(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pick = InputChoice(2, n_chosen=1)

    def forward(self, x):
        one = self.pick([x, x * 2])
        return x + 1 if one is None else one


@case
class ListOfInputs(nn.Module):
    """reduction="none": which elements the list has is what Python sees."""

    def __init__(self) -> None:
        super().__init__()
        self.pick = InputChoice(3, reduction="none")
        self.layer = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        picked = self.pick([torch.sin(x), x * 2, torch.cos(x)])
        for t in picked:
            x = x + self.layer(t)
        return torch.cat([x, *picked], 1).sum(1) if len(picked) > 1 else x.sum(1)


class LongList(nn.Module):
    """All of the elements matter together."""

    def __init__(self) -> None:
        super().__init__()
        self.pick = InputChoice(5, reduction="none")

    def picked(self, x):
        return self.pick([torch.sin(x * number) for number in range(1, 6)])


@case
class LengthOfALongList(LongList):
    def forward(self, x):
        return x * len(self.picked(x))


@case
class EndsOfALongList(LongList):
    def forward(self, x):
        picked = self.picked(x)
        return x + picked[0] * picked[-1] if picked else x


@case
class LongListInALoop(LongList):
    def forward(self, x):
        for value in self.picked(x):
            x = torch.tanh(x + value)
        return x


@case
class ListOfCandidates(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ops = LayerChoice([nn.Tanh(), nn.Linear(WIDTH, WIDTH)], reduction="none", n_chosen=None)

    def forward(self, x):
        made = self.ops(x)
        return torch.stack(made).sum(0) if made else x


@case
class MaskInPython(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pick = InputChoice(3, n_chosen=2, return_mask=True)
        self.op = LayerChoice([nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.ReLU()], return_mask=True)

    def forward(self, x):
        picked, mask = self.pick([x, torch.sin(x), torch.cos(x)])
        made, which = self.op(x)
        if mask[0] and which[1]:
            picked = picked * 2
        return picked + made * which.tolist().index(True)


@case
class MaskOfAnOption(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pick = InputChoice(2, return_mask=True)

    def forward(self, x):
        picked, mask = self.pick([torch.sin(x), torch.cos(x)])
        if not mask.any():
            return x * 3
        return x * mask.sum() + picked


@case
class ModeAndOption(Net):
    """A branch on the mode around a branch on an optional input, and the other way round."""

    def body(self, x, a):
        if self.training:
            x = F.dropout(x, 0.5) if a is None else F.dropout(a, 0.25)
        elif a is not None:
            x = x + a
        return self.first(x)


@case
class ModeInTheAbsentBranch(Net):
    def body(self, x, a):
        if a is None:
            return x * 1.25 if self.training else x - 0.5
        return x + a


@case
class OptionalOutputs(Net):
    """What is absent is None in the output too."""

    count = 2

    def body(self, x, a, b):
        return {"main": x * 2, "parts": (a, [b, None]), "sum": None if a is None or b is None else a + b}


@case
class RoundsOfALoop(nn.Module):
    """What a round does first doesn't tell which one it is."""

    def __init__(self) -> None:
        super().__init__()
        self.picks = nn.ModuleList(InputChoice(1) for _ in range(6))

    def forward(self, x):
        y = x
        for value in [pick([torch.sin(x * number)]) for number, pick in enumerate(self.picks)]:
            if value is not None:
                y = y * 0.5 + value
        return y


@case
class SumOfThreeBesideOthers(nn.Module):
    """Among many optional inputs three meet in one sum."""

    def __init__(self) -> None:
        super().__init__()
        self.picks = nn.ModuleList(InputChoice(1) for _ in range(7))

    def forward(self, x):
        a, b, c, d, e, f, g = (pick([torch.sin(x + number)]) for number, pick in enumerate(self.picks))
        for value in (a, b, f, g):
            x = x if value is None else x * 0.5 + value
        return x + sum(value for value in (c, d, e) if value is not None)


@case
class SizeOfTheLatest(nn.Module):
    """A size is asked of a variable that has been overwritten, or not, again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.picks = nn.ModuleList(InputChoice(1) for _ in range(5))

    def forward(self, x):
        for value in [pick([torch.sin(x * number)]) for number, pick in enumerate(self.picks)]:
            if value is not None:
                x = torch.tanh(x + value)
        return (x * 2).reshape(x.size(0), -1) if x.dim() > 1 else x
