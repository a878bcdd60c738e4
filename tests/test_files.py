"""Reading files from others strictly, and writing files that are whole or absent."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fxnas.errors import ArchitectureError, ExportError, FxnasError
from fxnas.files import MAX_BYTES, atomic_folder, atomic_path, json_text, load_json, parse_json, read_json, write_atomic
from fxnas.strict_json import MAX_DEPTH


def parse(text: str | bytes) -> object:
    return parse_json(text, error=ArchitectureError, what="architecture")


class TestParse:
    def test_ordinary_json(self) -> None:
        assert parse('{"a": [1, -2.5, true, null, "x"]}') == {"a": [1, -2.5, True, None, "x"]}
        assert parse('{"ü": "\\ud83d\\ude00"}'.encode()) == {"ü": "😀"}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", r"architecture: this is not JSON: Expecting value \(line 1, column 1\)"),
            ('{"a": 1,\n "b" 2}', r"not JSON: Expecting ':' delimiter \(line 2, column 6\)"),
            ('{"a": 1', r"not JSON: Expecting ',' delimiter"),
            ('{"a": 1} {}', r"not JSON: Extra data \(line 1, column 10\)"),
            ("{'a': 1}", r"not JSON: Expecting property name"),
            ('{"a": "x\n"}', r"not JSON: Invalid control character"),
            ('{"a": 1, "b": 2, "a": 3}', r"key 'a' is given twice"),
            ('{"x": {"a": 1, "a": 1}}', r"key 'a' is given twice"),
            ('{"a": NaN}', r"key 'a': NaN is not a JSON number"),
            ('{"a": [0, [-Infinity]]}', r"key 'a': -Infinity is not a JSON number"),
            ("[NaN]", r"architecture: NaN is not a JSON number"),
            ('{"a": 1e999}', r"key 'a': '1e999' is too large a number"),
            ('{"a": ' + "9" * 4301 + "}", r"key 'a': an integer of 4301 digits is too long"),
            (b'{"a": "\xff"}', r"architecture is not UTF-8: invalid start byte at byte 7"),
            (b"\x80", r"architecture is not UTF-8"),
            ('{"a": 1}'.encode("utf-16"), r"architecture is not UTF-8"),
            (b"\0" * 10, r"not JSON: Expecting value"),
        ],
    )
    def test_what_is_refused(self, text: str | bytes, message: str) -> None:
        with pytest.raises(ArchitectureError, match=message):
            parse(text)

    def test_depth_up_to_the_limit(self) -> None:
        assert parse("[" * MAX_DEPTH + "]" * MAX_DEPTH)
        with pytest.raises(ArchitectureError, match=r"architecture: nested deeper than 64 \(line 1\)"):
            parse("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))

    def test_a_million_brackets_do_not_overflow_anything(self) -> None:
        with pytest.raises(ArchitectureError, match=r"nested deeper than 64 \(key 'op', line 2\)"):
            parse('{"a": 1,\n"op" : ' + "[" * 1_000_000)

    def test_brackets_in_strings_do_not_count(self) -> None:
        text = json.dumps({"[" * 100: '\\"{{' * 100})
        assert parse(text) == json.loads(text)

    def test_text_up_to_the_limit(self) -> None:
        assert parse('"' + "x" * (MAX_BYTES - 2) + '"')
        with pytest.raises(ArchitectureError, match="architecture is larger than 16 MiB"):
            parse('"' + "x" * (MAX_BYTES - 1) + '"')

    @pytest.mark.parametrize("piece", ['"', '\\"', '"\\', "[]", '{"a":', '"a":'], ids=str)
    def test_hostile_text_costs_linear_time(self, piece: str) -> None:
        """Seen: below 1 s for 2 MiB; quadratic matching would take hours."""
        start = time.perf_counter()
        with pytest.raises(ArchitectureError):
            parse(piece * (2 * 2**20 // len(piece)) + "\\")
        assert time.perf_counter() - start < 20


class TestRead:
    def test_a_path_as_path_or_text(self, tmp_path: Path) -> None:
        path = tmp_path / "a.json"
        path.write_text('{"a": 1}')
        assert read_json(path, error=FxnasError, what="file") == {"a": 1}
        assert read_json(str(path), error=FxnasError, what="file") == {"a": 1}
        assert read_json(b'{"a": 1}', error=FxnasError, what="file") == {"a": 1}

    def test_the_file_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "a.json"
        path.write_text("{")
        with pytest.raises(FxnasError, match=r"space .*a\.json: this is not JSON"):
            read_json(path, error=FxnasError, what="space")

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(FxnasError, match=r"space .*a\.json does not exist"):
            read_json(tmp_path / "a.json", error=FxnasError, what="space")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(FxnasError, match="is not a regular file"):
            read_json(tmp_path, error=FxnasError, what="space")

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(FxnasError, match="is not a regular file"):
            read_json(tmp_path / "pipe", error=FxnasError, what="space")

    def test_a_large_file_is_not_read_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "large.json"
        with open(path, "wb") as file:
            file.truncate(2**40)  # a sparse file of 1 TiB
        with pytest.raises(FxnasError, match="larger than 16 MiB"):
            read_json(path, error=FxnasError, what="space")

    def test_load_json_tells_text_and_paths_apart(self, tmp_path: Path) -> None:
        path = tmp_path / "a.json"
        path.write_text('{"a": 1}')
        for source in (path, str(path)):
            assert load_json(source, error=FxnasError, what="file") == ({"a": 1}, "a.json")
        for source in (' {"a": 1}', b'{"a": 1}', {"a": 1}):
            assert load_json(source, error=FxnasError, what="file") == ({"a": 1}, None)

    @pytest.mark.parametrize("source", ["nowhere.json", "", "a\0b", "x" * 10_000])
    def test_a_string_that_is_neither_is_refused(self, source: str) -> None:
        with pytest.raises(FxnasError, match=r"file: '.*' is neither JSON text nor the path of a file"):
            load_json(source, error=FxnasError, what="file")


class TestText:
    def test_names_stay_readable(self) -> None:
        assert json_text({"ü": 1}) == '{\n  "ü": 1\n}\n'

    def test_what_utf8_can_not_hold_is_escaped(self) -> None:
        assert json_text({"ü\ud800": 1}) == '{\n  "\\u00fc\\ud800": 1\n}\n'

    def test_nan_is_no_json(self) -> None:
        with pytest.raises(ValueError, match="not JSON compliant"):
            json_text(float("nan"))


def fail(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


class TestWriteAtomic:
    def test_text_and_bytes(self, tmp_path: Path) -> None:
        write_atomic(tmp_path / "a", "ü")
        write_atomic(str(tmp_path / "b"), b"\x00")
        assert (tmp_path / "a").read_bytes() == "ü".encode()
        assert (tmp_path / "b").read_bytes() == b"\x00"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]

    def test_an_existing_file_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_text("old")
        write_atomic(path, "new")
        assert contents(tmp_path) == {"a": "new"}

    def test_a_link_stays_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "target").write_text("old")
        (tmp_path / "link").symlink_to("target")
        write_atomic(tmp_path / "link", "new")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "target").read_text() == "new"

    def test_permissions_are_those_of_a_new_file(self, tmp_path: Path) -> None:
        (tmp_path / "plain").write_text("")
        write_atomic(tmp_path / "a", "")
        assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode

    def test_a_long_name(self, tmp_path: Path) -> None:
        write_atomic(tmp_path / ("x" * 255), "")
        assert len(list(tmp_path.iterdir())) == 1

    @pytest.mark.parametrize("call", ["replace", "fsync"])
    @pytest.mark.parametrize(("failure", "raised"), [(fail, ExportError), (interrupt, KeyboardInterrupt)])
    def test_a_failure_leaves_everything_as_it_was(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        call: str,
        failure: Callable[..., None],
        raised: type[BaseException],
    ) -> None:
        (tmp_path / "a").write_text("old")
        monkeypatch.setattr(os, call, failure)
        with pytest.raises(raised):
            write_atomic(tmp_path / "a", "new")
        assert contents(tmp_path) == {"a": "old"}

    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def half(path: Path, data: bytes) -> None:
            with open(path, "wb") as file:
                file.write(data[:1])
            fail()

        monkeypatch.setattr(Path, "write_bytes", half)
        with pytest.raises(ExportError, match=r"/a can't be written: No space left on device"):
            write_atomic(tmp_path / "a", "new")
        assert contents(tmp_path) == {}

    def test_file_and_folder_are_flushed_to_the_disk_in_order(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        events: list[str] = []
        flush, rename = os.fsync, os.replace

        def fsync(descriptor: int) -> None:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
            events.append("folder" if target == str(tmp_path) else "file")
            flush(descriptor)

        def replace(source: Path, target: Path) -> None:
            events.append("rename")
            rename(source, target)

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "replace", replace)
        write_atomic(tmp_path / "a", "new")
        assert events == ["file", "rename", "folder"]

    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ExportError, match=r"nowhere/a can't be written: No such file or directory"):
            write_atomic(tmp_path / "nowhere" / "a", "new")

    def test_a_folder_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        with pytest.raises(ExportError, match="a is a folder, not a file"):
            write_atomic(tmp_path / "a", "new")
        assert list(tmp_path.iterdir()) == [tmp_path / "a"]

    def test_readers_see_the_old_or_the_new(self, tmp_path: Path) -> None:
        path, seen = tmp_path / "a", set()
        write_atomic(path, "0" * 10_000)
        writer = threading.Thread(target=lambda: [write_atomic(path, str(i) * 10_000) for i in range(1, 10)])
        writer.start()
        while writer.is_alive():
            seen.add(path.read_text())
        writer.join()
        assert all(len(text) == 10_000 and len(set(text)) == 1 for text in seen)


class TestAtomicPath:
    def test_another_library_writes(self, tmp_path: Path) -> None:
        with atomic_path(tmp_path / "a") as temporary:
            assert temporary.parent == tmp_path
            temporary.write_text("new")
            assert not (tmp_path / "a").exists()
        assert contents(tmp_path) == {"a": "new"}

    def test_its_failure_passes_through(self, tmp_path: Path) -> None:
        with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError
        assert contents(tmp_path) == {}

    def test_nothing_written(self, tmp_path: Path) -> None:
        with pytest.raises(ExportError, match="a can't be written: No such file"), atomic_path(tmp_path / "a"):
            pass
        assert contents(tmp_path) == {}


EXPORT = {"manifest.json": '{"fxnas": 1}', "inner/weights": "old"}


def fill(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


class TestAtomicFolder:
    def test_a_new_folder(self, tmp_path: Path) -> None:
        with atomic_folder(tmp_path / "out") as temporary:
            fill(temporary, EXPORT)
            assert not (tmp_path / "out").exists()
        assert contents(tmp_path / "out") == EXPORT
        assert list(tmp_path.iterdir()) == [tmp_path / "out"]

    @pytest.mark.parametrize("before", [{}, EXPORT], ids=["empty", "export"])
    def test_an_empty_folder_or_an_earlier_export_is_replaced(self, tmp_path: Path, before: dict[str, str]) -> None:
        (tmp_path / "out").mkdir()
        fill(tmp_path / "out", before)
        with atomic_folder(tmp_path / "out") as temporary:
            fill(temporary, {"new": "new"})
        assert contents(tmp_path) == {"out/new": "new"}
        assert list(tmp_path.iterdir()) == [tmp_path / "out"]

    @pytest.mark.parametrize("manifest", [None, '{"name": "a web app"}', "[]", "{", '{"fxnas": 1, "fxnas": 1}'])
    def test_a_folder_of_the_user_is_left_alone(self, tmp_path: Path, manifest: str | None) -> None:
        before = {"out/thesis.tex": "text", **({"out/manifest.json": manifest} if manifest else {})}
        fill(tmp_path, before)
        with (
            pytest.raises(ExportError, match="out is not empty and not an earlier export"),
            atomic_folder(tmp_path / "out"),
        ):
            pytest.fail("refused too late")
        assert contents(tmp_path) == before

    def test_a_folder_that_is_filled_meanwhile_is_left_alone(self, tmp_path: Path) -> None:
        with pytest.raises(ExportError, match="not an earlier export"), atomic_folder(tmp_path / "out") as temporary:
            fill(temporary, EXPORT)
            fill(tmp_path, {"out/thesis.tex": "text"})
        assert contents(tmp_path) == {"out/thesis.tex": "text"}

    def test_a_file_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("text")
        with pytest.raises(ExportError, match="out is a file, not a folder"), atomic_folder(tmp_path / "out"):
            pytest.fail("refused too late")

    def test_a_failure_of_the_body_passes_through(self, tmp_path: Path) -> None:
        fill(tmp_path / "out", EXPORT)
        with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "out") as temporary:
            fill(temporary, {"half": "half"})
            raise ZeroDivisionError
        assert contents(tmp_path / "out") == EXPORT
        assert list(tmp_path.iterdir()) == [tmp_path / "out"]

    @pytest.mark.parametrize("failing", [1, 2])
    @pytest.mark.parametrize(("failure", "raised"), [(fail, ExportError), (interrupt, KeyboardInterrupt)])
    def test_a_failing_rename_leaves_the_earlier_export(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        failing: int,
        failure: Callable[..., None],
        raised: type[BaseException],
    ) -> None:
        """The first rename puts the old folder aside, the second puts the new one in its place."""
        fill(tmp_path / "out", EXPORT)
        rename, calls = os.replace, 0

        def replace(source: Path, target: Path) -> None:
            nonlocal calls
            calls += 1
            if calls == failing:
                failure()
            rename(source, target)

        monkeypatch.setattr(os, "replace", replace)
        with pytest.raises(raised), atomic_folder(tmp_path / "out") as temporary:
            fill(temporary, {"new": "new"})
        assert contents(tmp_path / "out") == EXPORT
        assert list(tmp_path.iterdir()) == [tmp_path / "out"]

    def test_a_failing_flush(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "fsync", fail)
        with (
            pytest.raises(ExportError, match="out can't be written: No space left"),
            atomic_folder(tmp_path / "out") as t,
        ):
            fill(t, EXPORT)
        assert list(tmp_path.iterdir()) == []

    def test_a_missing_parent(self, tmp_path: Path) -> None:
        with (
            pytest.raises(ExportError, match="nowhere/out can't be written: No such"),
            atomic_folder(tmp_path / "nowhere" / "out"),
        ):
            pytest.fail("refused too late")
