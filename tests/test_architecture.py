"""An architecture: its forms in JSON, its identity, and what is refused."""

from __future__ import annotations

import copy
import json
import pickle
import random
from pathlib import Path
from typing import Any

import pytest

from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.conditions import chosen
from fxnas.errors import ArchitectureError, ExportError
from fxnas.space import SearchSpace

SPACE = SearchSpace(
    [
        Choice("op", "layer_choice", ("conv1", "conv3", "skip"), 1),
        Choice("in", "input_choice", ("layer1", "layer2", "layer3"), 2),
        Choice("any", "input_choice", ("", ""), None),
    ]
)
GIVEN = {"op": "conv3", "in": ["layer1", "layer3"], "any": []}
DECISIONS = {"op": (1,), "in": (0, 2), "any": ()}

# `inner` is part of the architecture only where `outer` is "deep".
NESTED = SearchSpace(
    [
        Choice("outer", "layer_choice", ("flat", "deep"), 1),
        Choice("inner", "layer_choice", ("a", "b"), 1, chosen("outer", 1, 2, 1)),
    ]
)


def read(source: object, space: SearchSpace = SPACE, **options: Any) -> Architecture:
    return Architecture.from_json(source, space, **options)


class TestFromJson:
    def test_names(self) -> None:
        assert read(GIVEN) == DECISIONS

    def test_every_form(self) -> None:
        assert read({"op": 1, "in": [2, 0], "any": [False, False]}) == DECISIONS
        assert read({"op": [False, True, False], "in": [True, False, True], "any": []}) == DECISIONS
        assert read({"op": ["conv3"], "in": ["layer3", "layer1"], "any": []}) == DECISIONS

    def test_text_bytes_and_files(self, tmp_path: Path) -> None:
        text = json.dumps(GIVEN)
        path = tmp_path / "architecture.json"
        path.write_text(text)
        for source in (text, " " + text, text.encode(), path, str(path), read(text)):
            assert read(source) == DECISIONS

    def test_with_a_header(self) -> None:
        assert read({"fxnas": 1, "architecture": GIVEN, "score": 0.9}) == DECISIONS

    def test_a_space_with_the_keys_of_a_header(self) -> None:
        space = SearchSpace(Choice(key, "layer_choice", ("a", "b"), 1) for key in ("fxnas", "architecture"))
        assert read({"fxnas": 1, "architecture": "b"}, space) == {"fxnas": (1,), "architecture": (1,)}

    @pytest.mark.parametrize("version", [0, 2, True, 1.0, "1", None])
    def test_a_header_of_another_version_is_refused(self, version: object) -> None:
        with pytest.raises(ArchitectureError, match="a header of version 1 can be read, got"):
            read({"fxnas": version, "architecture": GIVEN})

    def test_keys_may_look_like_numbers_or_code(self) -> None:
        keys = ["0", "a.b", "class", "'\"", "\n", "", "fxnas", "ü"]
        space = SearchSpace(Choice(key, "layer_choice", ("x", "y"), 1) for key in keys)
        assert read(dict.fromkeys(keys, "y"), space) == dict.fromkeys(keys, (1,))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"op": 3}, r"choice 'op' has candidates 0\.\.2 \(conv1, conv3, skip\), got 3$"),
            ({"in": ["layer1", "layer4"]}, r"choice 'in' .* got 'layer4', did you mean 'layer[123]'\? \(in\[1\]\)$"),
            ({"any": ""}, r"choice 'any' has candidates 0\.\.1, '' is the name of 2 of them: give an index$"),
            ({"opp": 1}, r"there is no choice 'opp'; known: 'op', 'in', 'any', did you mean 'op'\?$"),
            ({1: 1}, r"a key is a string, got 1$"),
        ],
    )
    def test_what_is_refused(self, change: dict[str, object], message: str) -> None:
        with pytest.raises(ArchitectureError, match=message):
            read(GIVEN | change)

    def test_a_missing_key(self) -> None:
        with pytest.raises(ArchitectureError, match=r"choice 'in' has candidates .*, but no decision is given$"):
            read({"op": 1, "any": []})

    @pytest.mark.parametrize("source", ["[1]", '"op"', "null", "3", 3, None, [], (("op", 1),)])
    def test_what_is_no_object(self, source: object) -> None:
        with pytest.raises(ArchitectureError):
            read(source)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{"op": [3], "in": [0, 1], "any": []}', r"got 3 \(architecture\.json: op\[0\]\)$"),
            ('{"op": 3, "in": [0, 1], "any": []}', r"got 3 \(architecture\.json: op\)$"),
            ('{"op": 1}', r"choice 'in' .* no decision is given \(architecture\.json\)$"),
            ('{"x": 1}', r"there is no choice 'x'.* \(architecture\.json\)$"),
            ("[]", r"an architecture maps keys to decisions, got \[\] \(architecture\.json\)$"),
            ('{"op": 1, "op": 1}', r"architecture .*architecture\.json: key 'op' is given twice$"),
        ],
    )
    def test_the_file_is_named(self, tmp_path: Path, text: str, message: str) -> None:
        path = tmp_path / "architecture.json"
        path.write_text(text)
        with pytest.raises(ArchitectureError, match=message):
            read(path)


class TestNotStrict:
    def test_extra_keys_are_ignored(self) -> None:
        assert read(GIVEN | {"old": {"x": None}}, strict=False) == DECISIONS

    def test_missing_keys_take_their_default(self) -> None:
        assert read({"op": 2}, strict=False) == {"op": (2,), "in": (0, 1), "any": (0, 1)}

    def test_what_is_given_is_still_validated(self) -> None:
        with pytest.raises(ArchitectureError, match="choice 'op'"):
            read({"op": 3}, strict=False)

    def test_only_active_choices_take_a_default(self) -> None:
        assert read({"outer": "flat"}, NESTED, strict=False) == {"outer": (0,)}
        assert read({"outer": "deep"}, NESTED, strict=False) == {"outer": (1,), "inner": (0,)}


class TestConditional:
    def test_an_inactive_decision_may_be_missing(self) -> None:
        assert read({"outer": "flat"}, NESTED) == {"outer": (0,)}

    def test_an_active_one_may_not(self) -> None:
        with pytest.raises(ArchitectureError, match=r"choice 'inner' .* no decision is given"):
            read({"outer": "deep"}, NESTED)

    def test_an_inactive_decision_may_be_carried(self) -> None:
        carried = read({"outer": "flat", "inner": "b"}, NESTED)
        assert carried == {"outer": (0,), "inner": (1,)}
        assert carried.canonical() == NESTED.canonical(carried) == {"outer": (0,)}

    def test_it_is_validated(self) -> None:
        with pytest.raises(ArchitectureError, match=r"choice 'inner' has candidates 0\.\.1 \(a, b\), got 'c'"):
            read({"outer": "flat", "inner": "c"}, NESTED)

    def test_equal_networks_have_one_fingerprint(self) -> None:
        found = {read(given, NESTED).fingerprint for given in ({"outer": 0}, {"outer": "flat", "inner": "b"})}
        assert len(found) == 1


class TestWritten:
    def test_the_written_form_is_read_back(self) -> None:
        assert read(GIVEN).to_json() == GIVEN
        rng = random.Random(0)
        for _ in range(50):
            architecture = SPACE.sample(rng)
            assert read(architecture.to_json()) == read(architecture.dumps()) == architecture

    def test_keys_come_in_the_order_of_the_space(self) -> None:
        assert list(read(dict(reversed(GIVEN.items()))).to_json()) == list(SPACE)

    def test_a_file(self, tmp_path: Path) -> None:
        read(GIVEN).save(tmp_path / "best.json")
        assert json.loads((tmp_path / "best.json").read_text()) == GIVEN

    def test_a_file_with_a_header(self, tmp_path: Path) -> None:
        read(GIVEN).save(tmp_path / "best.json", header={"score": 0.9})
        written = json.loads((tmp_path / "best.json").read_text())
        assert written == {"fxnas": 1, "architecture": GIVEN, "score": 0.9}
        assert read(tmp_path / "best.json") == DECISIONS

    @pytest.mark.parametrize(
        "header", [{"fxnas": 2}, {"architecture": {}}, {"score": float("nan")}, {"score": object()}, {"score": {1, 2}}]
    )
    def test_a_header_that_can_not_be_written(self, tmp_path: Path, header: dict[str, object]) -> None:
        with pytest.raises(ArchitectureError, match="header"):
            read(GIVEN).save(tmp_path / "best.json", header=header)
        assert list(tmp_path.iterdir()) == []

    def test_a_place_that_can_not_be_written(self, tmp_path: Path) -> None:
        with pytest.raises(ExportError, match=r"best\.json can't be written"):
            read(GIVEN).save(tmp_path / "nowhere" / "best.json")

    def test_repr(self) -> None:
        assert repr(read(GIVEN)) == f"Architecture({GIVEN})"

    def test_the_fingerprint_is_that_of_the_sorted_json(self) -> None:
        """`echo -n '{"inner":"b","outer":"deep"}' | sha256sum`."""
        expected = "ac9b50efdb1bafc3"
        assert read({"outer": "deep", "inner": 1}, NESTED).fingerprint[:16] == expected


class TestProposal:
    SPACE = SearchSpace.from_json(
        {
            "conv1": {"_type": "layer_choice", "_value": ["conv3x3", "conv5x5"]},
            "skip": {"_type": "input_choice", "_value": {"candidates": ["", ""], "n_chosen": 1}},
        }
    )

    def test_it_is_read_and_written_unchanged(self) -> None:
        proposal = {"conv1": {"_value": "conv5x5", "_idx": 1}, "skip": {"_value": [""], "_idx": [1]}}
        architecture = Architecture.from_proposal(json.dumps(proposal), self.SPACE)
        assert architecture == {"conv1": (1,), "skip": (1,)}
        assert architecture.to_proposal() == proposal

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"conv1": "conv5x5"}, "choice 'conv1': an object with \"_value\" and \"_idx\" is needed, got 'conv5x5'"),
            ({"conv1": {"_value": "conv5x5"}}, "choice 'conv1': an object with"),
            (
                {"conv1": {"_value": "conv3x3", "_idx": 1}},
                "choice 'conv1': \"_idx\" 1 is 'conv5x5', but \"_value\" is 'conv3x3'",
            ),
            ({"conv1": {"_value": "conv5x5", "_idx": 2}}, "choice 'conv1' has candidates .* got 2"),
            ({"skip": {"_value": ["", ""], "_idx": [1]}}, "choice 'skip': \"_idx\""),
            ({"skip": {"_value": [""], "_idx": [2]}}, "choice 'skip' has candidates"),
            ({"x": {"_value": "a", "_idx": 0}}, "no choice 'x'"),
        ],
    )
    def test_what_is_refused(self, change: dict[str, object], message: str) -> None:
        proposal = {"conv1": {"_value": "conv5x5", "_idx": 1}, "skip": {"_value": [""], "_idx": [1]}}
        with pytest.raises(ArchitectureError, match=message):
            Architecture.from_proposal(proposal | change, self.SPACE)

    def test_a_missing_key(self) -> None:
        with pytest.raises(ArchitectureError, match=r"choice 'conv1' .* no decision is given"):
            Architecture.from_proposal({}, self.SPACE)


class TestConstruction:
    def test_indices_in_any_iterable(self) -> None:
        built = Architecture({"any": set(), "in": iter([2, 0]), "op": [1]}, SPACE)
        assert built == DECISIONS
        assert list(built) == ["op", "in", "any"]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"op": (3,)}, "choice 'op' .* got 3"),
            ({"op": 1}, "choice 'op' .* a sequence of indices is needed, got 1"),
            ({"op": "conv3"}, "choice 'op' .* a sequence of indices is needed, got 'conv3'"),
            ({"op": None}, "choice 'op' .* a sequence of indices is needed, got null"),
            ({"in": (1, True)}, "choice 'in' .* an index is needed, got true"),
            ({"x": (0,)}, "no choice 'x'"),
        ],
    )
    def test_what_is_refused(self, change: dict[str, Any], message: str) -> None:
        with pytest.raises(ArchitectureError, match=message):
            Architecture(DECISIONS | change, SPACE)

    def test_a_missing_key(self) -> None:
        with pytest.raises(ArchitectureError, match=r"choice 'any' .* no decision is given"):
            Architecture({"op": (1,), "in": (0, 1)}, SPACE)

    def test_choices_may_be_any_mapping(self) -> None:
        assert Architecture({"outer": (0,)}, dict(NESTED)).canonical() == {"outer": (0,)}


class TestIdentity:
    def test_equal_decisions_are_equal_and_hash_alike(self) -> None:
        one, other = read(GIVEN), Architecture(DECISIONS, dict(SPACE))
        assert one == other
        assert hash(one) == hash(other)
        assert one != read(GIVEN | {"op": 0})
        assert one != 3

    def test_it_is_immutable(self) -> None:
        architecture = read(GIVEN)
        with pytest.raises(TypeError):
            architecture["op"] = (0,)  # type: ignore[index]  # what is to be refused
        with pytest.raises(AttributeError):
            architecture.score = 1  # type: ignore[attr-defined]  # the same
        assert copy.copy(architecture) is copy.deepcopy(architecture) is architecture

    def test_it_pickles_with_its_choices(self) -> None:
        twin = pickle.loads(pickle.dumps(read({"outer": "deep", "inner": "b"}, NESTED)))
        assert twin == {"outer": (1,), "inner": (1,)}
        assert twin.choices == NESTED
        assert twin.to_json() == {"outer": "deep", "inner": "b"}

    def test_it_is_a_mapping(self) -> None:
        architecture = read(GIVEN)
        assert dict(architecture) == DECISIONS
        assert "op" in architecture
        assert "x" not in architecture
        assert architecture.get("x") is None
        assert len(architecture) == 3


class TestDiff:
    def test_what_differs_in_written_form(self) -> None:
        assert read(GIVEN).diff(read(GIVEN | {"op": 0, "any": [1]})) == {"op": ("conv3", "conv1"), "any": ([], 1)}

    def test_what_only_one_of_them_decides(self) -> None:
        flat, deep = read({"outer": "flat"}, NESTED), read({"outer": "deep", "inner": "b"}, NESTED)
        assert flat.diff(deep) == {"outer": ("flat", "deep"), "inner": (None, "b")}
        assert deep.diff(flat) == {"outer": ("deep", "flat"), "inner": ("b", None)}

    def test_equal_ones(self) -> None:
        assert read(GIVEN).diff(read(GIVEN)) == {}
