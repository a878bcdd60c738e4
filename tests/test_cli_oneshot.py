"""`fxnas oneshot`: what it writes, how it goes on after a kill, and what it refuses."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fxnas import oneshot
from fxnas.cli import main
from fxnas.cli.oneshot import OFFERS

NET = """
import torch
from torch import nn
from torch.utils.data import TensorDataset
from fxnas import InputChoice, LayerChoice


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        deep = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4))
        self.op = LayerChoice({"lin": nn.Linear(4, 4), "deep": deep})
        self.skip = InputChoice(n_candidates=1)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x):
        kept = self.skip([x])
        x = self.dropout(self.op(x))
        return x if kept is None else x + kept


def data():
    x = torch.randn(160, 4, generator=torch.Generator().manual_seed(0))
    whole = TensorDataset(x, x.argmax(1))
    return whole


def mse(output, target):
    return ((output.argmax(1) - target) ** 2).float().mean() + output.sum() * 0


number = 3
"""


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(["oneshot", *arguments])
    return int(done.value.code or 0)


def test_it_writes_what_export_takes(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("net.py:Net", "-n", "2", "-o", "best.json", "-w", "supernet.safetensors") == 0
    assert "architecture written to best.json" in capsys.readouterr().out
    with pytest.raises(SystemExit) as done:
        main(["export", "net.py:Net", "-i", "1x4", "-a", "best.json", "-w", "supernet.safetensors", "-o", "net.onnx"])
    assert not done.value.code and (net / "net.onnx").stat().st_size


def test_json_is_for_machines(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("net.py:Net", "-n", "2", "--json", "-O", "clip_norm=1") == 0
    shown = json.loads(capsys.readouterr().out)
    assert set(shown["architecture"]) == {"op", "skip"}
    assert [set(row) for row in shown["history"]] == [
        {"loss", "valid_loss", "valid_accuracy", "entropy", "seconds"}
    ] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-O", "clip=1"], "darts has no argument 'clip', did you mean 'clip_norm'?"),
        (["-O", "seed=1"], "darts has no argument 'seed'"),
        (["-O", "penalty=1"], "darts has no argument 'penalty'"),
        (["-O", "clip_norm=much"], "clip_norm is written as float | None, got 'much'"),
        (["-m", "spos", "-O", "evolution=3"], 'evolution is written as {"generations": 5, …}'),
        (["-m", "spos", "-O", "metric=nowhere"], "no 'nowhere' there"),
        (["--data", "dat"], "no 'dat' there"),
        (["--data", "number"], "not a function that returns data"),
        (["--loss", "los"], "no 'los' there"),
    ],
)
def test_errors_are_one_line(arguments: list[str], message: str, net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("net.py:Net", *arguments) == 1
    assert message in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize("method", ["gdas", "fbnet", "proxyless"])
def test_costs_steer_the_search(method: str, net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # each parameter more costs as much as a whole unit of the loss
    of = ("--cost", "params", "--cost-weight", "1", "--json", "-n", "4", "--batch-size", "4")
    assert run("net.py:Net", "-m", method, *of) == 0
    assert json.loads(capsys.readouterr().out)["architecture"]["op"] == "lin"


def test_options_of_every_form(net: Path) -> None:
    assert run("net.py:Net", "-m", "gdas", "-n", "1", "-O", "temperatures=[5, 0.5]") == 0
    evolution = 'evolution={"generations": 1, "population": 2}'
    assert run("net.py:Net", "-m", "spos", "-n", "1", "-O", evolution, "-O", "metric=mse", "-O", "calibration=0") == 0


def test_limits_hold(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of = ("-m", "spos", "--cost", "params", "--cost-limit", "20", "--json", "-n", "2")
    assert run("net.py:Net", *of) == 0
    assert json.loads(capsys.readouterr().out)["architecture"]["op"] == "lin"


@pytest.mark.parametrize(
    "arguments", [["--cost", "flops"], ["--cost-weight", "1"], ["--cost", "flops", "--cost-limit", "1"]]
)
def test_costs_that_go_nowhere(arguments: list[str], net: Path) -> None:
    assert run("net.py:Net", *arguments) == 2


def test_every_trainer_is_offered() -> None:
    trainers = {name for name in oneshot.__all__ if name.endswith("Trainer") and name != "OneShotTrainer"}
    assert {offer.trainer for offer in OFFERS.values()} == trainers


def test_a_killed_run_goes_on_to_the_same_result(net: Path) -> None:
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "fxnas", "oneshot", "net.py:Net", "-n", "6", "--batch-size", "4"]
    command += ["--checkpoint-frequency", "1", "-c"]
    environment = {**os.environ, "PYTHONPATH": str(root)}

    def started(checkpoint: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*command, checkpoint, "--json"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    whole = started("whole")
    killed = started("killed")
    while not Path("killed").exists() and killed.poll() is None:
        time.sleep(0.01)
    time.sleep(random.random() / 2)  # 120 steps take longer; where it was over, there is nothing to go on with
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    resumed = started("killed")
    results = []
    for process in (whole, resumed):
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        result = json.loads(out)
        results.append((result["architecture"], [{**row, "seconds": 0} for row in result["history"]]))
    assert results[0] == results[1]
