"""Writes in place, buffers, constants, tied weights: a graph changes what the model changes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fxnas.nn import LayerChoice
from fxnas.passes import materialize
from fxnas.select import select
from fxnas.trace import trace
from tests.trace_help import (
    Function,
    assert_follows,
    image,
    x4,
)

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
