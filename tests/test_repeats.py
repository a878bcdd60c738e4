"""A layer called like one before gives the same form, and is not run; whatever is different is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

from fxnas.tracing.fakes import fakes_of
from fxnas.tracing.repeats import Repeats
from tests.test_leaves import form

Call = Callable[[], tuple[nn.Module, tuple[Any, ...]]]


def image(*shape: int, grad: bool = False) -> Tensor:
    return torch.ones(shape or (2, 4, 6, 6), requires_grad=grad)


def attention(**options: Any) -> Call:
    def make() -> tuple[nn.Module, tuple[Any, ...]]:
        x = torch.ones(2, 5, 8)
        return nn.MultiheadAttention(8, 2, batch_first=True, **options), (x, x, x)

    return make


REPEATED: list[Call] = [
    attention(),
    attention(dropout=0.5, bias=False),
    lambda: (nn.ConvTranspose2d(4, 2, 3), (image(),)),
    lambda: (nn.InstanceNorm2d(4), (image(grad=True),)),
    lambda: (nn.Softmax(1), (image(),)),
    lambda: (nn.Upsample(scale_factor=2.0), (image(grad=True),)),
    lambda: (nn.Conv2d(4, 2, 3), (image().to(memory_format=torch.channels_last),)),
    lambda: (nn.Bilinear(4, 3, 2), (torch.ones(2, 4), torch.ones(2, 3))),
    lambda: (nn.Conv2d(4, 2, 3).requires_grad_(False), (image().to(memory_format=torch.channels_last),)),
]
RUN: list[Call] = [
    lambda: (nn.Flatten(), (image(),)),  # gives a view
    lambda: (nn.Threshold(0.1, 0.0, inplace=True), (image(),)),
    lambda: (nn.LSTM(4, 3), (torch.ones(5, 2, 4),)),  # holds a list of its weights
]


def faked(make: Call, fakes: FakeTensorMode) -> tuple[nn.Module, tuple[Any, ...]]:
    """Layer and arguments as fakes, anew."""
    layer, args = make()
    made = fakes_of([*layer.parameters(), *layer.buffers()], fakes)
    for module in layer.modules():
        for table in (module._parameters, module._buffers):
            table.update({name: made[id(tensor)] for name, tensor in table.items() if tensor is not None})
    if isinstance(layer, nn.RNNBase):
        layer._flat_weights = [made[id(weight)] for weight in layer._flat_weights]
    with fakes:
        return layer, tuple(fakes.from_tensor(x) for x in args)


def forms(output: Any, x: Tensor) -> list[Any]:
    return [None if leaf is None else form(leaf, x) for leaf in pytree.tree_leaves(output)]


def run(make: Call) -> tuple[int, list[list[Any]]]:
    """How often one of three equal layers is run, and the forms of what each and a usual run give."""
    fakes, repeats, count, seen = FakeTensorMode(allow_non_fake_inputs=True), Repeats(), 0, []

    def call(module: nn.Module, *args: Any) -> Any:
        nonlocal count
        count += 1
        return module(*args)

    for which in (repeats, repeats, repeats, lambda call, module, args, kwargs: module(*args)):
        module, args = faked(make, fakes)
        with fakes:
            seen.append(forms(which(call, module, args, {}), args[0]))
    return count, seen


@pytest.mark.parametrize("make", REPEATED)
@pytest.mark.parametrize("grad", [True, False])
def test_equal_calls_are_run_once_and_give_the_same(make: Call, grad: bool) -> None:
    with torch.set_grad_enabled(grad):
        count, seen = run(make)
    assert count == 1
    assert all(one == seen[-1] for one in seen)


@pytest.mark.parametrize("make", RUN)
def test_what_shares_memory_or_writes_is_run_each_time(make: Call) -> None:
    count, seen = run(make)
    assert count == 3
    assert all(one == seen[-1] for one in seen)


def changed(make: Call, change: Callable[[nn.Module], object]) -> Call:
    def make_changed() -> tuple[nn.Module, tuple[Any, ...]]:
        layer, args = make()
        change(layer)
        return layer, args

    return make_changed


@pytest.mark.parametrize(
    "other",
    [
        changed(attention(), lambda layer: layer.eval()),
        changed(attention(), lambda layer: layer.requires_grad_(False)),
        changed(attention(), lambda layer: layer.out_proj.register_forward_hook(lambda *_: None)),
        attention(dropout=0.5),
        attention(bias=False),
        lambda: (nn.MultiheadAttention(8, 2), (torch.ones(2, 5, 8),) * 3),
        lambda: (nn.MultiheadAttention(8, 2, batch_first=True), (torch.ones(3, 5, 8),) * 3),
        lambda: (
            nn.MultiheadAttention(8, 2, batch_first=True),
            (torch.ones(2, 5, 8), torch.ones(2, 5, 8), torch.ones(2, 5, 8)),
        ),
        lambda: (nn.MultiheadAttention(8, 2, batch_first=True), (torch.ones(2, 5, 8), *[torch.ones(2, 4, 8)] * 2)),
    ],
)
def test_a_call_that_differs_is_run(other: Call) -> None:
    fakes, repeats, ran = FakeTensorMode(allow_non_fake_inputs=True), Repeats(), []

    def call(module: nn.Module, *args: Any) -> Any:
        ran.append(module)
        return module(*args)

    for make in (attention(), other):
        module, args = faked(make, fakes)
        if len(args) == 3 and other is not make:
            args = (args[0],) * 3
        with fakes:
            repeats(call, module, args, {})
    assert len(ran) == 2
