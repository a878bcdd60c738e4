"""The study: what it records, what it refuses, and going on with it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from search_help import SPACE, evolution, outcome, score, search
from spaces import flat_space, nested_space

import fxnas
from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.conditions import ALWAYS
from fxnas.errors import FxnasError, SearchSpaceError
from fxnas.evaluators import TrainAndScore, TrialCommand
from fxnas.results import Trial
from fxnas.space import SearchSpace
from fxnas.stopping import MedianRule, SuccessiveHalving
from fxnas.strategies import Nsga2, RandomSearch, Strategy
from fxnas.study import Study
from fxnas.study import file as study_file


def edited(path: Path, statement: str, *values: Any) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement, values)
    connection.close()


class TestRecord:
    def test_a_search_in_parts_is_the_search_in_one(self, tmp_path: Path) -> None:
        for trials in (3, 4, 11, 20):
            result = search(trials=trials, study=tmp_path / "s")
        assert result.fingerprint == search().fingerprint

    def test_nothing_recorded_is_evaluated_again(self, tmp_path: Path) -> None:
        search(study=tmp_path / "s")
        again = search(evaluator=lambda a: pytest.fail("evaluated"), study=tmp_path / "s")
        assert outcome(again) == outcome(search())

    def test_a_trial_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        def reporting(graph: Any, architecture: Architecture, report: Any) -> dict[str, float]:
            report(epoch=1, loss=0.5)
            report(epoch=2, loss=float("inf"))
            if report.number == 2:
                raise RuntimeError("odd \udcff text")
            return {"score": score(architecture), "parameters": 7}

        written = search(evaluator=reporting, study=tmp_path / "s").trials
        with Study(tmp_path / "s", readonly=True) as study:
            read = [Trial.from_json(row, SPACE).to_json() for row in study.rows()]
            assert study.counts == {"done": 19, "failed": 1}
            assert study.described["strategy"] == evolution().settings
            assert study.described["space"] == SPACE.to_json()
        assert read == [trial.to_json() for trial in written]
        first = read[0]
        assert first["reports"] == [{"epoch": 1.0, "loss": 0.5}, {"epoch": 2.0, "loss": None}]
        assert (first["metrics"]["parameters"], first["attempts"], first["pid"]) == (7.0, 1, os.getpid())
        assert read[2]["error"] == "RuntimeError: odd \\udcff text"

    def test_an_architecture_stands_once_under_its_hash(self, tmp_path: Path) -> None:
        result = search(RandomSearch(SPACE), trials=60, study=tmp_path / "s")
        with Study(tmp_path / "s", readonly=True) as study:
            hashes = {row["hash"]: row["architecture"] for row in study.rows()}
        assert hashes == {trial.architecture.fingerprint: trial.architecture.to_json() for trial in result.trials}
        evaluated = [trial.architecture for trial in result.trials if trial.source is None]
        assert len(evaluated) == len(set(evaluated)) == len(hashes) < 60

    def test_the_file_itself_keeps_an_architecture_from_being_trained_twice(self, tmp_path: Path) -> None:
        with Study(tmp_path / "s") as study:
            study.begin(SPACE, {})
            with study.writing():
                for number in (0, 1):
                    study.add(Trial(number, SPACE.default, "waiting"), told=0, repeated=False)
                assert study.claim(0)
            with pytest.raises(FxnasError, match="UNIQUE"), study.writing():
                study.claim(1)

    def test_several_objectives(self, tmp_path: Path) -> None:
        class Both(RandomSearch):
            def tell(self, architecture: Architecture, reward: Any) -> None:
                self.told.append((architecture, reward))

        def pair(architecture: Architecture) -> tuple[float, float]:
            return score(architecture), -float(len(architecture))

        strategy = Both(SPACE)
        whole = search(strategy, pair)
        assert strategy.told == [(trial.architecture, pair(trial.architecture)) for trial in whole.trials]
        search(Both(SPACE), pair, trials=7, study=tmp_path / "s")
        assert search(Both(SPACE), pair, study=tmp_path / "s").fingerprint == whole.fingerprint
        assert [trial.objectives for trial in whole.trials] == [pair(trial.architecture) for trial in whole.trials]
        assert whole.best.score == max(trial.objectives[0] for trial in whole.trials)
        best = [trial.objectives for trial in whole.front]
        assert best
        for trial in whole.trials:
            first, second = trial.objectives
            assert trial.objectives in best or any(a >= first and b >= second for a, b in best)

    def test_lies_in_memory_without_a_file(self) -> None:
        with Study() as study:
            search(study=study, trials=3)
            assert [row["state"] for row in study.rows()] == ["done"] * 3

    def test_is_named_by_a_url_too(self, tmp_path: Path) -> None:
        search(study=f"sqlite:///{tmp_path}/s", trials=2)
        assert (tmp_path / "s").is_file()
        with pytest.raises(FxnasError, match="of the form sqlite:///path, got 'postgres://x'"):
            search(study="postgres://x")

    def test_needs_a_strategy_that_was_not_asked(self, tmp_path: Path) -> None:
        strategy = evolution()
        search(strategy, study=tmp_path / "s")
        with pytest.raises(SearchSpaceError, match="already been asked 20 times"):
            search(strategy, study=tmp_path / "s", trials=30)

    def test_goes_on_within_a_second(self, tmp_path: Path) -> None:
        search(study=tmp_path / "s", trials=1000)
        start = time.process_time()  # other programs don't count
        search(study=tmp_path / "s", trials=1001)
        assert time.process_time() - start < 1


class TestOptuna:
    @pytest.mark.filterwarnings("ignore")  # of its own, about what it is about to change
    def test_a_study_is_handed_over(self, tmp_path: Path) -> None:
        optuna = pytest.importorskip("optuna")

        def fragile(graph: Any, architecture: Architecture, report: Any) -> float:
            report(epoch=1, loss=0.25)
            if report.number == 3:
                raise RuntimeError
            return score(architecture)

        result = search(evaluator=fragile, trials=6, study=tmp_path / "runs.db")
        url = f"sqlite:///{tmp_path}/optuna.db"
        with Study(tmp_path / "runs.db", readonly=True) as study:
            study.to_optuna(url)
            with pytest.raises(FxnasError, match="has a study called 'runs' already"):
                study.to_optuna(url)
        found = optuna.load_study(study_name="runs", storage=url)
        assert [trial.state.name for trial in found.trials] == [
            "FAIL" if trial.state == "failed" else "COMPLETE" for trial in result.trials
        ]
        assert found.best_value == result.best.score
        assert found.trials[0].intermediate_values == {1: 0.25}
        assert found.trials[0].params["outer"] == result.trials[0].architecture.to_json()["outer"]

    @pytest.mark.parametrize("url", ["bogus://x", "optuna", "sqlite:////nowhere/optuna.db"])
    def test_a_storage_that_cannot_be_used_is_told(self, url: str) -> None:
        pytest.importorskip("optuna")
        with Study() as study, pytest.raises(FxnasError, match=f"optuna can't use the storage {url}: .*; give one"):
            study.to_optuna(url)

    def test_without_optuna_it_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "optuna", None)
        with Study() as study, pytest.raises(FxnasError, match=r"pip install 'fxnas\[optuna\]'"):
            study.to_optuna("sqlite:///x")


FLAT = SearchSpace(replace(choice, active=ALWAYS) for choice in SPACE.values())


class Measuring:
    """An evaluator that says what its scores depend on."""

    def __init__(self, epochs: int, **more: object) -> None:
        self.settings = {"name": "Measuring", "epochs": epochs, **more}

    def evaluate(self, graph: object, architecture: Architecture, report: object) -> float:
        return score(architecture)


class TestSetup:
    """What trials depend on besides the strategy stays the same too."""

    @pytest.mark.parametrize(
        ("before", "after", "message"),
        [
            ({}, {"stopping": MedianRule()}, r'another stopping rule: it was null, is \{"name": "MedianRule"'),
            ({"stopping": MedianRule()}, {}, r'another stopping rule: it was \{"name": "MedianRule".*, is null; go on'),
            ({"stopping": MedianRule()}, {"stopping": MedianRule("loss")}, r"'metric' was \"\+score\", is \"-loss\""),
            ({"stopping": MedianRule()}, {"stopping": MedianRule(first_steps=2)}, "'first_steps' was 0, is 2"),
            ({"stopping": SuccessiveHalving()}, {"stopping": SuccessiveHalving(eta=2)}, "'eta' was 4, is 2"),
            (
                {"evaluator": Measuring(1)},
                {"evaluator": Measuring(5)},
                "another evaluator: setting 'epochs' was 1, is 5",
            ),
            ({"evaluator": Measuring(1)}, {"evaluator": Measuring(1, lr=0.1)}, "setting 'lr' is new"),
        ],
    )
    def test_another_one_is_refused(self, tmp_path: Path, before: Any, after: Any, message: str) -> None:
        search(study=tmp_path / "s", **before)
        content = (tmp_path / "s").read_bytes()
        with pytest.raises(SearchSpaceError, match=message):
            search(study=tmp_path / "s", **{**after, "trials": 30})
        assert (tmp_path / "s").read_bytes() == content
        assert len(search(study=tmp_path / "s", **{**before, "trials": 30}).trials) == 30

    def test_other_objectives_are_refused(self, tmp_path: Path) -> None:
        def metrics(architecture: Architecture) -> dict[str, float]:
            return {"score": score(architecture), "cost": 1.0}

        def run(*objectives: str) -> None:
            search(Nsga2(SPACE), metrics, objectives=objectives, study=tmp_path / "s")

        run("score", "-cost")
        run("+score", "cost")  # means the same
        refused = r'objectives: it was \["\+score", "-cost"\], is \["\+score", "\+cost"\]'
        with pytest.raises(SearchSpaceError, match=refused):
            run("score", "+cost")

    def test_objectives_recorded_without_signs_were_to_be_maximized(self, tmp_path: Path) -> None:
        def metrics(architecture: Architecture) -> dict[str, float]:
            return {"score": score(architecture), "cost": 1.0}

        def run(*objectives: str) -> None:
            search(Nsga2(SPACE), metrics, objectives=objectives, study=tmp_path / "s")

        run("score", "+cost")
        edited(tmp_path / "s", "UPDATE study SET value = ? WHERE name = 'objectives'", '["score", "cost"]')
        run("score", "+cost")
        with pytest.raises(SearchSpaceError, match=r'it was \["\+score", "\+cost"\], is \["\+score", "-cost"\]'):
            run("score", "cost")

    def test_what_cannot_be_described_is_not_compared(self, tmp_path: Path) -> None:
        for evaluator in (score, Measuring(1), lambda architecture: 0.0):
            search(evaluator=evaluator, study=tmp_path / "s", trials=5)

    def test_settings_are_plain(self) -> None:
        with pytest.raises(FxnasError, match="settings of Measuring: plain data by name is needed"):
            search(evaluator=Measuring(1, loss=score))

    def test_those_of_the_evaluators(self, tmp_path: Path) -> None:
        command = TrialCommand([sys.executable, "-c", "pass"], tmp_path)
        assert command.settings == {
            "name": "TrialCommand",
            "command": [os.path.basename(sys.executable), "-c", "pass"],
        }
        batches = [(torch.zeros(1, 2), torch.zeros(1))]
        assert TrainAndScore(batches, batches, epochs=3).settings == {
            "name": "TrainAndScore",
            "epochs": 3,
            "loss": "cross_entropy",
            "metric": "accuracy",
            "optimizer": "adam",
        }


class TestRefused:
    @pytest.mark.parametrize(
        ("space", "strategy", "message"),
        [
            (nested_space(), evolution(seed=5), "another strategy: setting 'seed' was 0, is 5"),
            (nested_space(), RandomSearch(SPACE), 'setting \'name\' was "RegularizedEvolution", is "RandomSearch"'),
            (flat_space(), evolution(flat_space()), "another space: choice 'c0' is new"),
            (
                SearchSpace([*list(SPACE.values())[:-1]]),
                evolution(SearchSpace([*list(SPACE.values())[:-1]])),
                "choice 'skip' is gone",
            ),
            (
                FLAT,
                evolution(FLAT),
                r"choice 'inner' was .*, \"_active_if\": \[\{\"chosen\": \[\"outer\", \"deep\"\]\}\]\}, is \{",
            ),
        ],
    )
    def test_another_search(self, tmp_path: Path, space: SearchSpace, strategy: Strategy, message: str) -> None:
        search(study=tmp_path / "s")
        before = (tmp_path / "s").read_bytes()
        with pytest.raises(SearchSpaceError, match=message):
            fxnas.search(space, strategy, score, trials=30, study=tmp_path / "s", progress=False)
        assert (tmp_path / "s").read_bytes() == before

    @pytest.mark.parametrize(
        ("column", "value", "message"),
        [
            ("hash", "unknown", "trial 1, architecture: JSON is needed, got None"),
            ("score", None, "trial 1: a trial has a score where it is done"),
            ("score", "a", "trial 1: 'score' is a finite number, got 'a'"),
            ("objectives", '["a"]', "trial 1: 'objective' is a finite number, got 'a'"),
            ("objectives", "[[[", "trial 1, objectives: this is not JSON"),
            ("metrics", "[1]", "trial 1: metrics are numbers by name"),
            ("metrics", '{"a": 1' + "0" * 400 + "}", "trial 1: 'a' is a finite number"),
            ("metrics", "[" * 70, "nested deeper"),
            ("metrics", b"\xff", "JSON is needed, got b"),
            ("reports", '{"a": 1}', "reports are a list"),
            ("told", 9, "proposed after 9 trials, of which 1 are finished"),
            ("number", 9, "trial 1 is missing"),
        ],
    )
    def test_a_damaged_row(self, tmp_path: Path, column: str, value: object, message: str) -> None:
        search(study=tmp_path / "s", trials=3)
        edited(tmp_path / "s", f"UPDATE trials SET {column} = ? WHERE number = 1", value)
        with pytest.raises(SearchSpaceError, match=message):
            search(study=tmp_path / "s")

    @pytest.mark.parametrize("architecture", ['{"outer": "flat"}', "5", '"secret.json"', '{"outer": "flat", "x": 1}'])
    def test_a_damaged_architecture(self, tmp_path: Path, architecture: str) -> None:
        search(study=tmp_path / "s", trials=3)
        edited(tmp_path / "s", "UPDATE architectures SET architecture = ?", architecture)
        with pytest.raises(SearchSpaceError, match="trial 0: "):
            search(study=tmp_path / "s")

    def test_a_difference_is_shown_in_its_own_letters(self, tmp_path: Path) -> None:
        with Study(tmp_path / "s") as study:
            study.begin(SearchSpace([Choice("kern", "layer_choice", ("groß", "klein"), 1)]), {})
            with pytest.raises(SearchSpaceError, match=r'"groß", "klein"\]\}, is .*"größer"'):
                study.begin(SearchSpace([Choice("kern", "layer_choice", ("größer", "klein"), 1)]), {})

    def test_what_is_no_study(self, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("conv1, conv2\n" * 100)
        edited(tmp_path / "other", "CREATE TABLE t (a)")
        for name, message in [
            ("text", "is damaged, or no study: file is not a database"),
            ("other", "other is not a study of fxnas but another program's database"),
            (".", "is a folder; name a file in it"),
            ("nowhere/s", "can't be opened: there is no folder"),
        ]:
            with pytest.raises(FxnasError, match=message):
                search(study=tmp_path / name)

    def test_another_format(self, tmp_path: Path) -> None:
        search(study=tmp_path / "s", trials=1)
        edited(tmp_path / "s", "PRAGMA user_version = 9")
        with pytest.raises(FxnasError, match="has format 9, this fxnas reads 1"):
            search(study=tmp_path / "s")

    def test_damage_is_told_in_one_line(self, tmp_path: Path) -> None:
        search(study=tmp_path / "s", trials=1)
        content = bytearray((tmp_path / "s").read_bytes())
        content[2 * 4096 : 3 * 4096] = b"\xff" * 4096
        (tmp_path / "s").write_bytes(content)
        with pytest.raises(FxnasError, match=r"^study .* is damaged: (?!\*\*\*).*; go on with a copy of it") as caught:
            search(study=tmp_path / "s")
        assert "\n" not in str(caught.value)

    def test_a_truncated_file(self, tmp_path: Path) -> None:
        search(study=tmp_path / "s", trials=100, reuse=False)
        whole = (tmp_path / "s").read_bytes()
        (tmp_path / "s").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(FxnasError, match="is damaged"):
            search(study=tmp_path / "s")

    def test_a_locked_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        search(study=tmp_path / "s", trials=1)
        monkeypatch.setattr(study_file, "BUSY_SECONDS", 0.1)
        other = sqlite3.connect(tmp_path / "s", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(FxnasError, match=r"is locked by another process for more than 0.1 s"):
            search(study=tmp_path / "s")
        other.close()

    def test_looking_changes_nothing(self, tmp_path: Path) -> None:
        search(study=tmp_path / "s", trials=3)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with Study(tmp_path / "s", readonly=True) as study:
            assert len(study.rows()) == 3
            with pytest.raises(FxnasError, match="can't be written"):
                study.begin(SPACE, evolution().settings)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    def test_nothing_to_look_at(self, tmp_path: Path) -> None:
        with pytest.raises(FxnasError, match="does not exist"):
            Study(tmp_path / "s", readonly=True)
        assert not list(tmp_path.iterdir())

    @pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
    def test_a_read_only_folder(self, tmp_path: Path) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        search(study=folder / "s", trials=2)
        script = (
            f"import os, sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]}\n"
            "import search_help, fxnas.study\n"
            f"path = {str(folder / 's')!r}\n"
            "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "print(len(fxnas.study.Study(path, readonly=True).rows()))\n"
            "for name in (path, path + '2'):\n"
            "    try: search_help.search(study=name)\n"
            "    except fxnas.errors.FxnasError as error: print(error)\n"
        )
        for place in [tmp_path, *tmp_path.parents][:4]:
            if os.stat(place).st_uid == os.getuid() and place != Path("/"):
                place.chmod(0o755)
        folder.chmod(0o555)
        (folder / "s").chmod(0o444)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
        folder.chmod(0o755)
        assert done.stderr == ""
        count, present, absent = done.stdout.splitlines()
        assert count == "2"
        assert "can't be written: the file or its folder" in present or "can't be opened" in present
        assert "can't be opened: a folder that can be written to is needed" in absent


class TestKilled:
    def test_loses_nothing_finished(self, tmp_path: Path) -> None:
        script = (
            f"import sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]}\n"
            "import os, signal, search_help as t\n"
            "def mortal(graph, architecture, report):\n"
            "    if report.number == 7: os.kill(os.getpid(), signal.SIGKILL)\n"
            "    return t.score(architecture)\n"
            "t.search(evaluator=mortal, study='s', reuse=False)\n"
        )
        done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, timeout=60)
        assert done.returncode == -signal.SIGKILL
        with Study(tmp_path / "s", readonly=True) as study:
            assert study.counts == {"done": 7, "running": 1}
        seen: list[int] = []
        result = search(evaluator=lambda g, a, r: seen.append(r.number) or score(a), study=tmp_path / "s", reuse=False)
        assert seen == list(range(7, 20))
        assert result.fingerprint == search(reuse=False).fingerprint
        assert result.trials[7].attempts == 2

    @pytest.mark.parametrize("cut", [1, 100, 5000])
    def test_a_torn_last_write_costs_at_most_that_write(self, tmp_path: Path, cut: int) -> None:
        script = (
            f"import sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]}\n"
            "import os, signal, search_help as t\n"
            "end = lambda trial: trial.number == 9 and os.kill(os.getpid(), signal.SIGKILL)\n"
            "t.search(study='s', callbacks=[end])\n"
        )
        subprocess.run([sys.executable, "-c", script], cwd=tmp_path, timeout=60)
        log = tmp_path / "s-wal"
        log.write_bytes(log.read_bytes()[:-cut])
        assert search(study=tmp_path / "s").fingerprint == search().fingerprint

    def test_a_full_disk_ends_the_search_and_loses_nothing(self, tmp_path: Path) -> None:
        with Study(tmp_path / "s") as study:
            study._connection.execute("PRAGMA max_page_count = 24")
            with pytest.raises(FxnasError, match=r"the disk is full\. Every finished trial is safe"):
                search(study=study, trials=500, reuse=False)
            assert study.counts["done"] > 10
        result = search(study=tmp_path / "s", trials=500, reuse=False)
        assert result.fingerprint == search(trials=500, reuse=False).fingerprint

    def test_readable_while_it_is_written(self, tmp_path: Path) -> None:
        counts: list[int] = []

        def looking(trial: Trial) -> None:
            with Study(tmp_path / "s", readonly=True) as study:
                counts.append(study.counts["done"])

        search(study=tmp_path / "s", callbacks=[looking], reuse=False)
        assert counts == list(range(1, 21))

    def test_json_in_the_file_is_plain(self, tmp_path: Path) -> None:
        search(study=tmp_path / "s", trials=1)
        with sqlite3.connect(tmp_path / "s") as connection:
            ((text,),) = connection.execute("SELECT architecture FROM architectures")
        connection.close()
        assert Architecture.from_json(json.loads(text), SPACE)
