"""ChoiceGraph: what it looks like, what it runs, and what a fork shares."""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import networkx
import pytest
import torch
from torch import nn
from torch.fx import GraphModule

from fxnas.errors import ArchitectureError
from fxnas.graph import ChoiceGraph
from fxnas.ir.supernet import Supernet
from fxnas.nn import InputChoice, LayerChoice
from fxnas.passes import materialize
from fxnas.select import select
from fxnas.trace import trace
from tests.graph_help import Cells, Guide, Nested, Several, lines, x4

# -- text


def test_text_of_a_choice() -> None:
    graph = trace(nn.Sequential(nn.Linear(4, 4), LayerChoice({"tanh": nn.Tanh(), "relu": nn.ReLU()})), x4())
    assert graph.text() == lines(
        """
        %input_1 = input input
        %_0 = 0(%input_1)
        %_1_tanh = 1.tanh(%_0)
        %_1_relu = 1.relu(%_0)
        %_1 = choose '1' 1 of (tanh: %_1_tanh, relu: %_1_relu)
        return %_1
        """
    )


def test_text_of_an_optional_input() -> None:
    assert trace(Guide(), x4()).text() == lines(
        """
        %x = input x
        %skip = choose 'skip' any of (%x) sum
        %first_wide = first.wide(%x)
        %first_none = first.none(%x)
        %first = choose 'first' 1 of (wide: %first_wide, none: %first_none)
        %second_0 = second.0(%first)
        %second_1 = second.1(%first)
        %second = choose 'second' 1 of (0: %second_0, 1: %second_1)
        %add = .add(%second, %skip)
        %switch = switch 'skip' then %add else %second
        return %switch
        """
    )


def test_text_of_several_masks_lists_and_nested_outputs() -> None:
    assert trace(Several(), x4()).text() == lines(
        """
        %x = input x
        %mul = .mul(%x, 2)
        %getitem = getitem(%x, (::, :4:,))
        %pick = choose 'pick' 2 of (%x, %mul, %getitem) mean
        %getattr_1 = getattr(%x, 'device')
        %pick_1 = mask 'pick' 2 of 3
        %ops_0 = ops.0(%pick)
        %ops_1 = ops.1(%pick)
        %ops = choose 'ops' 2 of (0: %ops_0, 1: %ops_1) none
        %getitem_1 = getitem(%ops, 0)
        %getitem_2 = getitem(%ops, 1)
        %add = .add(%getitem_1, 1)
        %switch = switch 'pick' has 0 then %add else %getitem_1
        return {'out': %switch, 'more': (%getitem_2, None,), 'mask': %pick_1}
        """
    )


def test_text_of_a_materialized_graph() -> None:
    child = materialize(trace(Guide(), x4()), {"first": "none", "second": 1, "skip": [0]})
    assert ChoiceGraph(child, "materialized").text() == lines(
        """
        %x = input x
        %first_none = first.none(%x)
        %second_1 = second.1(%first_none)
        %add = .add(%second_1, %x)
        return %add
        """
    )


def test_the_text_does_not_depend_on_what_was_traced_before() -> None:
    text = trace(Guide(), x4()).text()
    trace(Several(), x4())
    assert trace(Guide(), x4()).text() == text


def test_the_code_is_readable_python() -> None:
    code = trace(Guide(), x4()).module.code
    assert code.startswith("def forward(self, x):\n")
    assert "self.first.wide(x)" in code
    assert "if _live[" in code
    assert "# 'first' has 0" in code


# -- networkx


def test_the_data_flow_as_a_networkx_graph() -> None:
    graph = trace(Guide(), x4())
    flow = graph.to_networkx()
    assert list(flow) == [node.name for node in graph.graph.nodes]
    assert networkx.is_directed_acyclic_graph(flow)
    assert set(flow.predecessors("add")) == {"second", "skip"}
    assert flow.nodes["first_wide"]["target"] == "first.wide"
    assert flow.nodes["second"]["shape"] == (2, 4)
    assert networkx.immediate_dominators(flow, "x")["switch"] == "x"


# -- select


MALFORMED = [
    {}, {"first": 0}, {"first": 2, "second": 0, "skip": []}, {"first": -1, "second": 0, "skip": []},
    {"first": "wider", "second": 0, "skip": []}, {"first": True, "second": 0, "skip": []},
    {"first": [0, 1], "second": 0, "skip": []}, {"first": None, "second": 0, "skip": []},
    {"first": 0, "second": 0, "skip": [1]}, {"first": 0, "second": 0, "skip": [], "third": 0},
    {"first": 0, "second": 0.5, "skip": []}, {"first": 0, "second": 0, "skip": [True, False]},
]  # fmt: skip


@pytest.mark.parametrize("architecture", MALFORMED, ids=str)
def test_a_refused_architecture_leaves_the_graph_as_it_was(architecture: dict[str, object]) -> None:
    graph = trace(Guide(), x4()).select({"first": "none", "second": 1, "skip": []})
    before = graph.architecture, graph(x4(3)), graph.text()
    with pytest.raises(ArchitectureError):
        graph.select(architecture)
    with pytest.raises(ArchitectureError):
        materialize(graph, architecture)
    assert graph.architecture == before[0]
    assert torch.equal(graph(x4(3)), before[1])
    assert graph.text() == before[2]


def test_selecting_changes_the_decisions_and_nothing_else() -> None:
    model = Guide()
    graph = trace(model, x4())
    code, parameters = graph.module.code, list(map(id, graph.parameters()))
    assert graph.select({"first": "none", "second": 1, "skip": [0]}) is graph
    assert graph.module.code == code
    assert list(map(id, graph.parameters())) == parameters
    assert model.first.decision is None
    assert graph.architecture.to_json() == {"skip": 0, "first": "none", "second": 1}


def test_a_graph_starts_with_the_default_architecture() -> None:
    graph = trace(Guide(), x4())
    assert graph.architecture == graph.space.complete(graph.space.default)
    model = Guide()
    graph = trace(model, x4())
    assert torch.equal(graph(x4(3)), model(x4(3)))


def test_decisions_that_play_no_role_may_be_left_out_or_given() -> None:
    graph = trace(Nested(), x4())
    short = graph.select({"pick": 1, "side": 2})(x4(3))
    long = graph.select({"pick": 1, "side": 2, "outer": "nested", "outer.nested.1": "relu"})(x4(3))
    assert torch.equal(short, long)
    with pytest.raises(ArchitectureError):
        graph.select({"pick": 1, "side": 2, "outer": "unknown"})


def test_the_decision_of_the_eager_model_and_of_the_graph_are_two_things() -> None:
    model = Guide()
    graph = trace(model, x4())
    select(model, {"first": "none", "second": 1, "skip": []})
    assert graph.architecture.to_json() == {"skip": 0, "first": "wide", "second": 0}
    graph.select({"first": "wide", "second": 1, "skip": []})
    assert model.first.chosen == (1,)


# -- laziness


@contextmanager
def calls(root: nn.Module) -> Iterator[Counter[str]]:
    counted: Counter[str] = Counter()
    handles = [
        module.register_forward_hook(lambda *_, path=path: counted.update([path]))
        for path, module in root.named_modules()
        if path
    ]
    yield counted
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("outer", ["nested", "sigmoid"])
@pytest.mark.parametrize("pick", [0, 1])
def test_only_what_is_chosen_runs(outer: str, pick: int) -> None:
    graph = trace(Nested(), x4()).select({"outer": outer, "outer.nested.1": "relu", "side": 2, "pick": pick})
    with calls(graph.module) as counted:
        graph(x4(3))
    nested = {"outer.nested.0": 1, "outer.nested.1.relu": 1}
    expected = {"side.2": 1} if pick else nested if outer == "nested" else {"outer.sigmoid": 1}
    assert counted == expected


def test_what_only_an_absent_input_needs_does_not_run() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.producer, self.consumer, self.skip = nn.Linear(4, 4), nn.Linear(4, 4), InputChoice(1)

        def forward(self, x):
            old = self.skip([self.producer(x)])
            return x if old is None else self.consumer(old)

    graph = trace(Skip(), x4())
    for chosen_inputs, expected in (([], {}), ([0], {"producer": 1, "consumer": 1})):
        graph.select({"skip": chosen_inputs})
        with calls(graph.module) as counted:
            graph(x4(3))
        assert counted == expected


class Overflow(nn.Module):
    def forward(self, x):
        return (x * 1e38) * 1e38 - (x * 1e38) * 1e38


def test_an_overflow_in_a_sibling_does_not_become_nan() -> None:
    graph = trace(nn.Sequential(LayerChoice([Overflow(), nn.Tanh()])), x4())
    assert graph.select({"0": 0})(x4(3)).isnan().all()
    x = x4(3).requires_grad_()
    y = graph.select({"0": 1})(x)
    y.sum().backward()
    assert torch.equal(y, torch.tanh(x))
    assert not x.grad.isnan().any()


def test_parameters_that_do_not_run_get_no_gradient() -> None:
    graph = trace(Guide(), x4()).select({"first": "none", "second": 0, "skip": []})
    x = x4(3).requires_grad_()
    graph(x).sum().backward()
    assert graph.module.first.wide.weight.grad is None


def test_batch_norm_of_what_does_not_run_stays() -> None:
    graph = trace(nn.Sequential(LayerChoice([nn.BatchNorm1d(4), nn.BatchNorm1d(4)])), x4())
    graph.select({"0": 1})(x4(3))
    norms = [graph.module._modules["0"]._modules[name] for name in "01"]
    assert [int(norm.num_batches_tracked) for norm in norms] == [0, 1]


def test_a_candidate_without_an_instruction_is_a_branch_too() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.op = LayerChoice([nn.Sequential(), nn.Tanh()], n_chosen=2)
            self.one = LayerChoice([nn.Sequential(), nn.Sequential()])

        def forward(self, x):
            return self.op(self.one(x))

    graph = trace(Sum(), x4())
    for index in range(2):
        assert torch.equal(graph.select({"one": index, "op": [0, 1]})(x4(3)), x4(3) + torch.tanh(x4(3)))


def test_values_needed_on_both_sides_of_a_branch_are_kept() -> None:
    """fx's own freeing of values after their last use is wrong when that use stands in a branch that isn't taken."""

    class Kept(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.three = (LayerChoice([nn.Tanh(), nn.ReLU()]) for _ in range(3))

        def forward(self, x):
            y = torch.sin(x)
            a, b, c = self.one(y), self.two(y), self.three(y)
            return a * b + c

    model = Kept()
    graph = trace(model, x4())
    for bits in itertools.product(range(2), repeat=3):
        architecture = dict(zip(("one", "two", "three"), bits, strict=True))
        assert torch.equal(select(model, architecture)(x4(3)), graph.select(architecture)(x4(3)))


# -- fork


def test_a_fork_shares_weights_and_nothing_else() -> None:
    graph = trace(Guide(), x4())
    fork = graph.fork()
    assert fork.text() == graph.text()
    assert all(one is other for one, other in zip(graph.parameters(), fork.parameters(), strict=True))
    fork.select({"first": "none", "second": 1, "skip": []})
    assert graph.architecture.to_json() == {"skip": 0, "first": "wide", "second": 0}
    assert not {id(n) for n in graph.graph.nodes} & {id(n) for n in fork.graph.nodes}

    before = graph.text(), graph(x4(3))
    add = next(node for node in fork.graph.nodes if node.name == "add")
    add.args = (add.args[0], 7)
    add.meta["frame"] = "elsewhere"
    fork.module.recompile()
    assert graph.text() == before[0]
    assert torch.equal(graph(x4(3)), before[1])
    assert next(node for node in graph.graph.nodes if node.name == "add").meta["frame"] != "elsewhere"


def test_a_fork_of_a_materialized_graph() -> None:
    child = materialize(trace(Guide(), x4()), {"first": "wide", "second": 1, "skip": [0]})
    graph = ChoiceGraph(child, "materialized")
    fork = graph.fork()
    assert fork.text() == graph.text()
    assert torch.equal(fork(x4(3)), child(x4(3)))
    assert fork.module.meta == child.meta
    assert len(fork.space) == 0
    assert all(one is other for one, other in zip(fork.parameters(), child.parameters(), strict=True))


def test_materializing_leaves_the_graph_as_it_was_and_copies_the_weights() -> None:
    graph = trace(Guide(), x4())
    before, state = graph.text(), copy.deepcopy(graph.state_dict())
    child = materialize(graph, {"first": "wide", "second": 0, "skip": [0]})
    with torch.no_grad():
        for parameter in child.parameters():
            parameter.zero_()
    assert graph.text() == before
    assert all(torch.equal(tensor, state[name]) for name, tensor in graph.state_dict().items())
    assert graph.stage == "traced"


def test_a_materialized_module_is_plain() -> None:
    graph = trace(Cells(), x4())
    child = materialize(graph, graph.space.architecture(graph.space.size - 1))
    assert type(child).__mro__[1:3] == (GraphModule.__mro__[0], nn.Module) or isinstance(child, GraphModule)
    assert not isinstance(child, Supernet)
    assert "fxnas" not in child.code
    assert all(type(module).__module__.startswith("torch.") for module in list(child.modules())[1:])
    assert not any("fxnas" in getattr(node.target, "__module__", "") or "" for node in child.graph.nodes)
    fields = child.meta["fxnas"]
    assert set(fields) == {"architecture", "space", "fingerprint", "paths"}


def test_a_plain_interpreter_runs_the_default_architecture() -> None:
    model = Guide()
    graph = trace(model, x4())
    assert torch.equal(torch.fx.Interpreter(graph.module).run(x4(3)), model(x4(3)))


def test_a_graph_prints_itself() -> None:
    assert repr(trace(Guide(), x4())) == "<ChoiceGraph traced: 11 nodes, 3 choices>"
