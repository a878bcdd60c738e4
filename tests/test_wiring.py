"""The wiring of a graph: what runs is what a child has, it survives a study, and its picture is legible."""

from __future__ import annotations

import copy
import itertools
import json
import pickle
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import trial_bodies as bodies
from torch import Tensor, nn

import fxnas
from fxnas.conditions import ALWAYS
from fxnas.errors import FxnasError, SearchSpaceError
from fxnas.graph import ChoiceGraph
from fxnas.report.data import report_data
from fxnas.report.layout import layout
from fxnas.space import SearchSpace
from fxnas.strategies import RandomSearch
from fxnas.study import Study
from fxnas.wiring import MOST_NODES, Box, Wire, Wiring


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        inner = fxnas.LayerChoice({"relu": nn.ReLU(), "tanh": nn.Tanh()}, key="inner")
        self.op = fxnas.LayerChoice({"flat": nn.Identity(), "deep": nn.Sequential(nn.Linear(4, 4), inner)}, key="op")
        self.skip = fxnas.InputChoice(n_candidates=1, key="skip")
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        y, kept = self.op(x) * self.scale, self.skip([x])
        return y if kept is None else y + kept


def traced(model: nn.Module | None = None) -> ChoiceGraph:
    return fxnas.trace((model or Net()).eval(), torch.zeros(2, 4))


def wired(graph: ChoiceGraph) -> Wiring:
    found = graph.space.wiring
    assert found is not None
    return found


def test_what_runs_is_what_the_child_has() -> None:
    graph = traced()
    wiring = wired(graph)
    for rank in range(graph.space.size):
        architecture = graph.space.architecture(rank)
        decisions = graph.space.complete(architecture)
        child = fxnas.materialize(graph, architecture)
        runs = [box for box in wiring.boxes if box.kind != "choice" and box.when.holds(decisions)]
        assert [box.label for box in runs if box.kind == "module"] == [
            str(node.target) for node in child.graph.nodes if node.op == "call_module"
        ]
        assert len(runs) == len(child.graph.nodes)
        for wire in wiring.wires:
            if wire.when.holds(decisions):
                assert wiring.boxes[wire.source].when.holds(decisions)
                assert wiring.boxes[wire.target].when.holds(decisions)


def test_the_space_carries_it_but_is_not_told_apart_by_it() -> None:
    space = traced().space
    bare = SearchSpace(space.values(), space.scopes)
    assert bare.wiring is None
    assert bare == space
    assert bare.fingerprint == space.fingerprint
    assert SearchSpace.from_json(space.to_json()).wiring is None
    for copied in (copy.deepcopy(space), pickle.loads(pickle.dumps(space))):
        assert copied.wiring == space.wiring
    child = fxnas.materialize(traced(), space.default)
    assert ChoiceGraph(child).space.wiring is None  # nothing is left to choose


def test_boxes_say_what_they_are() -> None:
    boxes = {(box.kind, box.label, box.detail) for box in wired(traced()).boxes}
    assert {
        ("input", "x", ""),
        ("module", "op.deep.0", "Linear"),
        ("choice", "op", ""),
        ("value", "scale", ""),
    } <= boxes
    assert ("output", "output", "") in boxes


def test_it_is_read_back_exactly() -> None:
    graph = traced()
    written = json.loads(json.dumps(wired(graph).to_json(graph.space)))
    assert Wiring.from_json(written, graph.space) == wired(graph)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("edges"), "a graph has nodes, edges and conditions"),
        (lambda w: w.update(nodes="x"), "the nodes of a graph are a list of at most 1,000, got 'x'"),
        (lambda w: w.update(nodes=w["nodes"] * 1000), "the nodes of a graph are a list of at most 1,000"),
        (lambda w: w["nodes"][1].update(id=0), "node 1 of a graph has its place as id"),
        (lambda w: w["nodes"][1].update(kind="script"), "node 1 of a graph .* a kind of"),
        (lambda w: w["nodes"][1].update(kind=[]), "node 1 of a graph .* a kind of"),
        (lambda w: w["nodes"][1].update(label="x" * 61), "node 1 of a graph has a label and a detail of at most 60"),
        (lambda w: w["nodes"][1].update(when=99), r"an index of 0\.\.\d+ here, got 99"),
        (lambda w: w["edges"].append([1, 1, 0]), r"an index of 0\.\.0 here, got 1"),
        (lambda w: w["edges"].append([0, True, 0]), "got True"),
        (lambda w: w["edges"].append([0, 1]), "an edge of a graph is a list of source, target and condition"),
        (lambda w: w["conditions"].insert(0, {"chosen": ["gone", 0]}), "the graph, part 0: the key of a choice"),
    ],
)
def test_a_malformed_one_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    graph = traced()
    written = wired(graph).to_json(graph.space)
    change(written)
    with Study() as study:
        study.begin(graph.space, {})
        study.keep_wiring(written)
        with pytest.raises(SearchSpaceError, match=f"study :memory:: .*{message}"):
            report_data(study)


def test_a_search_keeps_it_with_and_without_workers(tmp_path: Path) -> None:
    space = bodies.small_graph().space
    for workers, graph in ((0, bodies.small_graph()), (1, bodies.small_graph)):
        path = tmp_path / str(workers)
        for trials in (2, 3):
            options: dict[str, Any] = {"workers": workers, "study": path, "progress": False}
            fxnas.search(graph, RandomSearch(space), bodies.score, trials=trials, **options)
        with Study(path, readonly=True) as study:
            labels = [node["label"] for node in report_data(study)["graph"]["nodes"]]
            assert labels == ["x", "op.narrow", "op.wide", "op", "output"]


def test_an_engine_that_takes_nothing_is_told_as_ever() -> None:
    engine = ThreadPoolExecutor(1)
    engine.shutdown()
    strategy = RandomSearch(bodies.small_graph().space)
    options: dict[str, Any] = {"trials": 1, "workers": 1, "engine": engine, "progress": False}
    with pytest.raises(FxnasError, match="the engine, a ThreadPoolExecutor, takes no more trials"):
        fxnas.search(bodies.small_graph, strategy, bodies.score, **options)


def test_a_bare_space_has_none() -> None:
    graph = traced()
    bare = SearchSpace(graph.space.values())
    for space, strategy, known in ((bare, bare, False), (graph.space, bare, True), (bare, graph.space, True)):
        with Study() as study:
            fxnas.search(space, RandomSearch(strategy), bodies.score, trials=1, study=study, progress=False)
            assert (report_data(study)["graph"] is not None) == known


def test_a_candidate_may_have_the_name_of_a_method() -> None:
    graph = traced(nn.Sequential(fxnas.LayerChoice({"forward": nn.Tanh(), "train": nn.ReLU()}, key="op")))
    assert {("0.forward", "Tanh"), ("0.train", "ReLU")} <= {(box.label, box.detail) for box in wired(graph).boxes}


def test_a_graph_that_is_too_large_is_left_out() -> None:
    graph = traced(nn.Sequential(fxnas.LayerChoice([nn.ReLU(), nn.Tanh()]), *[nn.ReLU() for _ in range(MOST_NODES)]))
    assert graph.space.wiring is None


def test_the_page_is_told_conditions_by_numbers() -> None:
    graph = traced()
    with Study() as study:
        fxnas.search(graph, RandomSearch(graph.space), bodies.score, trials=1, study=study, progress=False)
        net = report_data(study)["graph"]
    keys = list(graph.space)
    assert ["chosen", keys.index("op"), 1] in net["parts"]
    assert ["all"] in net["parts"]
    for each in [*net["nodes"], *net["edges"]]:
        assert 0 <= each["when"] < len(net["parts"])


def random_wiring(rng: random.Random, count: int) -> Wiring:
    boxes = tuple(Box(f"b{i}", "input" if i == 0 else "value" if rng.random() < 0.1 else "call") for i in range(count))
    pairs = {(rng.randrange(max(0, i - 8), i), i) for i in range(1, count) if boxes[i].kind == "call" for _ in "ab"}
    return Wiring(boxes, tuple(Wire(one, other, ALWAYS) for one, other in sorted(pairs)))


class TestLayout:
    def test_boxes_stand_apart_and_below_what_they_take(self) -> None:
        rng = random.Random(0)
        for count in (1, 2, 5, 40, 200):
            wiring = random_wiring(rng, count)
            found = layout(wiring)
            for wire, bends in zip(wiring.wires, found.bends, strict=True):
                between = found.boxes[wire.target][1] - found.boxes[wire.source][1]
                assert between >= 1
                assert len(bends) == between - 1
            rows: dict[int, list[float]] = {}
            for x, row in found.boxes:
                rows.setdefault(row, []).append(x)
                assert x + 0.011 >= 0.5
                assert x <= found.width - 0.489
            for xs in rows.values():
                xs.sort()
                assert all(right - left >= 0.98 for left, right in itertools.pairwise(xs))
            assert found.rows == max(rows) + 1

    def test_a_chain_is_a_line(self) -> None:
        chain = Wiring(tuple(Box(str(i), "call") for i in range(50)), tuple(Wire(i, i + 1) for i in range(49)))
        assert {x for x, _ in layout(chain).boxes} == {0.5}

    def test_the_largest_takes_little_time_and_room(self) -> None:
        last = MOST_NODES - 1
        boxes = tuple(Box(str(i), "call") for i in range(MOST_NODES))
        wires = [Wire(i, i + 1) for i in range(last)] + [Wire(i, last) for i in range(last - 1)]
        start = time.process_time()
        found = layout(Wiring(boxes, tuple(wires)))
        assert time.process_time() - start < 3
        assert sum(map(len, found.bends)) <= 10_000
