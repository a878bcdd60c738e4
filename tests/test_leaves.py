"""The rules for layers give what the layers themselves give on fake tensors, and leave the rest to them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import fxnas
from fxnas.errors import TraceError
from fxnas.tracing.fakes import fakes_of
from fxnas.tracing.leaves import _RULES, output_of

Call = tuple[nn.Module, Callable[[], Tensor], bool]
FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
WIDTHS = st.sampled_from([1, 2, 3, 4, 6, 8])
SIZES = st.integers(1, 7)


def form(output: Any, x: Tensor) -> tuple[Any, ...]:
    """All that Python can see of an output but its values."""
    assert isinstance(output, Tensor)
    memory = output.untyped_storage()
    return (
        tuple(output.shape), output.dtype, output.stride(), output.storage_offset(), output.device, output.layout,
        output.requires_grad, output.is_leaf, output.grad_fn is None, output is x, type(output),
        isinstance(output, nn.Parameter), memory._cdata == x.untyped_storage()._cdata, memory.nbytes(),
    )  # fmt: skip


def answers(module: nn.Module, make: Callable[[], Tensor], grad: bool = True) -> bool:
    """Runs rule and layer, each on an input of its own, and compares; whether the rule had an answer."""
    fakes = FakeTensorMode(allow_non_fake_inputs=True)
    model = copy.deepcopy(module)
    made = fakes_of([*model.parameters(), *model.buffers()], fakes)
    for table in (model._parameters, model._buffers):
        table.update({name: made[id(tensor)] for name, tensor in table.items() if tensor is not None})
    with fakes, torch.set_grad_enabled(grad):
        x, y = make(), make()
        versions = x._version, y._version
        found = output_of(model, (x,), {})
        if found is None:
            return False
        expected = model(y)
        assert form(found, x) == form(expected, y)
        assert (x._version > versions[0]) == (y._version > versions[1])
        assert (x.requires_grad, x.is_leaf) == (y.requires_grad, y.is_leaf)
    return True


def arguments(draw: st.DrawFn, name: str, shape: list[int], spatial: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a layer is made with, mostly so that the input fits."""
    each: Any = st.one_of(st.integers(1, 3), st.tuples(*[st.integers(1, 3)] * max(spatial, 1)))
    channels = shape[1] if len(shape) > 1 else 4
    divisors = st.sampled_from([g for g in (1, 1, 2, 3, channels) if channels % g == 0])
    if name.startswith("Conv"):
        padding = draw(st.one_of(each, st.sampled_from([0, 1, "same", "valid"])))
        groups = draw(divisors)
        return (channels, groups * draw(st.integers(1, 3)), draw(each)), {
            "groups": groups, "bias": draw(st.booleans()), "dilation": draw(each), "padding": padding,
            "stride": 1 if padding == "same" else draw(each),
            "padding_mode": draw(st.sampled_from(["zeros", "zeros", "zeros", "circular"])),
        }  # fmt: skip
    if name.startswith("BatchNorm"):
        options = {"affine": draw(st.booleans()), "track_running_stats": draw(st.booleans())}
        return (channels,), {**options, "momentum": draw(st.sampled_from([0.1, 0.1, None]))}
    if name in ("MaxPool2d", "AvgPool2d"):
        options = {"padding": draw(st.integers(0, 1)), "ceil_mode": draw(st.booleans())}
        more = {"dilation": draw(st.integers(1, 2))} if name == "MaxPool2d" else {"count_include_pad": False}
        return (draw(each), draw(st.one_of(st.none(), each))), {**options, **more}
    if name == "AdaptiveAvgPool2d":
        return (draw(st.one_of(SIZES, st.tuples(*[st.one_of(SIZES, st.none())] * 2))),), {}
    if name == "LayerNorm":
        last = draw(st.integers(1, len(shape)))
        return (shape[-last:],), {"elementwise_affine": draw(st.booleans()), "bias": draw(st.booleans())}
    simple: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
        "Linear": ((shape[-1], draw(WIDTHS)), {"bias": draw(st.booleans())}),
        "GroupNorm": ((draw(divisors), channels), {"affine": draw(st.booleans())}),
        "Embedding": ((11, draw(WIDTHS)), {"padding_idx": draw(st.sampled_from([None, 0]))}),
        "Dropout": ((draw(st.sampled_from([0.0, 0.3, 1.0])), draw(st.booleans())), {}),
        "GELU": ((draw(st.sampled_from(["none", "tanh"])),), {}),
    }
    in_place = "inplace" in getattr(getattr(nn, name), "__constants__", ())
    return simple.get(name, ((), {"inplace": draw(st.booleans())} if in_place else {}))


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """A layer, an input that may or may not fit, and whether gradients are on."""
    kind = draw(st.sampled_from(sorted(_RULES, key=lambda k: k.__name__)))
    spatial = next((n for n in (1, 2, 3) if kind.__name__.endswith(f"{n}d")), 0)
    dims = draw(st.sampled_from([spatial + 2] * 6 + [1, 2, 3, 4]) if spatial else st.integers(1, 4))
    shape = [draw(st.sampled_from([1, 2, 5, 1009])), draw(WIDTHS), *(draw(SIZES) for _ in range(3))][:dims]
    given_arguments, options = arguments(draw, kind.__name__, shape, spatial)
    dtype = draw(st.sampled_from(FLOATS))
    module = kind(*given_arguments, **options).to(dtype).train(draw(st.booleans()))
    module.requires_grad_(draw(st.integers(0, 4)) != 0)
    of_input = torch.int64 if kind is nn.Embedding else draw(st.sampled_from([dtype] * 9 + list(FLOATS)))
    layout = draw(st.sampled_from(["plain"] * 6 + ["channels_last", "transposed", "leaf"]))

    def make() -> Tensor:
        x = torch.empty(shape, dtype=of_input)
        if layout == "channels_last" and len(shape) == 4:
            return x.to(memory_format=torch.channels_last)
        if layout == "leaf" and x.is_floating_point():
            return x.requires_grad_()
        return x.transpose(0, -1) if layout == "transposed" else x

    return module, make, draw(st.booleans())


@settings(deadline=None, max_examples=200)
@given(calls())
def test_a_rule_gives_what_the_layer_gives(call: Call) -> None:
    answers(*call)


ARGUMENTS: dict[type[nn.Module], tuple[Any, ...]] = {
    nn.Conv1d: (4, 6, 3), nn.Conv2d: (4, 6, 3), nn.Conv3d: (4, 6, 3), nn.Linear: (5, 3), nn.LayerNorm: (5,),
    nn.BatchNorm1d: (4,), nn.BatchNorm2d: (4,), nn.BatchNorm3d: (4,), nn.GroupNorm: (2, 4), nn.Embedding: (9, 3),
    nn.MaxPool2d: (2,), nn.AvgPool2d: (2,), nn.AdaptiveAvgPool2d: (2,),
}  # fmt: skip


@pytest.mark.parametrize("kind", _RULES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("training", [True, False])
def test_every_rule_answers_for_the_plain_call(kind: type[nn.Module], training: bool) -> None:
    spatial = next((n for n in (1, 3) if kind.__name__.endswith(f"{n}d")), 2)
    shape = (2, 4, *[5] * spatial)
    dtype = torch.int64 if kind is nn.Embedding else torch.float32
    assert answers(kind(*ARGUMENTS.get(kind, ())).train(training), lambda: torch.ones(shape, dtype=dtype))


def test_a_layer_with_a_hook_is_run() -> None:
    layer = nn.Linear(4, 4)
    layer.register_forward_hook(lambda module, inputs, output: output[:, :2])
    seen: list[torch.Size] = []

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            y = self.layer(x)
            seen.append(y.shape)
            return y

    fxnas.trace(Model(), torch.randn(2, 4))
    assert all(shape[1] == 2 for shape in seen)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(4, 2), (2, 3)),
        (nn.Conv2d(4, 2, 3), (2, 3, 8, 8)),
        (nn.Conv2d(4, 2, 3), (2, 4, 2, 2)),
        (nn.BatchNorm2d(4), (2, 3, 8, 8)),
        (nn.BatchNorm2d(4), (2, 4)),
        (nn.LayerNorm(4), (2, 3)),
        (nn.GroupNorm(2, 4), (2, 6, 3)),
        (nn.MaxPool2d(3), (2, 3, 2, 2)),
    ],
    ids=str,
)
def test_an_input_that_does_not_fit_is_an_error_at_the_users_line(layer: nn.Module, shape: tuple[int, ...]) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)  # here

    line = Model.forward.__code__.co_firstlineno + 1
    with pytest.raises(TraceError, match=rf"test_leaves\.py:{line} in forward"):
        fxnas.trace(Model(), torch.randn(shape))


def test_tensors_that_share_memory_share_it_as_fakes() -> None:
    weight, view = nn.Parameter(torch.randn(4, 4)), torch.randn(4, 4)
    tensors = [weight, view, view[:2], view.t(), torch.randn(2).requires_grad_(), torch.zeros(3, dtype=torch.int64)]
    fakes = FakeTensorMode(allow_non_fake_inputs=True)
    made = fakes_of(tensors, fakes)
    for tensor in tensors:
        fake, usual = made[id(tensor)], FakeTensorMode().from_tensor(tensor)
        assert form(fake, fake) == form(usual, usual)
        assert fakes.from_tensor(tensor) is fake
    numbers = [made[id(tensor)].untyped_storage()._cdata for tensor in tensors]
    assert numbers[1] == numbers[2] == numbers[3]
    assert len(set(numbers)) == 4
