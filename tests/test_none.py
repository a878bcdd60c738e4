"""An InputChoice that selects nothing gives None, and Python may branch on it: each way in which people write that.

A case is a model and the keys of its optional inputs. The graph has to follow eager Python for every combination.
"""

from __future__ import annotations

import copy
import functools
import itertools
import random
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fxnas.errors import TraceError
from fxnas.nn import InputChoice, LayerChoice, named_choices
from fxnas.passes import materialize
from fxnas.runs import Runner
from fxnas.select import select
from fxnas.trace import trace
from tests.law import Decisions, check_law, same_bits

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
        if a is None:  # noqa: SIM108 - an if statement is what this case is about
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
        skip = not (a is None)  # noqa: E714 - the form of the test is what this case is about
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


# -- several


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


def inputs(batch: int) -> tuple[Tensor, ...]:
    return (torch.randn(batch, WIDTH, generator=torch.Generator().manual_seed(batch)),)


def combinations(model: nn.Module) -> Iterator[Decisions]:
    """Every decision for every key."""
    choices = {key: places[0][1] for key, places in named_choices(model).items()}
    sides = []
    for choice in choices.values():
        sizes = range(len(choice) + 1) if choice.n_chosen is None else (choice.n_chosen,)
        sides.append([chosen for size in sizes for chosen in itertools.combinations(range(len(choice)), size)])
    yield from (dict(zip(choices, decisions, strict=True)) for decisions in itertools.product(*sides))


@pytest.mark.parametrize("model", CASES, ids=lambda model: model.__name__)
def test_the_graph_follows_python_for_every_combination(model: type[nn.Module]) -> None:
    torch.manual_seed(0)
    net = model()
    graph = trace(net, inputs(2))
    for training, decisions in itertools.product((True, False), combinations(net)):
        given = {key: list(decisions[key]) for key in graph.space}
        eager = select(copy.deepcopy(net).train(training), decisions)
        child = materialize(graph.train(training).select(given), given)
        expected, *found = (seeded(run) for run in (eager, copy.deepcopy(graph), child))
        assert all(same(expected, output) for output in found), (training, decisions)


@pytest.mark.parametrize("model", CASES, ids=lambda model: model.__name__)
def test_the_law_holds(model: type[nn.Module]) -> None:
    torch.manual_seed(0)
    check_law(model(), inputs, count=4)


def seeded(run: Callable[..., object]) -> object:
    torch.manual_seed(0)
    return run(*inputs(3))


def same(one: object, other: object) -> bool:
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return type(one) is type(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return same_bits(one, other)


# -- many


class ManySkips(nn.Module):
    """`count` layers, each with a skip that may be absent."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(count))
        self.skips = nn.ModuleList(InputChoice(1) for _ in range(count))

    def forward(self, x):
        for layer, skip in zip(self.layers, self.skips, strict=True):
            old = skip([x])
            x = torch.tanh(layer(x))
            if old is not None:
                x = x + old
        return x


def sampled(keys: list[str], count: int) -> Iterator[dict[str, list[int]]]:
    """Nothing, everything, and random combinations."""
    rng = random.Random(0)
    yield {key: [] for key in keys}
    yield {key: [0] for key in keys}
    yield from ({key: [0] * (rng.random() < share) for key in keys} for share in [0.2, 0.5, 0.8] * (count // 3))


def runs_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by one whenever the tracer runs a model."""
    runs: list[int] = []
    record = Runner.record

    def counted(runner: Runner, *args: object, **kwargs: object) -> object:
        runs.append(1)
        return record(runner, *args, **kwargs)

    monkeypatch.setattr(Runner, "record", counted)
    return runs


def test_twenty_independent_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, runs = ManySkips(20), runs_of(monkeypatch)
    graph = trace(model, inputs(2))
    assert len(graph.space) == 20
    assert graph.space.size == 2**20
    assert len(runs) <= 30
    for architecture in sampled(list(graph.space), 200):
        assert torch.equal(select(model, architecture)(*inputs(3)), graph.select(architecture)(*inputs(3)))


def test_the_number_of_runs_grows_no_faster_than_the_number_of_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    for count in (5, 10, 20, 40):
        with monkeypatch.context() as patch:
            runs = runs_of(patch)
            trace(ManySkips(count), inputs(2))
            counts.append(len(runs))
    assert all(runs <= max(30, count) for runs, count in zip(counts, (5, 10, 20, 40), strict=True)), counts


def test_a_model_without_optional_inputs_is_run_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = runs_of(monkeypatch)
    trace(nn.Sequential(LayerChoice([nn.Tanh(), nn.ReLU()]), nn.Linear(WIDTH, WIDTH)), inputs(2))
    assert len(runs) <= 3


# -- what no graph can express


class XorOfSix(Net):
    count = 6

    def body(self, x, *optional):
        if sum(t is not None for t in optional) % 2:
            x = self.first(x)
        return x


def test_a_branch_on_too_much_at_once_is_refused_with_its_place_and_its_choices() -> None:
    with pytest.raises(TraceError) as caught:
        trace(XorOfSix(), inputs(2))
    message = str(caught.value)
    line = XorOfSix.body.__code__.co_firstlineno + 2
    assert f"{__file__}:{line} in body" in message
    assert all(repr(key) in message for key in "abcdef")


class OneOfSixGroups(nn.Module):
    """As above, but the parts that can be told apart are fine."""

    def __init__(self) -> None:
        super().__init__()
        self.picks = nn.ModuleList(InputChoice(1) for _ in range(6))

    def forward(self, x):
        one, two, three, four, five, six = (pick([torch.sin(x * i)]) for i, pick in enumerate(self.picks))
        x = x * 2 if (one is None) != (two is None) else x
        x = x + 1 if (three is None) != (four is None) else x
        return torch.tanh(x) if (five is None) != (six is None) else x


def test_three_branches_on_two_each_are_fine() -> None:
    model = OneOfSixGroups()
    graph = trace(model, inputs(2))
    for decisions in combinations(model):
        given = {key: list(decisions[key]) for key in graph.space}
        assert torch.equal(select(model, decisions)(*inputs(3)), graph.select(given)(*inputs(3)))


class LongList(nn.Module):
    """The first of `count` optional elements: depends on all of them."""

    def __init__(self, count: int, which: int) -> None:
        super().__init__()
        self.which = which
        self.pick = InputChoice(count, reduction="none")

    def forward(self, x):
        some = self.pick([torch.sin(x * (i + 1)) for i in range(len(self.pick))])
        return x + some[self.which] if some else x


@pytest.mark.parametrize("which", [0, -1])
@pytest.mark.parametrize("count", [2, 3, 4, 5, 6])
def test_one_of_a_list_is_right_for_every_decision_or_refused(count: int, which: int) -> None:
    model = LongList(count, which)
    try:
        graph = trace(model, inputs(2))
    except TraceError as error:
        assert count > 3
        assert "'pick'" in str(error)
        return
    for decisions in combinations(model):
        given = {key: list(decisions[key]) for key in graph.space}
        assert torch.equal(select(model, decisions)(*inputs(3)), graph.select(given)(*inputs(3))), decisions


class Silly(nn.Module):
    """Fails where an optional input is absent."""

    def __init__(self) -> None:
        super().__init__()
        self.pick = InputChoice(1)

    def forward(self, x):
        return x + self.pick([x])


def test_an_absent_input_that_nobody_checks_for_is_an_error_of_the_users_line() -> None:
    with pytest.raises(TraceError, match=r"test_none\.py:\d+ in forward: .*NoneType"):
        trace(Silly(), inputs(2))


class MaskOnOnePath(nn.Module):
    """A mask that Python reads on one path only."""

    def __init__(self) -> None:
        super().__init__()
        self.skip = InputChoice(1)
        self.pick = InputChoice(2, n_chosen=1, return_mask=True)

    def forward(self, x):
        picked, mask = self.pick([torch.sin(x), torch.cos(x)])
        if self.skip([x]) is None and mask[0]:
            picked = picked * 2
        return picked


def test_a_mask_read_on_one_path_only_is_followed_or_refused() -> None:
    model = MaskOnOnePath()
    try:
        graph = trace(model, inputs(2))
    except TraceError as error:
        assert "'pick'" in str(error)
        return
    for decisions in combinations(model):
        given = {key: list(decisions[key]) for key in graph.space}
        assert torch.equal(select(model, decisions)(*inputs(3)), graph.select(given)(*inputs(3))), decisions
