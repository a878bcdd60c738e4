"""`select` sets what an eager model runs: every architecture works, a malformed one changes nothing."""

import copy
import json
import random

import pytest
import torch
from torch import nn

import fxnas
from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.conditions import present
from fxnas.errors import ArchitectureError
from fxnas.nn import InputChoice, LayerChoice, named_choices, space_of
from fxnas.space import SearchSpace
from tests.example_nets import NETS, CellNet, GuideNet, architectures


def decisions(model: nn.Module) -> dict[str, list[tuple[int, ...] | None]]:
    return {key: [choice.decision for _, choice in places] for key, places in named_choices(model).items()}


@pytest.mark.parametrize("net", NETS)
def test_every_architecture_of_the_example_nets_runs(net):
    torch.manual_seed(0)
    model, x = net(), net.example()
    sizes = set()
    for architecture in architectures(model):
        assert fxnas.select(model, architecture) is model
        assert decisions(model) == {key: [d] * len(named_choices(model)[key]) for key, d in architecture.items()}
        sizes.add(model(x).shape)
    assert len(sizes) == 1


def test_a_selected_model_runs_like_the_hand_written_one():
    model, x = GuideNet().eval(), GuideNet.example()
    fxnas.select(model, {"conv1": "conv5x5", "conv3": 0, "skipcon": []})
    y = torch.relu(model.conv2(torch.relu(model.conv1.conv5x5(x))))
    y = nn.functional.max_pool2d(model.conv3[0](y), 2).flatten(1)
    assert torch.equal(model(x), torch.log_softmax(model.fc(y), dim=1))
    fxnas.select(model, {"conv1": "conv5x5", "conv3": 0, "skipcon": [0]})
    y = torch.relu(model.conv2(torch.relu(model.conv1.conv5x5(x))))
    y = nn.functional.max_pool2d(model.conv3[0](y) + y, 2).flatten(1)
    assert torch.equal(model(x), torch.log_softmax(model.fc(y), dim=1))


@pytest.mark.parametrize("form", ["object", "text", "path", "string path", "header", "Architecture"])
def test_architectures_are_taken_in_every_form(form, tmp_path):
    model, given = GuideNet(), {"conv1": "conv5x5", "conv3": 1, "skipcon": [False]}
    file = tmp_path / "a.json"
    file.write_text(json.dumps(given))
    forms = {
        "object": given,
        "text": json.dumps(given),
        "path": file,
        "string path": str(file),
        "header": {"fxnas": 1, "architecture": given, "score": 0.5},
        "Architecture": Architecture.from_json(given, space_of(model)),
    }
    fxnas.select(model, forms[form])
    assert decisions(model) == {"conv1": [(1,)], "conv3": [(1,)], "skipcon": [()]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("n1", (1,)),
        (1, (1,)),
        (["n2", "n1"], (1, 2)),
        ([2, 0], (0, 2)),
        ([True, False, True], (0, 2)),
        ([], ()),
        ([False, False, False], ()),
    ],
)
def test_decisions_are_taken_in_every_form_of_the_guide(value, expected):
    model = nn.Sequential(LayerChoice({f"n{i}": nn.ReLU() for i in range(3)}, n_chosen=None))
    fxnas.select(model, {"0": value})
    assert model[0].decision == expected


MALFORMED = [
    ({}, "'conv1'"),
    ({"conv1": 0, "skipcon": [0]}, "'conv3'"),
    ({"conv1": 0, "conv3": 0, "skipcon": [0], "conv9": 0}, "'conv9'"),
    ({"conv1": "conv7x7", "conv3": 0, "skipcon": [0]}, "'conv1'.*conv7x7"),
    ({"conv1": 2, "conv3": 0, "skipcon": [0]}, "'conv1'"),
    ({"conv1": -1, "conv3": 0, "skipcon": [0]}, "'conv1'"),
    ({"conv1": True, "conv3": 0, "skipcon": [0]}, "'conv1'"),
    ({"conv1": None, "conv3": 0, "skipcon": [0]}, "'conv1'.*null"),
    ({"conv1": 0.5, "conv3": 0, "skipcon": [0]}, "'conv1'"),
    ({"conv1": 1.0, "conv3": 0, "skipcon": [0]}, "'conv1'"),
    ({"conv1": [0, 1], "conv3": 0, "skipcon": [0]}, "'conv1'"),
    ({"conv1": [], "conv3": 0, "skipcon": [0]}, "'conv1'"),
    ({"conv1": [0, 0], "conv3": 0, "skipcon": [0]}, "'conv1'"),
    ({"conv1": [True], "conv3": 0, "skipcon": [0]}, "'conv1'"),
    ({"conv1": [True, False, False], "conv3": 0, "skipcon": [0]}, "'conv1'"),
    ({"conv1": {"a": 1}, "conv3": 0, "skipcon": [0]}, "'conv1'"),
    ({"conv1": 10**400, "conv3": 0, "skipcon": [0]}, "'conv1'"),
    ({"conv1": 0, "conv3": 0, "skipcon": [1]}, "'skipcon'"),
    ({"conv1": 0, "conv3": 0, "skipcon": [True, True]}, "'skipcon'"),
    ({1: 0, "conv1": 0, "conv3": 0, "skipcon": [0]}, "1"),
    ([], r"got \[\]"),
    (None, "got None"),
    (3, "got 3"),
    ('{"conv1": 0, "conv1": 1, "conv3": 0, "skipcon": [0]}', "'conv1' is given twice"),
    ('{"conv1": NaN, "conv3": 0, "skipcon": [0]}', "NaN"),
    ('{"conv1": 0', "JSON"),
    ('{"conv1": ' + "[" * 100 + "]" * 100 + "}", "deeper than 64"),
    ("no/such/file.json", "no/such/file.json"),
    (b'{"conv1": "\xff"}', "UTF-8"),
]


@pytest.mark.parametrize(("architecture", "message"), MALFORMED)
def test_a_malformed_architecture_leaves_the_model_untouched(architecture, message):
    model = GuideNet()
    fxnas.select(model, {"conv1": 1, "conv3": 1, "skipcon": []})
    before = decisions(model), repr(model)
    with pytest.raises(ArchitectureError, match=message):
        fxnas.select(model, architecture)
    assert (decisions(model), repr(model)) == before


def test_files_are_named_in_messages(tmp_path):
    file = tmp_path / "best.json"
    file.write_text('{"conv1": 9, "conv3": 0, "skipcon": [0]}')
    with pytest.raises(ArchitectureError, match=r"'conv1'.*best\.json"):
        fxnas.select(GuideNet(), file)


def test_not_strict_ignores_unknown_keys_and_fills_in_defaults():
    model = GuideNet()
    fxnas.select(model, {"conv3": 1, "other": 7}, strict=False)
    assert decisions(model) == {"conv1": [(0,)], "conv3": [(1,)], "skipcon": [(0,)]}
    with pytest.raises(ArchitectureError, match="'conv3'"):
        fxnas.select(model, {"conv3": 2}, strict=False)
    space = SearchSpace([Choice("conv3", "layer_choice", ("0", "1"), 1), Choice("x", "input_choice", ("",), None)])
    fxnas.select(model, Architecture({"conv3": (0,), "x": ()}, space), strict=False)
    assert decisions(model) == {"conv1": [(0,)], "conv3": [(0,)], "skipcon": [(0,)]}


# -- decisions that play no role


def nested() -> nn.Sequential:
    inner = nn.Sequential(LayerChoice([nn.ReLU(), nn.Tanh()], key="inner"))
    return nn.Sequential(LayerChoice([nn.Identity(), inner], key="outer"))


def test_a_choice_in_a_candidate_that_is_not_chosen_may_be_left_out():
    model = nested()
    fxnas.select(model, {"outer": 0})
    assert decisions(model) == {"outer": [(0,)], "inner": [(0,)]}
    fxnas.select(model, {"outer": 0, "inner": 1})
    assert decisions(model)["inner"] == [(1,)]


def test_but_what_is_given_for_it_is_checked():
    with pytest.raises(ArchitectureError, match="'inner'"):
        fxnas.select(nested(), {"outer": 0, "inner": 2})


def test_and_it_is_needed_where_its_candidate_is_chosen():
    with pytest.raises(ArchitectureError, match="'inner'"):
        fxnas.select(nested(), {"outer": 1})


class Branches(nn.Module):
    """Two operations of which an input choice takes one: the other plays no role."""

    def __init__(self) -> None:
        super().__init__()
        self.left = LayerChoice([nn.ReLU(), nn.Tanh()])
        self.right = LayerChoice([nn.ReLU(), nn.Tanh()])
        self.pick = InputChoice(n_candidates=2, n_chosen=1)

    def forward(self, x):
        return self.pick([self.left(x), self.right(x)])


def test_an_architecture_of_a_graph_leaves_out_what_feeds_no_chosen_input():
    model = Branches()
    left, right, pick = space_of(model).values()
    traced = SearchSpace(
        [
            Choice("left", left.kind, left.candidates, 1, fxnas.conditions.chosen("pick", 0, 2, 1)),
            Choice("right", right.kind, right.candidates, 1, fxnas.conditions.chosen("pick", 1, 2, 1)),
            pick,
        ]
    )
    architecture = traced.canonical({"left": (0,), "right": (1,), "pick": (1,)})
    for form in (architecture, architecture.to_json(), architecture.dumps()):
        fxnas.select(model, form)
        assert decisions(model) == {"left": [(0,)], "right": [(1,)], "pick": [(1,)]}


def test_the_space_of_an_architecture_decides_what_may_be_left_out():
    model = nn.ModuleDict({"skip": InputChoice(1), "op": LayerChoice([nn.ReLU(), nn.Tanh()])})
    skip, op = space_of(model).values()
    depends = Choice("op", op.kind, op.candidates, op.n_chosen, present("skip", 1, None))
    for traced in (SearchSpace([skip, depends]), SearchSpace([skip])):  # in the second, op is never called
        model["op"].decision = (1,)
        fxnas.select(model, Architecture({"skip": ()}, traced))
        assert decisions(model) == {"skip": [()], "op": [(0,)]}
    with pytest.raises(ArchitectureError, match="'op'"):
        fxnas.select(model, Architecture({"op": (0,)}, SearchSpace([Choice("op", op.kind, ("0", "1", "2"), 1)])))


def test_an_architecture_with_keys_that_the_model_lacks_is_refused():
    other = SearchSpace([Choice("other", "layer_choice", ("0", "1"), 1)])
    with pytest.raises(ArchitectureError, match=r"no choice 'other'.*strict=False"):
        fxnas.select(GuideNet(), Architecture({"other": (0,)}, other))


@pytest.mark.parametrize(
    "other",
    [
        Choice("conv1", "layer_choice", ("conv3x3", "pool"), 1),
        Choice("conv1", "layer_choice", ("conv3x3", "conv5x5"), None),
        Choice("conv1", "input_choice", ("conv3x3", "conv5x5"), 1),
    ],
)
def test_an_architecture_of_another_space_is_refused(other):
    model = GuideNet()
    architecture = Architecture({"conv1": (0,)}, SearchSpace([other]))
    for strict in (True, False):
        with pytest.raises(ArchitectureError, match="'conv1' of the model is layer_choice"):
            fxnas.select(model, architecture, strict=strict)


def test_shared_keys_take_one_decision():
    model = CellNet()
    fxnas.select(model, space_of(model).default)
    fxnas.select(model, {"n0/op": "lin"}, strict=False)
    assert [node[0].op.chosen for node in model.cells] == [(1,), (1,)]


def test_a_copy_keeps_its_own_selection():
    model = GuideNet()
    twin = copy.deepcopy(fxnas.select(model, {"conv1": 1, "conv3": 0, "skipcon": []}))
    fxnas.select(model, {"conv1": 0, "conv3": 0, "skipcon": []})
    assert decisions(twin)["conv1"] == [(1,)]


@pytest.mark.parametrize("net", NETS)
def test_every_architecture_of_a_graph_fits_the_model_in_every_form(net):
    model, x = net().eval(), net.example()
    graph = fxnas.trace(model, x)
    for seed in range(6):
        architecture = graph.space.sample(random.Random(seed))
        assert fxnas.select(graph, architecture) is graph
        expected = graph(x)
        for form in (architecture, architecture.to_json(), architecture.dumps()):
            assert torch.equal(fxnas.select(model, form)(x), expected)


def test_the_module_of_a_graph_is_no_eager_model():
    graph = fxnas.trace(GuideNet(), GuideNet.example())
    for module in (graph.module, nn.Sequential(graph.module)):
        with pytest.raises(ArchitectureError, match="select on the graph"):
            fxnas.select(module, graph.space.default)


def test_a_graph_takes_defaults_when_not_strict():
    graph = fxnas.trace(GuideNet(), GuideNet.example())
    fxnas.select(graph, {"conv1": 1, "more": 0}, strict=False)
    assert graph.architecture == {"conv1": (1,), "conv3": (0,), "skipcon": (0,)}
    with pytest.raises(ArchitectureError, match="more"):
        fxnas.select(graph, {"conv1": 1, "conv3": 0, "skipcon": [], "more": 0})
