"""How the choices of a model are found: keys, shared keys, nesting, sources, scopes."""

import copy

import pytest
from torch import nn

from fxnas.errors import SearchSpaceError
from fxnas.nn import (
    NO_KEY,
    InputChoice,
    LayerChoice,
    MutableScope,
    check_sources,
    choice_paths,
    named_choices,
    scopes,
    space_of,
)
from tests.example_nets import AliasNet, CellNet, GuideNet


def layers(**options) -> LayerChoice:
    return LayerChoice({"a": nn.ReLU(), "b": nn.Tanh()}, **options)


def places(model: nn.Module) -> dict[str, list[str]]:
    return {key: [path for path, _ in found] for key, found in named_choices(model).items()}


def test_the_default_key_is_the_path():
    assert places(GuideNet()) == {"conv1": ["conv1"], "conv3": ["conv3"], "skipcon": ["skipcon"]}
    assert places(nn.Sequential(nn.ReLU(), nn.Sequential(layers()))) == {"1.0": ["1.0"]}
    assert places(layers()) == {"choice": [""]}
    assert places(layers(key="mine")) == {"mine": [""]}
    assert places(nn.ReLU()) == {}


def test_default_keys_do_not_depend_on_other_models_or_copies():
    assert places(GuideNet()) == places(GuideNet()) == places(copy.deepcopy(GuideNet()))


def test_keys_may_be_anything_printable():
    keys = ["a.b", "layers/2", "größe ☃", "class", "'", '"', "{}", "0", "a b"]
    model = nn.Sequential(*(layers(key=key) for key in keys))
    assert list(named_choices(model)) == list(space_of(model)) == keys


def test_equal_keys_share_a_decision():
    model = nn.Sequential(layers(key="op"), nn.Sequential(layers(key="op")))
    assert places(model) == {"op": ["0", "1.0"]}
    assert space_of(model)["op"].paths == ("0", "1.0")


def test_an_explicit_key_may_be_the_path_of_another_choice():
    assert places(nn.Sequential(layers(), layers(key="0"))) == {"0": ["0", "1"]}


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (LayerChoice({"a": nn.ReLU(), "c": nn.Tanh()}, key="op"), "candidates"),
        (LayerChoice({"b": nn.ReLU(), "a": nn.Tanh()}, key="op"), "candidates"),
        (LayerChoice([nn.ReLU()], key="op"), "candidates"),
        (layers(key="op", n_chosen=2), "n_chosen"),
        (layers(key="op", n_chosen=None), "n_chosen"),
        (InputChoice(choose_from=["a", "b"], n_chosen=1, key="op"), "kind"),
    ],
)
def test_equal_keys_have_to_agree(other, what):
    model = nn.Sequential(layers(key="op"), nn.Sequential(nn.ReLU(), other))
    with pytest.raises(SearchSpaceError, match=rf"'op' disagree in {what}: .* in module '0', .* in module '1\.1'"):
        named_choices(model)
    with pytest.raises(SearchSpaceError, match=what):
        space_of(model)


def test_input_choices_with_equal_keys_have_to_agree():
    model = nn.Sequential(InputChoice(2, key="in"), InputChoice(3, key="in"))
    with pytest.raises(SearchSpaceError, match="disagree in candidates"):
        named_choices(model)


def test_a_choice_in_several_places_is_one_choice():
    model = AliasNet()
    assert places(model) == {"first": ["first"], "blocks.0.0": ["blocks.0.0"]}
    assert choice_paths(model) == {
        "first": ("first", "again", "tied.x"),
        "blocks.0.0": ("blocks.0.0", "blocks.1.0"),
    }
    assert {key: choice.paths for key, choice in space_of(model).items()} == choice_paths(model)


def test_choices_are_found_below_names_that_clash_with_attributes():
    outer = LayerChoice({"forward": nn.Sequential(layers()), "training": layers(key="inner")})
    assert places(nn.Sequential(outer)) == {"0": ["0"], "0.forward.0": ["0.forward.0"], "inner": ["0.training"]}


# -- the space that the modules tell


def test_the_space_lists_choices_in_order():
    space = space_of(GuideNet())
    assert {key: (choice.kind, choice.candidates, choice.n_chosen) for key, choice in space.items()} == {
        "conv1": ("layer_choice", ("conv3x3", "conv5x5"), 1),
        "conv3": ("layer_choice", ("0", "1"), 1),
        "skipcon": ("input_choice", ("",), None),
    }
    assert space.size == 8


def active(model: nn.Module) -> dict[str, str]:
    return {key: str(choice.active) for key, choice in space_of(model).items()}


def test_a_choice_inside_a_candidate_depends_on_it():
    inner = nn.Sequential(layers(key="inner"))
    middle = LayerChoice([nn.ReLU(), inner], key="middle")
    model = nn.Sequential(LayerChoice([nn.Sequential(middle), nn.ReLU()], key="outer"))
    assert active(model) == {
        "outer": "always",
        "middle": "'outer' has 0",
        "inner": "'middle' has 1 and 'outer' has 0",
    }
    assert space_of(model).size == 1 + 1 + 2


def test_a_choice_directly_as_a_candidate():
    model = nn.Sequential(LayerChoice({"x": layers(), "y": InputChoice(2)}))
    assert active(model) == {"0": "always", "0.x": "'0' has 0", "0.y": "'0' has 1"}


def test_a_shared_key_is_active_where_any_of_its_places_is():
    def nested(*inner: nn.Module) -> LayerChoice:
        return LayerChoice([nn.ReLU(), *inner])

    model = nn.Sequential(nested(layers(key="op")), nested(nn.ReLU(), layers(key="op")))
    assert active(model)["op"] == "'0' has 1 or '1' has 2"
    assert active(nn.Sequential(nested(layers(key="op")), layers(key="op")))["op"] == "always"


def test_one_choice_inside_and_outside_of_a_candidate_is_always_active():
    inner = layers()
    model = nn.Sequential(LayerChoice([nn.ReLU(), inner]), inner)
    assert active(model) == {"0": "always", "0.1": "always"}


def test_a_choice_inside_its_own_namesake():
    model = nn.Sequential(LayerChoice({"a": nn.ReLU(), "b": nn.Sequential(layers(key="op"))}, key="op"))
    assert active(model) == {"op": "always"}


# -- sources


def test_sources_are_earlier_choices_and_scopes():
    model = nn.ModuleDict(
        {"op": layers(), "cell": MutableScope("cell"), "in": InputChoice(choose_from=["op", "cell", NO_KEY])}
    )
    check_sources(model)
    assert space_of(model)["in"].candidates == ("op", "cell", "")


@pytest.mark.parametrize("source", ["later", "in", "missing", "OP"])
def test_unknown_sources_are_refused_when_the_space_is_read(source):
    choice = InputChoice(choose_from=["op", source])
    model = nn.ModuleDict({"op": layers(), "in": choice, "later": layers()})
    for read in (check_sources, space_of):
        with pytest.raises(SearchSpaceError, match=rf"'in' .* from '{source}', .* known here: 'op' and NO_KEY"):
            read(model)


def test_without_known_sources_the_message_says_so():
    with pytest.raises(SearchSpaceError, match="known here: none and NO_KEY"):
        space_of(InputChoice(choose_from=["x"]))


# -- scopes


def test_scopes_show_in_the_tree_but_not_among_the_decisions():
    model = CellNet()
    assert scopes(model) == [
        ("cells.0.0", "n0"),
        ("cells.0.1", "n1"),
        ("cells.1.0", "n0"),
        ("cells.1.1", "n1"),
    ]
    space = space_of(model)
    assert list(space) == ["n0/in", "n0/op", "n0/act", "n1/in", "n1/op", "n1/act", "merge"]
    assert space.scopes == ("cells.0.0", "cells.0.1", "cells.1.0", "cells.1.1")


def test_scopes_nest_and_default_to_their_path():
    class Cell(MutableScope):
        def __init__(self, *inner: nn.Module) -> None:
            super().__init__()
            self.inner = nn.Sequential(*inner)

    assert scopes(nn.Sequential(Cell(Cell(layers())))) == [("0", "0"), ("0.inner.0", "0.inner.0")]
    assert scopes(Cell()) == [("", "scope")]
