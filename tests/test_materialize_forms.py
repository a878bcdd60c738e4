"""Materialize: every form of input, output and architecture, and both modes in one child."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import fxnas
from fxnas.errors import ArchitectureError
from fxnas.passes import Materialize, materialize
from fxnas.testing import check_pass
from tests.pass_nets import X, choice, net, plain, traced

# -- inputs and outputs


@dataclass
class Result:
    main: Tensor
    extra: Any = None


class Named(NamedTuple):
    main: Tensor
    extra: Tensor


@pytest.mark.parametrize(
    "wrap",
    [lambda a, b: (a, [b]), lambda a, b: {"a": a, "b": (b,)}, Result, Named, lambda a, b: [a, {"b": b, "none": None}]],
)
def test_outputs_of_every_form_come_back(wrap: Any) -> None:
    graph = traced(lambda m, x: wrap(m.op(x), x * 2), op=choice(nn.Tanh(), nn.Sigmoid()))
    result = check_pass(Materialize({"op": 1}), graph, X)
    expected = graph.select({"op": 1})(X)
    assert type(result.graph(X)) is type(expected)


def test_inputs_of_every_form_go_in() -> None:
    class Takes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.op = choice(nn.Tanh(), nn.Sigmoid())

        def forward(self, batch: dict[str, Any], scale: float, *, shift: Tensor) -> Tensor:
            one, (two, three) = batch["one"], batch["rest"]
            return self.op(one + two) * scale + shift + three

    inputs = (({"one": X, "rest": (X + 1, X + 2)}, 0.5), {"shift": X - 1})
    check_pass(Materialize({"op": 1}), fxnas.trace(Takes(), inputs), inputs)


def test_a_flag_that_was_traced_is_checked() -> None:
    class Takes(nn.Module):
        def forward(self, x: Tensor, twice: bool = False) -> Tensor:
            return x * 2 if twice else x * 1

    child = materialize(fxnas.trace(Takes(), (X, True)), {})
    assert torch.equal(child(X, True), X * 2)
    with pytest.raises(AssertionError, match="argument twice was True when the model was traced"):
        child(X, False)


def test_a_child_runs_at_other_batch_sizes() -> None:
    graph = traced(lambda m, x: m.op(x).reshape(x.shape[0], -1), op=choice(nn.Tanh(), nn.Sigmoid()))
    child = materialize(graph, {"op": 1})
    for size in (1, 3, 7):
        assert child(torch.cat([X] * 4)[:size]).shape == (size, 100)


# -- the mode


def test_both_modes_are_in_one_child() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        x = m.op(x)
        if m.training:
            x = torch.nn.functional.dropout(x, 0.5) + 1
        return torch.nn.functional.dropout(x, 0.2, m.training)

    graph = traced(forward, op=choice(nn.Tanh(), nn.Dropout(0.3)))
    for candidate in (0, 1):
        child = check_pass(Materialize({"op": candidate}), graph, X).graph.module
        assert not torch.equal(child.train()(X), child.eval()(X))


# -- architectures


FORMS: list[Any] = [
    {"conv": "large", "skip": []},
    {"conv": 1, "skip": []},
    {"conv": ["large"], "skip": []},
    {"conv": [1], "skip": []},
    {"conv": [False, True], "skip": [False]},
]


@pytest.mark.parametrize("form", FORMS)
def test_an_architecture_comes_in_every_form(form: Any) -> None:
    graph = net()
    expected = materialize(graph, graph.space.check({"conv": (1,), "skip": ()}))
    child = materialize(graph, form)
    assert child.code == expected.code
    assert child.meta["fxnas"] == expected.meta["fxnas"]


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({"conv": 2, "skip": []}, "'conv'"),
        ({"conv": "larg", "skip": []}, "did you mean 'large'"),
        ({"conv": True, "skip": []}, "'conv'"),
        ({"conv": None, "skip": []}, "'conv'"),
        ({"skip": []}, "'conv'"),
        ({"conv": 0, "skip": [], "more": 1}, "'more'"),
        ([], "an architecture"),
        (None, "an architecture"),
    ],
)
def test_a_wrong_architecture_leaves_everything_as_it_is(form: Any, reason: str) -> None:
    graph = net().select({"conv": "large", "skip": [0]})
    text, architecture = graph.text(), graph.architecture
    with pytest.raises(ArchitectureError, match=reason):
        materialize(graph, form)
    assert (graph.text(), graph.architecture) == (text, architecture)


def test_an_inner_decision_that_does_not_count_may_be_given_or_left_out() -> None:
    inner = choice(nn.Tanh(), nn.Sigmoid(), key="inner")
    graph = traced(lambda m, x: m.op(x), op=choice(inner, nn.ReLU()))
    one, two = materialize(graph, {"op": 1}), materialize(graph, {"op": 1, "inner": 1})
    assert one.code == two.code
    assert one.meta["fxnas"]["architecture"] == two.meta["fxnas"]["architecture"] == {"op": 1}
    with pytest.raises(ArchitectureError, match="'inner'"):
        materialize(graph, {"op": 1, "inner": 7})


def test_a_choice_that_two_places_share_takes_one_decision() -> None:
    one, two = choice(nn.Tanh(), nn.Sigmoid(), key="both"), choice(nn.ReLU(), nn.PReLU(), key="both")
    graph = traced(lambda m, x: m.two(m.one(x)), one=one, two=two)
    check_pass(
        Materialize({"both": 1}),
        graph,
        X,
        after="%x = input x\n%one_1 = one.1(%x)\n%two_1 = two.1(%one_1)\nreturn %two_1",
    )


def test_a_model_without_choices_has_one_architecture() -> None:
    assert plain(lambda m, x: torch.neg(x)).module.meta["fxnas"]["architecture"] == {}
