"""Each way to write in place has its repair, equal to the last bit."""

from __future__ import annotations

import operator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxnas.graph import ChoiceGraph
from tests.mixed import check_repaired
from tests.pass_nets import choice, traced


def test_a_module_is_replaced_and_the_users_stays() -> None:
    op = choice(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1))
    graph = traced(lambda m, x: m.op(x * 2), op=op)
    result = check_repaired(
        graph,
        after="""
            %x = input x
            %mul = .mul(%x, 2)
            %op_0 = op.0(%mul)
            %op_1 = op.1(%mul)
            %op = choose 'op' 1 of (0: %op_0, 1: %op_1)
            return %op
        """,
    )
    repaired = result.graph.module.op
    assert not repaired[0].inplace
    assert repaired[1] is op[1]
    assert op[0].inplace
    assert graph.module.op is op


def test_a_function_is_asked_to_work_out_of_place() -> None:
    graph = traced(lambda m, x: m.op(x + 1), op=choice(lambda x: F.relu(x, inplace=True), nn.Tanh()))
    result = check_repaired(graph)
    assert "relu(%add, inplace=False)" in result.graph.text()


def test_a_method_is_replaced_by_the_one_without_underscore() -> None:
    graph = traced(lambda m, x: m.op(x + 1), op=choice(lambda x: x.mul_(2), nn.Tanh()))
    check_repaired(
        graph,
        after="""
            %x = input x
            %add = .add(%x, 1)
            %mul_ = .mul(%add, 2)
            %op_1 = op.1(%add)
            %op = choose 'op' 1 of (0: %mul_, 1: %op_1)
            return %op
        """,
    )


def with_operator(graph: ChoiceGraph, function: Any) -> ChoiceGraph:
    """The graph with the first in-place method as an operator, as other tools record it."""
    write = next(node for node in graph.graph.nodes if node.meta.get("mutates"))
    write.op, write.target = "call_function", function
    graph.module.recompile()
    return graph


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "pow"])
def test_an_operator_is_replaced(name: str) -> None:
    graph = traced(lambda m, x: m.op(x + 9), op=choice(lambda x: x.add_(2), nn.Tanh()))
    result = check_repaired(with_operator(graph, getattr(operator, f"i{name}")))
    assert f"{name}(%add, 2)" in result.graph.text()


MODULES = [
    nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.LeakyReLU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.ELU, nn.CELU,
    nn.SELU, nn.Dropout, nn.Dropout2d, nn.RReLU,
]  # fmt: skip
METHODS = [
    ("abs_",), ("add_", 0.5), ("clamp_", -0.5, 0.5), ("clamp_max_", 0.5), ("clamp_min_", 0.5), ("cos_",), ("div_", 3),
    ("exp_",), ("log_",), ("mul_", 1.5), ("neg_",), ("pow_", 3), ("reciprocal_",), ("relu_",), ("rsqrt_",),
    ("sigmoid_",), ("sin_",), ("sqrt_",), ("square_",), ("sub_", 0.5), ("tanh_",),
]  # fmt: skip
UNUSUAL: list[tuple[str, Any]] = [
    ("zero_", lambda x: x.zero_()),
    ("fill_", lambda x: x.fill_(2.0)),
    ("copy_", lambda x: x.copy_(torch.flip(x, (0,)))),
    ("masked_fill_", lambda x: x.masked_fill_(x > 0, 1.0)),
    ("gt_ keeps the dtype", lambda x: x.gt_(0)),
    ("logical_not_ keeps the dtype", lambda x: x.logical_not_()),
    ("uniform_", lambda x: x.uniform_()),
    ("transpose_", lambda x: x.transpose_(2, 3)),
    ("torch.relu_", lambda x: torch.relu_(x)),
    ("F.dropout", lambda x: F.dropout(x, 0.5, True, inplace=True)),
    ("F.elu", lambda x: F.elu(x, inplace=True)),
    ("out=", lambda x: torch.add(x.detach(), 1, out=x.detach())),
    ("a tensor of another dtype", lambda x: x.add_(torch.ones(5, dtype=torch.float64))),
]


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", MODULES)
def test_a_repaired_module_gives_the_same_bits(kind: Any, form: torch.memory_format) -> None:
    graph = traced(
        lambda m, x: m.op((x * 2).contiguous(memory_format=form)).sum((1, 2)),
        op=choice(kind(inplace=True), nn.Sigmoid()),
    )
    check_repaired(graph)


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method[0])
def test_a_repaired_method_gives_the_same_bits(method: Any, form: torch.memory_format) -> None:
    name, *arguments = method
    op = choice(lambda x: getattr(x, name)(*arguments), nn.Sigmoid())
    result = check_repaired(
        traced(lambda m, x: m.op((x.square() + 0.1).contiguous(memory_format=form)).sum((1, 2)), op=op)
    )
    assert f".{name[:-1]}(" in result.graph.text()


@pytest.mark.parametrize(("name", "write"), UNUSUAL, ids=[name for name, _ in UNUSUAL])
def test_what_has_no_equal_out_of_place_form_writes_to_a_copy(name: str, write: Any) -> None:
    result = check_repaired(traced(lambda m, x: m.op(x * 2), op=choice(write, nn.Sigmoid())))
    assert ".clone(" in result.graph.text()


def test_a_value_that_is_written_and_read_by_one_call() -> None:
    check_repaired(traced(lambda m, x: m.op(x * 2), op=choice(lambda x: x.mul_(x), nn.Sigmoid())))
    check_repaired(traced(lambda m, x: m.op(x * 2), op=choice(lambda x: x.copy_(x), nn.Sigmoid())))


def test_a_half_keeps_its_dtype() -> None:
    op = choice(lambda x: x.add_(torch.ones(5, dtype=torch.float32)), nn.Sigmoid())
    graph = traced(lambda m, x: m.op(x.half()), op=op)
    assert "%add_ = .add_(%clone, %ones)" in check_repaired(graph).graph.text()


def test_a_part_of_a_tensor_keeps_its_strides() -> None:
    op = choice(nn.ReLU(inplace=True), nn.Sigmoid())
    graph = traced(lambda m, x: m.op((x * 2)[:, 2:]).sum((1, 2, 3)), op=op)
    result = check_repaired(graph)
    (write,) = result.graph.graph.find_nodes(op="call_module", target="op.0")
    copies = [
        node for node in result.graph.graph.nodes if node.name in ("size", "stride", "new_empty_strided", "copy_")
    ]
    assert [node.meta["guard"] for node in copies] == [write.meta["guard"]] * 4
    assert [node.meta["frame"] for node in copies] == [write.meta["frame"]] * 4
    text = result.graph.text()
    assert "%new_empty_strided = .new_empty_strided(%getitem, %size, %stride)" in text
    assert "%op_0 = op.0(%copy_)" in text


def test_a_view_of_a_whole_tensor_needs_no_copy() -> None:
    op = choice(nn.ReLU(inplace=True), nn.Sigmoid())
    graph = traced(
        lambda m, x: m.op(m.flat(m.same((x * 2).transpose(1, 2)))), op=op, same=nn.Identity(), flat=nn.Flatten()
    )
    assert "copy_" not in check_repaired(graph).graph.text()


def test_a_module_that_is_called_elsewhere_writes_to_a_copy() -> None:
    relu = nn.ReLU(inplace=True)

    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.op(x * 2) - 0.5
        view = y.view(-1)
        m.relu(y)
        return view + 1

    graph = traced(forward, relu=relu, op=choice(relu, nn.Tanh()))
    result = check_repaired(graph)
    assert "%relu = relu(%clone)" in result.graph.text()
    assert "%relu_1 = relu(%sub)" in result.graph.text()
    assert relu.inplace


def test_a_subclass_of_a_module_is_traced_through() -> None:
    class Mine(nn.ReLU):
        pass

    assert (
        "relu(%mul, inplace=False)"
        in check_repaired(traced(lambda m, x: m.op(x * 2), op=choice(Mine(inplace=True), nn.Tanh()))).graph.text()
    )
