"""Real networks go the whole way: trace, another batch size, training mode, materialize, export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree

import fxnas
from tests.real_networks import NETWORKS, Network

ONE_MODE = {"googlenet", "inception_v3"}  # give other outputs in training: a graph holds the mode it was traced in


def call(module: Any, inputs: Any) -> Any:
    torch.manual_seed(0)
    return module(**inputs) if isinstance(inputs, dict) else module(inputs)


def assert_equal(result: Any, expected: Any) -> None:
    assert type(result) is type(expected)
    for one, other in zip(pytree.tree_leaves(result), pytree.tree_leaves(expected), strict=True):
        assert one is other is None or torch.equal(one, other)


@pytest.fixture(params=NETWORKS, ids=lambda network: network.name)
def network(request: pytest.FixtureRequest) -> Network:
    if request.param.missing:
        pytest.skip(f"{request.param.package} is not installed")
    found: Network = request.param
    return found


def test_a_network_keeps_its_meaning(network: Network) -> None:
    model = network.model()
    graph = fxnas.trace(model, network.inputs(2))
    assert list(graph.space) == ["choice"]
    inputs = network.inputs(3)
    for training in (False,) if network.name in ONE_MODE else (False, True):
        for name in graph.space["choice"].candidates:
            model.train(training)
            graph.train(training)
            fxnas.select(model, {"choice": name})
            fxnas.select(graph, {"choice": name})
            child = fxnas.materialize(graph, {"choice": name})
            with torch.no_grad():
                # In training mode every run moves the statistics: the child has its own copy, the graph shares the
                # model's.
                state = {key: value.clone() for key, value in model.state_dict().items()}
                expected = call(model, inputs)
                model.load_state_dict(state)
                assert_equal(call(graph, inputs), expected)
                assert_equal(call(child, inputs), expected)


def test_a_network_is_exported(network: Network, tmp_path: Path) -> None:
    graph = fxnas.trace(network.model(), network.inputs(2))
    child = fxnas.materialize(graph, {"choice": "other"})
    report = fxnas.exporters.export_onnx(child, network.inputs(2), tmp_path / "network.onnx")
    assert len(set(report.batch_sizes)) >= 2
    fxnas.exporters.export_module(child, network.inputs(2), tmp_path / "module")
