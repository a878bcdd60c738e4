"""The numbered examples run as they stand, each in a process and a folder of its own."""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NUMBERED = sorted(EXAMPLES.glob("[0-9]*.py"))

# What the guide prints of its network, line by line; the import and what is marked in the example are all that differs.
GUIDE = """
class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.conv1 = mutables.LayerChoice([
            nn.Conv2d(1, 32, 3, 1),
        ])  # try 3x3 kernel and 5x5 kernel
        self.conv2 = nn.Conv2d(32, 64, 3, 1)
        self.conv3 = nn.Conv2d(64, 64, 1, 1)
        # declaring that there is exactly one candidate to choose from
        # search strategy will choose one or None
        self.skipcon = mutables.InputChoice(n_candidates=1)
        self.dropout1 = nn.Dropout2d(0.25)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)
    def forward(self, x):
        x = self.conv1(x)
        x = F.relu(x)
        x = self.conv2(x)
        x0 = self.skipcon([x])  # choose one or none from [x]
        x = self.conv3(x)
        if x0 is not None:  # skipconnection is open
            x += x0
        x = F.max_pool2d(x, 2)
        return output
"""

Run = Callable[..., str]


@pytest.fixture
def example(run_python: Callable[..., Any]) -> Run:
    """Runs an example and returns what it prints."""

    def run(number: int, **environment: str) -> str:
        (path,) = EXAMPLES.glob(f"{number:02}_*.py")
        return run_python(path, **environment).stdout

    return run


def test_they_are_short_and_follow_each_other() -> None:
    numbers = [int(path.name[:2]) for path in NUMBERED]
    assert numbers[:8] == list(range(1, 9))
    assert len(set(numbers)) == len(numbers)
    assert all(len(path.read_text("utf-8").splitlines()) < 80 for path in NUMBERED)
    assert all(ast.get_docstring(ast.parse(path.read_text("utf-8"))) for path in NUMBERED)


def test_01_is_the_guides_network() -> None:
    lines = iter((EXAMPLES / "01_mnist.py").read_text("utf-8").splitlines())
    for wanted in GUIDE.strip("\n").splitlines():
        assert any(line == wanted for line in lines), f"not there, or not in this order: {wanted}"


def test_01_the_guides_mnist(example: Run) -> None:
    output = example(1)
    assert "4 trials, best" in output
    assert float(re.search(r"test accuracy ([\d.]+)", output)[1]) > 0.7
    assert "exported mnist.onnx" in output


def test_01_without_the_data(tmp_path: Path, run_python: Callable[..., Any]) -> None:
    script = f"import sys; sys.path.insert(0, {str(EXAMPLES)!r}); import mnist; (x, y), (u, v) = mnist.load(900, 400); "
    shapes = run_python("-c", script + "print(*x.shape, *u.shape, len(set(y.tolist())))", FXNAS_DATA=str(tmp_path))
    assert shapes.stdout.split() == ["900", "1", "28", "28", "400", "1", "28", "28", "10"]


def test_02_nested_cells(example: Run) -> None:
    output = example(2)
    # per node: 2 or 3 inputs, times pool, identity, or a convolution with 2 kernels and 2 activations
    assert f"{2 * 6 * 3 * 6} architectures" in output
    assert "eager, graph and materialized agree on 5 architectures" in output


def test_03_own_loop(example: Run) -> None:
    assert float(re.search(r"shared weights ([\d.]+)", example(3))[1]) > 0.8


def test_04_retrain(example: Run) -> None:
    output = example(4)
    assert float(re.search(r"test accuracy ([\d.]+)", output)[1]) > 0.9
    assert "exported retrained" in output
    assert "refused: choice 'conv1'" in output
    assert "did you mean 'conv5x5'" in output


def test_05_onnx_deployment(example: Run) -> None:
    served = json.loads(example(5).splitlines()[-1])
    assert served["accuracy"] > 0.9
    assert served["max_error"] < 1e-4
    assert served["torch_imported"] is False


def test_06_trial_alone(example: Run, tmp_path: Path) -> None:
    lines = example(6, FXNAS_DATA=str(tmp_path)).splitlines()  # no MNIST there
    assert [line.partition(":")[0] for line in lines] == ["intermediate result"] * 2 + ["final result"]
    assert float(lines[-1].partition(":")[2]) > 0.6


def test_06_trial_searched(run_python: Callable[..., Any], tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(EXAMPLES / '06_trial.py'))}"
    run_python("-m", "fxnas", "space", "--trial-command", command, "-o", "space.json")
    assert list(json.loads((tmp_path / "space.json").read_text())) == ["conv1", "skipcon"]
    of = ("--trial-command", command, "--space", "space.json", "--strategy", "ppo", "--trials", "2", "--workers", "1")
    found = json.loads(run_python("-m", "fxnas", "search", *of, "--json").stdout)
    assert found["best"]["score"] > 0.6
    assert len(found["trials"][0]["reports"]) == 2


def test_07_hardware_aware(example: Run, tmp_path: Path) -> None:
    output = example(7)
    front = [(float(ms), float(score)) for ms, score in re.findall(r"([\d.]+) ms  accuracy ([\d.]+)", output)]
    assert front == sorted(front)  # the slower, the more accurate
    assert front[-1][1] > 0.7
    assert "fastest.onnx" in output
    assert (tmp_path / "most_accurate.onnx").stat().st_size > 1000


def test_08_without_ray_the_extra_is_named(run_python: Callable[..., Any]) -> None:
    run = f"runpy.run_path({str(EXAMPLES / '08_ray.py')!r}, {{}}, '__main__')"
    script = f"import sys, runpy; sys.modules['ray'] = None; {run}"
    done = run_python("-c", script, check=False)
    assert done.returncode == 1
    assert done.stderr == 'the search can\'t run: trials on Ray need the package ray: pip install "fxnas[ray]"\n'


@pytest.mark.parametrize("number", [10, 11, 12, 13, 14, 15, 16, 17, 18])
def test_one_shot_searches(example: Run, number: int) -> None:
    output = example(number)
    found = ast.literal_eval(re.search(r"^found (.*)$", output, re.MULTILINE)[1])
    (path,) = EXAMPLES.glob(f"{number:02}_*.py")
    name = path.stem.partition("_")[2]
    assert found
    assert f"exported {name}.onnx" in output
    assert 0 <= float(re.search(r"^accuracy ([\d.]+)$", output, re.MULTILINE)[1]) <= 1


def test_cifar_without_the_data(tmp_path: Path, run_python: Callable[..., Any]) -> None:
    script = f"import sys; sys.path.insert(0, {str(EXAMPLES)!r}); import cifar; a, b = cifar.load(100, 50); "
    shapes = run_python("-c", script + "print(*a.tensors[0].shape, *b.tensors[0].shape)", FXNAS_DATA=str(tmp_path))
    assert shapes.stdout.split() == ["100", "3", "32", "32", "50", "3", "32", "32"]
