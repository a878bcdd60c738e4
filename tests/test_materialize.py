"""Materialize: the network of one architecture as a plain module, equal to the last bit and free of fxnas."""

from __future__ import annotations

import copy
import gc
import inspect
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.graph_module import _loader

import fxnas
from fxnas.passes import EliminateDead, FoldIdentity, Materialize, materialize
from fxnas.testing import check_pass
from fxnas.trace import trace
from tests.pass_nets import Apply, Net, X, choice, net, traced

# -- text in, text out


def test_the_chosen_candidates_take_the_place_of_the_choices() -> None:
    check_pass(
        Materialize({"conv": "large", "skip": [0]}),
        net(),
        X,
        before="""
            %x = input x
            %skip = choose 'skip' any of (%x) sum
            %conv_small = conv.small(%x)
            %conv_large = conv.large(%x)
            %conv = choose 'conv' 1 of (small: %conv_small, large: %conv_large)
            %add_ = .add_(%conv, %skip)
            %switch = switch 'skip' then %add_ else %conv
            %norm = norm(%switch)
            %relu = relu(%norm)
            return %relu
        """,
        after="""
            %x = input x
            %conv_large = conv.large(%x)
            %add_ = .add_(%conv_large, %x)
            %norm = norm(%add_)
            %relu = relu(%norm)
            return %relu
        """,
    )


def test_what_is_absent_leaves_no_trace() -> None:
    check_pass(
        Materialize({"conv": "small", "skip": []}),
        net(),
        X,
        after="""
            %x = input x
            %conv_small = conv.small(%x)
            %norm = norm(%conv_small)
            %relu = relu(%norm)
            return %relu
        """,
    )


@pytest.mark.parametrize(
    ("reduction", "after"),
    [
        ("sum", "%op = add(%op_0, %op_1)\nreturn %op"),
        ("mean", "%op = add(%op_0, %op_1)\n%op_2 = truediv(%op, 2)\nreturn %op_2"),
        ("concat", "%op = cat([%op_0, %op_1], dim=1)\nreturn %op"),
        ("none", "return [%op_0, %op_1]"),
    ],
)
def test_a_reduction_becomes_plain_calls(reduction: str, after: str) -> None:
    op = choice(nn.Tanh(), nn.Sigmoid(), nn.ReLU(), n_chosen=2, reduction=reduction)
    graph = traced(lambda m, x: m.op(x), op=op)
    result = check_pass(Materialize({"op": [0, 1]}), graph, X)
    assert result.graph.text() == f"%x = input x\n%op_0 = op.0(%x)\n%op_1 = op.1(%x)\n{after}\n"


def test_one_chosen_is_not_reduced_and_none_is_none() -> None:
    pick = fxnas.InputChoice(n_candidates=2, reduction="mean")
    graph = traced(lambda m, x: (m.pick([x, x * 2]), x), pick=pick)
    check_pass(Materialize({"pick": [0]}), graph, X, after="%x = input x\nreturn (%x, %x,)")
    check_pass(Materialize({"pick": []}), graph, X, after="%x = input x\nreturn (None, %x,)")


def test_a_mask_becomes_a_constant() -> None:
    op = choice(nn.Tanh(), nn.Sigmoid(), return_mask=True)
    graph = traced(lambda m, x: m.op(x), op=op)
    child = check_pass(Materialize({"op": 1}), graph, X).graph
    assert "tensor([False, True], dtype=torch.bool" in child.text()
    assert child(X)[1].tolist() == [False, True]


def test_the_code_can_be_read() -> None:
    code = materialize(net(), {"conv": "large", "skip": []}).code
    assert "conv_large = self.conv.large(x)" in code
    assert "if " not in code


# -- the weights


def test_weights_are_clones_and_only_those_in_use() -> None:
    graph = net()
    child = materialize(graph, {"conv": "large", "skip": []})
    assert [name for name in child.state_dict() if not name.startswith("norm")] == [
        "conv.large.weight",
        "conv.large.bias",
    ]
    for name, tensor in child.state_dict().items():
        assert torch.equal(tensor, graph.state_dict()[name])
        assert tensor.data_ptr() != graph.state_dict()[name].data_ptr()


def test_training_a_child_leaves_the_graph_alone_and_the_other_way_round() -> None:
    graph = net()
    child = materialize(graph, {"conv": "large", "skip": []})
    before = {name: tensor.clone() for name, tensor in graph.state_dict().items()}
    optimizer = torch.optim.SGD(child.parameters(), 0.1)
    child.train()(X).square().sum().backward()
    optimizer.step()
    for name, tensor in graph.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert all(parameter.grad is None for parameter in graph.parameters())
    moved = child.conv.large.weight.clone()
    graph.module.conv.large.weight.data.zero_()
    assert torch.equal(child.conv.large.weight, moved)
    assert not torch.equal(moved, before["conv.large.weight"])


def test_the_graph_and_the_model_stay_as_they_are() -> None:
    model = Net()
    graph = fxnas.trace(model, X).select({"conv": "small", "skip": [0]})
    text, architecture, meta = graph.text(), graph.architecture, [dict(node.meta) for node in graph.graph.nodes]
    modules = [(name, id(module)) for name, module in model.named_modules()]
    expected = graph(X)
    materialize(graph, {"conv": "large", "skip": []})
    assert (graph.text(), graph.architecture) == (text, architecture)
    assert [dict(node.meta) for node in graph.graph.nodes] == meta
    assert [(name, id(module)) for name, module in model.named_modules()] == modules
    assert model.skip.decision is None
    # the second run sees the statistics of the first, so compare what they don't reach
    assert torch.equal(graph.eval()(X) * 0 + expected, expected)


def test_two_children_share_nothing() -> None:
    graph = net()
    one, two = (materialize(graph, {"conv": "large", "skip": []}) for _ in range(2))
    pointers = [{tensor.data_ptr() for tensor in child.state_dict().values()} for child in (one, two)]
    assert not pointers[0] & pointers[1]
    assert not {id(module) for module in one.modules()} & {id(module) for module in two.modules()}


class Tied(nn.Module):
    """Weights and modules in several places."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(5, 5), nn.Linear(5, 5)
        self.decoder.weight = self.encoder.weight
        shared = nn.PReLU()
        self.op = fxnas.LayerChoice([nn.Sequential(shared, nn.Tanh()), shared])
        self.again = shared
        self.bias = self.encoder.bias

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(self.op(self.decoder(self.encoder(x))))
        return x + self.bias


@pytest.mark.parametrize("candidate", [0, 1])
def test_tied_modules_and_weights_stay_tied(candidate: int) -> None:
    child = check_pass(Materialize({"op": candidate}), fxnas.trace(Tied(), X), X).graph.module
    assert child.encoder.weight is child.decoder.weight
    calls = {str(node.target) for node in child.graph.find_nodes(op="call_module")}
    prelus = {id(child.get_submodule(path)) for path in calls if isinstance(child.get_submodule(path), nn.PReLU)}
    assert len(prelus) == 1
    assert len(list(child.parameters())) == 4  # one weight, two biases, one slope
    (bias,) = child.graph.find_nodes(op="get_attr")
    found: Any = child
    for part in str(bias.target).split("."):
        found = getattr(found, part)
    assert found is child.encoder.bias


class Buffers(nn.Module):
    """Buffers of both kinds, a plain tensor and a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("scale", torch.full((5,), 2.0), persistent=False)
        self.shift = torch.ones(5)
        self.op = choice(nn.Tanh(), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return self.op(x) * self.scale + self.shift + torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]) + self.count


def test_buffers_come_along_and_stay_what_they_are() -> None:
    child = check_pass(Materialize({"op": 1}), fxnas.trace(Buffers(), X), X).graph.module
    assert list(child.state_dict()) == ["count"]
    assert {"count", "scale", "shift"} <= dict(child.named_buffers()).keys()
    assert torch.equal(child(X) + 1, child(X))
    assert child.count == 2


def test_flags_are_kept() -> None:
    block = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Sequential(nn.Dropout(0.5)))
    graph = traced(lambda m, x: m.op(m.block(x)), block=block, op=choice(nn.PReLU(), nn.Tanh()))
    block[0].weight.requires_grad_(False)
    block[1].eval()
    block[2].eval()
    block[2][0].train()
    child = materialize(graph, {"op": 0})
    flags = {name: parameter.requires_grad for name, parameter in child.named_parameters()}
    assert [name for name, flag in flags.items() if not flag] == ["block.0.weight"]
    training = {name: module.training for name, module in child.named_modules()}
    assert [name for name, flag in training.items() if not flag] == ["block.1", "block.2"]
    assert not materialize(graph.eval(), {"op": 0}).training


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_the_dtype_is_kept(dtype: torch.dtype) -> None:
    graph = net().to(dtype)
    child = check_pass(Materialize({"conv": "large", "skip": [0]}), graph, X.to(dtype)).graph
    assert {tensor.dtype for tensor in child.parameters()} == {dtype}


def test_hooks_run_in_the_child_too() -> None:
    conv = nn.Conv2d(4, 4, 1)
    conv.register_forward_hook(lambda module, args, output: output + 1)
    conv.register_full_backward_hook(lambda module, grad_in, grad_out: (grad_in[0] * 2,))
    graph = traced(lambda m, x: m.op(x), op=choice(conv, nn.Tanh()))
    check_pass(Materialize({"op": 0}), graph, X)


# -- free of fxnas


def test_nothing_of_fxnas_is_left() -> None:
    child = materialize(fxnas.trace(Net(), X), {"conv": "large", "skip": [0]})
    assert type(child).__mro__[1] is GraphModule
    assert type(child.graph).__module__.startswith("torch.")
    assert "fxnas" not in child.code
    for node in child.graph.nodes:
        assert not getattr(node.target, "__module__", "").startswith("fxnas")
        assert not any(type(value).__module__.startswith("fxnas") for value in node.meta.values())
    for module in child.modules():
        assert not type(module).__module__.startswith("fxnas")
    assert json.loads(json.dumps(child.meta["fxnas"])) == child.meta["fxnas"]


LOADS = """
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "fxnas":
            raise ImportError("fxnas is not to be imported")

sys.meta_path.insert(0, Refuse())
import pickle, torch
child = pickle.loads(open(sys.argv[1], "rb").read())
x, expected = torch.load(sys.argv[2], weights_only=True)
assert torch.equal(child(x), expected)
assert "fxnas" not in sys.modules
"""


def test_a_child_is_pickled_and_loaded_without_fxnas(run_python: Callable[..., Any], tmp_path: Path) -> None:
    child = materialize(net().eval(), {"conv": "large", "skip": [0]})
    (tmp_path / "child.pkl").write_bytes(pickle.dumps(child))
    torch.save((X, child(X).detach()), tmp_path / "io.pt")
    run_python("-c", LOADS, tmp_path / "child.pkl", tmp_path / "io.pt")


class _Stateful(nn.Module):
    """What is no call on a value: a write to a buffer, a read of the mode, a check of an argument."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("scratch", torch.zeros(4), persistent=False)
        self.layer = nn.Linear(4, 4)

    def forward(self, x, scale=2.0):
        self.count += 1
        self.scratch[1:] += 1
        y = F.gelu(x) if self.training else self.layer(x).sin()
        y = F.max_pool1d(y, 1)  # torch.nn.functional makes it in another function
        return F.dropout(y * self.count * scale, 0.5, self.training), self.scratch.sum()


PICKLED = [
    lambda child: pickle.loads(pickle.dumps(child)),
    lambda child: pickle.loads(pickle.dumps(copy.deepcopy(copy.deepcopy(child)))),
    lambda child: copy.deepcopy(pickle.loads(pickle.dumps(child))),
]


@pytest.mark.parametrize("copied", PICKLED)
def test_a_pickled_child_writes_and_follows_its_mode(copied: Callable[[Any], Any]) -> None:
    x = torch.randn(2, 4)
    child = materialize(trace(_Stateful(), (x, 2.0)), {})
    other = copied(child)
    assert other.code == child.code
    assert other.meta == child.meta
    for training in (True, False, True):
        results = []
        for run in (child, other):
            torch.manual_seed(0)
            results.append(run.train(training)(x))
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    with pytest.raises(AssertionError, match="argument scale"):
        other(x, 3.0)


def test_a_pickled_child_takes_passes_as_before() -> None:
    child = materialize(trace(_Stateful(), torch.randn(2, 4)), {})
    other = pickle.loads(pickle.dumps(child))
    assert [node.meta.get("mutates") for node in other.graph.nodes] == [
        node.meta.get("mutates") for node in child.graph.nodes
    ]
    assert not EliminateDead()(other).modified


def test_copies_save_what_the_child_saves() -> None:
    child = materialize(trace(_Stateful(), torch.randn(2, 4)), {})
    for other in (copy.deepcopy(copy.deepcopy(child)), pickle.loads(pickle.dumps(copy.deepcopy(child)))):
        assert list(other.state_dict()) == list(child.state_dict()) == ["count", "layer.weight", "layer.bias"]


def test_a_child_is_an_ordinary_module() -> None:
    child = materialize(net().eval(), {"conv": "large", "skip": [0]})
    expected = child(X)
    copied = copy.deepcopy(child)
    assert copied.conv.large.weight is not child.conv.large.weight
    assert torch.equal(copied(X), expected)
    copied.recompile()
    assert torch.equal(copied(X), expected)
    copied.load_state_dict(child.state_dict())
    assert torch.equal(copied.double()(X.double()).float(), copied.double()(X.double()).float())
    assert str(inspect.signature(child.forward)) == "(x)"


def test_the_record_tells_where_everything_comes_from() -> None:
    graph = net()
    meta = materialize(graph, {"conv": 1, "skip": [True]}).meta["fxnas"]
    assert meta["architecture"] == {"conv": "large", "skip": 0}
    assert meta["fingerprint"] == graph.space.canonical(graph.space.complete({"conv": (1,), "skip": (0,)})).fingerprint
    assert meta["space"] == graph.space.to_json()
    assert meta["paths"] == {"conv.large": "conv.large", "norm": "norm"}


def test_odd_names_get_safe_ones() -> None:
    op = fxnas.LayerChoice({"class": nn.PReLU(), 'say "hi"': nn.Conv2d(4, 4, 1), "forward": nn.Tanh()})
    graph = traced(lambda m, x: m.op(x), op=op)
    for name in op.names:
        child = check_pass(Materialize({"op": name}), graph, X).graph.module
        ((safe, path),) = child.meta["fxnas"]["paths"].items()
        assert path == f"op.{name}"
        assert all(part.isidentifier() for part in safe.split("."))
        assert child.get_submodule(safe) is not None


# -- nothing is kept


def test_sources_do_not_pile_up() -> None:
    graph = net()

    def make() -> None:
        result = Materialize({"conv": "large", "skip": []})(graph)
        FoldIdentity()(FoldIdentity()(result.graph).graph)
        gc.collect()

    make()
    kept = len(_loader.eval_cache)
    for _ in range(20):
        make()
    assert len(_loader.eval_cache) <= kept


def test_the_class_of_the_model_names_the_child() -> None:
    assert type(materialize(net(), {"conv": 0, "skip": []})).__name__ == "Net"
    odd = type("class", (Apply,), {})(lambda m, x: x + 1)
    assert type(materialize(fxnas.trace(odd, X), {})).__name__ == "Model"
