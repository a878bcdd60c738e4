"""LayerChoice, InputChoice and MutableScope: what they accept, what they run, and that they are ordinary modules."""

import copy
import io
import pickle
from collections import OrderedDict

import pytest
import torch
from torch import nn

import fxnas
from fxnas.nn import NO_KEY, InputChoice, LayerChoice, MutableScope
from tests.example_nets import Add, adds

# -- LayerChoice: what it is built from


@pytest.mark.parametrize("container", [list, tuple, nn.ModuleList])
def test_candidates_of_a_list_are_named_by_position(container):
    assert LayerChoice(container(adds(1, 2, 3))).names == ["0", "1", "2"]


@pytest.mark.parametrize("container", [dict, OrderedDict, nn.ModuleDict])
def test_candidates_of_a_dict_keep_their_names(container):
    choice = LayerChoice(container({"conv": Add(1), "pool": Add(2)}))
    assert choice.names == ["conv", "pool"]
    assert choice["pool"] is choice[1]


@pytest.mark.parametrize(
    ("candidates", "error", "message"),
    [
        ([], ValueError, "at least one candidate"),
        ({}, ValueError, "at least one candidate"),
        (nn.ModuleList(), ValueError, "at least one candidate"),
        ([nn.ReLU(), "relu"], TypeError, "candidate '1' of LayerChoice is a str"),
        ([nn.ReLU, nn.ReLU()], TypeError, "candidate '0' of LayerChoice is a type"),
        ({"conv": nn.ReLU(), "none": None}, TypeError, "candidate 'none' of LayerChoice is a NoneType"),
        ({"": nn.ReLU()}, ValueError, "got ''"),
        ({"a.b": nn.ReLU()}, ValueError, "got 'a.b'"),
        ({3: nn.ReLU()}, TypeError, r"got 3 \(int\)"),
        ({None: nn.ReLU()}, TypeError, r"got None \(NoneType\)"),
        (nn.ReLU(), TypeError, "not ReLU"),
        ("ab", TypeError, "not str"),
        (iter([]), TypeError, "not list_iterator"),
        (None, TypeError, "not NoneType"),
    ],
)
def test_bad_candidates_are_named(candidates, error, message):
    with pytest.raises(error, match=message):
        LayerChoice(candidates)


@pytest.mark.parametrize("make", [lambda **k: LayerChoice(adds(1, 2), **k), lambda **k: InputChoice(2, **k)])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"reduction": "max"}, ValueError, "'sum', 'mean', 'concat', 'none', got 'max'"),
        ({"reduction": None}, ValueError, "got None"),
        ({"reduction": ["sum"]}, ValueError, "got "),
        ({"key": 3}, TypeError, "got 3"),
        ({"key": b"k"}, TypeError, "got b'k'"),
        ({"key": ""}, ValueError, "not empty"),
        ({"n_chosen": 3}, ValueError, r"0\.\.2 or None, got 3"),
        ({"n_chosen": -1}, ValueError, "got -1"),
        ({"n_chosen": True}, TypeError, "got True"),
        ({"n_chosen": 1.0}, TypeError, "got 1.0"),
        ({"n_chosen": "1"}, TypeError, "got '1'"),
    ],
)
def test_bad_options_are_refused_at_construction(make, options, error, message):
    with pytest.raises(error, match=message):
        make(**options)


# -- what runs


def test_without_a_decision_the_default_runs():
    assert LayerChoice(adds(1, 2))(torch.zeros(1)).item() == 1
    assert LayerChoice(adds(1, 2, 4), n_chosen=2)(torch.zeros(1)).item() == 3
    assert LayerChoice(adds(1, 2, 4), n_chosen=None)(torch.zeros(1)).item() == 7
    assert LayerChoice(adds(1, 2), n_chosen=0)(torch.zeros(1)) is None
    values = [torch.ones(1), torch.ones(1) * 2, torch.ones(1) * 4]
    assert InputChoice(3, n_chosen=1)(values).item() == 1
    assert InputChoice(3, n_chosen=2)(values).item() == 3
    assert InputChoice(3)(values).item() == 7
    assert InputChoice(3, n_chosen=0)(values) is None


def test_the_default_of_a_module_is_the_default_of_its_choice():
    for n_chosen in (None, 0, 1, 2):
        for choice in (LayerChoice(adds(1, 2), n_chosen=n_chosen), InputChoice(2, n_chosen=n_chosen)):
            (described,) = fxnas.nn.space_of(choice).values()
            assert choice.default == choice.chosen == described.default


def test_only_chosen_candidates_run():
    choice = LayerChoice(adds(1, 2, 3), n_chosen=2)
    choice.decision = (0, 2)
    choice(torch.zeros(1))
    assert [candidate.calls for candidate in choice] == [1, 0, 1]


def test_all_arguments_reach_every_chosen_candidate():
    choice = LayerChoice(adds(1, 2), n_chosen=2, reduction="none")
    assert [y.item() for y in choice(torch.zeros(1), times=3)] == [3, 6]
    assert [y.item() for y in choice(torch.zeros(1), 2)] == [2, 4]


A, B, C = torch.randn(2, 3), torch.randn(2, 3), torch.randn(2, 3)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("reduction", "chosen", "expected"),
    [
        ("sum", (), None),
        ("mean", (), None),
        ("concat", (), None),
        ("none", (), []),
        ("sum", (1,), B),
        ("mean", (1,), B),
        ("concat", (1,), B),
        ("none", (1,), [B]),
        ("sum", (0, 2), A + C),
        ("mean", (0, 2), (A + C) / 2),
        ("concat", (0, 2), torch.cat([A, C], dim=1)),
        ("none", (0, 2), [A, C]),
        ("sum", (0, 1, 2), (A + B) + C),
        ("mean", (0, 1, 2), ((A + B) + C) / 3),
        ("concat", (0, 1, 2), torch.cat([A, B, C], dim=1)),
        ("none", (0, 1, 2), [A, B, C]),
    ],
)
def test_reductions(reduction, chosen, expected, masked):
    class Constant(nn.Module):
        def __init__(self, value):
            super().__init__()
            self.value = value

        def forward(self, x):
            return self.value

    constants = [Constant(value) for value in (A, B, C)]
    layers = LayerChoice(constants, reduction, masked, n_chosen=None)
    inputs = InputChoice(3, reduction=reduction, return_mask=masked)
    layers.decision = inputs.decision = chosen
    for output in (layers(A), inputs([A, B, C]), inputs((A, B, C))):
        if masked:
            output, mask = output
            assert mask.dtype == torch.bool
            assert mask.tolist() == [i in chosen for i in range(3)]
        if expected is None:
            assert output is None
        elif isinstance(expected, list):
            assert isinstance(output, list)
            assert len(output) == len(expected)
            assert all(one is other for one, other in zip(output, expected, strict=True))
        else:
            assert torch.equal(output, expected)


def test_one_output_is_passed_on_as_it_is():
    x = torch.randn(2)
    assert LayerChoice([nn.Identity()])(x) is x
    assert InputChoice(2, n_chosen=1)([x, x + 1]) is x


def test_the_mask_is_on_the_device_of_the_data():
    meta = torch.zeros(2, device="meta")
    choice = InputChoice(2, return_mask=True)
    assert choice([meta, meta])[1].device.type == "meta"
    choice.decision = ()
    assert choice([meta, meta])[1].device.type == "meta"
    assert choice([None, {"x": [meta]}])[1].device.type == "meta"
    assert choice([None, None])[1].device.type == "cpu"


# -- InputChoice: its sources and inputs


@pytest.mark.parametrize(
    ("arguments", "sources"),
    [
        ({"n_candidates": 2}, ["", ""]),
        ({"choose_from": ["a", NO_KEY]}, ["a", ""]),
        ({"choose_from": ("a", "a")}, ["a", "a"]),
        ({"n_candidates": 1, "choose_from": ["a"]}, ["a"]),
    ],
)
def test_sources(arguments, sources):
    choice = InputChoice(**arguments)
    assert choice.choose_from == choice.names == sources
    assert choice.n_candidates == len(choice) == len(sources)
    assert InputChoice.NO_KEY == NO_KEY == ""


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "needs n_candidates or choose_from"),
        ({"n_candidates": 0}, ValueError, "at least one input"),
        ({"choose_from": []}, ValueError, "at least one input"),
        ({"n_candidates": -1}, ValueError, "n_candidates=-1"),
        ({"n_candidates": 2, "choose_from": ["a"]}, ValueError, "n_candidates=2 disagrees with the 1"),
        ({"n_candidates": True}, TypeError, "n_candidates is an integer, got True"),
        ({"n_candidates": 2.0}, TypeError, "got 2.0"),
        ({"choose_from": "ab"}, TypeError, "got 'ab'"),
        ({"choose_from": ["a", None]}, TypeError, "got None"),
        ({"choose_from": ["a", 1]}, TypeError, "got 1"),
    ],
)
def test_bad_sources_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        InputChoice(**arguments)


def test_inputs_by_name():
    choice = InputChoice(choose_from=["a", "b", NO_KEY], n_chosen=1)
    choice.decision = (1,)
    assert choice({"": A, "b": B, "a": C}) is B


@pytest.mark.parametrize(
    ("sources", "inputs", "error", "message"),
    [
        (["a", "b"], [A], ValueError, r"'op' .*\['a', 'b'\].* takes 2 inputs, got 1"),
        (["a", "b"], [A, B, C], ValueError, "got 3"),
        (["a", "b"], {"a": A}, ValueError, r"exactly these names, got \['a'\]"),
        (["a", "b"], {"a": A, "b": B, "c": C}, ValueError, r"got \['a', 'b', 'c'\]"),
        (["a", "", ""], {"a": A, "": B}, ValueError, "several sources of one name"),
        (["a", "b"], torch.zeros(2), TypeError, "not a Tensor"),
        (["a", "b"], (x for x in [A, B]), TypeError, "not a generator"),
        (["a"], None, TypeError, "not a NoneType"),
    ],
)
def test_inputs_that_do_not_fit(sources, inputs, error, message):
    with pytest.raises(error, match=message):
        InputChoice(choose_from=sources, key="op")(inputs)


# -- choices are ordinary modules


def test_candidates_lie_directly_below_the_choice_in_the_state_dict():
    net = nn.Module()
    net.conv1 = LayerChoice({"conv3x3": nn.Conv2d(1, 1, 3), "pool": nn.MaxPool2d(2)})
    net.skip = InputChoice(1)
    assert list(net.state_dict()) == ["conv1.conv3x3.weight", "conv1.conv3x3.bias"]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_copies_keep_decision_and_options_and_are_independent(copied):
    net = nn.Sequential(LayerChoice([nn.Linear(2, 2), nn.Linear(2, 2)], "mean", key="op", n_chosen=2))
    net[0].decision = (1,)
    twin = copied(net)
    assert (twin[0].decision, twin[0].key, twin[0].reduction, twin[0].n_chosen) == ((1,), "op", "mean", 2)
    twin[0].decision = (0,)
    twin[0][1] = nn.Identity()
    assert net[0].decision == (1,)
    assert isinstance(net[0][1], nn.Linear)
    inputs = InputChoice(2, key="in")
    inputs.decision = ()
    assert copied(inputs)([A, B]) is None


def test_the_decision_is_not_part_of_the_state_dict():
    choice = LayerChoice([nn.Linear(2, 2), nn.Linear(2, 2)])
    before = list(choice.state_dict())
    choice.decision = (1,)
    assert list(choice.state_dict()) == before
    buffer = io.BytesIO()
    torch.save(choice.state_dict(), buffer)
    buffer.seek(0)
    twin = LayerChoice([nn.Linear(2, 2), nn.Linear(2, 2)])
    twin.load_state_dict(torch.load(buffer, weights_only=True))
    twin.decision = (1,)
    x = torch.randn(1, 2)
    assert torch.equal(choice(x), twin(x))


def test_to_and_train_reach_every_candidate():
    choice = LayerChoice([nn.Linear(2, 2), nn.BatchNorm1d(2)])
    choice.decision = (1,)
    choice.to(torch.float64).eval()
    assert {parameter.dtype for parameter in choice.parameters()} == {torch.float64}
    assert not any(module.training for module in choice.modules())
    assert choice.decision == (1,)


def test_gradients_reach_only_what_ran():
    choice = LayerChoice([nn.Linear(2, 2), nn.Linear(2, 2)])
    choice.decision = (1,)
    choice(torch.randn(1, 2)).sum().backward()
    assert choice[0].weight.grad is None
    assert choice[1].weight.grad is not None


def test_batch_norm_statistics_change_only_where_it_ran():
    choice = LayerChoice([nn.BatchNorm1d(2), nn.BatchNorm1d(2)])
    choice(torch.randn(8, 2))
    assert [candidate.num_batches_tracked.item() for candidate in choice] == [1, 0]


def test_repr_shows_options_and_what_runs():
    layers, inputs = LayerChoice({"a": nn.ReLU(), "b": nn.Tanh()}, key="op"), InputChoice(2)
    layers.decision = inputs.decision = (1,)
    assert "key='op', n_chosen=1, reduction='sum', chosen=['b']" in repr(layers)
    assert "choose_from=['', ''], n_chosen=None, reduction='sum', chosen=[1]" in repr(inputs)


# -- MutableScope


@pytest.mark.parametrize(("key", "error"), [(3, TypeError), (b"", TypeError), ("", ValueError)])
def test_scope_keys_are_strings(key, error):
    with pytest.raises(error, match="key"):
        MutableScope(key)


def test_a_scope_may_have_a_layer_called_key():
    class Attention(MutableScope):
        def __init__(self):
            super().__init__("attention")
            self.key = nn.Linear(2, 2)

    scope = Attention()
    assert isinstance(scope.key, nn.Linear)
    assert fxnas.nn.scopes(nn.Sequential(scope)) == [("0", "attention")]
