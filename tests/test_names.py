"""Names are data: forty hostile or merely odd names in every place where a name can stand. None is run, all work.

A hostile name would write a file, the canary, if it ever became code.
"""

from __future__ import annotations

import ast
import copy
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from fxnas.architecture import Architecture
from fxnas.errors import ExportError
from fxnas.exporters import export_module, export_onnx, export_program, verify_module
from fxnas.graph import ChoiceGraph
from fxnas.nn import InputChoice, LayerChoice, MutableScope
from fxnas.passes import materialize
from fxnas.retrain import apply_fixed_architecture
from fxnas.select import select
from fxnas.space import SearchSpace
from fxnas.trace import trace
from tests.law import same_bits

RUN = "open('fxnas_canary','w')"  # no "." in it, since names of modules can't have one

HOSTILE = [
    f"x); {RUN} #", f"'); {RUN} #", f'"); {RUN} #', f"]; {RUN} #", f"}}; {RUN} #", f"\n{RUN}", f"\n    {RUN}\n",
    f"\n        {RUN}\n        ", f"'''; {RUN}; '''", f'"""; {RUN}; """', f"\\'); {RUN} #", f"{{{RUN}}}", f"x={RUN}",
    f"x={RUN}, y", f"x: {RUN}", f"lambda: {RUN}", f"\r{RUN}", f"\x0c{RUN}", f"a\\\n{RUN}", f"x\u2028{RUN}", f"#\n{RUN}",
]  # fmt: skip
ODD = [
    "class", "None", "self", "forward", "key", "training", "_modules", "graph", "a b", "a-b", "0", "é", "名", "ﬁ", "_",
    "__class__", "torch", "_live", "_pick0", "x" * 300, "name\0nul", "'", "state_dict", " ", "meta", "x", "a.b", "inf",
]  # fmt: skip
NAMES = [*HOSTILE, *ODD]


@pytest.fixture(autouse=True)
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails the test if a name was run, here or in a child process."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.rglob("*canary*"))


def test_the_canary_sings() -> None:
    exec(RUN.replace("open", "os.open").replace("'w'", "os.O_CREAT"), {"os": os})
    assert os.path.exists("fxnas_canary")
    os.remove("fxnas_canary")


class Scope(MutableScope):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(x)


class Holder(nn.Module):
    """Holds layers, parameters and buffers under the names that torch allows."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.layers, self.tensors, self.tables = nn.Module(), nn.Module(), nn.Module()
        for name in names:
            if self.takes(self.layers, name):
                self.layers.add_module(name, nn.Linear(4, 4))
                self.tensors.register_parameter(name, nn.Parameter(torch.randn(4)))
                self.tables.register_buffer(name, torch.randn(4))

    @staticmethod
    def takes(module: nn.Module, name: str) -> bool:
        return bool(name) and "." not in name and not hasattr(module, name)

    def forward(self, x):
        for layer in self.layers._modules.values():
            x = layer(x)
        return x + sum(self.tensors._parameters.values()) + sum(self.tables._buffers.values())


class Odd(nn.Module):
    """Every name in every place."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = names
        words = [name for name in names if "." not in name]
        self.holder = Holder(names)
        self.op = LayerChoice(
            {"plain": nn.Tanh(), **{name: nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for name in words}}
        )
        self.keyed = nn.ModuleList(LayerChoice([nn.Tanh(), nn.Linear(4, 4)], key=name) for name in names)
        self.scopes = nn.ModuleList(Scope(f"{name} scope") for name in names)
        sources = [*names, *(f"{name} scope" for name in names)]
        self.pick = InputChoice(choose_from=sources, key=f"pick {names[0]}", n_chosen=1)
        self.skip = InputChoice(choose_from=names[:1], key=f"skip {names[0]}")

    def forward(self, x, batch, **others):
        x = self.op(self.holder(x))
        made = {name: layer(x + batch[name]) for name, layer in zip(self.names, self.keyed, strict=True)}
        for name, scope in zip(self.names, self.scopes, strict=True):
            made[f"{name} scope"] = scope(x)
        x = self.pick(made)
        old = self.skip({self.names[0]: x * 2})
        if old is not None:
            x = x + old
        x = x + sum(others.values())
        return {"out": x, **{name: x * batch[name] for name in self.names}}


class Exported(nn.Module):
    """As above, with one input, since ONNX names each input and output."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.odd = Odd(names)

    def forward(self, batch):
        return self.odd(sum(batch.values()), batch)


def inputs(names: list[str], batch: int) -> tuple[tuple[Tensor, dict[str, Tensor]], dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(batch)
    keywords = [name for name in names if name not in ("self", "x", "batch")]
    tensors = iter(torch.randn(1 + len(names) + len(keywords), batch, 4, generator=generator))
    return (next(tensors), {name: next(tensors) for name in names}), {name: next(tensors) for name in keywords}


def some_architectures(space: SearchSpace) -> Iterator[Architecture]:
    """Enough that each decision of each choice occurs, but for a few of a large one."""
    keys = list(space)
    for number in range(min(4, max(choice.count for choice in space.values()))):
        decisions = {key: list(space[key].decision(number % space[key].count)) for key in keys}
        yield space.canonical(space.complete(decisions))


def outputs(run: Any, names: list[str]) -> dict[str, Tensor]:
    args, kwargs = copy.deepcopy(inputs(names, 3))
    found: dict[str, Tensor] = run(*args, **kwargs)
    return found


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert list(one) == list(other)
    assert all(same_bits(one[key], other[key]) for key in one)


def assert_usable(names: list[str]) -> None:
    torch.manual_seed(0)
    model = Odd(names)
    state = list(model.state_dict())
    graph = trace(model, inputs(names, 2))
    assert set(names) <= set(graph.space)
    assert len(graph.text().splitlines()) == len(graph.graph.nodes)
    assert list(graph.state_dict()) == state
    assert str(graph.space.tree())

    for architecture in some_architectures(graph.space):
        complete = dict(graph.space.complete(architecture))
        expected = outputs(select(model, complete), names)
        assert_same(expected, outputs(graph.select(architecture), names))
        child = materialize(graph, architecture)
        assert_same(expected, outputs(child, names))
        assert_same(expected, outputs(copy.deepcopy(child), names))
        child.recompile()
        assert_same(expected, outputs(child, names))
        assert_same(expected, outputs(GraphModule(child, copy.deepcopy(child.graph)), names))
        assert_same(expected, outputs(apply_fixed_architecture(copy.deepcopy(model), complete), names))
        check_json(architecture, graph)
        check_state(child, model)


def check_json(architecture: Architecture, graph: ChoiceGraph) -> None:
    space = graph.space
    text = json.dumps(architecture.to_json())
    assert Architecture.from_json(text, space) == architecture
    assert Architecture.from_json(architecture.dumps(), space).fingerprint == architecture.fingerprint
    flat = SearchSpace.from_json(json.loads(json.dumps(space.to_json())))
    assert [(key, choice.candidates) for key, choice in flat.items()] == [(k, c.candidates) for k, c in space.items()]
    path = Path("architecture.json")
    architecture.save(path)
    assert Architecture.from_json(path, space) == architecture


def check_state(child: GraphModule, model: nn.Module) -> None:
    """Safe names in the child, and the user's own ones in its table."""
    for name in child.state_dict():
        assert all(part.isidentifier() or part.isdigit() for part in name.split("."))
    tensors = {id(tensor) for tensor in model.state_dict(keep_vars=True).values()}
    assert tensors.isdisjoint(map(id, child.state_dict(keep_vars=True).values()))
    paths = set(child.meta["fxnas"]["paths"].values())
    known = {*dict(model.named_modules()), *dict(model.named_parameters()), *dict(model.named_buffers())}
    assert paths <= known
    child.load_state_dict(copy.deepcopy(child.state_dict()))


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[1:24])
def test_a_name_is_usable_in_every_place(name: str) -> None:
    assert_usable([name])


def test_all_names_at_once() -> None:
    """Names that look alike once they have been made safe must not meet."""
    assert_usable(NAMES)


def test_names_that_become_alike_when_they_are_made_safe() -> None:
    names = ["a b", "a-b", "a_b", "m_a_b", "m_a_b_1", "a\nb", "class", "m_class"]
    assert_usable(names)
    for permuted in itertools.islice(itertools.permutations(names), 1, 30, 13):
        assert_usable(list(permuted))


@pytest.mark.parametrize("name", ["x y", f"Net:\n    pass\n{RUN}\nclass A", "class", "GraphModule", "é", "torch"])
def test_the_name_of_a_class_is_data_too(name: str) -> None:
    kind = type(name, (nn.Sequential,), {})
    model = kind(LayerChoice([nn.Tanh(), nn.ReLU()]), nn.Linear(4, 4))
    graph = trace(model, torch.randn(2, 4))
    child = materialize(graph, {"0": 1})
    x = torch.randn(3, 4)
    assert torch.equal(graph.select({"0": 1})(x), child(x))
    assert torch.equal(copy.deepcopy(child)(x), child(x))
    assert str(graph.module)


def test_the_files_of_a_function_show_its_place_and_do_not_run_it() -> None:
    """A function may be called anything."""

    def function(x: Tensor) -> Tensor:
        return torch.tanh(x)

    function.__name__ = function.__qualname__ = f"f); {RUN} #"

    class Calls(nn.Module):
        def forward(self, x):
            return function(x) + torch.nn.functional.relu(x)

    graph = trace(Calls(), torch.randn(2, 4))
    assert torch.equal(materialize(graph, {})(torch.ones(2, 4)), graph(torch.ones(2, 4)))


@pytest.fixture
def exported() -> tuple[GraphModule, dict[str, Tensor]]:
    torch.manual_seed(0)
    model = Exported(NAMES).eval()
    batch = inputs(NAMES, 2)[0][1]
    graph = trace(model, (batch,))
    *_, architecture = itertools.islice(some_architectures(graph.space), 9)
    return materialize(graph, architecture).eval(), batch


def test_names_in_an_exported_module(exported: tuple[GraphModule, dict[str, Tensor]]) -> None:
    child, batch = exported
    report = export_module(child, (batch,), "folder")
    assert len(report.outputs) == 1 + len(NAMES)
    verify_module("folder", child, (batch,))
    calls = [n for n in ast.walk(ast.parse(Path("folder/model.py").read_text("utf-8"))) if isinstance(n, ast.Call)]
    assert not [call for call in calls if ast.unparse(call.func) == "open"]


def test_names_in_an_onnx_file(exported: tuple[GraphModule, dict[str, Tensor]]) -> None:
    child, batch = exported
    report = export_onnx(child, (batch,), "odd.onnx")
    assert len({tensor.name for tensor in report.outputs}) == 1 + len(NAMES)
    assert len({tensor.name for tensor in report.inputs}) == len(NAMES)


def test_names_in_a_torch_export_program(exported: tuple[GraphModule, dict[str, Tensor]]) -> None:
    """torch.export writes the keys of inputs into code, so that such names are refused."""
    child, batch = exported
    with pytest.raises(ExportError, match="is the key of an input"):
        export_program(child, (batch,), "odd.pt2")
    assert not os.listdir()


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[1:24])
def test_names_of_modules_in_a_torch_export_program(name: str) -> None:
    model = nn.Sequential(Holder([name]), LayerChoice([nn.Tanh(), nn.Linear(4, 4)], key=name)).eval()
    child = materialize(trace(model, torch.randn(2, 4)), {name: 1})
    export_program(child, torch.randn(2, 4), "odd.pt2")
