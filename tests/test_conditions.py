"""Conditions: what they mean, what they simplify to, and that equal ones are one object."""

from __future__ import annotations

import copy
import itertools
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxnas.conditions import ALWAYS, NEVER, Atom, Condition, Evaluation, all_of, any_of, chosen, negate, present

# key → (number of candidates, n_chosen)
SIZES: dict[str, tuple[int, int | None]] = {"one": (3, 1), "two": (3, 2), "any": (2, None), "only": (1, 1)}


def has(key: str, candidate: int) -> Condition:
    return chosen(key, candidate, *SIZES[key])


def some(key: str) -> Condition:
    return present(key, *SIZES[key])


def every_decision(count: int, n_chosen: int | None) -> list[tuple[int, ...]]:
    sizes = range(count + 1) if n_chosen is None else [n_chosen]
    return [decision for size in sizes for decision in itertools.combinations(range(count), size)]


EVERYTHING = [
    dict(zip(SIZES, decisions, strict=True))
    for decisions in itertools.product(*(every_decision(*size) for size in SIZES.values()))
]

atoms = st.one_of(
    [st.builds(has, st.just(key), st.integers(0, count - 1)) for key, (count, _) in SIZES.items()]
    + [st.sampled_from([ALWAYS, NEVER, *map(some, SIZES)])]
)
conditions = st.recursive(
    atoms,
    lambda inner: (
        st.builds(all_of, st.lists(inner, max_size=4))
        | st.builds(any_of, st.lists(inner, max_size=4))
        | st.builds(negate, inner)
    ),
    max_leaves=12,
)


def table(condition: Condition) -> list[bool]:
    return [condition.holds(decisions) for decisions in EVERYTHING]


@given(st.lists(conditions, max_size=4))
@settings(max_examples=300, deadline=None)
def test_operators_mean_what_they_say(terms: list[Condition]) -> None:
    """Whatever is simplified on the way, the truth under every decision is that of Python's all, any and not."""
    tables = [table(term) for term in terms]
    assert table(all_of(terms)) == [all(row[i] for row in tables) for i in range(len(EVERYTHING))]
    assert table(any_of(terms)) == [any(row[i] for row in tables) for i in range(len(EVERYTHING))]
    for term, row in zip(terms, tables, strict=True):
        assert table(negate(term)) == [not value for value in row]
        assert negate(negate(term)) is term


@given(st.lists(conditions, max_size=4))
@settings(max_examples=100, deadline=None)
def test_an_evaluation_is_the_value_of_each(terms: list[Condition]) -> None:
    evaluation = Evaluation(terms)
    assert evaluation.keys == {key for term in terms for key in term.keys}
    for decisions in EVERYTHING:
        assert evaluation(decisions) == tuple(term.holds(decisions) for term in terms)


@given(conditions, st.sampled_from(list(SIZES)), st.data())
@settings(max_examples=300, deadline=None)
def test_deciding_one_choice_keeps_the_meaning(condition: Condition, key: str, data: st.DataObject) -> None:
    decision = data.draw(st.sampled_from(every_decision(*SIZES[key])))
    decided = condition.under(key, decision)
    assert key not in decided.keys
    for decisions in EVERYTHING:
        if decisions[key] == decision:
            assert decided.holds(decisions) == condition.holds(decisions)


@given(conditions)
@settings(max_examples=100, deadline=None)
def test_copies_and_pickles_are_the_same_object(condition: Condition) -> None:
    assert copy.copy(condition) is copy.deepcopy(condition) is condition
    assert pickle.loads(pickle.dumps(condition)) is condition


@pytest.mark.parametrize(
    ("condition", "simplified"),
    [
        (all_of([]), ALWAYS),
        (any_of([]), NEVER),
        (all_of([has("one", 0), NEVER]), NEVER),
        (any_of([has("one", 0), ALWAYS]), ALWAYS),
        (all_of([has("one", 0), has("one", 1)]), NEVER),
        (any_of([has("one", 0), has("one", 1), has("one", 2)]), ALWAYS),
        (any_of([has("any", 0), has("any", 1)]), some("any")),
        (all_of([has("any", 0), some("any")]), has("any", 0)),
        (any_of([has("any", 0), negate(has("any", 0))]), ALWAYS),
        (all_of([has("any", 0), negate(has("any", 0))]), NEVER),
        (any_of([has("any", 0), all_of([has("any", 0), has("one", 1)])]), has("any", 0)),
        (any_of([all_of([has("one", i), has("any", 1)]) for i in range(3)]), has("any", 1)),
        (
            all_of([has("one", 0), all_of([has("any", 0), has("two", 0)])]),
            all_of([has("two", 0), has("one", 0), has("any", 0)]),
        ),
        (has("only", 0), ALWAYS),
        (some("one"), ALWAYS),
        (chosen("none", 0, 3, 0), NEVER),
        (present("none", 3, 0), NEVER),
    ],
    ids=str,
)
def test_simplification(condition: Condition, simplified: Condition) -> None:
    assert condition is simplified


def test_equal_conditions_are_one_object() -> None:
    assert has("one", 0) is has("one", 0)
    assert any_of([has("one", 0), has("any", 1)]) is any_of([has("any", 1), has("one", 0)])
    assert has("one", 0) is not has("one", 1)


def test_keys_and_atoms_come_once() -> None:
    condition = any_of([all_of([has("two", 0), has("any", 0)]), all_of([has("two", 1), negate(has("any", 0))])])
    assert set(condition.keys) == {"two", "any"}
    assert len(condition.keys) == 2
    assert sorted((atom.key, atom.candidate) for atom in condition.atoms()) == [("any", 0), ("two", 0), ("two", 1)]


def test_substitution_replaces_what_is_known() -> None:
    condition = all_of([has("any", 0), any_of([has("two", 0), has("one", 1)])])

    def known(atom: Atom) -> bool | None:
        return {"any": True, "two": False}.get(atom.key)

    assert condition.substitute(known) is has("one", 1)


def test_text() -> None:
    assert str(ALWAYS) == "always"
    assert str(negate(has("one", 0))) == "not ('one' has 0)"
    assert str(some("any")) == "'any' is present"
    assert repr(NEVER) == "<Condition never>"


def test_conditions_are_built_by_functions_only() -> None:
    with pytest.raises(TypeError, match="build conditions with"):
        Condition()


def test_large_conditions_with_shared_parts_stay_small() -> None:
    """A chain in which each part uses the one before twice would have 2^60 leaves if it were written out."""
    condition = has("one", 0)
    for i in range(60):
        left, right = chosen(f"a{i}", 0, 2, 1), chosen(f"b{i}", 0, 2, 1)
        condition = any_of([all_of([condition, left]), all_of([condition, right])])
    assert len(condition.keys) == 121
    assert condition.holds({key: (0,) for key in condition.keys})
    assert not condition.under("one", (1,)).holds({key: (0,) for key in condition.keys})
