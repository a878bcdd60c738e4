"""A choice: its legal decisions, their numbers, and the forms in which they are written."""

from __future__ import annotations

import copy
import pickle
from itertools import combinations
from math import comb

import pytest

from fxnas.choice import Choice
from fxnas.conditions import chosen
from fxnas.errors import ArchitectureError, SearchSpaceError

OP = Choice("op", "layer_choice", ("conv1", "conv3", "skip"), 1)
PAIR = Choice("pair", "input_choice", ("left", "right", "top"), 2)
SOME = Choice("some", "input_choice", ("a", "b", "c"), None)
NAMELESS = Choice("in", "input_choice", ("", ""), 1)


class TestDecisions:
    def test_one_of_the_candidates(self) -> None:
        assert list(OP.decisions()) == [(0,), (1,), (2,)]

    def test_some_of_the_candidates(self) -> None:
        assert list(PAIR.decisions()) == [(0, 1), (0, 2), (1, 2)]

    def test_any_number_of_them(self) -> None:
        assert list(SOME.decisions()) == [(), (0,), (1,), (0, 1), (2,), (0, 2), (1, 2), (0, 1, 2)]

    @pytest.mark.parametrize("n_chosen", [None, 0, 1, 2, 3, 5, 6])
    def test_numbers_go_both_ways(self, n_chosen: int | None) -> None:
        choice = Choice("in", "input_choice", ("",) * 6, n_chosen)
        decisions = list(choice.decisions())
        assert choice.count == len(decisions) == (64 if n_chosen is None else comb(6, n_chosen))
        assert [choice.decision(i) for i in range(choice.count)] == decisions
        assert [choice.index(decision) for decision in decisions] == list(range(choice.count))
        if n_chosen is not None:
            assert decisions == list(combinations(range(6), n_chosen))

    def test_many_candidates(self) -> None:
        choice = Choice("in", "input_choice", ("",) * 200, 100)
        assert choice.count == comb(200, 100)
        assert choice.index(choice.decision(choice.count // 3)) == choice.count // 3

    @pytest.mark.parametrize("index", [-1, 3, 10**4000])
    def test_a_number_out_of_range_is_refused(self, index: int) -> None:
        with pytest.raises(ArchitectureError, match="choice 'op' has 3 decisions, got"):
            OP.decision(index)

    def test_the_default_is_the_first_or_all(self) -> None:
        assert OP.default == (0,)
        assert PAIR.default == (0, 1)
        assert SOME.default == (0, 1, 2)
        assert Choice("in", "input_choice", ("",), 0).default == ()


class TestCheck:
    def test_indices_are_sorted(self) -> None:
        assert PAIR.check([2, 0]) == (0, 2)

    @pytest.mark.parametrize(
        ("decision", "message"),
        [
            ((), r"exactly 2 to be chosen, got 0: \(\)"),
            ((0, 0), r"each candidate at most once, got 'left' twice: \(0, 0\)"),
            ((0, 3), r"choice 'pair' has candidates 0\.\.2 \(left, right, top\), got 3 \(pair\[1\]\)"),
            ((0, -1), r"got -1 \(pair\[1\]\)"),
            ((0, True), r"an index is needed, got true"),
            ((0, "left"), r"an index is needed, got 'left'"),
            ("01", r"a sequence of indices is needed, got '01'"),
            (1, r"a sequence of indices is needed, got 1"),
            (None, r"a sequence of indices is needed, got null"),
        ],
    )
    def test_what_is_illegal_is_refused(self, decision: tuple[int, ...], message: str) -> None:
        with pytest.raises(ArchitectureError, match=message):
            PAIR.check(decision)


class TestParse:
    @pytest.mark.parametrize("value", ["conv3", 1, ["conv3"], [1], [False, True, False], (1,)])
    def test_five_forms_of_one(self, value: object) -> None:
        assert OP.parse(value) == (1,)

    @pytest.mark.parametrize("value", [["left", "top"], ["top", "left"], [0, 2], [2, 0], [True, False, True]])
    def test_forms_of_several(self, value: object) -> None:
        assert PAIR.parse(value) == (0, 2)

    @pytest.mark.parametrize("value", [[], [False, False, False]])
    def test_forms_of_none(self, value: object) -> None:
        assert SOME.parse(value) == ()

    def test_a_name_of_digits_is_a_name(self) -> None:
        choice = Choice("op", "layer_choice", ("1", "0"), 1)
        assert choice.parse("1") == (0,)
        assert choice.parse(1) == (1,)

    def test_a_layer_choice_that_takes_several(self) -> None:
        choice = Choice("op", "layer_choice", ("a", "b", "c"), 2)
        assert choice.parse(["c", "a"]) == (0, 2)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (3, r"choice 'op' has candidates 0\.\.2 \(conv1, conv3, skip\), got 3$"),
            ([3], r"got 3 \(op\[0\]\)"),
            (-1, r"got -1$"),
            ("conv2", r"got 'conv2', did you mean 'conv3'\?"),
            ("0", r"got '0'$"),
            (True, r"a name or an index is needed, got true"),
            (None, r"a name or an index is needed, got null"),
            (1.0, r"a name or an index is needed, got 1\.0"),
            ({}, r"a name or an index is needed, got \{\}"),
            ([[1]], r"a name or an index is needed, got \[1\] \(op\[0\]\)"),
            ([None], r"a name or an index is needed, got null \(op\[0\]\)"),
            ([True, 1, 0], r"a name or an index is needed, got true \(op\[0\]\)"),
            ([False, True], r"as many booleans \(3\) are needed, got 2"),
            ([False, True, True], r"exactly 1 to be chosen, got 2"),
            ([False, False, False], r"exactly 1 to be chosen, got 0"),
            ([0, "conv3"], r"either names or indices are needed, got both"),
            (["conv3", "conv3"], r"each candidate at most once, got 'conv3' twice"),
            ([0, 1], r"exactly 1 to be chosen, got 2: \[0, 1\]"),
            ([], r"exactly 1 to be chosen, got 0: \[\]"),
            (10**4000, r"got an integer of 13288 bits"),
            ("x" * 10**6, r"got 'x+\.\.\.x+'$"),
        ],
    )
    def test_what_is_illegal_is_refused(self, value: object, message: str) -> None:
        with pytest.raises(ArchitectureError, match=message):
            OP.parse(value)

    def test_equal_names_need_an_index(self) -> None:
        assert NAMELESS.parse(1) == (1,)
        with pytest.raises(
            ArchitectureError, match=r"choice 'in' has candidates 0\.\.1, '' is the name of 2 of them: give an"
        ):
            NAMELESS.parse("")

    def test_the_file_and_the_place_are_named(self) -> None:
        with pytest.raises(ArchitectureError, match=r"got 3 \(best\.json: op\[0\]\)$"):
            OP.parse([3], "best.json")

    def test_odd_names_are_shown_as_one_line(self) -> None:
        choice = Choice("o\np", "layer_choice", ("a\n", "", "é" * 100), 1)
        with pytest.raises(ArchitectureError) as caught:
            choice.parse([7])
        assert str(caught.value).startswith(r"choice 'o\np' has candidates 0..2 ('a\n', '', 'é")
        assert "\n" not in str(caught.value)


class TestWritten:
    @pytest.mark.parametrize(
        ("choice", "decision", "written"),
        [
            (OP, (1,), "conv3"),
            (PAIR, (0, 2), ["left", "top"]),
            (SOME, (2,), "c"),
            (SOME, (), []),
            (NAMELESS, (1,), 1),  # not distinct
            (Choice("in", "input_choice", ("",), None), (0,), 0),  # "" is not a name
            (Choice("op", "layer_choice", ("0", "1", "2"), 1), (2,), 2),  # all digits
            (Choice("op", "layer_choice", ("0", "b"), 1), (0,), "0"),
        ],
    )
    def test_names_where_they_identify_else_indices(
        self, choice: Choice, decision: tuple[int, ...], written: object
    ) -> None:
        assert choice.written(decision) == written
        assert choice.parse(written) == decision


class TestChoice:
    def test_paths_are_not_part_of_its_identity(self) -> None:
        twin = Choice("op", "layer_choice", ("conv1", "conv3", "skip"), 1, paths=("a", "b"))
        assert twin == OP
        assert hash(twin) == hash(OP)

    def test_the_condition_is(self) -> None:
        other = Choice("op", "layer_choice", ("conv1", "conv3", "skip"), 1, chosen("x", 0, 2, 1))
        assert other != OP

    def test_copies_and_pickles_are_equal(self) -> None:
        choice = Choice("op", "layer_choice", ("a", "b"), 1, chosen("x", 0, 2, 1))
        assert copy.deepcopy(choice) == pickle.loads(pickle.dumps(choice)) == choice
        assert hash(copy.deepcopy(choice)) == hash(choice)

    def test_a_key_is_a_string(self) -> None:
        with pytest.raises(SearchSpaceError, match="the key of a choice is a string, got 3"):
            Choice(3, "layer_choice", ("a",), 1)  # type: ignore[arg-type]  # what is to be refused

    def test_one_entry_of_a_file(self) -> None:
        for choice in (OP, PAIR, SOME, NAMELESS):
            assert Choice.from_json(choice.key, choice.to_json()) == choice
