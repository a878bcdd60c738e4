"""Tracing by recording: whatever Python does around the torch calls, the graph computes what the model computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fxnas.errors import TraceError
from fxnas.nn import LayerChoice
from fxnas.passes import materialize
from fxnas.select import select
from fxnas.trace import trace
from tests.law import same_bits
from tests.trace_help import (
    Function,
    Layers,
    Record,
    assert_equal,
    assert_follows,
    image,
    targets,
    x4,
)

# -- inputs


class Inputs(nn.Module):
    def forward(self, x, y=None, *, scale: float = 1.0, flag: bool = False):
        z = x * scale
        if y is not None:
            z = z + y
        return -z if flag else z


@pytest.mark.parametrize(
    ("example", "args", "kwargs"),
    [
        (x4(), (x4(3),), {}),
        ((x4(),), (x4(3),), {}),
        ((x4(), x4()), (x4(3), x4(3) * 2), {}),
        ({"x": x4()}, (), {"x": x4(3)}),
        ({"y": x4(), "x": x4()}, (), {"y": x4(3), "x": x4(3) * 2}),
        (((x4(),), {"y": x4()}), (x4(3),), {"y": x4(3)}),
        (((x4(),), {"scale": 2.0}), (x4(3),), {"scale": 2.0}),
        (((x4(),), {"flag": True, "scale": 0.5}), (x4(3),), {"scale": 0.5, "flag": True}),
    ],
    ids=["tensor", "tuple", "two", "keyword", "keywords in another order", "both", "number", "numbers"],
)
def test_inputs_are_given_as_to_the_model(example: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    model = Inputs()
    assert_follows(model, trace(model, example, check=True), *args, **kwargs)


def test_arguments_may_be_given_in_another_way_than_in_the_example() -> None:
    model = Inputs()
    graph = trace(model, (x4(), x4()))
    assert_follows(model, graph, x=x4(3), y=x4(3))
    assert_follows(model, graph, x4(3), y=x4(3))


class Nested(nn.Module):
    def forward(self, batch):
        left, (middle, others) = batch["left"], batch["rest"]
        return {"sum": left + middle + sum(others.values()), "left": left}


def test_a_batch_may_be_any_nest_of_tensors() -> None:
    def batch(size: int) -> dict[str, Any]:
        return {"left": x4(size), "rest": [x4(size) * 2, {"a": x4(size) * 3, "b b": x4(size) * 4}]}

    model = Nested()
    assert_follows(model, trace(model, batch(2), check=True), batch(3))


class Fields(nn.Module):
    def forward(self, pair):
        return Record(pair.one + pair.two, pair.one - pair.two)


def test_a_batch_may_be_a_named_tuple() -> None:
    model = Fields()
    graph = trace(model, (Record(x4(), x4() * 2),))
    assert_follows(model, graph, Record(x4(3), x4(3) * 2))


class Star(nn.Module):
    def forward(self, first, *rest, last, **others):
        return first + sum(rest) - last * others["one"] / others["two"]


def test_star_arguments() -> None:
    def inputs(batch: int) -> tuple[Any, Any]:
        x = x4(batch)
        return (x, x * 2, x * 3), {"last": x + 1, "two": x * x + 1, "one": x - 1}

    model = Star()
    args, kwargs = inputs(3)
    assert_follows(model, trace(model, inputs(2)), *args, **kwargs)


class Omitted(nn.Module):
    def forward(self, x, middle=None, factor=2, last=None):
        x = x if middle is None else x + middle
        return x * factor if last is None else x * factor + last


@pytest.mark.parametrize("kwargs", [{}, {"last": x4(3)}, {"factor": 3}, {"factor": 3, "last": x4(3)}])
def test_middle_arguments_may_be_left_out(kwargs: dict[str, Any]) -> None:
    model = Omitted()
    example = {name: value[:2] if isinstance(value, Tensor) else value for name, value in kwargs.items()}
    graph = trace(model, ((x4(),), example))
    assert_follows(model, graph, x4(3), **kwargs)


def test_what_is_no_tensor_is_part_of_the_graph_and_checked() -> None:
    model = Inputs()
    graph = trace(model, ((x4(),), {"flag": True}))
    assert_follows(model, graph, x4(), flag=True)
    for module in (graph, materialize(graph, {})):
        with pytest.raises(AssertionError, match=r"flag.*True"):
            module(x4(), flag=False)


class _Skipped(nn.Module):
    def forward(self, x, sizes=(2, 3), dtype=torch.float64, *, shift):
        return (x * sizes[1]).to(dtype) + shift


def test_a_default_may_stand_before_a_keyword_only_argument() -> None:
    x, model = x4(), _Skipped()
    graph = trace(model, ((x,), {"shift": x}))
    for run in (graph, materialize(graph, {})):
        for args in ((x,), (x, (2, 3)), (x, (2, 3), torch.float64)):
            assert_equal(model(*args, shift=x), run(*args, shift=x))
        with pytest.raises(AssertionError, match=r"argument sizes was \(2, 3\) when the model was traced"):
            run(x, (2, 4), shift=x)
        with pytest.raises(AssertionError, match=r"argument dtype was torch\.float64 when the model was traced"):
            run(x, (2, 3), torch.float32, shift=x)
        with pytest.raises(AssertionError, match="argument shift was given when the model was traced: give it"):
            run(x)


class _Cast(nn.Module):
    def forward(self, x, dtype):
        return x.to(dtype)


def test_a_dtype_that_is_given_is_part_of_the_graph() -> None:
    graph = trace(_Cast(), (x4(), torch.float64))
    with pytest.raises(AssertionError, match=r"argument dtype was torch\.float64 when the model was traced"):
        graph(x4(), torch.float32)


def test_an_argument_left_out_of_the_example_has_its_default() -> None:
    graph = trace(Inputs(), x4())
    assert torch.equal(graph(x4(3)), x4(3))
    with pytest.raises((AssertionError, TypeError)):
        graph(x4(3), flag=True)
    with pytest.raises((AssertionError, TypeError)):
        graph(x4(3), x4(3))


def test_an_input_that_is_none_stays_none() -> None:
    graph = trace(Inputs(), (x4(), None))
    assert torch.equal(graph(x4(3), None), x4(3))
    with pytest.raises(AssertionError, match="argument y was None"):
        graph(x4(3), x4(3))


@pytest.mark.parametrize("example", [(), (x4(), x4(), x4()), {"y": x4()}, ((x4(),), {"x": x4()})])
def test_inputs_that_do_not_fit_are_refused(example: Any) -> None:
    with pytest.raises(TraceError, match=r"Inputs\.forward"):
        trace(Inputs(), example)


def test_only_a_module_can_be_traced() -> None:
    with pytest.raises(TraceError, match="module"):
        trace(torch.tanh, x4())  # type: ignore[arg-type]


# -- the graph at module level


def test_layers_of_torch_are_one_node_each_under_their_own_names() -> None:
    graph = trace(Layers(), image(), check=True)
    assert targets(graph, "call_module") == ["conv", "block.0", "block.1", "lists.0", "lists.1"]
    assert len(graph.graph.nodes) == 7


def test_a_module_of_ones_own_is_looked_into() -> None:
    graph = trace(nn.Sequential(Layers(), Layers()), image())
    assert targets(graph, "call_module")[:2] == ["0.conv", "0.block.0"]


def test_a_model_without_choices() -> None:
    model = Layers()
    graph = trace(model, image())
    assert len(graph.space) == 0
    assert graph.space.size == 1
    assert_follows(model, graph, image(3))


def test_a_model_that_is_a_choice() -> None:
    model = LayerChoice({"wide": nn.Linear(4, 8), "two": nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 8))})
    graph = trace(model, x4())
    assert list(graph.space) == ["choice"]
    for name in ("wide", "two"):
        assert_follows(select(model, {"choice": name}), graph.select({"choice": name}), x4(3))


def test_a_model_that_is_a_layer_of_torch() -> None:
    model = nn.Linear(4, 2)
    assert_follows(model, trace(model, x4()), x4(3))


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.op = LayerChoice([nn.Tanh(), nn.Sequential(nn.Linear(4, 4), nn.ReLU())])

    def forward(self, x):
        for _ in range(2):
            x = self.op(self.norm(self.layer(x)))
        return x


def test_a_module_and_a_choice_called_twice() -> None:
    model = Twice()
    graph = trace(model, x4())
    assert targets(graph, "call_module").count("layer") == 2
    assert graph.space.size == 2
    for index in range(2):
        assert_follows(select(model, {"op": index}), graph.select({"op": index}), x4(3))
    assert sum(p.numel() for p in materialize(graph, {"op": 0}).parameters()) == 20 + 8


class Gated(nn.Module):
    """Control flow on shapes, types and attributes: Python runs as it is."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(depth))
        self.depth = depth

    def forward(self, x):
        if x.dim() == 2 and x.shape[1] == 4 and x.dtype.is_floating_point and not x.is_complex():
            x = x * 2
        for i, layer in enumerate(self.layers):
            x = layer(x) if i % 2 else layer(x).relu()
        while x.shape[1] > 1:
            x = x[:, : x.shape[1] // 2] + x[:, x.shape[1] // 2 :]
        try:
            x = x @ x.new_zeros(7, 7)
        except RuntimeError:
            x = x + 1
        return [x[:, i] for i in range(x.size(1))] if isinstance(x, Tensor) else None


def test_control_flow_on_shapes_is_python() -> None:
    model = Gated(3)
    assert_follows(model, trace(model, x4()), x4(3))


class Readers(nn.Module):
    """Reads properties of tensors and modules."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        noise = torch.ones(x.shape, device=x.device, dtype=x.dtype)
        like = torch.zeros((), device=next(self.parameters()).device).type_as(x).to(self.layer.weight.dtype)
        y = self.layer(x.to(self.layer.weight.device)) + noise + like
        y = y + torch.tensor(y.ndim + y.element_size() + len(self.layer.weight), dtype=y.dtype)
        return y.T.mT + x.real * (1 if x.is_contiguous() else 2) + torch.finfo(x.dtype).eps


def test_properties_of_tensors() -> None:
    model = Readers()
    assert_follows(model, trace(model, x4()), x4(3))


def test_devices_are_read_when_the_graph_runs() -> None:
    graph = trace(Function(lambda x: x + torch.arange(4, device=x.device)), x4())
    child = materialize(graph, {})
    meta = torch.empty(3, 4, device="meta")
    assert graph(meta).device == child(meta).device == meta.device


# -- outputs


@dataclass
class Output:
    logits: Tensor
    hidden: tuple[Tensor, ...] = ()
    loss: Tensor | None = None


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x, x * 2),
        lambda x: [x, (x * 2, {"a": x * 3})],
        lambda x: {"b": x, "a": [x + 1, None], "c": 3, "d": "text", "e": 1.5, "f": True},
        lambda x: Record(x, x + 1),
        lambda x: Output(x, (x * 2, x * 3)),
        lambda x: {"nested": Output(x)},
        lambda x: (Record(x, x - 1), [Output(x, (x,), x.sum())]),
        lambda x: (x,),
        lambda x: x.max(1),
        lambda x: torch.sort(x, dim=1),
        lambda x: x,
        lambda x: (x, x),
        lambda x: x.shape[1] * 2,
        lambda x: (x, x.size(0)),
        lambda x: None,
        lambda x: (),
        lambda x: x.shape,
    ],
)  # fmt: skip
def test_outputs_keep_their_form(function: Callable[[Tensor], Any]) -> None:
    model = Function(function)
    graph = trace(model, x4())
    for run in (graph, materialize(graph, {})):
        assert_form(model(x4(3)), run(x4(3)))


def assert_form(one: Any, other: Any) -> None:
    if isinstance(one, Tensor):
        assert same_bits(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_form(one[key], other[key])
    elif isinstance(one, tuple | list):
        assert type(one) is type(other) or type(one).__module__ == "torch.return_types" or isinstance(one, torch.Size)
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_form(a, b)
    elif isinstance(one, Output):
        assert type(other) is Output
        assert_form(vars(one), vars(other))
    else:
        assert one == other


def test_an_output_that_no_graph_can_hold_is_refused() -> None:
    with pytest.raises(TraceError, match="object"):
        trace(Function(lambda x: (x, object())), x4())
