"""Materialized modules of models that do something in one mode alone: draw random numbers, write to buffers."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from fxnas.exporters import export_module, export_onnx, export_program
from fxnas.nn import LayerChoice
from fxnas.passes import EliminateDead, materialize
from fxnas.passes.modes import draws
from fxnas.trace import trace
from tests.trace_help import x4


class Mode(nn.Module):
    """Runs a function in training, another in evaluation."""

    def __init__(self, training: Callable[[Any, Tensor], Any], evaluation: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.of_training, self.of_evaluation = training, evaluation
        self.linear, self.norm, self.drop = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)
        self.register_buffer("count", torch.zeros(4))

    def forward(self, x):
        h = self.linear(x)
        y = self.of_training(self, h) if self.training else self.of_evaluation(self, h)
        return y, h + x


def same(m: Any, h: Tensor) -> Tensor:
    return h


def noise(m: Any, h: Tensor) -> Tensor:
    return h + torch.randn_like(h) * m.linear.weight.mean()


def drop_path(m: Any, h: Tensor) -> Tensor:
    mask = h.new_empty((h.shape[0], 1)).bernoulli_(0.5)
    mask.div_(0.5)
    return h * mask


def count(m: Any, h: Tensor) -> Tensor:
    m.count.add_(h.detach().mean(0))
    return h * m.count


def write(m: Any, h: Tensor) -> Tensor:
    h.add_(1)
    return h * 2


def norm(m: Any, h: Tensor) -> Tensor:
    m.norm(h)
    return h


def several(m: Any, h: Tensor) -> Tensor:
    y = m.norm(h + torch.rand(1))
    return m.drop(y) + torch.rand_like(h)


PROGRAMS = {
    "noise": (noise, same),
    "drop path": (drop_path, same),
    "a buffer": (count, same),
    "a shared value": (write, same),
    "statistics": (norm, same),
    "several": (several, lambda m, h: m.norm(h)),
    "a norm in evaluation": (same, lambda m, h: m.norm(h)),
    "a dropout in evaluation": (same, lambda m, h: m.drop(h)),
    "a functional dropout in evaluation": (same, lambda m, h: F.dropout(h, 0.5)),
    "both": (noise, count),
    "positional": (lambda m, h: F.dropout(h, 0.5, True), same),
    "fractional pooling": (lambda m, h: F.fractional_max_pool2d(h[:, None, None].expand(-1, 1, 2, 4), 1, (1, 2)), same),
}


def assert_same(eager: nn.Module, other: nn.Module) -> None:
    """Two steps in each mode: outputs, gradients, buffers, random state."""
    for training in (True, False, True):
        results: list[Any] = []
        for module in (eager, other):
            module.train(training).zero_grad()
            x = x4(3).requires_grad_()
            torch.manual_seed(0)
            leaves = pytree.tree_leaves(module(x))
            sum(leaf.sum() for leaf in leaves).backward()
            found = dict(module.named_buffers())
            results.append((torch.get_rng_state(), x.grad, leaves, found))
        assert torch.equal(results[0][0], results[1][0])
        assert torch.equal(results[0][1], results[1][1])
        assert all(torch.equal(a, b) for a, b in zip(results[0][2], results[1][2], strict=True))
        assert all(torch.equal(results[0][3][name], buffer) for name, buffer in results[1][3].items())


@pytest.mark.parametrize("traced_in", [True, False])
@pytest.mark.parametrize("name", PROGRAMS)
def test_each_mode_does_what_eager_does_in_it(name: str, traced_in: bool) -> None:
    model = Mode(*PROGRAMS[name])
    child = materialize(trace(copy.deepcopy(model).train(traced_in), x4()), {})
    for made in (copy.deepcopy(child), pickle.loads(pickle.dumps(child)), EliminateDead()(child).graph.module, child):
        assert_same(copy.deepcopy(model), copy.deepcopy(made))


def test_candidates_follow_the_mode_each() -> None:
    graph = trace(Chosen(), x4())
    for candidate in (0, 1):
        eager = Chosen()
        eager.op.decision = (candidate,)
        eager.load_state_dict(graph.state_dict())
        assert_same(eager, materialize(graph, {"op": candidate}))


class Chosen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice([Mode(noise, same), Mode(same, count)], key="op")

    def forward(self, x):
        return self.op(x)


def test_what_shows_in_no_mode_stays_in_the_graph() -> None:
    child = materialize(trace(Mode(lambda m, h: m.drop(h), lambda m, h: F.softmax(h, 1)), x4()), {})
    assert torch.cond not in {node.target for node in child.graph.nodes}


def test_names_and_weights_stay_what_they_are() -> None:
    class Taken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.only_training = nn.Linear(4, 4)

        def forward(self, x):
            x = self.only_training(x)
            return x + torch.rand_like(x) if self.training else x

    model = Taken()
    child = materialize(trace(model, x4()), {})
    assert list(child.state_dict()) == list(model.state_dict())
    assert_same(model, child)


@pytest.mark.parametrize("name", sorted({*PROGRAMS} - {"positional"}))
def test_exports(name: str, tmp_path: Path) -> None:
    child = materialize(trace(Mode(*PROGRAMS[name]), x4()), {}).eval()
    state = copy.deepcopy(child.state_dict())
    source = export_module(child, x4(), tmp_path / "model").path / "model.py"
    assert "only_" in source.read_text()
    assert "nn.Module()" not in source.read_text()
    export_module(child.train(), x4(), tmp_path / "model")
    child.eval()
    if name not in ("both", "a functional dropout in evaluation"):  # these are no functions of their input
        export_program(child, x4(), tmp_path / "model.pt2")
    if name not in ("both", "a functional dropout in evaluation", "fractional pooling"):
        export_onnx(child, x4(), tmp_path / "model.onnx")
    assert all(torch.equal(state[key], tensor) for key, tensor in child.state_dict().items())


def test_every_random_operator_of_torch_is_known() -> None:
    graph = torch.fx.Graph()
    names = {
        name.removeprefix("aten::").partition(".")[0]
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("aten::") and "." in name
    }
    random = set()
    for name in names:
        packet = getattr(torch.ops.aten, name, None)
        overloads = packet.overloads() if packet is not None else ()
        if any(torch.Tag.nondeterministic_seeded in getattr(packet, overload).tags for overload in overloads):
            random.add(name)
    users = {
        name
        for name in random
        if not name.startswith(("_", "miopen_")) and (hasattr(torch, name) or hasattr(Tensor, name))
    }
    unknown = {name for name in users if not draws(graph.create_node("call_method", name, ()))}
    assert unknown == set()
