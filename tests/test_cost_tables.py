"""Tables of costs: those of others are read strictly, and a saved cost model is read back whole."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fxnas import costs
from fxnas.choice import Choice
from fxnas.errors import SearchSpaceError
from fxnas.space import SearchSpace
from fxnas.trace import trace
from tests.graph_help import Cells

DATA = Path(os.environ.get("FXNAS_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

SPACE = SearchSpace([
    Choice("op", "layer_choice", ("conv", "pool", "skip"), 1),
    Choice("in", "input_choice", ("", ""), None),
])  # fmt: skip
TABLE: dict[str, Any] = {
    "unit": "ms",
    "base": 1.5,
    "costs": {"op": {"conv": 0.7, "pool": 0.25, "skip": 0}, "in": [2, 4]},
}


def test_costs_by_name_and_in_lists(tmp_path: Path) -> None:
    (tmp_path / "costs.json").write_text(json.dumps(TABLE))
    nested = {"unit": "ms", "base": 1.5, "costs": [[0.7, 0.25, 0], {"0": 2, "1": 4}]}
    for source in (TABLE, tmp_path / "costs.json", json.dumps(TABLE), nested):
        model = costs.table(source, SPACE)
        assert model.unit == "ms"
        assert model({"op": "pool", "in": [0, 1]}) == 1.5 + 0.25 + 2 + 4
        assert model({"op": "skip", "in": []}) == 1.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"op": {"conv": 1, "pool": 1}}, "choice 'op': candidate 'skip' is missing"),
        ({"op": {"conv": 1, "pool": 1, "skip": 1, "conf": 1}}, "there is no candidate 'conf', did you mean 'conv'"),
        ({"op": [1, 2]}, r"choice 'op': an entry for each candidate is needed \(3: 'conv', 'pool', 'skip'\), got 2"),
        ({"op": 3}, "choice 'op': an entry for each candidate is needed"),
        ({"op": [1, 2, True]}, "choice 'op', candidate 'skip': a finite number is needed, got True"),
        ({"op": [1, 2, float("inf")]}, "choice 'op', candidate 'skip': a finite number is needed, got inf"),
        ({"op": [1, 2, "3"]}, "choice 'op', candidate 'skip': a finite number is needed, got '3'"),
        ({"on": [1, 2]}, "costs: there is no choice 'on'"),
    ],
)
def test_a_table_that_doesnt_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SearchSpaceError, match=message):
        costs.table({**TABLE, "costs": {**TABLE["costs"], **changes}}, SPACE)


def test_a_malformed_table_is_refused(tmp_path: Path) -> None:
    for wrong, message in (
        ({"costs": TABLE["costs"]}, '"unit"'),
        ({"unit": "ms", "costs": {"op": [1, 2, 3]}}, "choice 'in' is missing"),
        ({**TABLE, "bases": 1}, "'bases' is unknown, did you mean 'base'"),
        ({**TABLE, "base": None}, "base: a finite number is needed, got None"),
        ([], "an object"),
        ({**TABLE, "conditions": [["chosen", "op", 7]], "joint": [[0, 1]]}, "is none of this space"),
        ({**TABLE, "conditions": [["not", 0]]}, "there is no number 0 so far"),
        ({**TABLE, "joint": [[0, 1]]}, "there is no number 0 so far"),
    ):
        with pytest.raises(SearchSpaceError, match=message):
            costs.table(wrong, SPACE)
    (tmp_path / "twice.json").write_text('{"unit": "ms", "costs": {"op": [1, 2, NaN]}}')
    with pytest.raises(SearchSpaceError, match=r"NaN is not a JSON number"):
        costs.table(tmp_path / "twice.json", SPACE)


def test_a_saved_model_is_read_back_whole(tmp_path: Path) -> None:
    graph = trace(Cells().eval(), torch.randn(2, 4))
    model = costs.memory(graph)
    assert not model.additive
    model.save(tmp_path / "memory.json")
    again = costs.table(tmp_path / "memory.json", graph.space)
    assert str(again) == str(model)
    for seed in range(20):
        a = graph.space.sample(random.Random(seed))
        assert again(a) == model(a)


def fbnet(table: Any) -> SearchSpace:
    names = [str(name) for name in table]
    return SearchSpace([Choice(f"layer{i}", "layer_choice", tuple(names), 1) for i in range(22)])


def test_the_table_behind_a_measured_latency_is_recovered() -> None:
    if not (DATA / "fbnet_latency.npz").exists():
        pytest.skip(f"no fbnet_latency.npz in {DATA}")
    data = np.load(DATA / "fbnet_latency.npz")
    space = fbnet(data["ops"])
    measured = data["latency_ms"][list(data["devices"]).index("pixel3")].astype(np.float64)
    hot = np.eye(len(data["ops"]))[data["arch"]].reshape(len(data["arch"]), -1)
    fitted = np.linalg.lstsq(hot[:1000], measured[:1000], rcond=None)[0].reshape(22, -1)
    model = costs.table({"unit": "ms", "costs": fitted.tolist()}, space)
    assert model.additive
    predicted = model.many(data["arch"])
    assert np.abs(predicted / measured - 1).max() < 1e-4  # of all 5,000, of which 4,000 weren't fitted
    one = dict(zip(space, map(int, data["arch"][4000]), strict=True))
    assert model(one) == pytest.approx(measured[4000], rel=1e-4)


def test_a_published_lookup_table_is_read() -> None:
    if not (DATA / "fbnet_lut_cpu.json").exists():
        pytest.skip(f"no fbnet_lut_cpu.json in {DATA}")
    data = json.loads((DATA / "fbnet_lut_cpu.json").read_text())
    space = SearchSpace([Choice(layer["key"], "layer_choice", tuple(data["ops"]), 1) for layer in data["layers"]])
    model = costs.table({"unit": "µs", "costs": data["latency_us"]}, space)
    assert model({key: "ir_k3_e1" for key in space}) == pytest.approx(sum(row[0] for row in data["latency_us"]))
    assert model.unit == "µs"
