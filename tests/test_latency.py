"""The latency model: distinct operations are measured once, kept in a file, and added up."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fxnas import costs
from fxnas.costs import backends, timing
from fxnas.costs.signatures import Signatures
from fxnas.errors import FxnasError, PassError
from fxnas.nn import LayerChoice
from fxnas.trace import trace


class Twice(nn.Module):
    """The same choice twice, on inputs of one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = (
            LayerChoice({"lin": nn.Linear(8, 8), "none": nn.Identity()}, key=key) for key in ("one", "two")
        )

    def forward(self, x):
        return torch.tanh(self.two(torch.tanh(self.one(x))))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operations that are measured; each takes as many ms as there were before it, plus one."""
    names: list[str] = []

    def pretend(call: Any, *_: Any) -> float:
        names.append(Signatures()(call))
        return float(len(names))

    monkeypatch.setattr(timing, "_measured", pretend)
    return names


def test_distinct_operations_are_measured_once(measured: list[str]) -> None:
    graph = trace(Twice(), torch.randn(2, 8))
    ms = costs.latency(graph)
    assert len(measured) == 3
    assert [sum(name in one for one in measured) for name in ("Linear(", "Identity(", "tanh")] == [1, 1, 1]
    assert ms.unit == "ms"
    assert ms.costs["one"] == ms.costs["two"]
    assert (
        ms({"one": "none", "two": "none"}) - ms({"one": "lin", "two": "none"})
        == ms.costs["one"][1] - ms.costs["one"][0]
    )


def test_measurements_are_kept_for_the_device(measured: list[str], tmp_path: Path) -> None:
    graph = trace(Twice(), torch.randn(2, 8))
    file = tmp_path / "latency.json"
    first = costs.latency(graph, cache=file)
    assert str(costs.latency(graph, cache=file)) == str(first)
    assert len(measured) == 3
    costs.latency(graph, batch=2, cache=file)
    assert len(measured) == 6
    (place,) = json.loads(file.read_text())["latency_ms"]
    assert torch.__version__ in place


def test_other_files_are_no_measurements(tmp_path: Path) -> None:
    graph = trace(Twice(), torch.randn(2, 8))
    file = tmp_path / "latency.json"
    for wrong in ("{}", "[]", '{"fxnas": 1, "latency_ms": {"cpu": 3}}'):
        file.write_text(wrong)
        with pytest.raises(FxnasError, match="no file of measurements"):
            costs.latency(graph, cache=file)
        assert file.read_text() == wrong
    place = backends.place(torch.device("cpu"), "torch")
    file.write_text(json.dumps({"fxnas": 1, "latency_ms": {place: {"tanh": "fast"}}}))
    with pytest.raises(FxnasError, match="'tanh' has no time in ms, but 'fast'"):
        costs.latency(graph, cache=file)


class Slow(nn.Module):
    def forward(self, x):
        return sleepy(x)


@torch.library.custom_op("fxnas_tests::sleepy", mutates_args=())
def sleepy(x: torch.Tensor) -> torch.Tensor:
    time.sleep(0.01)
    return x.clone()


@sleepy.register_fake
def _(x):
    return torch.empty_like(x)


@torch.library.custom_op("fxnas_tests::absent", mutates_args=())
def absent(x: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("no kernel for this device")


@absent.register_fake
def _(x):
    return torch.empty_like(x)


def test_times_are_milliseconds_and_are_compared_with_whole_networks() -> None:
    graph = trace(Slow(), torch.randn(2, 8))
    ms = costs.latency(graph, repeats=3, warmup=1)
    assert 10 <= ms({}) < 200
    found = costs.additivity_error(graph, ms, n=2, repeats=3, warmup=1)
    assert len(found.measured) == len(found.predicted) == 2
    assert 10 <= found.measured[0] < 200
    assert found.worst >= found.mean
    assert "2 networks" in str(found)


def test_operations_are_run_by_onnx_runtime(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    graph = trace(Twice(), torch.randn(2, 8))
    ms = costs.latency(graph, repeats=3, backend="onnxruntime", cache=tmp_path / "latency.json")
    assert 0 < ms({"one": "lin", "two": "lin"}) < 100
    (place,) = json.loads((tmp_path / "latency.json").read_text())["latency_ms"]
    assert "onnxruntime" in place
    assert costs.additivity_error(graph, ms, n=1, repeats=3, backend="onnxruntime").measured[0] > 0
    with pytest.raises(FxnasError, match="backend is one of torch, onnxruntime, got 'tvm'"):
        costs.latency(graph, backend="tvm")  # type: ignore[arg-type]


def test_what_cant_be_run_alone_is_named() -> None:
    class Net(nn.Module):
        def forward(self, x):
            return absent(x)

    graph = trace(Net(), torch.randn(2, 8))
    with pytest.raises(PassError, match=r"test_latency.py:\d+ in forward: node .* on its own by torch: .* no kernel"):
        costs.latency(graph)


def test_layouts_are_those_of_the_network() -> None:
    like = torch.empty(2, 3, 4).transpose(1, 2).expand(2, 4, 3)
    made = timing.real(like, torch.device("cpu"))
    assert made.stride() == like.stride()
    assert made.shape == like.shape
    assert timing.real(torch.empty(0, 3), torch.device("cpu")).shape == (0, 3)
    assert timing.real(torch.ones(2, dtype=torch.long), torch.device("cpu")).tolist() == [0, 0]


def test_layers_that_print_alike_are_told_apart(measured: list[str]) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.again = (nn.MultiheadAttention(8, heads) for heads in (1, 4, 1))

        def forward(self, x):
            return [attend(x, x, x)[0] for attend in (self.one, self.two, self.again)]

    net = Net().eval()
    assert repr(net.one) == repr(net.two)
    costs.latency(trace(net, torch.randn(3, 2, 8), dynamic_batch=False), batch=None)
    attentions = [name for name in measured if "MultiheadAttention" in name]
    assert len(attentions) == 2
