"""The ONNX exporter: what it writes, how it is compared, and that a file with a mismatch is never handed out."""

from __future__ import annotations

import json
import operator
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, fx, nn

import fxnas
from fxnas.errors import ExportError
from fxnas.exporters import export_module, export_onnx, export_program, onnx_session, verify_module, verify_onnx
from tests.example_nets import GuideNet
from tests.export_nets import (
    Attention,
    Cnn,
    Tagger,
    dead,
    files,
    graph_module,
    ids,
    image,
    kinds,
    kinds_inputs,
    padding,
    run_onnx,
    traced,
)
from tests.torchvision_shim import torchvision_models

# What is written


def test_the_file_runs_at_any_batch_size(tmp_path: Path) -> None:
    net = traced(Cnn())
    report = export_onnx(net, image(), tmp_path / "net.onnx")
    assert files(tmp_path) == ["net.onnx"]
    net.eval()
    for rows in (1, 2, 7):
        x = image(rows)
        (actual,) = run_onnx(tmp_path / "net.onnx", x=x)
        torch.testing.assert_close(torch.from_numpy(actual), net(x).detach(), rtol=1e-5, atol=1e-6)
    assert report.batch_sizes == (2, 3, 1) and report.comparisons == 4
    assert report.provider == report.providers[0] == "CPUExecutionProvider"
    assert report.opset is not None and report.opset >= 18
    assert 0 <= report.max_eps_error <= 64 and report.max_rel_error <= 64 * torch.finfo(torch.float32).eps
    assert [str(info) for info in report.inputs] == ["x: float32[batch, 1, 6, 6]"]
    assert [str(info) for info in report.outputs] == ["output: float32[batch, 10]"]
    assert report.parameters == sum(parameter.numel() for parameter in net.parameters())
    assert report.size == (tmp_path / "net.onnx").stat().st_size
    assert json.loads(json.dumps(report.to_json()))["files"][0]["name"] == "net.onnx"
    assert "CPUExecutionProvider, batch sizes 2, 3, 1" in str(report)


def test_a_module_in_training_mode_is_exported_in_evaluation_mode_and_left_alone(tmp_path: Path) -> None:
    net, x = traced(Cnn()), image()
    net.stem.eval()
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    before = torch.get_rng_state()
    report = export_onnx(net, x, tmp_path / "net.onnx")
    assert report.notes == ("the module is in training mode; it was exported in evaluation mode",)
    assert (net.training, net.stem.training, net.head.training) == (True, False, True)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())


def test_metadata_tells_where_the_network_comes_from(tmp_path: Path) -> None:
    net = traced(Cnn().eval())
    net.meta["fxnas"] = {"architecture": {"op": "conv3"}, "fingerprint": "f00"}
    export_onnx(net, image(), tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["fxnas.architecture"]) == {"op": "conv3"}
    assert metadata["fxnas.fingerprint"] == "f00"
    assert metadata["fxnas.version"] == fxnas.__version__
    assert metadata["torch.version"] == torch.__version__
    assert metadata["onnx.version"] == onnx.__version__
    assert json.loads(metadata["fxnas.inputs"]) == [{"name": "x", "dtype": "float32", "shape": ["batch", 1, 6, 6]}]
    assert json.loads(metadata["fxnas.outputs"])[0]["name"] == "output"
    assert model.producer_name == "fxnas"


def test_the_file_tells_nothing_about_this_machine(tmp_path: Path) -> None:
    export_onnx(traced(Cnn()), image(), tmp_path / "net.onnx")
    content = (tmp_path / "net.onnx").read_bytes()
    for word in (str(Path(__file__).parent), "site-packages", "stack_trace", 'File "'):
        assert word.encode() not in content


def test_weights_keep_the_names_of_the_module(tmp_path: Path) -> None:
    export_onnx(traced(Cnn()), image(), tmp_path / "net.onnx")
    names = {tensor.name for tensor in onnx.load(tmp_path / "net.onnx").graph.initializer}
    assert {"stem.0.weight", "block.weight", "head.weight", "head.bias"} <= names


def test_exporting_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    net = traced(Cnn())
    for name in ("one.onnx", "two.onnx"):
        export_onnx(net, image(), tmp_path / name)
    one, two = (onnx.load(tmp_path / name) for name in ("one.onnx", "two.onnx"))
    assert [node.op_type for node in one.graph.node] == [node.op_type for node in two.graph.node]
    assert one.graph.input == two.graph.input and one.graph.initializer == two.graph.initializer


# Inputs and outputs


def test_inputs_and_outputs_have_the_names_of_the_code(tmp_path: Path) -> None:
    report = export_onnx(kinds(), kinds_inputs(), tmp_path / "net.onnx")
    assert [info.name for info in report.inputs] == ["image", "an odd \"name'"]
    assert [info.name for info in report.outputs] == ["logits", "first.extra.maps.0", "second"]
    assert "input 'flag' is fixed to True" in report.notes
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["image", "an odd \"name'"]
    assert [value.shape[0] for value in session.get_inputs()] == ["batch", "batch"]
    assert [value.name for value in session.get_outputs()] == ["logits", "first.extra.maps.0", "second"]


def test_names_may_be_given(tmp_path: Path) -> None:
    net = traced(Attention())
    inputs = (ids(), padding())
    export_onnx(net, inputs, tmp_path / "a.onnx", input_names=["tokens", "weights"], output_names=["states", "map"])
    session = onnxruntime.InferenceSession(str(tmp_path / "a.onnx"), providers=["CPUExecutionProvider"])
    assert [value.name for value in (*session.get_inputs(), *session.get_outputs())] == [
        "tokens", "weights", "states", "map",
    ]  # fmt: skip
    for names in (["tokens"], ["same", "same"], ["", "x"], ["ids", 1]):
        with pytest.raises(ExportError, match="needs 2 different non-empty strings"):
            export_onnx(net, inputs, tmp_path / "b.onnx", input_names=names)
    with pytest.raises(ExportError, match="'ids' is the name of an input and of an output"):
        export_onnx(net, inputs, tmp_path / "b.onnx", output_names=["ids", "map"])
    assert files(tmp_path) == ["a.onnx"]


def test_a_name_may_be_that_of_a_parameter_or_of_an_input(tmp_path: Path) -> None:
    def build(graph: fx.Graph) -> None:
        weight = graph.placeholder("weight")
        graph.output({"weight": graph.call_module("fc", (weight,)), "relu": graph.call_method("relu", (weight,))})

    root = nn.Module()
    root.weight = nn.Parameter(torch.rand(2))
    net = graph_module(build, fc=nn.Linear(2, 2))
    report = export_onnx(net, torch.rand(3, 2), tmp_path / "a.onnx", input_names=["fc.weight"])
    assert [info.name for info in report.outputs] == ["weight", "relu"]
    report = export_onnx(net, torch.rand(3, 2), tmp_path / "a.onnx")
    assert [info.name for info in report.outputs] == ["weight_out", "relu"]


def test_inputs_that_come_back_and_outputs_given_twice(tmp_path: Path) -> None:
    def build(graph: fx.Graph) -> None:
        x = graph.placeholder("x")
        y = graph.call_method("tanh", (x,))
        graph.output((x, y, y, None))

    report = export_onnx(graph_module(build), torch.rand(3, 2), tmp_path / "a.onnx")
    assert [info.name for info in report.outputs] == ["output_0", "output_1", "output_2"]
    x = torch.rand(4, 2)
    results = run_onnx(tmp_path / "a.onnx", x=x)
    assert all(torch.allclose(torch.from_numpy(r), e) for r, e in zip(results, (x, x.tanh(), x.tanh()), strict=True))


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (Tagger, ids(1)),
        (lambda: Tagger(nn.GRU), ids(2)),
        (Attention, {"ids": ids(1), "mask": padding(1)}),
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh()).double(), torch.rand(2, 4).double()),
        (lambda: Cnn().half(), image(2).half()),
    ],
    ids=["lstm", "gru", "attention", "float64", "float16"],
)
def test_networks_of_all_sorts(make: Callable[[], nn.Module], inputs: Any, tmp_path: Path) -> None:
    report = export_onnx(traced(make()), inputs, tmp_path / "net.onnx")
    assert report.batch_sizes in [(1, 3), (2, 3, 1)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_dtype_without_kernels_is_refused_with_a_way_out(dtype: torch.dtype, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("the GPU may have them")
    assert_refused(Cnn().to(dtype), image().to(dtype), tmp_path, "export the module in float32")


def test_bfloat16_where_there_are_kernels(tmp_path: Path) -> None:
    def build(graph: fx.Graph) -> None:
        x = graph.placeholder("x")
        graph.output((graph.call_function(torch.cat, ([x, x], 1)), graph.call_method("float", (x,))))

    report = export_onnx(graph_module(build), torch.rand(2, 3, dtype=torch.bfloat16), tmp_path / "net.onnx")
    assert [info.dtype for info in report.outputs] == ["bfloat16", "float32"]


def test_a_module_without_a_graph_is_welcome(tmp_path: Path) -> None:
    assert export_onnx(Cnn(), image(), tmp_path / "net.onnx").batch_sizes == (2, 3, 1)


def test_a_fixed_batch(tmp_path: Path) -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x[0], x[1]])

    report = export_onnx(Fixed(), torch.rand(2, 3), tmp_path / "net.onnx", dynamic_batch=False)
    assert report.batch_sizes == (2,) and str(report.inputs[0]) == "x: float32[2, 3]"

    class Baked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.view(2, 3) + 1

    with pytest.raises(ExportError, match=r"runs with 2 rows but not with 3.*dynamic_batch=False"):
        export_onnx(Baked(), torch.rand(2, 3), tmp_path / "other.onnx")
    assert files(tmp_path) == ["net.onnx"]


def test_inputs_without_a_batch(tmp_path: Path) -> None:
    report = export_onnx(traced(nn.Sequential(nn.Tanh())), torch.tensor(0.5), tmp_path / "net.onnx")
    assert report.batch_sizes == () and report.notes[-1] == "no input has a batch dimension; all shapes are fixed"


# Refusals: nothing is left behind


def assert_refused(net: Any, inputs: Any, folder: Path, match: str, **options: Any) -> None:
    with pytest.raises(ExportError, match=match):
        export_onnx(net, inputs, folder / "net.onnx", **options)
    assert files(folder) == []


def off_by(delta: float) -> Callable[..., Any]:
    true_run = onnx_session.Session.run

    def wrong(self: Any, *arguments: Any) -> Any:
        outputs = true_run(self, *arguments)
        return {name: value + delta for name, value in outputs.items()}

    return wrong


@pytest.mark.parametrize("external", [False, True])
def test_a_mismatch_hands_nothing_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, external: bool) -> None:
    monkeypatch.setattr(onnx_session.Session, "run", off_by(0.01))
    match = "doesn't compute what eager computes at batch size 2: output 'output' is off by 0.01"
    assert_refused(traced(Cnn()), image(), tmp_path, match, external_data=external)


def test_a_mismatch_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_onnx(traced(Cnn()), image(), tmp_path / "net.onnx")
    before = (tmp_path / "net.onnx").read_bytes()
    monkeypatch.setattr(onnx_session.Session, "run", off_by(0.01))
    with pytest.raises(ExportError):
        export_onnx(traced(Cnn()), image(), tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").read_bytes() == before and files(tmp_path) == ["net.onnx"]


def test_a_reference_of_zeros_concludes_nothing(tmp_path: Path) -> None:
    assert_refused(dead(), torch.rand(2, 3), tmp_path, "'output' is zero .* for all 8 inputs")


def test_an_example_of_zeros_is_not_the_only_input(tmp_path: Path) -> None:
    report = export_onnx(traced(nn.Sequential(nn.Linear(3, 2, bias=False))), torch.zeros(2, 3), tmp_path / "net.onnx")
    assert report.comparisons == 4


def test_a_batch_size_at_which_the_file_differs_is_found(tmp_path: Path) -> None:
    class Single(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2 if x.shape[0] > 1 else x * 3

    assert_refused(Single(), torch.rand(2, 3), tmp_path, "at batch size 1")


def test_randomness_in_the_graph_is_found(tmp_path: Path) -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.rand_like(x)

    assert_refused(Noisy(), torch.rand(2, 3), tmp_path, "with another random seed the module gives other outputs")


ODD = ["a'b", 'a"b', "a\nb", "{x}", "class", "');boom();('"]


@pytest.mark.parametrize("key", ODD[:3])
def test_a_key_of_inputs_and_outputs_is_only_a_name(key: str, tmp_path: Path) -> None:
    def build(graph: fx.Graph) -> None:
        batch = graph.placeholder("batch")
        graph.output({key: graph.call_method("tanh", (graph.call_function(operator.getitem, (batch, key)),))})

    report = export_onnx(graph_module(build), {key: torch.rand(2, 3)}, tmp_path / "net.onnx")
    assert [info.name for info in (*report.inputs, *report.outputs)] == [key, f"{key}_out"]


@pytest.mark.parametrize("name", ODD)
def test_a_module_name_that_torch_would_write_into_code_is_refused(name: str, tmp_path: Path) -> None:
    net = Cnn()
    net.stem._modules[name] = nn.Linear(2, 2)
    assert_refused(net, image(), tmp_path, "would write it into code: trace and materialize")


def test_what_cannot_be_exported_says_why(tmp_path: Path) -> None:
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("no way")

    class Nothing(nn.Module):
        def forward(self, x: Tensor) -> int:
            return 3

    class Branches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + 1 if x.sum() > 0 else x

    x = torch.rand(2, 3)
    assert_refused(Fails(), x, tmp_path, "fails on the example inputs: no way")
    assert_refused(Nothing(), x, tmp_path, "returns no tensor, but 3")
    assert_refused(Branches(), x, tmp_path, "torch can't translate Branches to ONNX")
    assert_refused(Cnn(), (image(), 1, 2), tmp_path, "do not fit Cnn.forward")
    assert_refused(Cnn(), None, tmp_path, "hold no tensor")
    assert_refused(Cnn(), object(), tmp_path, "neither a tensor nor a constant")
    assert_refused(object(), x, tmp_path, "can't export a object.*materialize")
    assert_refused(Cnn().to("meta"), image(), tmp_path, "has no values")
    with pytest.raises(ExportError, match=r"the folder .* does not exist"):
        export_onnx(Cnn(), image(), tmp_path / "missing" / "net.onnx")


@pytest.mark.parametrize("choice", [fxnas.LayerChoice([nn.Tanh(), nn.ReLU()]), fxnas.InputChoice(2, key="pick")])
def test_open_choices_are_refused(choice: nn.Module, tmp_path: Path) -> None:
    net = nn.Module()
    net.cells = nn.ModuleList([choice])
    key = "pick" if isinstance(choice, fxnas.InputChoice) else "cells.0"
    assert_refused(net, image(), tmp_path, rf"module 'cells\.0' is the open choice '{key}'.*materialize")


# A GPU


def test_a_silent_fall_back_to_the_cpu_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_onnx(traced(Cnn()), image(), tmp_path / "net.onnx")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU, nothing falls back")
    true_session = onnxruntime.InferenceSession

    def without_cuda(path: str, options: Any, providers: list[Any]) -> Any:
        assert providers[0][0] == "CUDAExecutionProvider" and providers[0][1] == {"use_tf32": 0}
        return true_session(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(onnxruntime, "InferenceSession", without_cuda)
    with pytest.raises(ExportError, match="ONNX Runtime runs on CPUExecutionProvider: run `fxnas doctor`"):
        onnx_session.Session(tmp_path / "net.onnx")


def test_a_chosen_architecture_goes_into_every_format(tmp_path: Path) -> None:
    torch.manual_seed(0)
    graph = fxnas.trace(GuideNet(), GuideNet.example())
    architecture = graph.space.sample(random.Random(0))
    child = fxnas.materialize(graph, architecture)
    with pytest.raises(ExportError, match="materialize"):
        export_onnx(graph.module, GuideNet.example(), tmp_path / "net.onnx")
    export_onnx(child, GuideNet.example(), tmp_path / "net.onnx")
    export_module(child, GuideNet.example(), tmp_path / "net")
    export_program(child, GuideNet.example(), tmp_path / "net.pt2")
    metadata = {entry.key: entry.value for entry in onnx.load(tmp_path / "net.onnx").metadata_props}
    assert metadata["fxnas.fingerprint"] == architecture.fingerprint
    written = tmp_path / "net" / "architecture.json"
    assert fxnas.Architecture.from_json(written, graph.space) == architecture.canonical()
    verify_module(tmp_path / "net", child, GuideNet.example(), architecture=architecture)
    verify_onnx(tmp_path / "net.onnx", child, GuideNet.example(), architecture=architecture)


def test_a_real_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = traced(torchvision_models().resnet18(weights=None))
    report = export_onnx(net, torch.rand(2, 3, 40, 40), tmp_path / "resnet18.onnx")
    assert report.batch_sizes == (2, 3, 1) and report.parameters == 11_689_512
