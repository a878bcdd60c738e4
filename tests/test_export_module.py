"""The module exporter: readable source, exact weights, and nothing handed out that isn't the network."""

from __future__ import annotations

import json
import operator
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, fx, nn

import fxnas
from fxnas.errors import ExportError
from fxnas.exporters import equality, export_module, verify_module
from fxnas.exporters.compare import same_bits
from fxnas.exporters.constructors import constructor
from fxnas.exporters.imported import imported
from fxnas.exporters.literals import Unwritable, literal
from fxnas.exporters.outputs import tensor_leaves
from fxnas.exporters.report import sha256
from fxnas.exporters.source import model_source
from tests.export_nets import (
    Attention,
    Cnn,
    Shared,
    Tagger,
    Tensors,
    graph_module,
    ids,
    kinds,
    kinds_inputs,
    padding,
    traced,
)

FILES = ["architecture.json", "manifest.json", "model.py", "weights.safetensors"]


def load(folder: Path, device: str = "cpu") -> Any:
    with imported(folder / "model.py") as code:
        return code.load(device)


def written(folder: Path) -> str:
    """The class in model.py."""
    text = (folder / "model.py").read_text()
    return text[text.index("class Model") : text.index("def load(")].strip()


def image(rows: int = 2) -> Tensor:
    return torch.rand(rows, 1, 6, 6)


# What is written


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


def test_the_folder_says_what_it_holds(tmp_path: Path) -> None:
    architecture = {"conv1": "conv3x3", "skip": []}
    report = export_module(traced(Cnn()), image(), tmp_path / "net", architecture=architecture)
    folder = tmp_path / "net"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert json.loads((folder / "architecture.json").read_text()) == architecture
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {name: entry["sha256"] for name, entry in manifest["files"].items()} == {
        name: sha256(folder / name) for name in FILES if name != "manifest.json"
    }
    assert (manifest["fxnas"], manifest["torch"]) == (fxnas.__version__, torch.__version__)
    assert report.max_abs_error == 0 and report.batch_sizes == (2, 3, 1)
    assert "bit for bit" in str(report) and report.to_json()["format"] == "module"
    assert report.size == sum(path.stat().st_size for path in folder.iterdir())


def test_exporting_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    net = traced(Cnn())
    for name in ("one", "two"):
        export_module(net, image(), tmp_path / name)
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


# What is loaded

NETS: dict[str, tuple[Callable[[], nn.Module], Callable[[int], Any]]] = {
    "cnn": (Cnn, image),
    "cnn in evaluation mode": (lambda: Cnn().eval(), image),
    "channels last": (lambda: Cnn().to(memory_format=torch.channels_last), image),  # type: ignore[call-overload]  # torch's stub lacks it
    "bfloat16": (lambda: Cnn().bfloat16().eval(), lambda rows: image(rows).bfloat16()),
    "float64": (lambda: Cnn().double(), lambda rows: image(rows).double()),
    "lstm, tied": (Tagger, ids),
    "gru": (lambda: Tagger(nn.GRU), ids),
    "rnn": (lambda: Tagger(nn.RNN), ids),
    "attention": (Attention, lambda rows: (ids(rows), padding(rows))),
    "attention in evaluation mode": (lambda: Attention().eval(), lambda rows: (ids(rows), padding(rows))),
    "dtypes": (Tensors, lambda rows: torch.rand(rows, 4)),
    "shared": (Shared, lambda rows: torch.rand(rows, 4)),
}


@pytest.mark.parametrize("name", NETS)
def test_the_loaded_network_is_the_same(name: str, tmp_path: Path) -> None:
    make, inputs = NETS[name]
    net = traced(make())
    export_module(net, inputs(2), tmp_path / "net")
    loaded = load(tmp_path / "net")
    assert list(loaded.state_dict()) == list(net.state_dict())
    for key, tensor in net.state_dict().items():
        assert same_bits(loaded.state_dict()[key], tensor) and loaded.state_dict()[key].stride() == tensor.stride()
    given = inputs(4)
    results = []
    for module in (net, loaded):
        torch.manual_seed(3)
        arguments = given if isinstance(given, tuple) else (given,)
        results.append(tensor_leaves(module(*arguments)))
    assert all(same_bits(one, other) for one, other in zip(*results, strict=True))


def test_ties_flags_and_frozen_parameters_survive(tmp_path: Path) -> None:
    net = traced(Tagger())
    net.head.weight.requires_grad_(False)
    net.rnn.eval()
    export_module(net, ids(), tmp_path / "net")
    loaded = load(tmp_path / "net")
    assert loaded.head.weight is loaded.embed.weight and not loaded.embed.weight.requires_grad
    assert loaded.rnn.weight_ih_l0.requires_grad
    assert (loaded.training, loaded.rnn.training, loaded.head.training) == (True, False, True)
    assert "self.head.weight = self.embed.weight" in written(tmp_path / "net")
    assert len(load_file(tmp_path / "net" / "weights.safetensors")) == len(list(net.parameters()))


def test_a_buffer_outside_the_state_dict_keeps_its_values(tmp_path: Path) -> None:
    def build(graph: fx.Graph) -> None:
        graph.output(graph.call_function(torch.add, (graph.placeholder("x"), graph.get_attr("part.offset"))))

    part = nn.Module()
    part.register_buffer("offset", torch.rand(3), persistent=False)
    net = graph_module(build, part=part)
    net.get_submodule("part").register_buffer("offset", part.get_buffer("offset"), persistent=False)
    export_module(net, torch.rand(2, 3), tmp_path / "net")
    loaded = load(tmp_path / "net")
    assert "part.offset" not in loaded.state_dict()
    assert same_bits(loaded.part.offset, part.get_buffer("offset"))


def test_the_mode_is_read_when_the_network_runs(tmp_path: Path) -> None:
    def build(graph: fx.Graph) -> None:
        x, training = graph.placeholder("x"), graph.get_attr("training")
        graph.output(graph.call_function(F.dropout, (x,), {"p": 0.5, "training": training}))

    net = graph_module(build)
    export_module(net, torch.rand(2, 30), tmp_path / "net")
    loaded = load(tmp_path / "net")
    x = torch.rand(2, 30)
    assert not torch.equal(loaded(x), x)
    assert torch.equal(loaded.eval()(x), x)


def test_a_device_in_the_graph_follows_the_network(tmp_path: Path) -> None:
    def build(graph: fx.Graph) -> None:
        x = graph.call_module("fc", (graph.placeholder("x"),))
        steps = graph.call_function(torch.arange, (3,), {"device": torch.device("cpu")})
        graph.output(graph.call_function(operator.add, (x, steps)))

    export_module(graph_module(build, fc=nn.Linear(2, 3)), torch.rand(2, 2), tmp_path / "net")
    assert "device = self.fc.weight.device" in written(tmp_path / "net")
    loaded = load(tmp_path / "net", "meta")
    assert loaded(torch.rand(2, 2, device="meta")).is_meta


def test_it_loads_in_a_fresh_process_without_fxnas(tmp_path: Path) -> None:
    cases = {"cnn": (traced(Cnn()), image()), "tagger": (traced(Tagger()), ids()), "kinds": (kinds(), kinds_inputs())}
    for name, (net, inputs) in cases.items():
        export_module(net, inputs, tmp_path / name)
        arguments = inputs if isinstance(inputs, tuple) else (inputs,)
        torch.manual_seed(0)
        with torch.no_grad():
            expected = tensor_leaves(net.eval()(*arguments))
        tensors = arguments[0] if isinstance(arguments[0], dict) else {"only": arguments[0]}
        save_file({f"in/{key}": tensor for key, tensor in tensors.items()}, tmp_path / name / "inputs.safetensors")
        save_file(
            {str(i): tensor.clone() for i, tensor in enumerate(expected)}, tmp_path / name / "outputs.safetensors"
        )
    script = textwrap.dedent(
        """
        import importlib.util, sys
        from dataclasses import fields, is_dataclass
        from pathlib import Path

        import torch
        from safetensors.torch import load_file

        assert importlib.util.find_spec("fxnas") is None

        def leaves(value):
            if isinstance(value, torch.Tensor):
                return [value]
            if is_dataclass(value):
                value = [getattr(value, field.name) for field in fields(value)]
            if isinstance(value, dict):
                value = list(value.values())
            return [leaf for part in value for leaf in leaves(part)] if isinstance(value, (list, tuple)) else []

        for folder in map(Path, sys.argv[1:]):
            spec = importlib.util.spec_from_file_location("model", folder / "model.py")
            model = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(model)
            given = {key.removeprefix("in/"): t for key, t in load_file(folder / "inputs.safetensors").items()}
            network = model.load().eval()
            with torch.no_grad():
                results = leaves(network(given["only"] if "only" in given else given))
            expected = load_file(folder / "outputs.safetensors")
            assert len(results) == len(expected)
            assert all(torch.equal(result, expected[str(i)]) for i, result in enumerate(results)), folder
        assert not any(name.partition(".")[0] == "fxnas" for name in sys.modules)
        print("same")
        """
    )
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, *(str(tmp_path / name) for name in cases)],
        cwd=tmp_path / "elsewhere",
        env={"PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    if "find_spec" in done.stderr:
        pytest.skip("fxnas is installed in this environment; only an uninstalled checkout can show its absence")
    assert done.stdout == "same\n", done.stderr


def test_the_source_imports_torch_and_safetensors_only(tmp_path: Path) -> None:
    export_module(kinds(), kinds_inputs(), tmp_path / "net")
    text = (tmp_path / "net" / "model.py").read_text()
    imports = {line.split()[1].partition(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imports <= {"torch", "safetensors", "hashlib", "json", "pathlib", "dataclasses", "typing"}
    for word in ("pickle", "eval(", "exec(", "torch.load", "fxnas."):
        assert word not in text.partition('"""\n\nimport')[2]


# Damaged files


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "net"
    torch.manual_seed(0)
    export_module(traced(Cnn().eval()), image(), folder)
    return folder


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "net"
    folder.mkdir()
    for path in exported.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def refused(folder: Path, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        load(folder)


@pytest.mark.parametrize("size", [0, 1, 8, 200, -1])
def test_truncated_weights_are_refused(copied: Path, size: int) -> None:
    weights = copied / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    refused(copied, r"weights\.safetensors is not the file that was exported")


def test_each_flipped_bit_is_noticed(copied: Path) -> None:
    weights = copied / "weights.safetensors"
    content = weights.read_bytes()
    places = random.Random(0)
    for _ in range(20):
        damaged = bytearray(content)
        damaged[places.randrange(len(content))] ^= 1 << places.randrange(8)
        weights.write_bytes(damaged)
        refused(copied, r"weights\.safetensors is not the file that was exported")


def test_swapped_tensors_are_refused(copied: Path) -> None:
    weights = copied / "weights.safetensors"
    tensors = load_file(weights)
    one, two = "stem.1.weight", "stem.1.running_var"
    tensors[one], tensors[two] = tensors[two], tensors[one] + 1
    save_file(tensors, weights)
    refused(copied, r"weights\.safetensors is not the file that was exported")


@pytest.mark.parametrize("name", ["weights.safetensors", "manifest.json"])
def test_a_file_of_another_export_is_refused(copied: Path, tmp_path: Path, name: str) -> None:
    torch.manual_seed(1)
    export_module(traced(Cnn().eval()), image(), tmp_path / "other")
    (copied / name).write_bytes((tmp_path / "other" / name).read_bytes())
    refused(copied, "is not the file that was exported")


@pytest.mark.parametrize("name", ["weights.safetensors", "architecture.json", "manifest.json"])
def test_a_missing_file_is_refused(copied: Path, name: str) -> None:
    (copied / name).unlink()
    refused(copied, f"{name} is missing")


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"files": {"model.py": 1}}', "[" * 100_000, "\x00"])
def test_a_damaged_manifest_is_refused(copied: Path, manifest: str) -> None:
    (copied / "manifest.json").write_text(manifest)
    refused(copied, "manifest.json is damaged")


def test_edited_source_is_refused_with_a_way_out(copied: Path) -> None:
    source = copied / "model.py"
    source.write_text(source.read_text().replace("F.relu", "F.gelu"))
    refused(copied, "If you edited it yourself, correct manifest.json")


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


# Refusals: nothing is left behind


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
    assert_refused(net, torch.rand(2, 2), tmp_path, r"node 'users_function'.*test_export_module\.users_function")


@pytest.mark.parametrize("function", [eval, torch.load, open])
def test_functions_that_reach_files_or_code_are_refused(function: Any) -> None:
    net = graph_module(lambda graph: graph.output(graph.call_function(function, ("nothing",))))
    with pytest.raises(ExportError, match="has no public name in torch"):
        model_source(net)


def test_open_choices_and_modules_without_a_graph_are_refused(tmp_path: Path) -> None:
    choice = fxnas.LayerChoice([nn.Identity(), nn.ReLU()], key="op")
    assert_refused(nn.Sequential(choice), torch.rand(2, 2), tmp_path, "open choice 'op'.*materialize")
    assert_refused(Cnn(), image(), tmp_path, "has no graph.*materialize")
    assert_refused(object(), image(), tmp_path, "can't export a object.*materialize")


def test_a_graph_that_calls_fxnas_is_refused_by_node_and_key(tmp_path: Path) -> None:
    def choose(*options: Tensor, key: str) -> Tensor:
        return options[0]

    choose.__module__ = "fxnas.ops"
    net = graph_module(lambda g: g.output(g.call_function(choose, (g.placeholder("x"),), {"key": "op"})))
    assert_refused(net, torch.rand(2, 2), tmp_path, r"node 'choose' calls choose of fxnas \(key 'op'\)")


def test_a_mismatch_hands_nothing_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true_run = equality.run

    def wrong(module: nn.Module, *args: Any) -> Any:
        output = true_run(module, *args)
        return output if isinstance(module, fx.GraphModule) else output + 1e-7

    monkeypatch.setattr(equality, "run", wrong)
    assert_refused(traced(Cnn()), image(), tmp_path, "doesn't compute what the graph computes")


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "thesis.txt").write_text("mine")
    with pytest.raises(ExportError, match="not empty"):
        export_module(traced(Cnn()), image(), tmp_path / "net")
    assert [path.name for path in (tmp_path / "net").iterdir()] == ["thesis.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_an_earlier_export_is_replaced(tmp_path: Path) -> None:
    export_module(traced(Cnn()), image(), tmp_path / "net")
    export_module(traced(Tagger()), ids(), tmp_path / "net")
    assert "nn.LSTM" in (tmp_path / "net" / "model.py").read_text()
    assert sorted(path.name for path in (tmp_path / "net").iterdir()) == FILES


def test_the_module_is_left_as_it_was(tmp_path: Path) -> None:
    net, x = traced(Cnn()), image()
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    before = torch.get_rng_state()
    export_module(net, x, tmp_path / "net")
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())
    assert all(module.training for module in net.modules())


# Verifying a folder later


def test_a_folder_is_verified_against_its_network(tmp_path: Path) -> None:
    net = traced(Cnn().eval())
    export_module(net, image(), tmp_path / "net", architecture={"op": 1})
    report = verify_module(tmp_path / "net", net, image(3), architecture={"op": 1})
    assert report.max_abs_error == 0 and report.batch_sizes == (3, 4, 1)
    with pytest.raises(ExportError, match=r"holds the architecture.*expected \{\"op\": 2\}"):
        verify_module(tmp_path / "net", net, image(), architecture={"op": 2})
    with pytest.raises(ExportError, match="other values"):
        verify_module(tmp_path / "net", traced(Cnn().eval()), image(), architecture={"op": 1})


def test_code_of_others_is_not_run(copied: Path, tmp_path: Path) -> None:
    source = copied / "model.py"
    source.write_text(source.read_text() + f"\n\nopen({str(tmp_path / 'ran')!r}, 'w')\n")
    net = traced(Cnn().eval())
    with pytest.raises(ExportError, match=r"model\.py is not the file of the manifest"):
        verify_module(copied, net, image())
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["files"]["model.py"] = {"size": source.stat().st_size, "sha256": sha256(source)}
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ExportError, match="its code was not run"):
        verify_module(copied, net, image())
    assert not (tmp_path / "ran").exists()
