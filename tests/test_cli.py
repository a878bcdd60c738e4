"""The command line, as people and scripts use it."""

from __future__ import annotations

import csv
import inspect
import json
import re
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fxnas import strategies
from fxnas.cli import main
from fxnas.cli.strategies import OFFERS, StrategyName
from fxnas.doctor import runtime_problems

NET = """
import torch
from torch import nn
from fxnas import InputChoice, LayerChoice


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        deep = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
        self.op = LayerChoice({"lin": nn.Linear(4, 4), "deep": deep})
        self.skip = InputChoice(n_candidates=1)

    def forward(self, x):
        kept = self.skip([x])
        x = self.op(x)
        if kept is not None:
            x = x + kept
        return x


def score(graph, architecture, report):
    return 2.0 * architecture["op"][0] + len(architecture["skip"])


def broken():
    raise KeyError("no weights here")


def fails(architecture):
    raise RuntimeError("cannot train")


instance = Net()
number = 3
"""


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Done]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Runs the command in a folder that has net.py."""
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(*arguments: str | Path) -> Done:
        with pytest.raises(SystemExit) as exit:
            main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Done(int(exit.value.code or 0), captured.out, captured.err)

    yield run
    for name in ("net", "other"):
        sys.modules.pop(name, None)


INPUT = ("--input", "2x4")


class TestTrace:
    def test_prints_the_graph_and_the_choices(self, cli: Cli) -> None:
        done = cli("trace", "net.py:Net", *INPUT)
        assert (done.code, done.err) == (0, "")
        assert "%x = input x" in done.out
        assert "choose 'op'" in done.out
        assert "2 choices, 4 architectures" in done.out
        assert "'lin', 'deep'" in done.out

    def test_only_the_text(self, cli: Cli) -> None:
        done = cli("trace", "net.py:Net", *INPUT, "--text")
        assert all(line.startswith(("%", "return")) for line in done.out.splitlines())

    def test_json(self, cli: Cli) -> None:
        found = cli("trace", "net.py:Net", *INPUT, "--json").json
        assert found["size"] == 4
        assert {choice["key"]: choice["candidates"] for choice in found["choices"]} == {
            "op": ["lin", "deep"],
            "skip": [""],
        }
        assert found["graph"] == cli("trace", "net.py:Net", *INPUT, "--text").out

    def test_example_inputs_beside_the_model(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "net.py").write_text(NET + "\ndef example_inputs():\n    return {'x': torch.ones(3, 4)}\n")
        assert cli("trace", "net.py:Net").code == 0

    def test_a_package_and_an_instance(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "zoo").mkdir()
        (tmp_path / "zoo" / "__init__.py").write_text("")
        (tmp_path / "net.py").rename(tmp_path / "zoo" / "net.py")
        assert cli("trace", "zoo.net:Net", *INPUT).code == 0
        assert cli("trace", "zoo.net:instance", *INPUT).code == 0

    def test_dtypes(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "other.py").write_text("from torch import nn\ndef net():\n    return nn.Embedding(7, 3)\n")
        assert cli("trace", "other.py:net", "--input", "2x5:int64").code == 0


class TestCost:
    def test_prints_what_candidates_and_the_default_cost(self, cli: Cli) -> None:
        done = cli("cost", "net.py:Net", *INPUT)
        assert (done.code, done.err) == (0, "")
        cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.out.splitlines() if "│" in line]
        assert ["op", "deep", "40", "64", "48"] in cells
        assert ["skip", "0", "0", "0", "16"] in cells
        assert "the default: 20 parameters, 32 FLOPs, 32 bytes" in done.out

    def test_json_of_an_architecture(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "best.json").write_text('{"op": "deep", "skip": []}')
        found = cli("cost", "net.py:Net", *INPUT, "-a", "best.json", "-b", "3", "--json").json
        assert found["architecture"] == {"op": "deep", "skip": []}
        assert found["costs"] == {"params": 40, "flops": 3 * 64, "memory": 3 * 48}
        assert found["tables"]["params"]["costs"]["op"] == {"lin": 20, "deep": 40}

    def test_at_the_one_batch_size(self, cli: Cli) -> None:
        found = cli("cost", "net.py:Net", *INPUT, "--fixed-batch", "--json").json
        assert found["costs"]["flops"] == 2 * 32


class TestSpace:
    def test_prints_the_tree(self, cli: Cli) -> None:
        done = cli("space", "net.py:Net")
        assert "op: 1 of lin | deep" in done.out
        assert "2 choices, 4 architectures" in done.out

    def test_writes_the_search_space_file(self, cli: Cli, tmp_path: Path) -> None:
        expected = {
            "op": {"_type": "layer_choice", "_value": ["lin", "deep"]},
            "skip": {"_type": "input_choice", "_value": {"candidates": [""], "n_chosen": None}},
        }
        assert cli("space", "net.py:Net", "-o", "space.json").code == 0
        assert json.loads((tmp_path / "space.json").read_text()) == expected
        assert cli("space", "net.py:Net", "--json").json == expected
        assert cli("space", "net.py:Net", *INPUT, "--json").json == expected


class TestSearch:
    @pytest.mark.parametrize("strategy", list(StrategyName))
    def test_finds_and_writes_the_best(self, cli: Cli, tmp_path: Path, strategy: str) -> None:
        done = cli("search", "net.py:Net", *INPUT, "--strategy", strategy, "-e", "score", "-n", "30", "-o", "best.json")
        assert done.code == 0, done.err
        assert json.loads((tmp_path / "best.json").read_text()) == {"op": "deep", "skip": 0}
        assert f"{4 if strategy == 'grid' else 30} trials, best 3 in trial" in done.out

    def test_offers_every_strategy_that_needs_no_more(self, cli: Cli) -> None:
        complete: list[type] = []
        for name in strategies.__all__:
            parameters = inspect.signature(getattr(strategies, name)).parameters
            required = [each.name for each in parameters.values() if each.default is each.empty]
            if required == ["space"] and name != "Strategy":
                complete.append(getattr(strategies, name))
        assert {offer.strategy for offer in OFFERS.values()} == set(complete)
        told = cli("search", "--help").out
        assert all(f"{name}: " in told for name in OFFERS)

    def test_the_options_of_a_strategy(self, cli: Cli) -> None:
        arguments = ("search", "net.py:Net", *INPUT, "-e", "score", "-n", "1", "--study", "s.db", "--population", "4")
        assert cli(*arguments, "-s", "evolution", "--sample-size", "2").code == 0
        settings = {"name": "RegularizedEvolution", "seed": 0, "population": 4, "sample_size": 2}
        assert cli("study", "show", "s.db", "--json").json["strategy"] == settings
        refused = cli(*arguments, "-s", "ppo")
        assert refused.code == 2
        assert "ppo has no --population; it is an option of evolution, nsga2" in " ".join(refused.err.split())

    def test_the_predictor_knows_what_is_connected_to_what(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "space.json").write_text(cli("space", "net.py:Net", *INPUT, "--json").out)
        arguments = ("-e", "net.py:score", "-n", "1", "-s", "predictor", "--study")
        assert cli("search", "net.py:Net", *INPUT, *arguments, "graph.db").code == 0
        assert cli("search", "space.json", *arguments, "space.db").code == 0
        digests = [cli("study", "show", db, "--json").json["strategy"]["wiring"] for db in ("graph.db", "space.db")]
        assert [digest is not None for digest in digests] == [True, False]

    @pytest.mark.parametrize(("path", "why"), [("nowhere/a.json", "there is no folder nowhere"), (".", "is a folder")])
    def test_an_output_that_cannot_be_written_is_refused_before_the_work(
        self, cli: Cli, tmp_path: Path, path: str, why: str
    ) -> None:
        searched = cli("search", "net.py:Net", *INPUT, "-e", "score", "-n", "1", "--study", "s.db", "-o", path)
        trained = cli("oneshot", "net.py:Net", "-w", path)
        for done, option in ((searched, "--output"), (trained, "--weights")):
            assert done.code == 2
            assert f"{option} {path}" in " ".join(done.err.split())
            assert why in " ".join(done.err.split())
        assert not (tmp_path / "s.db").exists()

    def test_a_study_by_its_url(self, cli: Cli, tmp_path: Path) -> None:
        search = ("search", "net.py:Net", *INPUT, "-e", "net.py:score", "-s", "random", "-n", "2", "--study")
        assert cli(*search, "sqlite:///s.db").code == 0
        assert (tmp_path / "s.db").is_file()
        assert len(cli("study", "show", "sqlite:///s.db", "--json").json["trials"]) == 2
        assert "of the form sqlite:///path, got 'mysql://s'" in cli(*search, "mysql://s").err

    def test_json_and_a_study_to_go_on_with(self, cli: Cli) -> None:
        arguments = ("search", "net.py:Net", *INPUT, "-e", "net.py:score", "-s", "random", "--study", "s", "--json")
        first = cli(*arguments, "-n", "5").json
        whole = cli(*arguments, "-n", "12").json
        assert [len(first["trials"]), len(whole["trials"])] == [5, 12]
        assert whole["trials"][:5] == first["trials"]
        assert whole["best"]["score"] == max(trial["score"] for trial in whole["trials"])

    def test_workers_make_their_own_model(self, cli: Cli) -> None:
        arguments = ("search", "net.py:Net", *INPUT, "-e", "score", "-s", "random", "-n", "6", "--json")
        alone = cli(*arguments, "--in-flight", "2").json["trials"]
        done = cli(*arguments, "--workers", "2", "--timeout", "60")
        assert done.code == 0, done.err
        assert [(t["architecture"], t["score"]) for t in done.json["trials"]] == [
            (t["architecture"], t["score"]) for t in alone
        ]
        assert not {t["pid"] for t in done.json["trials"]} & {t["pid"] for t in alone if t["source"] is None}

    def test_failures_in_a_row_end_it_when_they_are_so_many(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "failing.py").write_text("def failing(a): raise ValueError('no data')\n")
        cli("space", "net.py:Net", "-o", "space.json")
        arguments = ("search", "space.json", "-e", "failing.py:failing", "-s", "random", "-n", "8")
        assert "5 trials failed one after another" in cli(*arguments).err
        assert "2 trials failed one after another" in cli(*arguments, "--max-consecutive-failures", "2").err

    @pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
    def test_a_killed_trial_is_tried_as_often_as_wanted(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "dying.py").write_text("import os, signal\ndef dying(a): os.kill(os.getpid(), signal.SIGKILL)\n")
        cli("space", "net.py:Net", "-o", "space.json")
        arguments = ("search", "space.json", "-e", "dying.py:dying", "-s", "random", "-n", "1", "--workers", "1")
        for options, attempts in (((), 2), (("--retries", "0"), 1)):
            study = f"s{attempts}.db"
            assert cli(*arguments, "--study", study, *options).code == 1
            assert cli("study", "show", study, "--json").json["trials"][0]["attempts"] == attempts

    def test_objectives_are_metrics(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "both.py").write_text("def both(a): return {'score': sum(map(sum, a.values())), 'ms': len(a)}\n")
        cli("space", "net.py:Net", "-o", "space.json")
        of = ("--objective", "score", "--objective=-ms", "-s", "nsga2", "-n", "8", "--json")
        found = cli("search", "space.json", "-e", "both.py:both", *of).json
        for trial in found["trials"]:
            assert trial["objectives"] == [trial["metrics"]["score"], -trial["metrics"]["ms"]]

    @pytest.mark.parametrize(("rule", "name"), [("median", "MedianRule"), ("halving", "SuccessiveHalving")])
    def test_trials_are_ended_early(self, cli: Cli, tmp_path: Path, rule: str, name: str) -> None:
        text = "def worse(graph, architecture, report):\n    report(epoch=1, score=-report.number)\n    return 1.0\n"
        (tmp_path / "worse.py").write_text(text)
        space = {f"c{i}": {"_type": "layer_choice", "_value": list("abcde")} for i in range(4)}
        (tmp_path / "space.json").write_text(json.dumps(space))
        arguments = (
            "search",
            "space.json",
            "-e",
            "worse.py:worse",
            "-s",
            "grid",
            "-n",
            "9",
            "--study",
            "s.db",
            "--json",
        )
        states = [trial["state"] for trial in cli(*arguments, "--stopping", rule).json["trials"]]
        assert states[0] == "done"
        assert states[-1] == "pruned"
        assert cli("study", "show", "s.db", "--json").json["stopping rule"]["name"] == name
        assert "another stopping rule" in cli(*arguments).err

    def test_what_a_model_prints_is_no_part_of_the_result(self, cli: Cli, tmp_path: Path) -> None:
        prints = "print('loaded')\n" + NET.replace("        kept =", "        print('called')\n        kept =")
        (tmp_path / "prints.py").write_text(prints)
        done = cli("space", "prints.py:Net", *INPUT, "--json")
        assert set(done.json) == {"op", "skip"}
        assert "loaded\ncalled\n" in done.err

    @pytest.mark.parametrize("workers", ["0", "1"])
    def test_what_trials_print_is_no_part_of_the_result(self, cli: Cli, tmp_path: Path, workers: str) -> None:
        (tmp_path / "prints.py").write_text("def prints(a):\n    print('epoch 1')\n    return 1.0\n")
        (tmp_path / "space.json").write_text('{"c": {"_type": "layer_choice", "_value": ["a", "b"]}}')
        done = cli("search", "space.json", "-e", "prints.py:prints", "-n", "1", "--json", "--workers", workers)
        assert done.json["best"]["score"] == 1.0
        assert workers == "1" or done.err == "epoch 1\n"  # a worker's goes past the capture of this test

    def test_a_space_without_a_model(self, cli: Cli) -> None:
        cli("space", "net.py:Net", "-o", "space.json")
        assert cli("search", "space.json", "-e", "net.py:score", "-n", "8", "--json").json["best"]["score"] == 3.0

    def test_failing_trials_are_told_and_end_with_1(self, cli: Cli) -> None:
        done = cli("search", "net.py:Net", *INPUT, "-e", "fails", "-n", "3")
        assert done.code == 1
        assert "none of 3 trials has a score; the first: RuntimeError: cannot train" in done.err
        assert done.out == "3 trials, 3 failed\n"


TRIAL = """
import fxnas
import net

model = fxnas.get_and_apply_next_architecture(net.Net())
fxnas.report_final_result(sum(p.numel() for p in model.parameters()))
"""


class TestTrialCommand:
    @pytest.fixture
    def command(self, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> str:
        """The command of a script that gives the number of parameters of net.py as the score."""
        monkeypatch.setenv("PYTHONPATH", str(root))
        (tmp_path / "train.py").write_text(TRIAL)
        return f"{shlex.quote(sys.executable)} train.py"

    def test_space_and_search(self, cli: Cli, command: str, tmp_path: Path) -> None:
        assert "2 choices, 4 architectures, written to" in cli("space", "-c", command, "-o", "space.json").out
        assert json.loads((tmp_path / "space.json").read_text()) == cli("space", "net.py:Net", "--json").json
        of = ("search", "--trial-command", command, "--space", "space.json", "-s", "grid", "--study", "runs.db")
        done = cli(*of, "--trials", "4", "--workers", "2", "--timeout", "100", "-o", "best.json")
        assert done.code == 0, done.err
        assert "4 trials, best 40 in trial" in done.out
        assert json.loads((tmp_path / "best.json").read_text())["op"] == "deep"
        assert sorted(path.name for path in (tmp_path / "runs.db-trials").iterdir()) == ["0", "1", "2", "3"]

    def test_a_failing_one_is_told(self, cli: Cli, tmp_path: Path) -> None:
        cli("space", "net.py:Net", "-o", "space.json")
        (tmp_path / "trial.sh").write_text("echo no data here; exit 3\n")
        done = cli("search", "-c", "sh trial.sh", "--space", "space.json", "-n", "2", "--trial-folder", "runs")
        assert done.code == 1
        assert "exit status 3; its log ends with 'no data here'" in done.err
        assert (tmp_path / "runs" / "1" / "trial.log").read_text() == "no data here\n"

    def test_a_trial_that_takes_too_long(self, cli: Cli, tmp_path: Path) -> None:
        cli("space", "net.py:Net", "-o", "space.json")
        done = cli("search", "-c", "sleep 600", "--space", "space.json", "-n", "1", "--timeout", "0.5", "--json")
        assert "TimeoutError: it took longer than 0.5 s; its log is empty" in done.err
        assert done.json["trials"][0]["seconds"] < 60

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("search", "-c", "sh"), "--trial-command needs --space space.json; write it with: fxnas space"),
            (("search", "net.py:Net", "-c", "sh", "--space", "s.json"), "MODEL takes no part beside --trial-command"),
            (("search", "-c", "sh", "-e", "score"), "--evaluator takes no part beside --trial-command"),
            (("search", "-c", "sh", *INPUT), "--input takes no part beside --trial-command"),
            (("search", "-c", "sh", "--fixed-batch"), "--fixed-batch takes no part beside --trial-command"),
            (("search", "net.py:Net", "-e", "score", "--trial-folder", "x"), "--trial-folder is for --trial-command"),
            (("search", "net.py:Net", "-e", "score", "--space", "x"), "--space is for --trial-command"),
            (("search", "net.py:Net"), "--evaluator is missing; give a model and --evaluator, or --trial-command"),
            (("search",), "MODEL is missing"),
            (("space",), "MODEL is missing; give a model, or --trial-command"),
            (("space", "net.py:Net", "-c", "sh"), "MODEL takes no part beside --trial-command"),
        ],
    )
    def test_options_that_do_not_go_together(self, cli: Cli, arguments: tuple[str, ...], message: str) -> None:
        done = cli(*arguments)
        assert done.code == 2
        assert message in " ".join(done.err.replace("│", " ").split())


class TestStudy:
    @pytest.fixture
    def study(self, cli: Cli) -> str:
        cli("space", "net.py:Net", "-o", "space.json")
        assert (
            cli("search", "space.json", "-e", "net.py:score", "-n", "6", "--study", "runs.db", "-s", "random").code == 0
        )
        return "runs.db"

    def test_ls_lists_studies_and_what_is_wrong_with_others(self, cli: Cli, study: str, tmp_path: Path) -> None:
        (tmp_path / "text.db").write_text("no database at all" * 99)
        first, second = cli("study", "ls", "--json").json
        assert (first["study"], first["strategy"], first["trials"]) == (study, "RandomSearch", {"done": 6})
        assert "no study" in second["problem"]
        assert "6 done" in cli("study", "ls", study).out

    def test_ls_of_a_folder_without_studies_says_so(self, cli: Cli, study: str, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        alone = cli("study", "ls", "empty")
        assert (alone.code, alone.out) == (
            0,
            f"there is no study in {(tmp_path / 'empty').resolve()}: no file called *.db; name files to list others\n",
        )
        both = cli("study", "ls", "empty", study).out
        assert "there is no study in" in both
        assert "6 done" in both
        assert cli("study", "ls", "empty", "--json").json == []

    def test_of_many_choices_show_prints_a_few(self, cli: Cli, tmp_path: Path) -> None:
        space = {f"c{i}": {"_type": "layer_choice", "_value": ["a", "b"]} for i in range(1000)}
        (tmp_path / "space.json").write_text(json.dumps(space))
        (tmp_path / "one.py").write_text("def one(a): return 1.0\n")
        cli("search", "space.json", "-e", "one.py:one", "-s", "random", "-n", "5", "--study", "s.db", "--json")
        shown = cli("study", "show", "s.db").out
        assert shown.count("and 988 more") == 5
        assert "all decisions: fxnas study best s.db, or fxnas study export s.db" in shown
        assert len(shown.splitlines()) < 40
        assert "c999=" in cli("study", "best", "s.db").out
        assert len(cli("study", "show", "s.db", "--json").json["trials"][0]["architecture"]) == 1000

    def test_long_names_leave_the_decisions_readable(self, cli: Cli, tmp_path: Path) -> None:
        key = "very_long_name_" * 10
        (tmp_path / "long.json").write_text(json.dumps({key: {"_type": "layer_choice", "_value": ["decided"]}}))
        (tmp_path / "one.py").write_text("def one(a): return 1.0\n")
        found = cli("search", "long.json", "-e", "one.py:one", "-n", "1", "--study", "long.db").out
        for shown in (found, cli("study", "show", "long.db").out, cli("study", "best", "long.db").out):
            assert "decided" in re.sub(r"[│\s]", "", shown)

    def test_show(self, cli: Cli, study: str) -> None:
        shown = cli("study", "show", study, "--json").json
        assert [trial["trial"] for trial in shown["trials"]] == list(range(6))
        assert shown["strategy"] == {"name": "RandomSearch", "seed": 0}
        assert "op=" in cli("study", "show", study).out

    def test_best(self, cli: Cli, study: str, tmp_path: Path) -> None:
        trials = cli("study", "show", study, "--json").json["trials"]
        best = cli("study", "best", study, "-n", "9", "-o", "best.json", "--json").json
        assert [trial["score"] for trial in best] == sorted({trial["score"] for trial in trials}, reverse=True)
        assert json.loads((tmp_path / "best.json").read_text()) == best[0]["architecture"]
        assert "best.json" in cli("study", "best", study, "-o", "best.json").out

    def test_export(self, cli: Cli, study: str, tmp_path: Path) -> None:
        trials = cli("study", "show", study, "--json").json["trials"]
        assert "6 trials written to t.jsonl" in cli("study", "export", study, "-o", "t.jsonl").out
        assert [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()] == trials
        table = list(csv.DictReader(cli("study", "export", study, "-f", "csv").out.splitlines()))
        assert [row["choice.op"] for row in table] == [trial["architecture"]["op"] for trial in trials]
        assert [float(row["score"]) for row in table] == [trial["score"] for trial in trials]

    def test_what_is_missing_is_told(self, cli: Cli) -> None:
        for command in ("show", "best", "export"):
            done = cli("study", command, "none.db")
            assert done.code == 1
            assert "study none.db does not exist" in done.err

    def test_report(self, cli: Cli, study: str, tmp_path: Path) -> None:
        assert "6 trials reported in r.html" in cli("report", study, "-o", "r.html", "--title", "Mine").out
        page = (tmp_path / "r.html").read_text("utf-8")
        assert '"title":"Mine"' in page
        cli("report", study, "-o", "r.html", "--front", "score", "--front", "-seconds")
        assert '"front":[{"column":0,"lower":false},{"column":1,"lower":true}]' in (tmp_path / "r.html").read_text(
            "utf-8"
        )
        done = cli("report", study, "--front", "score", "--front", "speed")
        assert (done.code, "there is no column 'speed'; known: score, seconds" in done.err) == (1, True)
        assert "fxnas report search.db -o report.html" in cli("report", "--help").out
        assert "study none.db does not exist" in cli("report", "none.db").err

    @pytest.mark.parametrize("command", ["ls", "show", "best", "export"])
    def test_has_examples(self, cli: Cli, command: str) -> None:
        assert f"fxnas study {command}" in cli("study", command, "--help").out.partition("For example:")[2]


class TestExport:
    @pytest.fixture
    def architecture(self, tmp_path: Path) -> str:
        (tmp_path / "arch.json").write_text('{"op": "deep", "skip": 0}')
        return "arch.json"

    @pytest.mark.parametrize(("format", "name"), [("onnx", "net.onnx"), ("module", "folder")])
    def test_what_is_exported_is_verified(
        self, cli: Cli, tmp_path: Path, architecture: str, format: str, name: str
    ) -> None:
        of = ("net.py:Net", *INPUT, "-a", architecture)
        done = cli("export", *of, "-f", format, "-o", name)
        assert done.code == 0, done.err
        assert f"exported {name}" in done.out
        assert cli("verify", name, *of).code == 0
        assert cli("verify", name, *of, "--json").json["parameters"] == 40
        wrong = cli("verify", name, "net.py:Net", *INPUT)  # the default architecture
        assert wrong.code == 1
        assert "ExportError" in wrong.err

    @pytest.mark.parametrize(("flags", "batch"), [((), "batch"), (("--fixed-batch",), 2)])
    def test_the_batch_is_dynamic_unless_fixed(self, cli: Cli, flags: tuple[str, ...], batch: str | int) -> None:
        (read,) = cli("export", "net.py:Net", *INPUT, "-o", "net.onnx", "--json", *flags).json["inputs"]
        assert read["shape"] == [batch, 4]

    def test_a_program_is_exported_but_not_loaded_again(self, cli: Cli, architecture: str) -> None:
        of = ("net.py:Net", *INPUT, "-a", architecture)
        assert cli("export", *of, "-f", "pt2", "-o", "net.pt2", "--json").json["parameters"] == 40
        assert "can't be verified safely" in cli("verify", "net.pt2", *of).err

    def test_weights_of_supernet_child_and_fixed_model(self, cli: Cli, tmp_path: Path, architecture: str) -> None:
        import torch
        from safetensors.torch import save_file

        deep = {f"{i}.{name}": torch.randn(shape) for i in (0, 2) for name, shape in (("weight", (4, 4)), ("bias", 4))}
        lin = {"op.lin.weight": torch.zeros(4, 4), "op.lin.bias": torch.zeros(4)}
        save_file({f"op.deep.{name}": value for name, value in deep.items()} | lin, tmp_path / "supernet.safetensors")
        save_file({f"op.deep.{name}": value for name, value in deep.items()}, tmp_path / "child.safetensors")
        save_file({f"op.{name}": value for name, value in deep.items()}, tmp_path / "fixed.safetensors")
        of = ("net.py:Net", *INPUT, "-a", architecture)
        assert cli("export", *of, "-w", "supernet.safetensors", "-o", "net.onnx").code == 0
        for name in ("supernet", "child", "fixed"):
            assert cli("verify", "net.onnx", *of, "-w", f"{name}.safetensors").code == 0
        other = cli("verify", "net.onnx", *of)
        assert other.code == 1
        assert "output" in other.err

    def test_weights_that_do_not_fit(self, cli: Cli, tmp_path: Path, architecture: str) -> None:
        import torch
        from safetensors.torch import save_file

        def refused(message: str) -> None:
            done = cli("export", "net.py:Net", *INPUT, "-a", architecture, "-w", "w", "-o", "net.onnx")
            assert done.code == 1
            assert message in done.err
            assert not (tmp_path / "net.onnx").exists()

        refused("no such file")
        (tmp_path / "w").write_bytes(b"nonsense")
        refused("can't be read as safetensors")
        save_file({"op.deep.0.weight": torch.zeros(4, 4)}, tmp_path / "w")
        refused("'op.deep.0.bias'")
        save_file({"elsewhere": torch.zeros(4, 4)}, tmp_path / "w")
        refused("ArchitectureError")
        whole = {f"op.deep.{i}.{name}": torch.zeros(3) for i in (0, 2) for name in ("weight", "bias")}
        save_file(whole, tmp_path / "w")
        refused("is [3]")

    def test_verify_needs_a_file_it_knows(self, cli: Cli, tmp_path: Path) -> None:
        assert "does not exist" in cli("verify", "none.onnx", "net.py:Net", *INPUT).err
        assert "neither an .onnx file nor a module's folder" in cli("verify", "net.py", "net.py:Net", *INPUT).err


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("trace", "net.py:Nett", *INPUT), "no 'Nett' there, did you mean 'Net'?"),
            (("trace", "net.py", *INPUT), "expected path/to/file.py:name or package.module:name"),
            (("trace", "none.py:Net", *INPUT), "none.py does not exist"),
            (("trace", "nowhere.at.all:Net", *INPUT), "ModuleNotFoundError"),
            (("trace", "net.py:number", *INPUT), "is a int, not an nn.Module"),
            (("trace", "net.py:broken", *INPUT), "net.py:broken raised KeyError: 'no weights here' ("),
            (("trace", "net.py:Net"), "needs example inputs: give --input"),
            (("trace", "net.py:Net", "--input", "2xfour"), "--input '2xfour': expected sizes"),
            (("trace", "net.py:Net", "--input", "2x4:floaty"), "expected sizes and maybe a dtype"),
            (("trace", "net.py:Net", "--input", "2x5"), "TraceError"),
            (("export", "net.py:Net", *INPUT, "-a", "none.json", "-o", "x.onnx"), "none.json does not exist"),
            (("search", "none.json", "-e", "net.py:score"), "none.json does not exist"),
            (("search", "net.py:Net", *INPUT, "-e", "net.py:number"), "an evaluator is a function"),
            (("space", "-c", "nosuchprogram"), "no program 'nosuchprogram' that can be run"),
            (("space", "-c", "echo hello"), "ended without writing its search space"),
            (("space", "-c", "sleep 600", "--timeout", "0.5"), "TimeoutError: the command took longer than 0.5 s"),
            (("space", "-c", "sleep 600", "--timeout", "0"), "timeout is a number of seconds, got 0"),
            (("search", "-c", "sh", "--space", "none.json"), "none.json does not exist"),
            (("space", "net.py:Net", "-o", "nowhere/space.json"), "nowhere"),
        ],
    )
    def test_a_users_mistake_is_one_block_without_a_traceback(
        self, cli: Cli, arguments: tuple[str, ...], message: str
    ) -> None:
        done = cli(*arguments)
        assert done.code == 1
        assert message in done.err
        assert "Traceback" not in done.err
        assert done.out == ""

    def test_debug_shows_the_traceback(self, cli: Cli) -> None:
        from fxnas.errors import FxnasError

        with pytest.raises(FxnasError, match="raised KeyError"):
            main(["--debug", "trace", "net.py:broken", *INPUT])

    @pytest.mark.parametrize("arguments", [("nonsense",), ("trace",), ("trace", "net.py:Net", "--unknown"),
                                           ("search", "net.py:Net", "-e", "score", "-n", "0")])  # fmt: skip
    def test_wrong_usage_ends_with_2(self, cli: Cli, arguments: tuple[str, ...]) -> None:
        assert cli(*arguments).code == 2


class TestDoctor:
    def test_reports(self, cli: Cli) -> None:
        done = cli("doctor", "--json")
        assert done.code == 0, done.out
        assert done.json["versions"]["torch"].startswith("2.13")
        assert "CPUExecutionProvider" in done.json["providers"]
        assert done.json["devices"][0].startswith("cpu")
        assert "all is well" in cli("doctor").out

    def test_two_onnx_runtimes_are_a_problem(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        both = {"onnxruntime-gpu": "1.31.1", "onnxruntime": "1.31.1"}
        assert "both installed" in runtime_problems(both)[0]
        assert "not installed" in runtime_problems(dict.fromkeys(both))[0]
        assert not runtime_problems({**both, "onnxruntime": None})
        monkeypatch.setattr("fxnas.doctor.runtime_problems", lambda versions: runtime_problems(both))
        done = cli("doctor")
        assert done.code == 1
        assert "pip uninstall -y onnxruntime onnxruntime-gpu" in done.out


class TestHelp:
    def test_is_fast_and_needs_no_torch(self, run_python: Callable[..., Any]) -> None:
        script = (
            "import sys\nfrom fxnas.cli import main\ntry: main(['--help'])\n"
            "finally: print([n for n in ('torch', 'numpy', 'onnx') if n in sys.modules])"
        )
        start = time.perf_counter()
        done = run_python("-c", script)
        assert done.stdout.endswith("[]\n")
        assert time.perf_counter() - start < 1.5  # torch alone takes 1.7 s
        for command in ("trace", "space", "search", "export", "verify", "doctor", "demo"):
            assert f"│ {command} " in done.stdout

    @pytest.mark.parametrize("command", ["trace", "space", "search", "export", "verify", "doctor", "demo"])
    def test_every_command_has_examples(self, cli: Cli, command: str) -> None:
        done = cli(command, "--help")
        assert done.code == 0
        assert f"fxnas {command}" in done.out.partition("For example:")[2]

    def test_version(self, cli: Cli) -> None:
        import fxnas

        assert cli("--version").out == f"fxnas {fxnas.__version__}\n"

    def test_runs_as_a_module(self, run_python: Callable[..., Any]) -> None:
        assert run_python("-m", "fxnas", "--version").stdout.startswith("fxnas ")


def test_demo(cli: Cli, tmp_path: Path) -> None:
    done = cli("demo", "--trials", "4", "-o", "demo", "--json")
    assert done.code == 0, done.err
    result = done.json
    assert result["onnx_accuracy"] > 0.9
    # one is a mean over batches, the other over all digits
    assert result["torch_accuracy"] == pytest.approx(result["onnx_accuracy"], rel=1e-6)
    assert result["max_error"] < 1e-4
    assert result["parameters"] < result["supernet_parameters"]
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {"architecture.json", "module", "digits.onnx"}
