"""The rules for functions give what the functions themselves give on fake tensors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

from fxnas.tracing.functions import _RULES, result_of
from tests.test_leaves import form

SHAPES = st.lists(st.integers(1, 4), max_size=4).map(tuple)
KINDS = ("plain", "plain", "leaf", "computed", "view", "transposed", "whole")


def tensor(kind: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    if kind == "whole":
        return torch.ones(shape, dtype=torch.int64)
    x = torch.ones(shape, dtype=dtype, requires_grad=kind in ("leaf", "computed"))
    if kind == "computed":
        return x * 2
    if kind == "view":
        return x[None][0]
    return x.transpose(0, -1) if kind == "transposed" and shape else x


@st.composite
def calls(draw: st.DrawFn) -> tuple[Any, Any, bool]:
    """A function, what makes its arguments, and whether gradients are on."""
    function = draw(st.sampled_from([*_RULES, Tensor.add_, torch.cat]))
    shape, dtype = draw(SHAPES), draw(st.sampled_from([torch.float32, torch.float64]))
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=3, max_size=3))
    others = [draw(st.sampled_from([shape, shape, shape, (1, *shape[1:]), shape[1:]])) for _ in kinds]
    number = draw(st.sampled_from([None, None, 2, 0.5, True]))
    same, dim, inplace = draw(st.booleans()), draw(st.integers(-2, 2)), draw(st.booleans())
    of_other = draw(st.sampled_from([dtype, dtype, dtype, torch.float16]))

    def make() -> tuple[tuple[Any, ...], dict[str, Any]]:
        x = tensor(kinds[0], shape, dtype)
        y = x if same else tensor(kinds[1], others[1], of_other)
        if function is torch.cat:
            return ([x, y, tensor(kinds[2], others[2], dtype)], dim), {}
        if _RULES[function].__name__ == "_unary":
            return (x,), {"inplace": inplace} if function in (F.relu, F.silu) else {}
        return (x, y if number is None else number), {}

    return function, make, draw(st.booleans())


def answers(function: Any, make: Any, grad: bool = True) -> bool:
    """Runs rule and function, each on arguments of its own, and compares; whether the rule had an answer."""
    with FakeTensorMode(allow_non_fake_inputs=True), torch.set_grad_enabled(grad):
        (args, kwargs), (others, _) = make(), make()
        one, two = (given[0][0] if isinstance(given[0], list) else given[0] for given in (args, others))
        versions = one._version, two._version
        found = result_of(function, args, kwargs)
        if found is None:
            return False
        expected = function(*others, **kwargs)
        assert form(found, one) == form(expected, two)
        assert (one._version > versions[0]) == (two._version > versions[1])
        assert (one.requires_grad, one.is_leaf) == (two.requires_grad, two.is_leaf)
    return True


@settings(deadline=None, max_examples=200)
@given(calls())
def test_a_rule_gives_what_the_function_gives(call: tuple[Any, Any, bool]) -> None:
    answers(*call)


@pytest.mark.parametrize("function", _RULES, ids=lambda function: function.__qualname__)
def test_every_rule_answers_for_the_plain_call(function: Any) -> None:
    def make() -> tuple[tuple[Any, ...], dict[str, Any]]:
        x, y = torch.ones(2, 3), torch.ones(2, 3)
        if function is torch.cat:
            return ([x, y], 1), {}
        return ((x,) if _RULES[function].__name__ == "_unary" else (x, y)), {}

    assert answers(function, make)


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (torch.cat, ([],), {}),
        (torch.cat, ([torch.ones(2)],), {}),
        (torch.cat, (), {"tensors": 3}),
        (torch.add, (torch.ones(2), 1, torch.ones(2)), {}),
        (torch.add, (), {"input": torch.ones(2), "other": torch.ones(2)}),
        (torch.add, (torch.ones(2), torch.ones(2)), {"alpha": 2}),
        (torch.add, (torch.ones(2), torch.ones(2)), {"out": torch.ones(2)}),
        (torch.mul, (torch.ones(2), 10**30), {}),
        (torch.mul, (torch.ones(2), 1j), {}),
        (torch.mul, (torch.ones(2),), {}),
        (Tensor.add_, (torch.ones(2), 1), {"alpha": 2}),
        (F.relu, (), {"input": torch.ones(2)}),
        (F.relu, (torch.ones(2), True), {}),
        (torch.relu, (torch.ones(2), 1, 2), {}),
    ],
)
def test_other_ways_to_call_are_left_to_the_function(function: Any, args: tuple[Any, ...], kwargs: Any) -> None:
    fakes = FakeTensorMode(allow_non_fake_inputs=True)
    args, kwargs = pytree.tree_map_only(Tensor, fakes.from_tensor, (args, kwargs))
    assert result_of(function, args, kwargs) is None
