"""An InputChoice that selects nothing gives None, and Python may branch on it: the graph follows, or is refused."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

import tests.none_cases_several  # noqa: F401 (adds its cases)
from fxnas.errors import TraceError
from fxnas.nn import InputChoice, LayerChoice, named_choices
from fxnas.passes import materialize
from fxnas.select import select
from fxnas.trace import trace
from fxnas.tracing.runs import Runner
from tests.law import Decisions, check_law, same_bits
from tests.none_cases import CASES, WIDTH, Merge, Net, add_if, decorated


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


class WrittenOut(nn.Module):
    """Twenty skips in different forms, none in a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.skips = nn.ModuleList(InputChoice(1) for _ in range(20))
        self.merge = Merge()

    def forward(self, x):
        a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t = (  # noqa: E741
            skip([torch.sin(x + number)]) for number, skip in enumerate(self.skips)
        )
        if a is not None:
            x = x + a
        x = x if b is None else x * b
        x = add_if(x, c)
        x = self.merge(x, d)
        if e is None:
            x = torch.tanh(x)
        if f is not None:
            x += f
        y = torch.zeros_like(x)
        for value in (g, h, i, j):
            if value is not None:
                y = y * 0.5 + value
        x = x + y + sum(value for value in (k, l, m) if value is not None)
        x = torch.stack([value for value in (x, n, o) if value is not None]).sum(0)
        if p is not None and q is not None:
            x = x + p * q
        x = decorated(x, r)
        found = {"s": s, "t": t}
        return x + sum(value.mean() for value in found.values() if value is not None)


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


@pytest.mark.parametrize(
    ("make", "size", "most"),
    [
        pytest.param(lambda: ManySkips(20), 2**20, 24, id="a loop"),
        pytest.param(WrittenOut, 3 * 2**18, 60, id="written out"),  # where p is absent, q makes no difference
    ],
)
def test_twenty_independent_skips(
    make: Callable[[], nn.Module], size: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model, runs = make(), runs_of(monkeypatch)
    graph = trace(model, inputs(2))
    assert len(graph.space) == 20
    assert graph.space.size == size
    assert len(runs) <= most
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
@pytest.mark.parametrize("count", [2, 4, 6])
def test_one_of_a_list_is_right_for_every_decision(count: int, which: int) -> None:
    model = LongList(count, which)
    graph = trace(model, inputs(2))
    for decisions in combinations(model):
        given = {key: list(decisions[key]) for key in graph.space}
        assert torch.equal(select(model, decisions)(*inputs(3)), graph.select(given)(*inputs(3))), decisions


def test_one_of_a_list_of_too_many_is_refused() -> None:
    with pytest.raises(TraceError, match="'pick'"):
        trace(LongList(9, 0), inputs(2))


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
