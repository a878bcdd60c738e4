"""LayerChoice as a container of named candidates: looking up, replacing, deleting, and any name there is."""

import copy
import pickle

import pytest
import torch
from torch import nn

from fxnas.nn import LayerChoice
from tests.example_nets import Add, adds

ODD_NAMES = [
    "class", "forward", "key", "training", "decision", "n_chosen", "names", "chosen", "candidates", "reduction",
    "_modules", "_parameters", "__class__", "__init__", "a b", "it's", '"', "x\ny", "größe", "{0}", "%s", "0", "-1",
    "\\",
]  # fmt: skip


def test_looking_up_candidates():
    modules = adds(1, 2, 3)
    choice = LayerChoice(dict(zip("abc", modules, strict=True)))
    assert len(choice) == 3
    assert list(choice) == choice.candidates() == modules
    assert [choice[0], choice[-1], choice["b"]] == [modules[0], modules[2], modules[1]]
    assert choice[1:] == modules[1:]
    assert choice[::-1] == modules[::-1]
    assert choice.b is modules[1]


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (3, IndexError, r"candidates 0\.\.2, not 3"),
        (-4, IndexError, "not -4"),
        ("d", KeyError, "no candidate 'd'"),
        ("0", KeyError, "no candidate '0'"),
        (1.0, TypeError, "not by 1.0"),
        (True, TypeError, "not by True"),
        (None, TypeError, "not by None"),
    ],
)
def test_looking_up_what_is_not_there(index, error, message):
    choice = LayerChoice(dict(zip("abc", adds(1, 2, 3), strict=True)))
    with pytest.raises(error, match=message):
        choice[index]
    with pytest.raises(error, match=message):
        choice[index] = Add(4)
    with pytest.raises(error, match=message):
        del choice[index]
    assert choice.names == ["a", "b", "c"]


def test_replacing_candidates_keeps_names_and_order():
    choice = LayerChoice(dict(zip("abc", adds(1, 2, 3), strict=True)))
    first, second, third, fourth = adds(4, 5, 6, 7)
    choice[0], choice["b"], choice[-1] = first, second, third
    assert list(choice) == [first, second, third]
    choice.a = fourth
    assert list(choice) == [fourth, second, third]
    assert choice.names == ["a", "b", "c"]
    with pytest.raises(TypeError, match="candidate 'a' of LayerChoice is a int"):
        choice[0] = 3
    assert choice[0] is fourth


def test_deleting_candidates_leaves_the_names_of_the_others():
    choice = LayerChoice(adds(0, 1, 2, 3, 4, 5))
    del choice[0]
    del choice["3"]
    assert choice.names == ["1", "2", "4", "5"]
    del choice[-1]
    del choice[1:]
    assert choice.names == ["1"]
    assert choice["1"](torch.zeros(1)).item() == 1


@pytest.mark.parametrize("index", [0, -1, "0", slice(None)])
def test_the_last_candidate_stays(index):
    choice = LayerChoice(adds(1))
    with pytest.raises(ValueError, match="'0', the last"):
        del choice[index]
    assert choice.names == ["0"]


def test_as_many_candidates_stay_as_are_chosen():
    choice = LayerChoice(adds(1, 2, 3), n_chosen=2)
    with pytest.raises(ValueError, match="takes 2 candidates"):
        del choice[1:]
    assert len(choice) == 3


def test_a_decision_follows_its_candidate_when_others_are_deleted():
    choice = LayerChoice(adds(1, 2, 3))
    choice.decision = (2,)
    del choice[0]
    assert choice.decision == (1,)
    assert choice(torch.zeros(1)).item() == 3
    del choice["2"]
    assert choice.decision is None
    assert choice(torch.zeros(1)).item() == 2


# -- LayerChoice: names


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_that_a_state_dict_can_hold_works(name):
    choice = LayerChoice({"plain": nn.Linear(2, 2), name: nn.Linear(2, 2, dtype=torch.float64)}, key="odd")
    choice.decision = (1,)
    choice.n_chosen = 1
    choice.eval().train()
    x = torch.randn(3, 2, dtype=torch.float64)
    assert choice.names == ["plain", name]
    assert choice.key == "odd"
    assert torch.equal(choice(x), choice[name](x))
    assert f"{name}.weight" in choice.state_dict()
    twin = pickle.loads(pickle.dumps(copy.deepcopy(choice)))
    choice.double().load_state_dict(twin.state_dict())
    assert torch.equal(twin(x), choice(x))
    del twin[name]
    assert twin.names == ["plain"]
