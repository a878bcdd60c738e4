"""`inherit` carries weights from a supernet to the fixed model and back."""

import copy
import random

import pytest
import torch
from safetensors.torch import load_file, save_model
from torch import nn

import fxnas
from fxnas.architecture import Architecture
from fxnas.errors import ArchitectureError
from fxnas.inherit import inherit, weight_table
from fxnas.nn import InputChoice, LayerChoice, space_of
from fxnas.space import SearchSpace
from tests.example_nets import NETS, AliasNet, GuideNet, architectures

CHOSEN = {"conv1": "conv5x5", "conv3": 1, "skipcon": []}


def architecture_of(model: nn.Module, decisions) -> Architecture:
    return Architecture.from_json(decisions, space_of(model))


@pytest.mark.parametrize("net", NETS)
def test_a_fixed_model_with_inherited_weights_computes_what_the_supernet_does(net):
    torch.manual_seed(0)
    supernet, x = net().eval(), net.example()
    for decisions in list(architectures(supernet))[::7]:
        architecture = Architecture(decisions, space_of(supernet)).canonical()
        fixed = fxnas.apply_fixed_architecture(net().eval(), architecture)
        weights = inherit(supernet.state_dict(), architecture)
        fixed.load_state_dict(weights)  # strict: no name is missing, none is left over
        assert torch.equal(fixed(x), fxnas.select(supernet, architecture)(x))


@pytest.mark.parametrize("net", NETS)
def test_an_architecture_of_a_graph_knows_every_place_of_a_choice(net):
    supernet = net()
    architecture = fxnas.trace(supernet, net.example()).space.sample(random.Random(1))
    fixed = fxnas.apply_fixed_architecture(net(), architecture)
    fixed.load_state_dict(inherit(supernet.state_dict(), architecture))


@pytest.mark.parametrize("net", NETS)
def test_weights_go_back_to_where_they_came_from(net):
    torch.manual_seed(0)
    supernet = net().eval()
    before = copy.deepcopy(supernet.state_dict())
    architecture = space_of(supernet).default
    fixed = fxnas.apply_fixed_architecture(net().eval(), architecture)
    merged = inherit(fixed.state_dict(), architecture, into=supernet.state_dict())
    assert list(merged) == list(before)
    supernet.load_state_dict(merged)
    x = net.example()
    assert torch.equal(fxnas.select(supernet, architecture)(x), fixed(x))
    carried = weight_table(before, architecture)
    for name, value in supernet.state_dict().items():
        source = before[name] if carried[name] is None else fixed.state_dict()[carried[name]]
        assert torch.equal(value, source)


def test_the_table_can_be_printed():
    net = nn.ModuleDict({"conv1": LayerChoice({"conv3x3": nn.Conv2d(1, 1, 3), "pool": nn.Linear(1, 1, False)})})
    table = weight_table(net.state_dict(), architecture_of(net, {"conv1": "conv3x3"}))
    assert str(table).splitlines() == [
        "supernet              fixed model",
        "conv1.conv3x3.weight  conv1.weight",
        "conv1.conv3x3.bias    conv1.bias",
        "conv1.pool.weight     -",
    ]
    assert dict(table) == {
        "conv1.conv3x3.weight": "conv1.weight",
        "conv1.conv3x3.bias": "conv1.bias",
        "conv1.pool.weight": None,
    }
    assert len(table) == 3


def test_the_result_is_a_new_dict_of_the_same_tensors():
    net = GuideNet()
    weights = net.state_dict()
    names = list(weights)
    result = inherit(weights, architecture_of(net, CHOSEN))
    assert result["conv1.weight"] is weights["conv1.conv5x5.weight"]
    assert list(weights) == names


def test_nested_choices():
    inner = nn.Sequential(LayerChoice({"p": nn.Linear(2, 2), "q": nn.Tanh()}, key="inner"))
    deep = LayerChoice({"r": LayerChoice([nn.Linear(2, 2), nn.Linear(2, 2)], key="direct"), "s": nn.ReLU()}, key="deep")
    net = nn.ModuleDict({"a": LayerChoice([inner, nn.Linear(2, 2)], key="outer"), "b": deep})
    chosen = architecture_of(net, {"outer": 0, "inner": "p", "deep": "r", "direct": 1})
    table = weight_table(net.state_dict(), chosen)
    assert {old: new for old, new in table.items() if new is not None} == {
        "a.0.0.p.weight": "a.0.weight",
        "a.0.0.p.bias": "a.0.bias",
        "b.r.1.weight": "b.weight",
        "b.r.1.bias": "b.bias",
    }
    outside = architecture_of(net, {"outer": 1, "deep": "s"})
    assert set(inherit(net.state_dict(), outside)) == {"a.weight", "a.bias"}


def test_every_name_of_an_alias_is_mapped():
    net = AliasNet()
    chosen = architecture_of(net, {"first": "b", "blocks.0.0": 0})
    assert list(inherit(net.state_dict(), chosen)) == [
        "first.weight",
        "again.weight",
        "blocks.0.0.weight",
        "blocks.0.0.bias",
        "blocks.1.0.weight",
        "blocks.1.0.bias",
        "tied.x.weight",
        "tied.y.weight",
        "tied.y.bias",
    ]


def test_a_model_that_is_itself_a_choice():
    net = LayerChoice({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    assert list(inherit(net.state_dict(), architecture_of(net, {"choice": "b"}))) == ["weight", "bias"]


def test_names_may_be_odd():
    net = nn.ModuleDict({"x y": LayerChoice({"class": nn.Linear(2, 2), "it's\n": nn.Linear(2, 2)})})
    assert list(inherit(net.state_dict(), architecture_of(net, {"x y": 1}))) == ["x y.weight", "x y.bias"]


def test_of_tied_weights_one_is_enough(tmp_path):
    torch.manual_seed(0)
    net, chosen = AliasNet(), architecture_of(AliasNet(), {"first": "b", "blocks.0.0": 0})
    fixed = fxnas.apply_fixed_architecture(AliasNet(), chosen)
    save_model(fixed, str(tmp_path / "weights.safetensors"))
    saved = load_file(tmp_path / "weights.safetensors")
    assert len(saved) < len(fixed.state_dict())
    merged = inherit(saved, chosen, into=net.state_dict())
    for name in ("first.b.weight", "again.b.weight", "tied.x.b.weight"):
        assert torch.equal(merged[name], fixed.first.weight)


# -- choices whose candidates keep their names


def several() -> nn.ModuleDict:
    def two() -> dict[str, nn.Module]:
        return {"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)}

    return nn.ModuleDict(
        {
            "any": LayerChoice(two(), n_chosen=None),
            "masked": LayerChoice(two(), return_mask=True),
            "listed": LayerChoice({"deep": nn.Sequential(LayerChoice(two(), "none", key="inner"))}, key="listed"),
            "skip": InputChoice(2),
        }
    )


def test_candidates_keep_their_names_where_several_may_be_chosen():
    net = several()
    chosen = architecture_of(net, {"any": ["a"], "masked": "b", "listed": 0, "inner": "b", "skip": []})
    assert list(inherit(net.state_dict(), chosen))[:2] == ["any.a.weight", "any.a.bias"]


def test_the_fixed_model_tells_where_a_mask_or_a_list_is_returned():
    net = several()
    chosen = architecture_of(net, {"any": [], "masked": "b", "listed": 0, "inner": "b", "skip": []})
    fixed = fxnas.apply_fixed_architecture(several(), chosen)
    weights = inherit(net.state_dict(), chosen, fixed=fixed)
    assert list(weights) == ["masked.b.weight", "masked.b.bias", "listed.0.b.weight", "listed.0.b.bias"]
    fixed.load_state_dict(weights)
    merged = inherit(fixed.state_dict(), chosen, into=several().state_dict(), fixed=fixed)
    assert torch.equal(merged["masked.b.weight"], net.masked.b.weight)
    assert torch.equal(merged["listed.deep.0.b.weight"], net.listed.deep[0].b.weight)


# -- what is refused


def test_weights_that_do_not_belong_to_the_fixed_model():
    net = GuideNet()
    chosen = architecture_of(net, CHOSEN)
    fixed = fxnas.apply_fixed_architecture(GuideNet(), CHOSEN)
    weights = dict(net.state_dict())
    assert inherit(weights, chosen, fixed=fixed).keys() == fixed.state_dict().keys()
    with pytest.raises(ArchitectureError, match=r"'conv2\.bias' of the fixed model is missing"):
        inherit({name: w for name, w in weights.items() if name != "conv2.bias"}, chosen, fixed=fixed)
    with pytest.raises(ArchitectureError, match=r"'conv2\.extra' is unexpected"):
        inherit({**weights, "conv2.extra": torch.zeros(1)}, chosen, fixed=fixed)
    with pytest.raises(ArchitectureError, match=r"'fc\.bias' is \[11\], but in the fixed model it is \[10\]"):
        inherit({**weights, "fc.bias": torch.zeros(11)}, chosen, fixed=fixed)


def test_a_name_that_is_no_candidate():
    net = GuideNet()
    weights = {**net.state_dict(), "conv1.weight": torch.zeros(1)}
    with pytest.raises(ArchitectureError, match=r"'conv1\.weight' is not of the supernet.*\['conv3x3', 'conv5x5'\]"):
        inherit(weights, architecture_of(net, CHOSEN))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv1.weight": None}, r"'conv1\.weight' of the architecture in the supernet is missing"),
        ({"conv9.weight": torch.zeros(1)}, r"'conv9\.weight' is unexpected"),
        ({"conv1.weight": torch.zeros(4, 1, 3, 3)}, r"'conv1\.weight' is \[4, 1, 3, 3\].* it is \[4, 1, 5, 5\]"),
    ],
)
def test_weights_that_do_not_go_back(change, message):
    net = GuideNet()
    chosen = architecture_of(net, CHOSEN)
    fixed = {**fxnas.apply_fixed_architecture(GuideNet(), CHOSEN).state_dict(), **change}
    fixed = {name: weight for name, weight in fixed.items() if weight is not None}
    into = net.state_dict()
    before = copy.deepcopy(into)
    with pytest.raises(ArchitectureError, match=message):
        inherit(fixed, chosen, into=into)
    torch.testing.assert_close(dict(into), dict(before), rtol=0, atol=0)


def test_a_space_from_a_file_knows_default_keys_only():
    net = GuideNet()
    space = SearchSpace.from_json(space_of(net).to_json())
    chosen = Architecture.from_json(CHOSEN, space)
    assert inherit(net.state_dict(), chosen).keys() == inherit(net.state_dict(), architecture_of(net, CHOSEN)).keys()


def test_the_public_name_is_the_function_whatever_was_imported_before():
    assert fxnas.inherit is inherit
