"""The search space: exact counts, uniform sampling, numbering, neighbors, and the search-space file."""

from __future__ import annotations

import copy
import json
import pickle
import random
import time
from collections import Counter
from math import comb, prod
from pathlib import Path

import pytest
from brute_force import canonical, canonical_architectures, combinations, random_space
from conftest import RunPython
from hypothesis import given, settings
from hypothesis import strategies as st

from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.conditions import ALWAYS, NEVER, Condition, all_of, any_of, chosen, negate, present
from fxnas.counting import diagram, tautology
from fxnas.errors import ArchitectureError, SearchSpaceError
from fxnas.space import SearchSpace


def layer(key: str, count: int, active: Condition = ALWAYS) -> Choice:
    return Choice(key, "layer_choice", tuple(f"op{i}" for i in range(count)), 1, active)


def inputs(key: str, count: int, n_chosen: int | None, active: Condition = ALWAYS) -> Choice:
    return Choice(key, "input_choice", ("",) * count, n_chosen, active)


def nested() -> SearchSpace:
    """`cell` takes a block or a pool; only the block has an operation and a skip to choose."""
    block = chosen("cell", 0, 2, 1)
    return SearchSpace(
        [
            Choice("cell", "layer_choice", ("block", "pool"), 1),
            Choice("op", "layer_choice", ("conv3", "conv5", "skip"), 1, block),
            Choice("skip", "input_choice", ("",), None, block),
        ]
    )


def darts_cell(nodes: int = 4, operations: int = 7) -> SearchSpace:
    """Each node picks 2 of the earlier states; an edge has an operation only if it is picked."""
    choices = []
    for node in range(nodes):
        states = node + 2
        choices.append(inputs(f"node{node}", states, 2))
        edges = [chosen(f"node{node}", state, states, 2) for state in range(states)]
        choices += [layer(f"node{node}.{state}", operations, edge) for state, edge in enumerate(edges)]
    return SearchSpace(choices)


class TestSize:
    def test_independent_choices_multiply(self) -> None:
        assert SearchSpace([layer("a", 3), inputs("b", 4, 2), inputs("c", 3, None)]).size == 3 * 6 * 8

    def test_an_empty_space_has_one_architecture(self) -> None:
        space = SearchSpace([])
        assert space.size == 1
        assert space.sample(random.Random(0)) == {}

    def test_a_conditional_choice_counts_only_where_it_is_active(self) -> None:
        assert nested().size == 3 * 2 + 1

    def test_darts_cell(self) -> None:
        assert darts_cell().size == prod(comb(node + 2, 2) * 7**2 for node in range(4))

    def test_enas_macro(self) -> None:
        space = SearchSpace(
            choice for i in range(12) for choice in [layer(f"op{i}", 6), *([inputs(f"skip{i}", i, None)] if i else [])]
        )
        assert space.size == 6**12 * 2 ** sum(range(12))

    def test_many_inputs_that_each_steer_a_child(self) -> None:
        choices = [inputs(f"in{g}", 12, None) for g in range(8)]
        choices += [layer(f"in{g}.{i}", 3, chosen(f"in{g}", i, 12, None)) for g in range(8) for i in range(12)]
        assert SearchSpace(choices).size == (1 + 3) ** (8 * 12)

    def test_half_of_many_inputs_that_each_steer_a_child(self) -> None:
        choices = [inputs("in", 12, 6), *(layer(f"op{i}", 3, chosen("in", i, 12, 6)) for i in range(12))]
        assert SearchSpace(choices).size == comb(12, 6) * 3**6

    def test_400_choices_of_8(self) -> None:
        assert SearchSpace(layer(f"c{i}", 8) for i in range(400)).size == 8**400

    def test_a_deep_tree(self) -> None:
        choices, active = [], ALWAYS
        for depth in range(60):
            choices.append(layer(f"c{depth}", 3, active))
            active = all_of([active, chosen(f"c{depth}", 0, 3, 1)])
        assert SearchSpace(choices).size == 2 * 60 + 1

    def test_a_wide_tree(self) -> None:
        """Each of 8 candidates holds a choice of 8, each of whose candidates holds a choice of 3."""
        choices = [layer("root", 8)]
        for i in range(8):
            branch = chosen("root", i, 8, 1)
            choices.append(layer(f"{i}", 8, branch))
            for j in range(8):
                choices.append(layer(f"{i}.{j}", 3, all_of([branch, chosen(f"{i}", j, 8, 1)])))
        assert SearchSpace(choices).size == 8 * 8 * 3

    def test_a_chain_that_may_skip_layers(self) -> None:
        """Layer i reads layer i-1 or i-2; only layers that are read take part: the paths are Fibonacci numbers."""
        count, needed, choices = 25, {24: ALWAYS}, []
        for i in reversed(range(count)):
            readers = [(i + 1, 0), (i + 2, 1)]
            uses = [all_of([needed[j], chosen(f"c{j}", k, 2, 1)]) for j, k in readers if j in needed]
            needed[i] = needed.get(i) or any_of(uses)
            choices.append(inputs(f"c{i}", 2, 1, needed[i]))
        paths = [2, 2 + 1]  # c0 reads one of two inputs, c1 reads c0 or an input
        for _ in range(count - 2):
            paths.append(paths[-1] + paths[-2])
        assert SearchSpace(reversed(choices)).size == paths[-1]

    def test_a_shared_choice_is_active_if_any_of_its_parents_is(self) -> None:
        either = any_of([chosen("a", 0, 2, 1), chosen("b", 0, 2, 1)])
        assert SearchSpace([layer("a", 2), layer("b", 2), layer("shared", 5, either)]).size == 3 * 5 + 1

    def test_a_choice_that_needs_an_absent_input(self) -> None:
        nothing = negate(present("skip", 3, None))
        assert SearchSpace([inputs("skip", 3, None), layer("instead", 4, nothing)]).size == 7 + 4

    def test_a_condition_that_comes_to_speak_of_all_inputs_at_once(self) -> None:
        """Once `z` is 1, "(input 0 and x) or (input 1 and x and z)" reads "any input and x"."""
        x, z = chosen("x", 0, 2, 1), chosen("z", 1, 2, 1)
        first, second = chosen("in", 0, 2, None), chosen("in", 1, 2, None)
        last = any_of([all_of([first, x]), all_of([second, x, z])])
        space = SearchSpace([layer("z", 2), inputs("in", 2, None), layer("x", 2), layer("last", 3, last)])
        without_z = (4 * 2 - 2) + 2 * 3
        with_z = (4 * 2 - 3) + 3 * 3
        assert space.size == without_z + with_z

    def test_a_condition_over_an_inactive_choice_is_not_met(self) -> None:
        """`c` is written to depend on `b` alone, which plays no role itself where `a` is 1."""
        space = SearchSpace([layer("a", 2), layer("b", 2, chosen("a", 0, 2, 1)), layer("c", 3, chosen("b", 0, 2, 1))])
        assert space.size == 3 + 1 + 1
        assert space.canonical({"a": (1,), "b": (0,), "c": (2,)}) == {"a": (1,)}


@pytest.mark.parametrize("circles", [False, True], ids=["ordered", "circles"])
def test_counting_agrees_with_trying_everything(circles: bool) -> None:
    for seed in range(400):
        space = random_space(random.Random(seed), circles=circles)
        found = [space.architecture(number) for number in range(space.size)]
        assert {frozenset(a.items()) for a in found} == canonical_architectures(space), seed
        assert len(set(found)) == space.size, seed
        assert [space.rank(a) for a in found] == list(range(space.size)), seed


@pytest.mark.parametrize("circles", [False, True], ids=["ordered", "circles"])
def test_canonical_agrees_with_the_definition(circles: bool) -> None:
    for seed in range(60):
        space = random_space(random.Random(seed), circles=circles, most=40)
        everything = combinations(space)
        for decisions in everything:
            short = space.canonical(decisions)
            assert short == canonical(space, decisions, everything), seed
            assert short.canonical() == short
            assert space.decode(space.encode(short)) == short
            assert space.canonical(space.complete(short)) == short


class TestSample:
    def test_every_architecture_is_equally_likely(self) -> None:
        """Choice by choice, `pool` would come up in half of the samples, though it is one architecture in seven."""
        space, rng, samples = nested(), random.Random(0), 7_000
        seen = Counter(space.sample(rng) for _ in range(samples))
        assert len(seen) == space.size == 7
        expected = samples / space.size
        chi_square = sum((count - expected) ** 2 / expected for count in seen.values())
        assert chi_square < 22.5  # the 99.9 % quantile of chi-square with 6 degrees of freedom

    def test_random_spaces_are_sampled_uniformly(self) -> None:
        for seed in range(12):
            space, rng = random_space(random.Random(seed)), random.Random(seed)
            samples = 60 * space.size
            seen = Counter(space.sample(rng) for _ in range(samples))
            chi_square = sum((count - 60) ** 2 / 60 for count in seen.values()) + 60 * (space.size - len(seen))
            freedom = space.size - 1
            assert chi_square <= freedom + 4 * (2 * freedom) ** 0.5, seed  # mean + 4 standard deviations

    def test_equal_seeds_give_equal_samples(self) -> None:
        space = darts_cell()
        one, other = random.Random(7), random.Random(7)
        assert [space.sample(one) for _ in range(5)] == [space.sample(other) for _ in range(5)]

    def test_samples_are_canonical(self) -> None:
        space, rng = darts_cell(), random.Random(0)
        for _ in range(50):
            architecture = space.sample(rng)
            assert space.canonical(dict(architecture)) == architecture
            assert space.architecture(space.rank(architecture)) == architecture

    def test_another_process_with_another_hash_seed_draws_the_same(self, run_python: RunPython, root: Path) -> None:
        script = (
            "import sys, random; sys.path.insert(0, sys.argv[1])\n"
            "from test_space import darts_cell\n"
            "from brute_force import random_space\n"
            "for seed in range(20):\n"
            "    space = random_space(random.Random(seed), circles=seed % 2 == 0)\n"
            "    print(space.sample(random.Random(seed)), space.fingerprint)\n"
            "print([darts_cell().sample(random.Random(i)).fingerprint for i in range(5)])\n"
        )
        outputs = {run_python("-c", script, root / "tests", PYTHONHASHSEED=seed).stdout for seed in "012"}
        assert len(outputs) == 1

    def test_sampling_is_fast(self) -> None:
        space, rng = SearchSpace(layer(f"c{i}", 8) for i in range(20)), random.Random(0)
        space.sample(rng)
        start = time.perf_counter()
        for _ in range(200):
            space.sample(rng)
        assert (time.perf_counter() - start) / 200 < 1e-3  # seconds; seen 0.02 ms


class TestNumbers:
    def test_numbers_of_a_flat_space_count_like_digits(self) -> None:
        space = SearchSpace([layer("a", 3), layer("b", 4)])
        assert [space.rank({"a": (a,), "b": (b,)}) for a in range(3) for b in range(4)] == list(range(12))

    @pytest.mark.parametrize("number", [-1, 7, 10**100])
    def test_a_number_out_of_range_is_refused(self, number: int) -> None:
        with pytest.raises(ArchitectureError, match="7 architectures are numbered from 0, got"):
            nested().architecture(number)

    @given(st.integers(0, 8**400 - 1))
    @settings(max_examples=10, deadline=None)
    def test_large_spaces_too(self, number: int) -> None:
        space = SearchSpace(layer(f"c{i}", 8) for i in range(400))
        assert space.rank(space.architecture(number)) == number


class TestDefault:
    def test_first_layer_first_inputs_all_inputs(self) -> None:
        space = SearchSpace([layer("a", 3), inputs("b", 4, 2), inputs("c", 3, None), inputs("d", 2, 0)])
        assert space.default == {"a": (0,), "b": (0, 1), "c": (0, 1, 2), "d": ()}

    def test_it_is_canonical(self) -> None:
        space = SearchSpace([layer("a", 2), layer("b", 2, chosen("a", 1, 2, 1))])
        assert space.default == {"a": (0,)}


class TestCheck:
    def test_complete_gives_every_choice_a_decision(self) -> None:
        assert nested().complete({"cell": (1,)}) == {"cell": (1,), "op": (0,), "skip": (0,)}

    def test_check_returns_an_architecture_of_the_space(self) -> None:
        space = nested()
        checked = space.check({"cell": [1]})
        assert isinstance(checked, Architecture)
        assert checked.choices is space
        assert space.check(checked) is checked

    def test_an_active_choice_needs_a_decision(self) -> None:
        with pytest.raises(
            ArchitectureError, match=r"choice 'op' has candidates 0\.\.2 \(conv3, conv5, skip\), but no"
        ):
            nested().check({"cell": (0,)})

    def test_an_unknown_key_is_named_with_the_nearest(self) -> None:
        with pytest.raises(
            ArchitectureError, match="no choice 'cel'; known: 'cell', 'op', 'skip', did you mean 'cell'"
        ):
            nested().complete({"cel": (0,)})

    def test_an_architecture_of_another_space_is_checked_anew(self) -> None:
        other = SearchSpace([layer("cell", 5)])
        with pytest.raises(ArchitectureError, match=r"choice 'cell' has candidates 0\.\.1 \(block, pool\), got 4"):
            nested().canonical(other.architecture(4))


class TestNeighbors:
    def test_another_candidate_for_a_layer_choice(self) -> None:
        space = SearchSpace([layer("a", 3), layer("b", 2)])
        found = space.neighbors({"a": (0,), "b": (1,)})
        assert found == [{"a": (1,), "b": (1,)}, {"a": (2,), "b": (1,)}, {"a": (0,), "b": (0,)}]

    def test_one_exchanged_where_several_are_chosen(self) -> None:
        found = SearchSpace([inputs("in", 4, 2)]).neighbors({"in": (0, 1)})
        assert [a["in"] for a in found] == [(1, 2), (1, 3), (0, 2), (0, 3)]

    def test_one_toggled_where_any_number_is_legal(self) -> None:
        found = SearchSpace([inputs("in", 3, None)]).neighbors({"in": (1,)})
        assert [a["in"] for a in found] == [(0, 1), (), (1, 2)]

    def test_a_choice_that_becomes_active_takes_its_default(self) -> None:
        assert nested().neighbors({"cell": (1,)}) == [{"cell": (0,), "op": (0,), "skip": (0,)}]

    def test_a_choice_that_becomes_inactive_is_left_out(self) -> None:
        found = nested().neighbors({"cell": (0,), "op": (1,), "skip": ()})
        assert found[0] == {"cell": (1,)}
        assert len(found) == 1 + 2 + 1

    def test_no_choice_to_change(self) -> None:
        assert (
            SearchSpace([layer("a", 1), inputs("b", 2, 2), inputs("c", 2, 0)]).neighbors(
                {"a": (0,), "b": (0, 1), "c": ()}
            )
            == []
        )

    def test_neighbors_are_distinct_and_canonical(self) -> None:
        for seed in range(60):
            space = random_space(random.Random(seed))
            architecture = space.sample(random.Random(seed))
            found = space.neighbors(architecture)
            assert architecture not in found
            assert len(set(found)) == len(found)
            assert all(a.canonical() == a for a in found)
            assert found == space.neighbors(space.complete(architecture))


class TestEncoding:
    def test_one_number_for_every_choice(self) -> None:
        space = nested()
        assert space.encode({"cell": (0,), "op": (2,), "skip": ()}) == [0, 2, 0]
        assert space.encode({"cell": (1,)}) == [1, -1, -1]

    def test_decoding_drops_what_is_inactive(self) -> None:
        assert nested().decode([1, 2, 0]) == {"cell": (1,)}

    @pytest.mark.parametrize(
        ("vector", "message"),
        [
            ([0, 1], r"a vector of 3 integers is needed, got 2"),
            ([0, 3, 0], r"choice 'op' has 3 decisions, got 3"),
            ([0, -2, 0], r"choice 'op' has 3 decisions, got -2"),
            ([0, -1, 0], r"choice 'op' has .* but no decision is given"),
            ([0, 1.0, 0], r"choice 'op': an integer is needed, got 1\.0"),
            ([0, True, 0], r"choice 'op': an integer is needed, got True"),
            ([0, None, 0], r"choice 'op': an integer is needed, got None"),
        ],
    )
    def test_a_malformed_vector_is_refused(self, vector: list[int], message: str) -> None:
        with pytest.raises(ArchitectureError, match=message):
            nested().decode(vector)


WRITTEN = {
    "conv1": {"_type": "layer_choice", "_value": ["conv3x3", "conv5x5"]},
    "skip": {"_type": "input_choice", "_value": {"candidates": ["", ""], "n_chosen": 1}},
    "any": {"_type": "input_choice", "_value": {"candidates": ["conv1"], "n_chosen": None}},
}


class TestFile:
    def test_the_written_form_is_read_and_written_unchanged(self) -> None:
        space = SearchSpace.from_json(WRITTEN)
        assert json.dumps(space.to_json()) == json.dumps(WRITTEN)
        assert space["conv1"].n_chosen == 1
        assert space["skip"].candidates == ("", "")
        assert space["any"].n_chosen is None
        assert all(choice.active is ALWAYS for choice in space.values())

    def test_text_and_files_are_read_too(self, tmp_path: Path) -> None:
        space, path = SearchSpace.from_json(WRITTEN), tmp_path / "space.json"
        space.save(path)
        assert SearchSpace.load(path) == SearchSpace.from_json(str(path)) == space
        assert SearchSpace.from_json(json.dumps(WRITTEN)) == space

    def test_conditions_are_written_where_there_are_any(self) -> None:
        written = {
            "cell": {"_type": "layer_choice", "_value": ["block", "pool"]},
            "op": {
                "_type": "layer_choice",
                "_value": ["conv3", "conv5", "skip"],
                "_active_if": [{"chosen": ["cell", "block"]}],
            },
            "skip": {
                "_type": "input_choice",
                "_value": {"candidates": [""], "n_chosen": None},
                "_active_if": [{"chosen": ["cell", "block"]}],
            },
        }
        assert nested().to_json() == written
        assert SearchSpace.from_json(written) == nested()
        assert SearchSpace.from_json(written).size == nested().size == 7

    @pytest.mark.parametrize("circles", [False, True])
    def test_conditions_are_read_back_exactly(self, circles: bool) -> None:
        rng = random.Random(7)
        for _ in range(200):
            space = random_space(rng, circles=circles)
            found = SearchSpace.from_json(json.dumps(space.to_json()))
            assert [choice.active for choice in found.values()] == [choice.active for choice in space.values()]
            assert (found.fingerprint, found.size) == (space.fingerprint, space.size)

    def test_deep_and_shared_conditions_stay_small(self, tmp_path: Path) -> None:
        condition, choices = ALWAYS, []
        for i in range(300):
            choices.append(layer(f"c{i}", 2))
            one, other = (chosen(f"c{i}", j, 2, 1) for j in (0, 1))
            condition = any_of([all_of([condition, one]), all_of([negate(condition), other])])
        space = SearchSpace([*choices, layer("last", 2, condition), layer("never", 2, NEVER)])
        space.save(tmp_path / "space.json")
        assert (tmp_path / "space.json").stat().st_size < 500_000
        assert SearchSpace.load(tmp_path / "space.json") == space

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ({"chosen": ["op", "a"]}, r"_active_if: a list of 1 to 10,000 parts is needed, .*, got \{"),
            ([], r"_active_if: a list of 1 to 10,000 parts is needed, .*, got \[\]"),
            (None, r"a list of 1 to 10,000 parts is needed, .*, got None"),
            ([{"any": []}] * 10_001, r"a list of 1 to 10,000 parts is needed"),
            ([3], r"part 0: an object with one of chosen, present, not, all, any is needed, got 3"),
            ([{"present": "op", "not": 0}], r"part 0: an object with one of"),
            ([{"chose": ["op", "a"]}], r"part 0: one of .* is needed, got 'chose', did you mean 'chosen'\?"),
            ([{"chosen": "op"}], r"part 0: a key and a candidate are needed, got 'op'"),
            ([{"chosen": ["opp", "a"]}], r"part 0: the key of a choice .* got 'opp', did you mean 'op'\?"),
            ([{"chosen": [["op"], "a"]}], r"part 0: the key of a choice of this space is needed, got \['op'\]"),
            ([{"chosen": ["op", "c"]}], r"part 0: choice 'op' has candidates 0\.\.1 \(a, b\), got 'c'"),
            ([{"chosen": ["op", 2]}], r"part 0: choice 'op' has candidates 0\.\.1 \(a, b\), got 2"),
            ([{"chosen": ["op", True]}], r"a name or an index is needed, got true"),
            ([{"present": None}], r"part 0: the key of a choice of this space is needed, got None"),
            ([{"present": "op"}, {"not": 1}], r"part 1: the place of an earlier part is needed, got 1"),
            ([{"present": "op"}, {"not": False}], r"part 1: the place of an earlier part is needed, got False"),
            ([{"present": "op"}, {"all": [0]}], r"part 1: a list of two or more earlier parts is needed, .* got \[0\]"),
            ([{"present": "op"}, {"any": [0, -1]}], r"part 1: the place of an earlier part is needed, got -1"),
        ],
    )
    def test_a_malformed_condition_is_refused(self, value: object, message: str) -> None:
        entry = {"_type": "layer_choice", "_value": ["a", "b"]}
        with pytest.raises(SearchSpaceError, match=f"choice 'x': .*{message}"):
            SearchSpace.from_json({"op": entry, "x": {**entry, "_active_if": value}})

    def test_what_would_take_for_ever_to_count_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file may hold any condition, and to count what one allows is as hard as to solve it."""
        rng = random.Random(1)
        choices = [layer(f"c{i}", 2) for i in range(40)]
        literals = [chosen(choice.key, side, 2, 1) for choice in choices for side in (0, 1)]
        puzzle = all_of(any_of(rng.sample(literals, 3)) for _ in range(160))
        space = SearchSpace([*choices, layer("last", 2, puzzle)])
        monkeypatch.setattr(diagram, "MOST_PARTS", 20_000)
        found = SearchSpace.from_json(space.to_json())
        assert found.check(found.default) == found.default
        with pytest.raises(SearchSpaceError, match="the conditions of 'last' depend on other choices in too many ways"):
            _ = found.size
        monkeypatch.setattr(tautology, "MOST_STATES", 50)
        inactive = all_of(any_of(rng.sample(literals, 2)) for _ in range(100))
        gate = chosen("gate", 1, 2, 1)
        hidden = [layer(f"c{i}", 2, gate) for i in range(40)]
        with pytest.raises(SearchSpaceError, match="depends on 42 choices in too many ways to be decided"):
            _ = SearchSpace([layer("gate", 2), *hidden, layer("last", 2, negate(inactive))]).default

    def test_a_layer_choice_that_takes_several_keeps_its_number(self) -> None:
        space = SearchSpace([Choice("op", "layer_choice", ("a", "b", "c"), 2)])
        assert space.to_json()["op"]["_value"] == {"candidates": ["a", "b", "c"], "n_chosen": 2}
        assert SearchSpace.from_json(space.to_json()) == space

    def test_odd_names_survive(self, tmp_path: Path) -> None:
        space = SearchSpace([Choice('a"\n', "layer_choice", ("class", "ü", "\ud800", "{}"), 1)])
        space.save(tmp_path / "space.json")
        assert SearchSpace.load(tmp_path / "space.json") == space

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            ([], r"choice 'op': an object with \"_type\" and \"_value\" is needed, got \[\]"),
            (None, r"choice 'op': an object .* got None"),
            ({"_type": "layer_choice"}, r"choice 'op': .* '_value' is missing"),
            ({"_value": ["a"]}, r"choice 'op': .* '_type' is missing"),
            ({"_type": "layer_choice", "_value": ["a"], "x": 1}, r"choice 'op': .* 'x' is unknown"),
            (
                {"_type": "layerchoice", "_value": ["a"]},
                r"unknown type 'layerchoice', .* did you mean 'layer_choice'\?",
            ),
            ({"_type": ["layer_choice"], "_value": ["a"]}, r"'op' is of unknown type \['layer_choice'\]"),
            ({"_type": "layer_choice", "_value": []}, r"'op' needs a list of at least one candidate, got \(\)"),
            ({"_type": "layer_choice", "_value": "ab"}, r"'op' needs a list of at least one candidate, got 'ab'"),
            ({"_type": "layer_choice", "_value": ["a", 1]}, r"'op' has a candidate whose name is not a string: 1"),
            ({"_type": "layer_choice", "_value": ["a", "b", "a"]}, r"'op' has two candidates called 'a'"),
            (
                {"_type": "input_choice", "_value": ["a"]},
                r"'op': an object with \"candidates\" and \"n_chosen\" is needed",
            ),
            ({"_type": "input_choice", "_value": {"candidates": ["a"]}}, r"'op': .* 'n_chosen' is missing"),
            ({"_type": "input_choice", "_value": {"candidates": [], "n_chosen": 0}}, r"'op' needs a list of at least"),
            (
                {"_type": "input_choice", "_value": {"candidates": ["a"], "n_chosen": 2}},
                r"'op' has 1 candidates, n_chosen is one of 0\.\.1 or null for any number, got 2",
            ),
            ({"_type": "input_choice", "_value": {"candidates": ["a"], "n_chosen": -1}}, r"got -1"),
            ({"_type": "input_choice", "_value": {"candidates": ["a"], "n_chosen": True}}, r"got True"),
            ({"_type": "input_choice", "_value": {"candidates": ["a"], "n_chosen": 1.0}}, r"got 1\.0"),
            (
                {"_type": "input_choice", "_value": {"candidates": ["a"], "n_chosen": 10**5000}},
                r"got an integer of 16610 bits",
            ),
        ],
    )
    def test_a_malformed_choice_is_refused(self, entry: object, message: str) -> None:
        with pytest.raises(SearchSpaceError, match=message):
            SearchSpace.from_json({"op": entry})

    def test_the_file_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "space.json"
        path.write_text('{"op": {"_type": "layer_choice", "_value": []}}')
        with pytest.raises(SearchSpaceError, match=r"choice 'op' needs a list of .* \(space\.json\)"):
            SearchSpace.load(path)

    @pytest.mark.parametrize(
        "source", ["[1]", "nowhere.json", b"\xff", 3, None, {1: {"_type": "layer_choice", "_value": ["a"]}}]
    )
    def test_what_is_no_space_is_refused(self, source: object) -> None:
        with pytest.raises(SearchSpaceError):
            SearchSpace.from_json(source)

    @given(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.sampled_from(["layer_choice", "input_choice", "a"]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["_type", "_value", "candidates", "n_chosen", "op", "_active_if", "any"]),
                    inner,
                    max_size=3,
                )
            ),
            max_leaves=8,
        )
    )
    @settings(max_examples=300, deadline=None)
    def test_any_value_is_read_or_refused(self, value: object) -> None:
        try:
            space = SearchSpace.from_json(value)
        except SearchSpaceError:
            return
        assert SearchSpace.from_json(space.to_json()) == space


class TestMapping:
    def test_choices_keep_their_order(self) -> None:
        space = SearchSpace([layer("z", 2), layer("a", 2)])
        assert list(space) == ["z", "a"]
        assert len(space) == 2
        assert space["a"].candidates == ("op0", "op1")

    def test_two_choices_with_one_key_are_refused(self) -> None:
        with pytest.raises(SearchSpaceError, match="two choices have the key 'a'"):
            SearchSpace([layer("a", 2), layer("a", 3)])

    def test_a_condition_over_an_unknown_choice_is_refused(self) -> None:
        with pytest.raises(SearchSpaceError, match="choice 'b' depends on 'aa', which is not in the space"):
            SearchSpace([layer("a", 2), layer("b", 2, chosen("aa", 0, 2, 1))])

    def test_a_condition_over_another_version_of_a_choice_is_refused(self) -> None:
        with pytest.raises(
            SearchSpaceError, match=r"choice 'b' depends on 'a' \(2 of 3, n_chosen 1\), which has candidates 0\.\.1"
        ):
            SearchSpace([layer("a", 2), layer("b", 2, chosen("a", 2, 3, 1))])

    def test_copies_and_pickles_are_equal(self) -> None:
        space = nested()
        _ = space.size
        for twin in (copy.copy(space), copy.deepcopy(space), pickle.loads(pickle.dumps(space))):
            assert twin == space
            assert hash(twin) == hash(space)
            assert twin.fingerprint == space.fingerprint
            assert twin.size == space.size

    def test_the_fingerprint_tells_order_and_candidates(self) -> None:
        spaces = [[layer("a", 2), layer("b", 2)], [layer("b", 2), layer("a", 2)], [layer("a", 2), layer("b", 3)]]
        assert len({SearchSpace(choices).fingerprint for choices in spaces}) == 3


def test_the_tree_shows_scopes_and_conditions() -> None:
    block = chosen("cell.op", 0, 2, 1)
    space = SearchSpace(
        [
            Choice("stem", "layer_choice", ("a", "b"), 1),
            Choice("cell.op", "layer_choice", ("block", "pool"), 1),
            Choice("cell.inner.in", "input_choice", ("", ""), None, block),
            Choice("shared", "input_choice", ("x", "y"), 1, negate(present("cell.inner.in", 2, None)), ("cell.y",)),
        ],
        scopes=("cell", "cell.inner"),
    )
    assert space.tree().splitlines() == [
        "stem: 1 of a | b",
        "cell/",
        "  cell.op: 1 of block | pool",
        "  cell.inner/",
        "    cell.inner.in: any of 0 | 1   if cell.op = block",
        "  shared: 1 of x | y   if not cell.inner.in chooses something",
    ]


def test_the_tree_of_a_long_condition_names_the_choices() -> None:
    choices = [layer(f"c{i}", 2) for i in range(20)]
    long = any_of(chosen(f"c{i}", 0, 2, 1) for i in range(20))
    last = SearchSpace([*choices, layer("last", 2, long)]).tree().splitlines()[-1]
    assert last.startswith("last: 1 of op0 | op1   depending on c0, c1, ")
    assert last.endswith(", …")


def test_importing_the_space_takes_neither_torch_nor_numpy_nor_networkx(run_python: RunPython) -> None:
    heavy = "{'torch', 'numpy', 'networkx', 'onnx', 'rich', 'typer'}"
    done = run_python("-c", f"import sys, fxnas.space; print({heavy} & set(sys.modules))")
    assert done.stdout.strip() == "set()"
