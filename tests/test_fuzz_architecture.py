"""Whatever stands in an architecture, it is applied as the rules say or refused with an error that names the key."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.conditions import chosen
from fxnas.errors import ArchitectureError, shown
from fxnas.space import SearchSpace

INNER = chosen("op", 1, 3, 1)
SPACE = SearchSpace(
    [
        Choice("op", "layer_choice", ("conv1", "conv3", "skip"), 1),
        Choice("0", "layer_choice", ("0", "1"), 1),
        Choice("in", "input_choice", ("a", "b", "c", "d"), 2),
        Choice("no names", "input_choice", ("", ""), 1),
        Choice("any\n", "input_choice", ("x", "y", "x"), None),
        Choice("op.inner", "layer_choice", ("a", "b"), 1, INNER),
        Choice("none", "input_choice", ("a",), 0),
    ]
)
GOOD: dict[str, object] = SPACE.complete({"op": (1,)}).to_json()

keys = st.sampled_from(list(SPACE))
words = st.sampled_from(sorted({name for choice in SPACE.values() for name in choice.candidates})) | st.text(max_size=5)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-2, 5)
    | st.integers()
    | st.sampled_from([10**100, -(10**100), 2**63])
    | st.floats()
    | st.sampled_from([0.0, 1.0])
    | words
)
plausible = (
    st.lists(st.booleans(), max_size=5)
    | st.lists(st.integers(-1, 4), max_size=5)
    | st.lists(words, max_size=4)
    | st.lists(scalars, max_size=4)
)
anything = st.recursive(
    scalars | plausible,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


def meaning(choice: Choice, value: object) -> tuple[int, ...] | None:
    """What the rules of the written forms say about a value, told in another way; None where it isn't legal."""
    entries: Sequence[object] = value if isinstance(value, list) else [value]
    if isinstance(value, list) and value and all(type(entry) is bool for entry in value):
        if len(value) != len(choice.candidates):
            return None
        decision = [i for i, entry in enumerate(value) if entry is True]
    elif all(type(entry) is int for entry in entries):
        decision = [int(str(entry)) for entry in entries]
    elif all(type(entry) is str and choice.candidates.count(entry) == 1 for entry in entries):
        decision = [choice.candidates.index(str(entry)) for entry in entries]
    else:
        return None
    decision.sort()
    legal = all(0 <= i < len(choice.candidates) for i in decision) and all(a < b for a, b in pairwise(decision))
    right_number = choice.n_chosen is None or len(decision) == choice.n_chosen
    return tuple(decision) if legal and right_number else None


@given(keys, anything)
@example("op", [True])
@example("any\n", [])
@example("0", "1")
@settings(max_examples=1500, deadline=None)
def test_a_value_means_what_the_rules_say_or_is_refused_by_key(key: str, value: object) -> None:
    expected = meaning(SPACE[key], value)
    if expected is None:
        with pytest.raises(ArchitectureError) as caught:
            Architecture.from_json(GOOD | {key: value}, SPACE)
        assert shown(key) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 2000
    elif key == "op" and expected != (1,):
        assert Architecture.from_json(GOOD | {key: value}, SPACE).canonical().get("op.inner") is None
    else:
        assert Architecture.from_json(GOOD | {key: value}, SPACE)[key] == expected


@given(keys, anything)
@settings(max_examples=300, deadline=None)
def test_text_and_object_are_read_alike(key: str, value: object) -> None:
    content = GOOD | {key: value}
    try:
        text = json.dumps(content, allow_nan=False)
    except ValueError:
        return
    results = []
    for source in (content, text, text.encode()):
        try:
            results.append(Architecture.from_json(source, SPACE))
        except ArchitectureError as error:
            results.append(str(error))
    assert results[0] == results[1] == results[2]


@given(anything)
@settings(max_examples=300, deadline=None)
def test_any_value_in_place_of_an_architecture_is_refused(value: object) -> None:
    with pytest.raises(ArchitectureError):
        Architecture.from_json(value, SPACE)


@given(st.dictionaries(keys | words, anything, max_size=4))
@settings(max_examples=300, deadline=None)
def test_without_strictness_only_values_are_refused(content: dict[str, object]) -> None:
    legal = all(meaning(SPACE[key], value) is not None for key, value in content.items() if key in SPACE)
    if legal:
        architecture = Architecture.from_json(content, SPACE, strict=False)
        assert SPACE.canonical(architecture) == architecture.canonical()
    else:
        with pytest.raises(ArchitectureError):
            Architecture.from_json(content, SPACE, strict=False)


def damaged(text: bytes, rng: random.Random) -> bytes:
    """The text with a few bytes flipped, removed, inserted, or a part of it repeated."""
    data = bytearray(text)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data)) if data else 0
        match rng.randrange(5):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at : at + rng.randint(1, 5)]
            case 2:
                data[at:at] = rng.choice(
                    [b"[", b"{", b'"', b"\\", b"NaN", b"-", b"9" * 5000, b"[" * 100, b"\xed\xa0\x80"]
                )
            case 3:
                data[at:at] = data[at : at + rng.randint(1, 40)]
            case _:
                del data[at:]
    return bytes(data)


def test_damaged_text_is_read_or_refused(tmp_path: Path) -> None:
    """Never another exception, and never a decision that isn't legal."""
    text, rng, refused = json.dumps(GOOD).encode(), random.Random(0), 0
    path = tmp_path / "architecture.json"
    for number in range(3000):
        data = damaged(text, rng)
        path.write_bytes(data)
        try:
            architecture = Architecture.from_json(path if number % 10 == 0 else data, SPACE)
        except ArchitectureError:
            refused += 1
            continue
        for key, decision in architecture.items():
            assert SPACE[key].check(decision) == decision
    assert refused > 2000


class Odd:
    """An object that can't even be printed."""

    def __repr__(self) -> str:
        raise RuntimeError

    def __len__(self) -> int:
        raise RuntimeError


def circular() -> list[object]:
    endless: list[object] = []
    endless.append(endless)
    return endless


def deep(levels: int = 100_000) -> list[object]:
    value: list[object] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "make", [Odd, circular, object, lambda: b"conv1", lambda: {1, 2}, lambda: 1j, lambda: 10**10_000]
)
@pytest.mark.parametrize("inside_a_list", [False, True])
def test_objects_that_json_does_not_know(make: type, inside_a_list: bool) -> None:
    value = [make()] if inside_a_list else make()
    with pytest.raises(ArchitectureError, match="choice 'op'"):
        Architecture.from_json(GOOD | {"op": value}, SPACE)
    with pytest.raises(ArchitectureError, match="choice 'op'"):
        Architecture({"op": value}, SPACE)


def test_values_nested_beyond_any_limit() -> None:
    value = deep()
    try:
        with pytest.raises(ArchitectureError, match="choice 'op'"):
            Architecture.from_json(GOOD | {"op": value}, SPACE)
    finally:
        while value:  # taken apart by hand, since freeing it at once may recurse
            value = value.pop()  # type: ignore[assignment]  # each level holds the next


legal_values = keys.flatmap(
    lambda key: st.tuples(st.just(key), st.integers(0, SPACE[key].count - 1), st.integers(0, 4), st.randoms())
)


@given(legal_values)
@settings(max_examples=500, deadline=None)
def test_every_legal_form_applies(drawn: tuple[str, int, int, random.Random]) -> None:
    key, number, form, rng = drawn
    choice = SPACE[key]
    decision = choice.decision(number)
    shuffled = rng.sample(decision, len(decision))
    names = [choice.candidates[i] for i in shuffled]
    forms: list[object] = [
        choice.written(decision),
        shuffled,
        [i in decision for i in range(len(choice.candidates))],
        names if len(set(choice.candidates)) == len(choice.candidates) else shuffled,
        shuffled[0] if len(shuffled) == 1 else shuffled,
    ]
    assert choice.parse(forms[form]) == decision
    given = SPACE.complete({"op": (1,)}).to_json() | {key: forms[form]}
    if key != "op":
        assert Architecture.from_json(json.dumps(given), SPACE)[key] == decision
