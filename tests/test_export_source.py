"""The source that the module exporter writes: its notation, names that are only names, constructor calls, refusals."""

from __future__ import annotations

import operator
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from fxnas.errors import ExportError
from fxnas.exporters import export_module
from fxnas.exporters.constructors import constructor
from fxnas.exporters.literals import Unwritable, literal
from fxnas.exporters.source import model_source
from tests.export_nets import Cnn, graph_module, image, kinds, kinds_inputs, load, traced, written


def test_the_source_reads_like_code_of_a_person(tmp_path: Path) -> None:
    export_module(traced(Cnn()), image(), tmp_path / "net")
    assert written(tmp_path / "net") == textwrap.dedent(
        """\
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.stem = nn.ModuleList([
                    nn.Conv2d(1, 8, kernel_size=3, padding=1, bias=False),
                    nn.BatchNorm2d(8),
                    nn.ReLU(inplace=True),
                ])
                self.block = nn.Conv2d(8, 8, kernel_size=(3, 1), padding=(1, 0))
                self.head = nn.Linear(8, 10)

            def forward(self, x):
                x = self.stem[2](self.stem[1](self.stem[0](x)))
                x = F.relu(self.block(x) + x, inplace=False)
                mean = x.mean((2, 3))
                return self.head(mean.view(x.size(0), -1))"""
    )


def test_every_kind_of_node_has_a_notation(tmp_path: Path) -> None:
    report = export_module(kinds(), kinds_inputs(), tmp_path / "net")
    assert written(tmp_path / "net").partition("    def forward")[2] == textwrap.dedent(
        """\
        (self, batch, flag=True):
                torch._assert(flag == True, 'flag is\\n\\'True\\' \"\"\" in this graph')
                image = batch["image"]
                an_odd_name = batch['an odd "name\\'']
                size = image.size(0)
                mul = size * 2
                relu = self.conv(image).relu_()
                relu[:, 0, 1:-1] = 0.5
                reshape = relu.reshape(size, -1)
                reshape += an_odd_name
                reshape *= 2
                reshape = torch.cat([reshape, reshape], dim=0).view(mul, -1)
                result = Result(reshape / ((-reshape.shape[0]) ** 2), extra={"maps": [relu, None]})
                return Pair(result, reshape)"""
    )
    assert "input 'flag' is fixed to True" in report.notes


def test_the_source_imports_torch_and_safetensors_only(tmp_path: Path) -> None:
    export_module(kinds(), kinds_inputs(), tmp_path / "net")
    text = (tmp_path / "net" / "model.py").read_text()
    imports = {line.split()[1].partition(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imports <= {"torch", "safetensors", "hashlib", "json", "pathlib", "dataclasses", "typing"}
    for word in ("pickle", "eval(", "exec(", "torch.load", "fxnas."):
        assert word not in text.partition('"""\n\nimport')[2]


# Names are data

HOSTILE = [
    "class", "forward", "training", "_modules", "0", "a b", "a'b", 'a"b', "a\nb", "a\\", '"""', "__import__", "{x}",
    "eval('boom()')", "');boom();('", "self", "torch", "nn", "x=boom()", "ünïcödé", "ﬁ", "\u202egnp", "a#b", "%s",
    "__x", "add_module", "keys", "T_destination", "weight",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_module_name_is_never_code(name: str, tmp_path: Path) -> None:
    part = nn.Module()
    part._modules[name] = nn.Linear(2, 2)
    net = graph_module(lambda graph: graph.output(graph.placeholder("x")))
    net._modules["part"] = part
    net._modules[name] = nn.Linear(2, 2)
    export_module(net, torch.rand(2, 2), tmp_path / "net")
    loaded = load(tmp_path / "net")
    assert list(loaded.state_dict()) == list(net.state_dict())


@pytest.mark.parametrize("name", ["0", "a b", "ünïcödé"])
def test_a_module_with_an_odd_name_is_called(name: str, tmp_path: Path) -> None:
    part = nn.Module()
    part._modules[name] = nn.Linear(2, 2)
    net = graph_module(
        lambda graph: graph.output(graph.call_module(f"part.{name}", (graph.placeholder("x"),))), part=part
    )
    export_module(net, torch.rand(2, 2), tmp_path / "net")
    assert f'"{name}"' in written(tmp_path / "net") or "self.part[0](x)" in written(tmp_path / "net")


@pytest.mark.parametrize("name", [*HOSTILE, "F", "math", "operator", "batch_1"])
def test_a_key_of_inputs_and_outputs_is_never_code(name: str, tmp_path: Path) -> None:
    def build(graph: fx.Graph) -> None:
        value = graph.call_function(operator.getitem, (graph.placeholder("batch"), name))
        graph.output({name: graph.call_function(F.relu, (value,)), "other": value})

    net = graph_module(build)
    export_module(net, {name: torch.randn(2, 2)}, tmp_path / "net")
    assert list(load(tmp_path / "net")({name: torch.rand(2, 2)})) == [name, "other"]


@pytest.mark.parametrize("name", ["F", "math", "operator", "max", "Model", "load", "json", "torch_"])
def test_an_argument_may_be_called_like_what_the_source_uses(name: str, tmp_path: Path) -> None:
    def build(graph: fx.Graph) -> None:
        x = graph.call_function(F.relu, (graph.placeholder(name),))
        x = graph.call_function(operator.add, (x, graph.call_function(operator.index, (3,))))
        steps = graph.call_function(torch.arange, (2,), {"device": torch.device("cpu")})
        graph.output(graph.call_module("fc", (graph.call_function(torch.add, (x, steps)),)))

    net = graph_module(build, fc=nn.Linear(2, 2))
    x = torch.randn(3, 2)
    export_module(net, x, tmp_path / "net")
    assert torch.equal(load(tmp_path / "net")(**{name: x}), net(x))


def test_a_repr_is_not_trusted() -> None:
    class Text(str):
        def __repr__(self) -> str:
            return "boom()"

    class Number(int):
        def __repr__(self) -> str:
            return "boom()"

    class Thing:
        def __repr__(self) -> str:
            return "boom()"

    assert literal({Text("x"): [Number(1), (Text("a'b\n"),)]}) == """{"x": [1, ("a'b\\n",)]}"""
    with pytest.raises(Unwritable, match="a Thing has no form"):
        literal([Thing()])


# Leaf modules

LEAVES: list[tuple[nn.Module, str]] = [
    (nn.Conv2d(1, 8, 3, bias=False), "nn.Conv2d(1, 8, kernel_size=3, bias=False)"),
    (nn.Conv1d(2, 4, 3, padding="same", groups=2), 'nn.Conv1d(2, 4, kernel_size=3, padding="same", groups=2)'),
    (nn.ConvTranspose2d(2, 3, 2, (2, 1)), "nn.ConvTranspose2d(2, 3, kernel_size=2, stride=(2, 1))"),
    (nn.BatchNorm2d(4, momentum=None, affine=False), "nn.BatchNorm2d(4, momentum=None, affine=False, bias=False)"),
    (nn.LayerNorm((3, 4), bias=False), "nn.LayerNorm((3, 4), bias=False)"),
    (nn.GroupNorm(2, 4, affine=False), "nn.GroupNorm(2, 4, affine=False, bias=False)"),
    (nn.RMSNorm(4), "nn.RMSNorm(4)"),
    (nn.InstanceNorm2d(3, affine=True), "nn.InstanceNorm2d(3, affine=True)"),
    (nn.Linear(3, 4, dtype=torch.float16), "nn.Linear(3, 4, dtype=torch.float16)"),
    (nn.Embedding(9, 3, padding_idx=0), "nn.Embedding(9, 3, padding_idx=0)"),
    (nn.EmbeddingBag(9, 3, mode="sum"), 'nn.EmbeddingBag(9, 3, mode="sum")'),
    (nn.MultiheadAttention(8, 2, bias=False, kdim=4), "nn.MultiheadAttention(8, 2, bias=False, kdim=4)"),
    (nn.LSTM(3, 4, 2, proj_size=2), "nn.LSTM(3, 4, num_layers=2, proj_size=2)"),
    (nn.RNN(3, 4, nonlinearity="relu"), 'nn.RNN(3, 4, nonlinearity="relu")'),
    (nn.GRUCell(3, 4, bias=False), "nn.GRUCell(3, 4, bias=False)"),
    (nn.ReLU6(inplace=True), "nn.ReLU6(inplace=True)"),
    (nn.PReLU(3), "nn.PReLU(num_parameters=3)"),
    (nn.GELU(approximate="tanh"), 'nn.GELU(approximate="tanh")'),
    (nn.Softmax(dim=-1), "nn.Softmax(dim=-1)"),
    (nn.MaxPool2d(3, 2, 1, ceil_mode=True), "nn.MaxPool2d(kernel_size=3, stride=2, padding=1, ceil_mode=True)"),
    (nn.MaxPool2d((2, 2)), "nn.MaxPool2d(kernel_size=(2, 2), stride=(2, 2))"),
    (nn.AdaptiveAvgPool2d((1, None)), "nn.AdaptiveAvgPool2d((1, None))"),
    (nn.Dropout2d(0.25), "nn.Dropout2d(p=0.25)"),
    (nn.Upsample(scale_factor=2, mode="bilinear"), 'nn.Upsample(scale_factor=2.0, mode="bilinear")'),
    (nn.ConstantPad2d((1, 2, 3, 4), 0.5), "nn.ConstantPad2d((1, 2, 3, 4), 0.5)"),
    (nn.Flatten(0), "nn.Flatten(start_dim=0)"),
    (nn.Unflatten(1, (2, 2)), "nn.Unflatten(1, (2, 2))"),
    (nn.Identity(1, what=2), "nn.Identity()"),
    (nn.PixelShuffle(2), "nn.PixelShuffle(2)"),
    (nn.PairwiseDistance(1.0), "nn.PairwiseDistance(p=1.0)"),
    (nn.CrossEntropyLoss(weight=torch.ones(2)), "nn.CrossEntropyLoss(weight=torch.empty((2,), dtype=torch.float32))"),
    (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 4, 0.0, F.gelu, batch_first=True), 2),
        "nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, dim_feedforward=4, dropout=0.0, activation=F.gelu, "
        "batch_first=True), 2)",
    ),
]


@pytest.mark.parametrize(("module", "source"), LEAVES, ids=lambda value: type(value).__name__)
def test_a_module_of_torch_is_written_as_its_constructor_call(module: nn.Module, source: str) -> None:
    call, repairs = constructor(module)
    assert str(call) == source
    assert repairs == ()


def test_an_attribute_that_was_changed_later_is_set_again(tmp_path: Path) -> None:
    net = traced(nn.Sequential(nn.Hardtanh()))
    net.get_submodule("0").inplace = True
    net.get_submodule("0").max_val = 7
    export_module(net, torch.rand(2, 3), tmp_path / "net")
    assert "nn.Hardtanh(max_val=7, inplace=True)" in written(tmp_path / "net")
    encoder = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True).eval()
    encoder.norm2.eps = 0.5

    def build(graph: fx.Graph) -> None:
        graph.output(graph.call_module("layer", (graph.placeholder("x"),)))

    export_module(graph_module(build, layer=encoder), torch.rand(2, 3, 4), tmp_path / "encoder")
    assert "self.layer.norm2.eps = 0.5" in written(tmp_path / "encoder")


# Refusals


def assert_refused(net: Any, inputs: Any, folder: Path, match: str) -> None:
    with pytest.raises(ExportError, match=match):
        export_module(net, inputs, folder / "net")
    assert list(folder.iterdir()) == []


class Doubler(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


def one_call(module: nn.Module) -> fx.GraphModule:
    return graph_module(lambda graph: graph.output(graph.call_module("part", (graph.placeholder("x"),))), part=module)


def test_a_module_of_the_users_is_refused_by_name(tmp_path: Path) -> None:
    assert_refused(one_call(Doubler()), torch.rand(2, 2), tmp_path, r"'part' \(Doubler\).*not one of torch\.nn.*trace")


def test_hooks_and_replaced_methods_are_refused(tmp_path: Path) -> None:
    hooked = nn.Linear(2, 2)
    hooked.register_forward_hook(lambda *_: None)
    assert_refused(one_call(hooked), torch.rand(2, 2), tmp_path, "hooks are registered")
    replaced = nn.Linear(2, 2)
    replaced.forward = lambda x: x  # type: ignore[method-assign]  # what some users do
    assert_refused(one_call(replaced), torch.rand(2, 2), tmp_path, "the method 'forward' was replaced")


def users_function(x: Tensor) -> Tensor:
    return x + 1


def test_a_function_of_the_users_is_refused_by_node(tmp_path: Path) -> None:
    net = graph_module(lambda g: g.output(g.call_function(users_function, (g.placeholder("x"),))))
    assert_refused(net, torch.rand(2, 2), tmp_path, r"node 'users_function'.*test_export_source\.users_function")


@pytest.mark.parametrize("function", [eval, torch.load, open])
def test_functions_that_reach_files_or_code_are_refused(function: Any) -> None:
    net = graph_module(lambda graph: graph.output(graph.call_function(function, ("nothing",))))
    with pytest.raises(ExportError, match="has no public name in torch"):
        model_source(net)
