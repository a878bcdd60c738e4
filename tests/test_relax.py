"""Relax: mixtures in place of choices."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from fxnas.architecture import Architecture
from fxnas.errors import FxnasError, PassError
from fxnas.graph import ChoiceGraph
from fxnas.nn import InputChoice, LayerChoice
from fxnas.oneshot.distribution import multi_hot
from fxnas.oneshot.relaxed import Given, RelaxedGraph
from fxnas.passes import Relax, materialize
from fxnas.trace import trace
from tests.graph_help import Guide, Nested, lines, x4


class Subsets(nn.Module):
    """Any subset, some of several, means, and a branch on one candidate."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.any = InputChoice(3)
        self.two = InputChoice(3, n_chosen=2)
        self.mean = InputChoice(3, n_chosen=2, reduction="mean")
        self.listed = LayerChoice([nn.Tanh(), nn.ReLU()], reduction="none")

    def forward(self, x):
        outputs = [layer(x) for layer in self.layers]
        some = self.any(outputs)
        y = self.two(outputs) * self.mean(outputs) + self.listed(x)[0]
        return y if some is None else y * some


class Twins(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = LayerChoice([nn.Linear(4, 4), nn.Tanh()], key="shared")
        self.other = LayerChoice([nn.Linear(4, 4), nn.Sigmoid()], key="shared")

    def forward(self, x):
        return self.one(x) + self.other(x)


def one_hot(graph: ChoiceGraph, architecture: Architecture) -> dict[str, torch.Tensor]:
    complete = graph.space.complete(architecture)
    return {key: multi_hot(complete[key], torch.zeros(len(c.candidates))) for key, c in graph.space.items()}


def architectures(graph: ChoiceGraph) -> list[Architecture]:
    return [graph.space.architecture(rank) for rank in range(min(graph.space.size, 40))]


@pytest.mark.parametrize("net", [Guide, Nested, Subsets, Twins])
@pytest.mark.parametrize("lazily", [False, True], ids=["all run", "chosen run"])
def test_one_hot_is_materialized(net: type[nn.Module], lazily: bool) -> None:
    torch.manual_seed(0)
    graph = trace(net(), x4())
    relaxed, x = RelaxedGraph(graph), x4(3)
    for architecture in architectures(graph):
        complete = graph.space.complete(architecture)
        relaxed.mix(one_hot(graph, architecture), {key: [complete[key]] for key in graph.space} if lazily else None)
        torch.testing.assert_close(relaxed(x), materialize(graph, architecture)(x), rtol=0, atol=0)


@pytest.mark.parametrize("n_chosen", [3, None])
def test_a_mean_divides_at_the_end(n_chosen: int | None) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pick = InputChoice(4, n_chosen=n_chosen, reduction="mean", key="pick")

        def forward(self, x):
            y = self.pick([x.sin(), x.cos(), x.tanh(), x * 2])
            return x if y is None else y

    graph = trace(Net(), x4())
    relaxed, x = RelaxedGraph(graph), x4(64)
    for architecture in architectures(graph):
        relaxed.mix(one_hot(graph, architecture))
        torch.testing.assert_close(relaxed(x), materialize(graph, architecture)(x), rtol=0, atol=0)


def test_the_text_shows_mixtures() -> None:
    graph = trace(Guide(), x4())
    mixtures = {key: Given(torch.ones(len(c.candidates))) for key, c in graph.space.items()}
    assert Relax(mixtures)(graph).graph.text() == lines("""
        %x = input x
        %mixtures_0 = mixtures.0()
        %mixtures_1 = mixtures.1()
        %mixtures_2 = mixtures.2()
        %given_presence = given_presence(%mixtures_0)
        %skip_1 = mix 'skip' of (%x) by %given_presence
        %first_wide = first.wide(%x)
        %first_none = first.none(%x)
        %first_1 = mix 'first' of (wide: %first_wide, none: %first_none) by %mixtures_1
        %second_0 = second.0(%first_1)
        %second_1 = second.1(%first_1)
        %second_2 = mix 'second' of (0: %second_0, 1: %second_1) by %mixtures_2
        %add = .add(%second_2, %skip_1)
        %sides = sides(%mixtures_0, None)
        %switch_1 = mix 'skip\\x00' of (present: %add, absent: %second_2) by %sides
        return %switch_1
        """)


def test_the_mixture_of_a_skip_is_its_expectation() -> None:
    graph = trace(Guide(), x4())
    relaxed, x = RelaxedGraph(graph), x4()
    weights = one_hot(graph, graph.space.default)
    outputs = {}
    for taken in ((), (0,)):
        relaxed.mix({**weights, "skip": multi_hot(taken, torch.zeros(1))})
        outputs[taken] = relaxed(x)
    relaxed.mix({**weights, "skip": torch.tensor([0.3])})
    torch.testing.assert_close(relaxed(x), 0.3 * outputs[(0,)] + 0.7 * outputs[()])


def test_a_closed_gate_still_tells_what_opening_it_would_change() -> None:
    graph = trace(Guide(), x4())
    relaxed, x = RelaxedGraph(graph), x4()
    outputs = {}
    for taken in ((), (0,)):
        relaxed.mix({"skip": multi_hot(taken, torch.zeros(1))})
        outputs[taken] = relaxed(x)
    for start in (0.0, 0.3, 1.0):
        weight = torch.full((1,), start, requires_grad=True)
        relaxed.mix({"skip": weight})
        relaxed(x).sum().backward()
        torch.testing.assert_close(weight.grad, (outputs[(0,)] - outputs[()]).sum().view(1))


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_equal_inputs_stand_in_where_nothing_is_chosen(reduction: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.skip = InputChoice(2, reduction=reduction)

        def forward(self, x):
            old = self.skip([x * 2, x * 4])
            return x if old is None else x + old

    relaxed, x = RelaxedGraph(trace(Net(), x4())), torch.ones(1, 4)
    weight = torch.zeros(2, requires_grad=True)
    relaxed.mix({"skip": weight})
    y = relaxed(x)
    assert torch.equal(y, x)
    y.sum().backward()
    assert weight.grad.tolist() == [12.0, 12.0]  # four elements, each 3 more


def test_every_weight_gets_its_gradient() -> None:
    torch.manual_seed(0)
    for net in (Guide, Nested, Subsets, Twins):
        graph = trace(net(), x4())
        relaxed = RelaxedGraph(graph)
        weights = {key: torch.full((len(c.candidates),), 0.4, requires_grad=True) for key, c in graph.space.items()}
        relaxed.mix(weights)
        relaxed(x4()).square().sum().backward()
        assert all((w.grad != 0).all() for w in weights.values()), net


def test_what_does_not_run_is_not_computed() -> None:
    graph = trace(Guide(), x4())
    relaxed, ran = RelaxedGraph(graph), []
    relaxed.module.get_submodule("first.wide").register_forward_hook(lambda *_: ran.append("wide"))
    relaxed.mix({}, {"first": [(1,)]})
    relaxed(x4())
    assert ran == []
    relaxed.mix({}, {"first": [(0,), (1,)]})
    relaxed(x4())
    assert ran == ["wide"]


def test_both_sides_of_a_branch_run_where_decisions_differ() -> None:
    graph = trace(Guide(), x4())
    relaxed, x = RelaxedGraph(graph), x4()
    relaxed.mix({"skip": torch.tensor([0.5])}, {"skip": [(), (0,)]})
    half = relaxed(x)
    relaxed.mix({"skip": torch.tensor([0.5])})
    torch.testing.assert_close(half, relaxed(x), rtol=0, atol=0)


def test_weights_stay_shared_and_out_of_the_state() -> None:
    model = Guide()
    graph = trace(model, x4())
    relaxed = RelaxedGraph(graph)
    assert list(relaxed.graph.state_dict()) == list(graph.state_dict())
    assert dict(relaxed.module.named_parameters())["first.wide.weight"] is model.first[0].weight
    assert graph.stage == "traced" and "mixtures" not in graph.module._modules


def test_in_place_candidates_are_repaired() -> None:
    model = nn.Sequential(nn.Linear(4, 4), LayerChoice([nn.ReLU(inplace=True), nn.Tanh()]))
    graph = trace(model, x4())
    relaxed, x = RelaxedGraph(graph), x4()
    for index in (0, 1):
        relaxed.mix({"1": multi_hot((index,), torch.zeros(2))})
        torch.testing.assert_close(relaxed(x), materialize(graph, {"1": index})(x), rtol=0, atol=0)


def test_tuples_and_dictionaries_are_mixed_leaf_by_leaf() -> None:
    class Pairs(nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.scale = scale

        def forward(self, x):
            return x * self.scale, {"sum": x + self.scale}

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pairs = LayerChoice([Pairs(1.0), Pairs(3.0)])

        def forward(self, x):
            one, more = self.pairs(x)
            return one + more["sum"]

    graph = trace(Net(), x4())
    relaxed, x = RelaxedGraph(graph), x4()
    relaxed.mix({"pairs": torch.tensor([0.5, 0.5])})
    torch.testing.assert_close(relaxed(x), x * 2 + x + 2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_dtypes(dtype: torch.dtype) -> None:
    graph = trace(Guide().to(dtype), x4().to(dtype))
    relaxed = RelaxedGraph(graph)
    relaxed.mix({key: torch.full((len(c.candidates),), 0.5) for key, c in graph.space.items()})
    assert relaxed(x4().to(dtype)).dtype == dtype


def test_concatenations_of_some_are_refused() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pick = InputChoice(3, n_chosen=2, reduction="concat")

        def forward(self, x):
            return self.pick([x, x * 2, x * 3])

    with pytest.raises(PassError, match=r"test_relax.py.*a concatenation of 'pick' can't be mixed"):
        RelaxedGraph(trace(Net(), x4()))


class WritesThrough(nn.Module):
    """A write to what was chosen shows in the option."""

    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice([nn.Identity(), nn.Tanh()])

    def forward(self, x):
        x = x * 1.0
        y = self.op(x)
        y.mul_(0.5)
        return x + y


class WritesBefore(WritesThrough):
    """A write to the option shows in what was chosen."""

    def forward(self, x):
        x = x * 1.0
        y = self.op(x)
        x.mul_(0.5)
        return y


class WritesOutside(WritesThrough):
    """A write to what was chosen shows in the caller's tensor."""

    def forward(self, x):
        y = self.op(x)
        y.mul_(0.5)
        return y


@pytest.mark.parametrize("net", [WritesThrough, WritesBefore, WritesOutside])
def test_writes_that_a_copy_would_hide_are_refused(net: type[nn.Module]) -> None:
    with pytest.raises(PassError, match=r"test_relax\.py"):
        RelaxedGraph(trace(net(), x4()))


def test_writes_to_what_is_a_copy_anyway_stay() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.op = LayerChoice([nn.Linear(4, 4), nn.Tanh()])

        def forward(self, x):
            y = self.op(x)
            y += x
            return y

    graph = trace(Net(), x4())
    relaxed, x = RelaxedGraph(graph), x4()
    for index in (0, 1):
        relaxed.mix({"op": multi_hot((index,), torch.zeros(2))})
        torch.testing.assert_close(relaxed(x), materialize(graph, {"op": index})(x), rtol=0, atol=0)


def test_a_mixture_is_missing() -> None:
    with pytest.raises(PassError, match="no mixture for the keys"):
        Relax({})(trace(Guide(), x4()))


def test_integers_are_refused_where_they_differ() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pick = InputChoice(2, n_chosen=1)

        def forward(self, x):
            return self.pick([x.argmax(1), x.argmin(1)])

    relaxed = RelaxedGraph(trace(Net(), x4()))
    with pytest.raises(FxnasError, match="the options of 'pick' can't be mixed"):
        relaxed(x4())


def test_names_that_are_taken() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mixtures = LayerChoice([nn.Linear(4, 4), nn.Tanh()])

        def forward(self, x):
            return self.mixtures(x)

    graph = trace(Net(), x4())
    assert list(RelaxedGraph(graph).graph.state_dict()) == list(graph.state_dict())


def test_all_candidates_of_nested_choices_run() -> None:
    graph = trace(Nested(), x4())
    relaxed, x = RelaxedGraph(graph), x4()
    outputs = []
    for rank in range(graph.space.size):
        outputs.append(materialize(graph, graph.space.architecture(rank))(x))
    weights = {key: torch.full((len(c.candidates),), 1 / len(c.candidates)) for key, c in graph.space.items()}
    relaxed.mix(weights)
    choices = list(graph.space.values())
    expected = torch.zeros(2, 4)
    for decisions in itertools.product(*(c.decisions() for c in choices)):
        architecture = dict(zip(graph.space, map(list, decisions), strict=True))
        expected = expected + materialize(graph, architecture)(x)
    count = 1
    for choice in choices:
        count *= choice.count
    torch.testing.assert_close(relaxed(x), expected / count)
