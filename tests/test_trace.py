"""Tracing by recording: whatever Python does around the torch calls, the graph computes what the model computes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import fxnas.check
from fxnas.errors import FxnasError, SearchSpaceError, TraceError
from fxnas.graph import ChoiceGraph
from fxnas.nn import InputChoice, LayerChoice
from fxnas.passes import materialize
from fxnas.select import select
from fxnas.trace import trace
from tests.law import same_bits


def x4(batch: int = 2) -> Tensor:
    return torch.randn(batch, 4, generator=torch.Generator().manual_seed(batch))


def image(batch: int = 2) -> Tensor:
    return torch.randn(batch, 4, 6, 6, generator=torch.Generator().manual_seed(batch))


def plain(tree: Any) -> list[Any]:
    """The leaves of any output, dataclasses and None included."""
    if hasattr(tree, "__dataclass_fields__"):
        tree = vars(tree)
    return pytree.tree_leaves(tree, is_leaf=lambda leaf: leaf is None)


def assert_equal(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    assert pytree.tree_structure(one) == pytree.tree_structure(other)
    assert all(same_bits(a, b) for a, b in zip(plain(one), plain(other), strict=True))


def assert_follows(model: nn.Module, graph: ChoiceGraph, *args: Any, **kwargs: Any) -> None:
    """Graph and materialized module give what the model gives, from equal random states, on copies of the inputs."""
    child = materialize(graph, graph.architecture)
    results = []
    for run in (copy.deepcopy(model), copy.deepcopy(graph), child):
        torch.manual_seed(0)
        results.append(run(*copy.deepcopy(args), **copy.deepcopy(kwargs)))
    assert_equal(results[0], results[1])
    assert_equal(results[0], results[2])


def targets(graph: ChoiceGraph, op: str) -> list[str]:
    return [str(node.target) for node in graph.graph.nodes if node.op == op]


class Function(nn.Module):
    """A module around a function of tensors."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


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


class Record(NamedTuple):
    one: Tensor
    two: Tensor


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


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.block = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU())
        self.lists = nn.ModuleList([nn.Linear(6, 6), nn.Dropout(0.5)])

    def forward(self, x):
        x = self.block(self.conv(x))
        for layer in self.lists:
            x = layer(x)
        return x


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


# -- the batch size


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.view(x.size(0), -1),
        lambda x: x.reshape(x.shape[0] * 2, -1),
        lambda x: x.reshape(2 * x.shape[0], 2, -1),
        lambda x: x[: x.shape[0] // 2],
        lambda x: x[x.size(0) - 1 :],
        lambda x: x[-(x.size(0) // 2) :],
        lambda x: x + torch.zeros(x.shape[0], 4),
        lambda x: x + torch.zeros(x.shape),
        lambda x: x + torch.ones(x.size()),
        lambda x: x + torch.full((x.size(0), 1), 2.0),
        lambda x: x + torch.arange(x.size(0))[:, None],
        lambda x: x + torch.linspace(0, 1, x.size(0))[:, None],
        lambda x: x + torch.eye(x.size(0))[:, :1],
        lambda x: torch.ones(1, 4).expand(x.size(0), -1) * x,
        lambda x: torch.ones(1, 4).repeat(x.size(0), 1) * x,
        lambda x: torch.ones(4).expand(x.shape) * x,
        lambda x: x.sum(0) / x.size(0),
        lambda x: x.sum() / x.numel(),
        lambda x: x * (1 / x.size(0)),
        lambda x: x * (x.size(0) % 3 + x.size(0) ** 2),
        lambda x: x.new_zeros(x.size(0), 2).sum() + x,
        lambda x: torch.cat([x, x]).view(x.size(0), 2, 4).sum(1),
        lambda x: torch.cat([x, x]).chunk(2)[1],
        lambda x: x.split(x.size(0))[0],
        lambda x: x.unsqueeze(0).reshape(-1, 2),
        lambda x: x.flatten(),
        lambda x: torch.stack([x, x]).transpose(0, 1).reshape(x.shape[0], -1),
        lambda x: torch.empty(x.shape).fill_(2) * x,
        lambda x: F.pad(x, (0, 0, 0, x.size(0))),
        lambda x: x.index_select(0, torch.arange(x.size(0) - 1, -1, -1)),
        lambda x: torch.cat([x, torch.zeros(1, 4)]).view((x.size(0) + 1) * 4),
        lambda x: torch.cat([x, torch.zeros(1, 4)]).view(-1, 2)[: x.size(0) * 2],
        lambda x: x.mean((0,)) + torch.tensor(x.shape[0]),
        lambda x: x.shape[0] * x + x.size()[0],
        lambda x: torch.narrow(x, 0, 0, x.size(0) // 2),
        lambda x: x.repeat_interleave(x.size(0), 0),
    ],
)  # fmt: skip
def test_sizes_that_come_from_the_batch_follow_it(function: Callable[[Tensor], Tensor]) -> None:
    model = Function(function)
    graph = trace(model, x4(2), check=True)
    for batch in (2, 4, 6, 10):
        assert_follows(model, graph, x4(batch))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[: len(x) // 2],
        lambda x: x + torch.arange(len(x))[:, None],
        lambda x: torch.stack([row.tanh() for row in x]),
        lambda x: torch.stack(list(x.unbind(0))),
        lambda x: x * 2 if x.shape[0] > 16 else x,
        lambda x: x * 2 if x.shape[0] % 2 else x,
        lambda x: x * 2 if x.shape[0] == 2 else x,
        lambda x: x * min(x.shape[0], 16),
        lambda x: x * max(x.size(0), 3),
        lambda x: x * int(x.size(0) ** 0.5),
        lambda x: x * round(x.size(0) / 2),
        lambda x: x * (x.size(0) & 3),
        lambda x: x * len(str(x.size(0))),
        lambda x: x * len(range(x.size(0))),
        lambda x: x * [3, 5][x.size(0) % 2],
        lambda x: x * bool(x.size(0) - 2),
        lambda x: x * {2: 0.5}.get(x.size(0), 2.0),
        lambda x: x.reshape(x.shape[0] // 2, -1),
        lambda x: x * float(x.size(dim=0)),
        lambda x: (y := torch.cat([x, torch.zeros(1, 4)])).reshape(y.shape[0], 2, 2),
    ],
)  # fmt: skip
def test_a_batch_size_that_python_reads_is_followed_or_refused_with_its_line(
    function: Callable[[Tensor], Tensor],
) -> None:
    model = Function(function)
    try:
        graph = trace(model, x4(2))
    except TraceError as error:
        line = function.__code__.co_firstlineno
        assert f"test_trace.py:{line} in <lambda>" in str(error)
        assert "dynamic_batch=False" in str(error)
    else:
        for batch in (2, 4, 6, 18, 64):
            assert_follows(model, graph, x4(batch))
    fixed = trace(model, x4(2), dynamic_batch=False)
    assert_follows(model, fixed, x4(2))


def test_a_static_batch_is_as_traced() -> None:
    model = Function(lambda x: x.view(len(x) * 2, -1))
    graph = trace(model, x4(2), dynamic_batch=False)
    assert_follows(model, graph, x4(2))
    assert targets(graph, "call_method") == ["view"]


class OnlyTwo(nn.Module):
    def forward(self, x):
        assert x.shape[0] == 2, "two rows"
        return x * 2


def test_a_model_for_one_batch_size_says_how_to_trace_it() -> None:
    with pytest.raises(TraceError, match=r"(?s)two rows.*dynamic_batch=False"):
        trace(OnlyTwo(), x4(2))
    graph = trace(OnlyTwo(), x4(2), dynamic_batch=False)
    assert torch.equal(graph(x4(2)), x4(2) * 2)


def test_a_batch_of_one_is_no_special_case() -> None:
    model = Function(lambda x: x.squeeze(0) + x.view(x.size(0), 2, 2).sum((1, 2), keepdim=True).flatten(1))
    graph = trace(model, x4(1))
    for batch in (1, 2, 3):
        assert_follows(model, graph, x4(batch))


def test_inputs_of_several_batches() -> None:
    """Inputs whose first dimension isn't the batch keep it."""
    model = Star2()
    graph = trace(model, (x4(2), torch.randn(5, 4)))
    assert_follows(model, graph, x4(3), torch.randn(5, 4))


class Star2(nn.Module):
    def forward(self, x, table):
        return (x @ table.T).view(x.size(0), table.size(0)) * table.size(0)


# -- in place


def set_item(x: Tensor) -> Tensor:
    y = x.clone()
    y[:, 0] = 1
    y[0] += 2
    y[y > 1] = 0.5
    y[..., -1:] = x[..., :1]
    return y


def methods(x: Tensor) -> Tensor:
    y = x + 0
    y.mul_(2).add_(1)
    y.clamp_(-1, 1)
    y.zero_() if False else y.neg_()
    return y


def operators(x: Tensor) -> Tensor:
    y = x * 1
    y += 1
    y -= x
    y *= 2
    y /= 3
    y **= 2
    y //= 0.25
    y %= 2
    return y


def out(x: Tensor) -> Tensor:
    y, z = torch.empty_like(x), torch.zeros(x.shape)
    torch.add(x, 1, out=y)
    torch.mul(y, y, out=z)
    return y + z


def views(x: Tensor) -> Tensor:
    y = x.clone()
    left, right = y.chunk(2, 1)
    left *= 2
    right.t()[0].add_(1)
    flat = y.view(-1)
    flat[1:3] = 7
    y.transpose(0, 1)[1].zero_()
    rows = y.unbind(1)
    rows[2].sub_(3)
    return y


def views_read_later(x: Tensor) -> tuple[Tensor, Tensor]:
    y = x.clone()
    view = y[:, 1:3]
    before = view.sum()
    y.mul_(3)
    return view, before


def aliases(x: Tensor) -> Tensor:
    y = x + 0
    z = y
    z += 1
    kept = [y]
    kept[0] *= 2
    return y - z + kept[0]


def functions(x: Tensor) -> Tensor:
    y = x + 0
    F.relu(y, inplace=True)
    torch.relu_(y)
    F.dropout(y, 0.5, training=True, inplace=True)
    nn.init.constant_(y[:, 0], 2)
    torch.nn.functional.threshold(y, 0.1, 20.0, inplace=True)
    return y


def copies(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y.copy_(x)
    y.index_add_(0, torch.tensor([0]), x[:1])
    y.scatter_(1, torch.zeros(x.size(0), 1, dtype=torch.long), 9.0)
    y.data.add_(1)
    return y.detach().masked_fill_(y > 5, 0) + y


def named_by_nobody(x: Tensor) -> Tensor:
    """torch.fx's own dead-code elimination would drop each of these."""
    y = x.clone()
    y.add_(1)
    y[:, 0].mul_(5)
    torch.mul(y, 2, out=y)
    y.unsqueeze(0).squeeze(0).sub_(1)
    return y


def resized_view(x: Tensor) -> Tensor:
    y = x.clone()
    y.t_()
    y.unsqueeze_(0)
    y.squeeze_(0).t_()
    return y * 2


def no_grad(x: Tensor) -> Tensor:
    y = x * 2
    with torch.no_grad():
        y.add_(1)
        z = y * 3
    return y + z + x.detach()


IN_PLACE = [
    set_item, methods, operators, out, views, views_read_later, aliases, functions, copies, named_by_nobody,
    resized_view, no_grad,
]  # fmt: skip


@pytest.mark.parametrize("function", IN_PLACE, ids=lambda function: function.__name__)
def test_in_place_operations_keep_their_effect(function: Callable[[Tensor], Any]) -> None:
    model = Function(function)
    graph = trace(model, x4())
    assert_follows(model, graph, x4())
    assert_follows(model, graph, x4(3))


def test_a_write_to_an_input_is_seen_by_the_caller() -> None:
    graph = trace(Function(lambda x: x.add_(1)[:, 0]), x4())
    for run in (graph, materialize(graph, {})):
        x = x4(3)
        run(x)
        assert torch.equal(x, x4(3) + 1)


def test_a_write_that_nobody_reads_is_left_out() -> None:
    def function(x: Tensor) -> Tensor:
        y = x * 3
        y.add_(1)
        return x * 2

    graph = trace(Function(function), x4())
    assert len(graph.graph.nodes) == 3


def test_gradients_are_switched_off_where_they_were() -> None:
    graph = trace(Function(no_grad), x4())
    gradients = []
    for run in (no_grad, graph, materialize(graph, {})):
        x = x4(3).requires_grad_()
        run(x).sum().backward()
        gradients.append(x.grad)
    assert torch.equal(gradients[0], torch.full((3, 4), 2.0))
    assert all(torch.equal(gradients[0], gradient) for gradient in gradients)


class Decorated(nn.Module):
    @torch.no_grad()
    def frozen(self, x):
        return x * 2

    def forward(self, x):
        return self.frozen(x) + torch.inference_mode(False)(torch.tanh)(x)


def test_a_no_grad_decorator() -> None:
    model = Decorated()
    graph = trace(model, x4())
    x, y = x4(3).requires_grad_(), x4(3).requires_grad_()
    model(x).sum().backward()
    graph(y).sum().backward()
    assert torch.equal(x.grad, y.grad)


# -- state


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("n", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(4), persistent=False)
        self.register_buffer("nothing", None)

    def forward(self, x):
        self.n += 1
        if self.training:
            self.mean.mul_(0.9).add_(x.detach().mean(0), alpha=0.1)
        return x - self.mean + self.n


def test_buffers_are_written_to() -> None:
    model = Counting()
    reference = copy.deepcopy(model)
    graph = trace(model, x4())
    assert model.n == 0
    for training in (True, False, True):
        assert torch.equal(graph.train(training)(x4(3)), reference.train(training)(x4(3)))
        assert torch.equal(model.n, reference.n)
        assert torch.equal(model.mean, reference.mean)


def test_a_buffer_that_is_not_saved_stays_so() -> None:
    model = ConstantTables()
    graph = trace(model, x4())
    child = materialize(graph, {})
    assert set(graph.state_dict()) == set(model.state_dict()) == {"saved", "weight"}
    assert set(child.state_dict()) == {"saved", "weight"}
    assert_follows(model, graph, x4(3))
    assert not any("unsaved" in name or "plain" in name for name in child.state_dict())


class ConstantTables(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4))
        self.register_buffer("saved", torch.randn(4))
        self.register_buffer("unsaved", torch.randn(4), persistent=False)
        self.plain = torch.randn(4)
        self.kept = {"in a dict": torch.randn(4), "in a list": [torch.randn(4)]}

    def forward(self, x):
        table = self.kept["in a dict"] + self.kept["in a list"][0] + GLOBAL
        return x * self.weight + self.saved - self.unsaved * self.plain + table


GLOBAL = torch.randn(4)


def test_tensors_that_belong_to_no_module_are_constants() -> None:
    model = ConstantTables()
    graph = trace(model, x4())
    assert_follows(model, graph, x4(3))


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4, 3, 3))
        self.bias = nn.Parameter(torch.randn(4))
        self.register_buffer("running_mean", torch.zeros(4))
        self.register_buffer("running_var", torch.ones(4))
        self.scales = nn.ParameterList([torch.ones(1) * 2, torch.ones(1) * 3])
        self.table = nn.ParameterDict({"shift": torch.ones(1)})

    def forward(self, x):
        x = F.conv2d(x, self.weight, self.bias, padding=1)
        x = F.batch_norm(x, self.running_mean, self.running_var, training=self.training)
        x = F.group_norm(x, 2) * self.scales[0] + sum(self.scales) + self.table["shift"]
        return F.dropout2d(F.interpolate(x, scale_factor=2), 0.5, self.training).flatten(1) @ x.new_ones(576, 2)


def test_functional_calls_on_parameters_and_buffers() -> None:
    model = Functional()
    reference = copy.deepcopy(model)
    graph = trace(model, image())
    for training in (True, False):
        for run in (reference.train(training), graph.train(training)):
            torch.manual_seed(0)
            run.result = run(image(3))
        assert torch.equal(reference.result, graph.result)
        assert torch.equal(reference.running_var, model.running_var)
    assert_follows(model.eval(), graph, image(3))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embedding.weight
        self.again = self.head
        self.op = LayerChoice([nn.Identity(), nn.Sequential(self.head, nn.Linear(10, 4))])

    def forward(self, tokens):
        return self.again(self.op(self.embedding(tokens)))


def test_tied_parameters_stay_tied() -> None:
    model = Tied()
    graph = trace(model, torch.arange(4).view(2, 2))
    for index in range(2):
        graph.select({"op": index})
        child = materialize(graph, {"op": index})
        assert_follows(select(model, {"op": index}), graph, torch.arange(6).view(3, 2))
        tied = {id(p) for name, p in child.named_parameters(remove_duplicate=False) if not name.startswith("op.1.1")}
        assert len(tied) == 1
        child(torch.arange(4).view(2, 2)).sum().backward()
    assert len(list(graph.parameters())) == len(list(model.parameters()))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True)

    def forward(self, x):
        y, weights = self.attention(x, x, x)
        return self.encoder(y), weights


def test_multi_head_attention() -> None:
    model = Attention()
    graph = trace(model, torch.randn(2, 5, 4))
    for training in (True, False):
        assert_follows(model.train(training), graph, torch.randn(3, 5, 4))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3, batch_first=True, num_layers=2)
        self.gru = nn.GRU(3, 3, batch_first=True)
        self.cell = nn.LSTMCell(3, 3)

    def forward(self, x):
        y, (hidden, cell) = self.lstm(x)
        z, last = self.gru(y, hidden[:1])
        for step in range(z.shape[1]):
            hidden_, cell_ = self.cell(z[:, step], (last[0], cell[0]))
        return hidden_ + cell_, z


def test_recurrent_layers() -> None:
    model = Recurrent()
    assert_follows(model, trace(model, torch.randn(2, 5, 4)), torch.randn(3, 5, 4))


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


# -- what is refused, with the user's line


def branch_on_data(x: Tensor) -> Tensor:
    if x.sum() > 0:  # the line that is named
        return x * 2
    return x


def item(x: Tensor) -> Tensor:
    return x * x[0, 0].item()


def to_list(x: Tensor) -> Tensor:
    return x * len(x.tolist())


def numpy(x: Tensor) -> Tensor:
    return x + float(x.detach().numpy().sum())


def index(x: Tensor) -> Tensor:
    return x[int(x.argmax()) % 2]


def loop(x: Tensor) -> Tensor:
    while x.norm() < 10:
        x = x * 2
    return x


@pytest.mark.parametrize("function", [branch_on_data, item, to_list, numpy, index, loop], ids=lambda f: f.__name__)
def test_python_that_reads_data_is_refused_with_its_line(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(TraceError) as caught:
        trace(Function(function), x4())
    line = function.__code__.co_firstlineno + 1
    assert f"test_trace.py:{line} in {function.__name__}" in str(caught.value)


def test_an_error_of_forward_is_named_with_its_line() -> None:
    def wrong(x: Tensor) -> Tensor:
        return x @ torch.ones(5, 5)

    with pytest.raises(
        TraceError, match=rf"test_trace\.py:{wrong.__code__.co_firstlineno + 1} in wrong: .*RuntimeError"
    ):
        trace(Function(wrong), x4())


def test_candidates_of_different_shapes_are_named_with_their_shapes() -> None:
    model = nn.Sequential(LayerChoice({"narrow": nn.Linear(4, 2), "wide": nn.Linear(4, 3)}))
    with pytest.raises(TraceError) as caught:
        trace(model, x4())
    assert all(part in str(caught.value) for part in ("'0'", "narrow", "wide", "[batch, 2]", "[batch, 3]"))


def test_candidates_of_different_dtypes_are_refused() -> None:
    model = nn.Sequential(LayerChoice([nn.Identity(), Function(torch.Tensor.double)]))
    with pytest.raises(TraceError, match=r"float32.*float64"):
        trace(model, x4())


def test_candidates_of_different_structures_are_refused() -> None:
    model = nn.Sequential(LayerChoice([nn.Identity(), Function(lambda x: (x, x))]))
    with pytest.raises(TraceError, match="structure"):
        trace(model, x4())


class Unregistered(nn.Module):
    def forward(self, x):
        return LayerChoice([nn.Tanh(), nn.ReLU()])(x)


def test_a_choice_made_in_forward_is_refused() -> None:
    with pytest.raises(TraceError, match="registered"):
        trace(Unregistered(), x4())


class Contradiction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = LayerChoice([nn.Tanh(), nn.ReLU()], key="k")
        self.two = LayerChoice([nn.Tanh()], key="k")

    def forward(self, x):
        return self.two(self.one(x))


def test_choices_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(SearchSpaceError, match=r"'one'.*'two'"):
        trace(Contradiction(), x4())


class Assigning(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("last", torch.zeros(2, 4))

    def forward(self, x):
        self.last = x * 2
        return x


def test_a_buffer_that_is_replaced_is_refused_with_a_way_out() -> None:
    with pytest.raises(TraceError, match=r"'last'.*in place"):
        trace(Assigning(), x4())


def test_a_failed_trace_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(Layers(), Function(branch_on_data))
    with unchanged(model), pytest.raises(TraceError):
        trace(model, image())


# -- the model is left alone


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    def state() -> tuple[Any, ...]:
        named = dict(model.named_modules(remove_duplicate=False))
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        return (
            {name: tensor.clone() for name, tensor in tensors.items()},
            {name: id(tensor) for name, tensor in tensors.items()},
            {name: (id(m), type(m), m.training, list(m._modules), sorted(m.__dict__)) for name, m in named.items()},
            torch.get_rng_state(),
            torch.is_grad_enabled(),
            nn.Module.__call__,
            nn.Module.__dict__["__getattr__"],
        )

    before = state()
    yield
    after = state()
    assert all(same_bits(tensor, after[0][name]) for name, tensor in before[0].items())
    assert torch.equal(before[3], after[3])
    assert before[1:3] == after[1:3]
    assert before[4:] == after[4:]


class Mutating(nn.Module):
    """Keeps books while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.log, self.seen, self.names = 0, [], {}, {"first"}
        self.layer = nn.Linear(4, 4)
        self.pick = InputChoice(1)

    def forward(self, x):
        self.calls += 1
        self.log.append(x.shape)
        self.seen["x"] = self.calls
        self.names.add("second")
        self.cached = self.layer(x)
        picked = self.pick([x])
        return self.cached if picked is None else self.cached + picked


def test_what_forward_keeps_in_attributes_is_taken_back() -> None:
    model = Mutating()
    with unchanged(model):
        graph = trace(model, x4())
    assert (model.calls, model.log, model.seen, model.names) == (0, [], {}, {"first"})
    assert not hasattr(model, "cached")
    assert graph(x4(3)).shape == (3, 4)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_untouched(training: bool) -> None:
    model = nn.Sequential(Layers(), nn.Dropout(0.5), nn.BatchNorm2d(4)).train(training)
    model[0].block.eval()
    model[2].requires_grad_(False)
    with unchanged(model):
        graph = trace(model, image(), check=True)
    assert graph.module.training is training
    assert all(one is other for one, other in zip(model.parameters(), graph.parameters(), strict=True))


def test_hooks_of_the_user_run_as_they_do_in_eager() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    model[0].register_forward_hook(lambda module, args, output: output * 2)
    model[0].register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    graph = trace(model, x4())
    assert torch.equal(graph(x4(3)), model(x4(3)))
    assert torch.equal(materialize(graph, {})(x4(3)), model(x4(3)))


def test_a_model_in_eval_with_parts_in_training() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4), nn.Dropout(0.5)).train()
    model[0].eval()
    graph = trace(model, x4())
    assert_follows(model, graph, x4(3))


# -- what people do with modules


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = LayerChoice({"three": nn.Conv2d(4, 4, 3, padding=1), "one": nn.Conv2d(4, 4, 1)})
        self.norm = nn.BatchNorm2d(4)
        self.skip = InputChoice(1)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        y = self.norm(self.conv(x))
        old = self.skip([x])
        if old is not None:
            y = y + old
        return self.head(y.mean((2, 3)))


SMALL = [{"conv": name, "skip": skip} for name in ("three", "one") for skip in ([], [0])]


def test_training_the_graph_is_training_the_model() -> None:
    torch.manual_seed(0)
    model = Small()
    graph, reference = trace(model, image()), copy.deepcopy(model)
    optimizers = [torch.optim.Adam(module.parameters(), lr=0.01) for module in (graph.module, reference)]
    for step in range(8):
        architecture = SMALL[step % 4]
        graph.select(architecture)
        select(reference, architecture)
        for module, optimizer in zip((graph.module, reference), optimizers, strict=True):
            optimizer.zero_grad()
            F.cross_entropy(module(image(4)), torch.tensor([0, 1, 2, 0])).backward()
            optimizer.step()
    for (name, one), other in zip(model.state_dict().items(), reference.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_state_dicts_interchange() -> None:
    model, other = Small(), Small()
    graph = trace(model, image())
    assert list(graph.state_dict()) == list(model.state_dict()) == list(graph.module.state_dict())
    graph.load_state_dict(other.state_dict())
    assert torch.equal(model.head.weight, other.head.weight)
    other.load_state_dict(graph.state_dict())
    assert [name for name, _ in graph.module.named_parameters()] == [name for name, _ in model.named_parameters()]


def test_a_deep_copy_is_independent() -> None:
    graph = trace(Small(), image()).select(SMALL[3])
    copied = copy.deepcopy(graph)
    assert copied.architecture == graph.architecture
    assert copied.text() == graph.text()
    expected = graph.eval()(image(3))
    copied.select(SMALL[0])
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    assert torch.equal(graph(image(3)), expected)
    assert graph.architecture.to_json() == {"conv": "one", "skip": 0}
    module = copy.deepcopy(graph.module)
    assert torch.equal(module(image(3)), expected)


def test_to_train_and_eval() -> None:
    model = Small()
    graph = trace(model, image())
    assert graph.to(torch.float64)(image(3).double()).dtype == torch.float64
    assert model.head.weight.dtype == torch.float64
    graph.to(torch.float32).eval()
    assert not model.norm.training
    before = model.norm.num_batches_tracked.clone()
    graph(image(3))
    assert model.norm.num_batches_tracked == before
    graph.train()(image(3))
    assert model.norm.num_batches_tracked == before + 1


@pytest.fixture
def process_group() -> Iterator[None]:
    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_distributed_data_parallel(process_group: None) -> None:
    graph = trace(Small(), image())
    parallel = nn.parallel.DistributedDataParallel(graph.module, find_unused_parameters=True)
    for architecture in SMALL:
        graph.select(architecture)
        parallel.zero_grad()
        output = parallel(image(4))
        output.sum().backward()
        used = graph.module.conv["three"].weight.grad, graph.module.conv["one"].weight.grad
        assert [gradient is not None for gradient in used] == [
            architecture["conv"] == "three",
            architecture["conv"] == "one",
        ]


def test_torch_compile() -> None:
    graph = trace(Small(), image()).eval()
    compiled = torch.compile(graph.module, backend="eager")
    for architecture in [*SMALL, *SMALL]:
        graph.select(architecture)
        assert torch.equal(compiled(image(3)), graph(image(3)))
    child = torch.compile(materialize(graph, SMALL[0]), backend="eager", fullgraph=True)
    assert torch.equal(child(image(3)), graph.select(SMALL[0])(image(3)))


def test_torch_export_of_a_materialized_module() -> None:
    graph = trace(Small(), image()).eval()
    child = materialize(graph, SMALL[1])
    program = torch.export.export(child, (image(),))
    torch.testing.assert_close(program.module()(image()), child(image()), rtol=0, atol=0)


def test_autocast_around_the_call() -> None:
    model = Small().eval()
    graph = trace(model, image())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model(image(3)), graph(image(3)))


def test_tracing_under_no_grad_gives_the_same_graph() -> None:
    model = Small()
    with torch.no_grad():
        quiet = trace(model, image())
    assert quiet.text() == trace(model, image()).text()


def test_tracing_is_deterministic() -> None:
    assert trace(Small(), image()).text() == trace(Small(), image(5)).text()


# -- check=True


def test_check_compares_graph_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Small()
    trace(model, image(), check=True)
    run = ChoiceGraph.__call__
    monkeypatch.setattr(ChoiceGraph, "__call__", lambda self, *args, **kwargs: run(self, *args, **kwargs) + 1e-6)
    with pytest.raises(TraceError, match="the graph computes something else than the model"):
        trace(model, image(), check=True)
    assert fxnas.check.check_trace is not None


def test_check_leaves_buffers_and_random_state_alone() -> None:
    model = nn.Sequential(Small(), nn.Dropout(0.5))
    with unchanged(model):
        trace(model, image(), check=True)


def test_all_errors_are_fxnas_errors() -> None:
    assert issubclass(TraceError, FxnasError)
    assert issubclass(TraceError, RuntimeError)
