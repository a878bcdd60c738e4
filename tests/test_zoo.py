"""The search spaces of the literature: their size, their law, and the numbers that their papers and tables tell."""

from __future__ import annotations

import json
import math
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import fxnas
from fxnas import zoo
from fxnas.cli.load import load_model
from fxnas.errors import FxnasError
from fxnas.graph import ChoiceGraph
from tests.law import check_law

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("FXNAS_DATA", ROOT.parent / "shared" / "data"))

# How many architectures the paper's space has; the small configuration has as many unless it stands below.
SIZES = {
    "Darts": (1 * 3 * 6 * 10 * 8**8) ** 2,
    "EnasMacro": 6**12 * 2 ** (12 * 11 // 2),
    "EnasMicro": (5**5 * math.factorial(6)) ** 4,
    "NasBench201": 5**6,
    "NasBenchMacro": 3**8,
    "ProxylessNas": 6**6 * 7**15,
    "Spos": 4**20,
}
SMALL_SIZES = {
    "Darts": (1 * 3 * 8**4) ** 2,
    "EnasMacro": 6**3 * 2 ** (3 * 2 // 2),
    # Where no normal cell takes its node 1 (50^2 ways), no reduction cell runs: a chain of normal cells is left.
    "EnasMicro": ((2 * 5 * 3 * 5) ** 2 - 50**2) * (2 * 5 * 3 * 5) ** 2 + 50**2,
    "ProxylessNas": 6**2 * 7**2,
    "Spos": 4**4,
}
IMAGE = {
    "ProxylessNas": 224,
    "Spos": 224,
}  # side of the images of the full size; 32 for the others and for all small ones

ARCHITECTURES = 4  # that the law is checked on


def images(side: int = 32) -> Callable[[int], tuple[Tensor, ...]]:
    def batch(size: int) -> tuple[Tensor, ...]:
        return (torch.randn(size, 3, side, side, generator=torch.Generator().manual_seed(size)),)

    return batch


def small(name: str) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = getattr(zoo, name).small()
    return model


def traced(model: nn.Module, side: int = 32) -> ChoiceGraph:
    return fxnas.trace(model, images(side)(2))


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def multiply_adds(module: nn.Module, side: int = 32) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.eval()(*images(side)(1))
    return int(counter.get_total_flops()) // 2


def test_every_space_of_the_zoo_is_tested() -> None:
    assert set(zoo.__all__) == set(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_the_paper_s_network_traces_and_has_the_paper_s_space(name: str) -> None:
    side = IMAGE.get(name, 32)
    model = getattr(zoo, name)()
    graph = traced(model, side)
    assert graph.space.size == SIZES[name]
    with torch.no_grad():
        assert model.eval()(*images(side)(1)).shape == (1, 1000 if name in IMAGE else 10)


def test_the_table_of_the_documentation_is_true() -> None:
    page = (ROOT / "docs" / "search-spaces.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)\(\)` \|.*\| ([^|]+) \| ([\d.]+) M \|$", page, re.MULTILINE)
    assert {name for name, _, _ in rows} == set(SIZES)
    for name, size, millions in rows:
        mantissa, _, exponent = size.replace(",", "").partition(" · 10^")
        if exponent:
            assert f"{SIZES[name]:.1e}" == f"{mantissa}e+{exponent}"
        else:
            assert SIZES[name] == int(mantissa)
        digits = len(millions.partition(".")[2])
        assert f"{parameters(getattr(zoo, name)()) / 1e6:.{digits}f}" == millions


@pytest.mark.parametrize("name", SIZES)
def test_the_small_network_keeps_the_law(name: str) -> None:
    check_law(small(name), images(), seed=1, count=ARCHITECTURES)


@pytest.mark.parametrize("name", SIZES)
def test_a_network_of_the_space_is_exported(name: str, tmp_path: Path) -> None:
    graph = traced(small(name).eval())
    child = fxnas.materialize(graph, graph.space.sample(random.Random(1)))
    fxnas.exporters.export_onnx(child, images()(2), tmp_path / "network.onnx")
    fxnas.exporters.export_module(child, images()(2), tmp_path / "module")


@pytest.mark.parametrize("name", SIZES)
def test_the_small_network_has_the_same_kind_of_space_and_trains(name: str) -> None:
    model = small(name)
    graph = traced(model)
    assert graph.space.size == SMALL_SIZES.get(name, SIZES[name])
    child = fxnas.materialize(graph, graph.space.sample(random.Random(0))).train()
    inputs, labels = images()(8)[0], torch.arange(8)
    optimizer = torch.optim.SGD(child.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(child(inputs), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", SIZES)
def test_both_configurations_are_models_of_the_command_line(name: str) -> None:
    assert type(load_model(f"fxnas.zoo:{name}.small")) is getattr(zoo, name)
    assert type(load_model(f"fxnas.zoo:{name}")) is getattr(zoo, name)


def test_the_name_nearest_to_a_mistyped_space_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(vars(zoo), "NasBench201", raising=False)  # as long as nobody has used it
    with pytest.raises(FxnasError, match=r"no 'NasBench21' there, did you mean 'NasBench201'\?"):
        load_model("fxnas.zoo:NasBench21")


def test_the_command_line_traces_a_space(run_python: Callable[..., Any]) -> None:
    done = run_python("-m", "fxnas", "space", "fxnas.zoo:NasBench201.small", "--input", "2x3x32x32", "--json")
    assert "edge1_3" in json.loads(done.stdout)


# -- NAS-Bench-Macro


def test_networks_of_nas_bench_macro_cost_what_its_table_says() -> None:
    if not (DATA / "nb_macro.npz").exists():
        pytest.skip(f"no table in {DATA}")
    table = numpy.load(DATA / "nb_macro.npz", allow_pickle=False)
    graph = traced(zoo.NasBenchMacro())
    assert [(key, graph.space[key].candidates) for key in graph.space] == [
        (f"layer{i}", ("id", "ir_3x3_t3", "ir_5x5_t6")) for i in range(8)
    ]
    rng = random.Random(0)
    drawn = [(c,) * 8 for c in range(3)] + [tuple(rng.randrange(3) for _ in range(8)) for _ in range(57)]
    for indices in drawn:
        child = fxnas.materialize(graph, {f"layer{i}": index for i, index in enumerate(indices)})
        assert parameters(child) == table["params"][indices], indices
        assert multiply_adds(child) == table["flops"][indices], indices


# -- NAS-Bench-201


def test_networks_of_nas_bench_201_cost_what_the_benchmark_says() -> None:
    graph = traced(zoo.NasBench201())
    # The benchmark's extremes. Its FLOPs are multiply-adds, and one for each of the 10 biases of the classifier.
    for name, params, flops in (("none", 73_306, 7_783_050), ("nor_conv_3x3", 1_531_546, 220_119_690)):
        child = fxnas.materialize(graph, dict.fromkeys(graph.space, name))
        assert parameters(child) == params
        assert multiply_adds(child) + 10 == flops


def test_cells_of_nas_bench_201_share_their_choices() -> None:
    model = zoo.NasBench201(channels=4, cells=2)
    assert len([m for m in model.modules() if isinstance(m, fxnas.LayerChoice)]) == 6 * 6
    assert list(traced(model).space) == ["edge0_1", "edge0_2", "edge1_2", "edge0_3", "edge1_3", "edge2_3"]


def test_without_affine_the_candidates_of_nas_bench_201_are_not_scaled() -> None:
    plain, scaled = (zoo.NasBench201(channels=4, cells=1, affine=affine) for affine in (False, True))
    assert parameters(scaled) - parameters(plain) == sum(6 * 2 * 2 * width for width in (4, 8, 16))


# -- DARTS


def test_nodes_of_darts_keep_two_edges_and_the_operations_on_them() -> None:
    graph = traced(zoo.Darts.small())
    assert list(graph.space)[:3] == ["normal.node2.from0", "normal.node2.from1", "normal.node2.inputs"]
    kept = graph.space["normal.node3.inputs"]
    assert kept.candidates == ("normal.node3.from0", "normal.node3.from1", "normal.node3.from2")
    architecture = fxnas.Architecture.from_json({"normal.node3.inputs": [0, 2]}, graph.space, strict=False)
    node = [key for key in architecture.canonical() if key.startswith("normal.node3")]
    assert node == ["normal.node3.from0", "normal.node3.from2", "normal.node3.inputs"]


def test_the_supernet_of_darts_has_as_many_parameters_as_its_authors_report() -> None:
    assert parameters(zoo.Darts()) == 1_930_618  # "param size = 1.930618MB" in the log of their search


def test_cells_of_darts_halve_the_image_at_a_third_and_at_two_thirds() -> None:
    model = zoo.Darts(channels=4)
    shapes = []
    for cell in model.cells:
        cell.register_forward_hook(lambda cell, inputs, output: shapes.append((cell.key, *output.shape[1:3])))
    with torch.no_grad():
        model.eval()(*images()(1))
    assert shapes == [
        ("normal", 16, 32),
        ("normal", 16, 32),
        ("reduction", 32, 16),
        ("normal", 32, 16),
        ("normal", 32, 16),
        ("reduction", 64, 8),
        ("normal", 64, 8),
        ("normal", 64, 8),
    ]


def test_without_affine_no_normalization_of_a_cell_of_darts_has_parameters() -> None:
    for affine in (False, True):
        norms = [
            m for m in zoo.Darts(channels=4, cells=3, affine=affine).cells.modules() if isinstance(m, nn.BatchNorm2d)
        ]
        assert any(norm.affine for norm in norms) == affine


# -- ProxylessNAS and Single Path One-Shot


def test_a_layer_of_proxyless_nas_can_be_skipped_where_shapes_permit() -> None:
    layers = list(zoo.ProxylessNas().layers)
    assert [i for i, layer in enumerate(layers) if "Zero" not in layer.names] == [0, 4, 8, 12, 16, 20]
    graph = traced(zoo.ProxylessNas.small())
    skipped = fxnas.materialize(graph, {"layer0": 0, "layer1": "Zero", "layer2": 0, "layer3": "Zero"})
    left = {path.partition(".conv")[0] for path in skipped.meta["fxnas"]["paths"].values() if "layers" in path}
    assert left == {"layers.0.3x3_MBConv3", "layers.1.Zero", "layers.2.3x3_MBConv3", "layers.3.Zero"}


def test_blocks_of_spos_of_stride_one_pass_every_other_channel_on() -> None:
    block = zoo.Spos.small().layers[1]["choice_5"].eval()
    x = torch.randn(1, 16, 8, 8)
    with torch.no_grad():
        assert torch.equal(block(x)[:, :8], x[:, ::2])


def test_only_the_blocks_of_the_supernet_of_spos_are_without_affine() -> None:
    for affine in (False, True):
        model = zoo.Spos(affine=affine)
        norms = {name: m.affine for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
        assert {affine} == {value for name, value in norms.items() if name.startswith("layers")}
        assert all(value for name, value in norms.items() if not name.startswith("layers"))


# -- ENAS


def test_a_layer_of_enas_adds_any_of_the_outputs_before_the_one_that_it_takes() -> None:
    graph = traced(zoo.EnasMacro.small())
    assert list(graph.space) == ["layer0", "layer1", "layer1.skips", "layer2", "layer2.skips"]
    skips = graph.space["layer2.skips"]
    assert (skips.candidates, skips.n_chosen) == (("stem", "layer0"), None)

    model, given = zoo.EnasMacro.small().eval(), []
    model.layers[2].norm.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    model.layers[2].op.register_forward_hook(lambda module, inputs, output: given.append(output))
    outputs = [torch.randn(1, 8, 4, 4) for _ in range(3)]
    with torch.no_grad():
        for chosen in ([], ["stem"], ["layer0"], ["stem", "layer0"]):
            fxnas.select(model, {"layer0": 0, "layer1": 0, "layer1.skips": [], "layer2": 0, "layer2.skips": chosen})
            model.layers[2](outputs)
            op, total = given[-2:]
            added = [outputs[skips.candidates.index(name)] for name in chosen]
            torch.testing.assert_close(total, sum(added, start=op))


def test_outputs_of_enas_macro_are_halved_after_each_third() -> None:
    model, sizes = zoo.EnasMacro(channels=4), []
    for layer in model.layers:
        layer.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[2]))
    with torch.no_grad():
        model.eval()(*images()(1))
    assert sizes == [32] * 4 + [16] * 4 + [8] * 4


def test_enas_has_thirds() -> None:
    with pytest.raises(ValueError, match="a multiple of 3 normal cells, not 4"):
        zoo.EnasMicro(cells=4)
    with pytest.raises(ValueError, match="at least 3 layers, not 2"):
        zoo.EnasMacro(layers=2)


def test_cells_of_enas_micro_share_their_choices_by_kind() -> None:
    model = zoo.EnasMicro(channels=4)
    assert [cell.key for cell in model.cells] == ["normal", "normal", "reduction"] * 2 + ["normal", "normal"]
    outputs = []
    for cell in model.cells:
        cell.output.register_forward_hook(lambda module, inputs, output: outputs.append(output.shape[1:3]))
    with torch.no_grad():
        model.eval()(*images()(1))
    assert outputs == [(4, 32)] * 2 + [(8, 16)] * 3 + [(16, 8)] * 3
    space = traced(model).space
    assert len(space) == 2 * 5 * 4
    assert space["reduction.node4.input1"].candidates == tuple(f"reduction.node{i}" for i in range(4))
    assert space["normal.node6.op0"].candidates == (
        "sep_conv_3x3",
        "sep_conv_5x5",
        "avg_pool_3x3",
        "max_pool_3x3",
        "identity",
    )
