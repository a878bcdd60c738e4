"""Two processes that train one supernet do what one process does with the whole batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from fxnas import oneshot
from fxnas.nn import InputChoice, LayerChoice

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = {"EnasTrainer": {"controller_steps": 2, "aggregate": 3}}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice({"linear": nn.Linear(4, 4), "deep": nn.Sequential(nn.Linear(4, 4), nn.Tanh())})
        self.skip = InputChoice(1)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        y, kept = self.op(x), self.skip([x])
        return self.head(y if kept is None else y + kept)


def run(trainer: str, checkpoint: str | None = None) -> dict[str, object]:
    """Trains, and tells what came out."""
    torch.manual_seed(int(os.environ.get("RANK", "0")))  # the first process's weights are everybody's
    net = Net().double()
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(64, 4, generator=generator, dtype=torch.float64)
    made = getattr(oneshot, trainer)(
        net,
        num_epochs=3,
        dataset_train=TensorDataset(x, x[:, :3].argmax(1)),
        batch_size=8,
        progress=False,
        checkpoint=checkpoint,
        optimizer=lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
        **OPTIONS.get(trainer, {}),
    )
    made.train()
    state = {name: tensor.tolist() for name, tensor in made.method.graph.state_dict().items()}
    return {"weights": state, "architecture": made.export().to_json(), "loss": made.validate()["loss"]}


SCRIPT = """
import json, os, sys, torch
from pathlib import Path
from tests.test_oneshot_distributed import run
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo", init_method="file://" + sys.argv[1],
                                     rank=int(os.environ["RANK"]), world_size=2)
print(json.dumps(run(sys.argv[2], sys.argv[3])))
torch.distributed.destroy_process_group()
threads = [comm.read_text().strip() for comm in Path("/proc/self/task").glob("*/comm")]
assert not any("gloo" in name for name in threads), f"a thread of gloo would outlive the group: {threads}"
"""


@pytest.mark.parametrize("trainer", ["DartsTrainer", "UnrolledDartsTrainer", "EnasTrainer", "SposTrainer"])
def test_two_processes_do_what_one_does(trainer: str, tmp_path: Path) -> None:
    expected = run(trainer)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "meet"), trainer, str(tmp_path / "c.safetensors")]
    both = [
        subprocess.Popen(
            command,
            env={**environment, "RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for rank in "01"
    ]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert not any("Warning" in err for _, err in outputs), outputs
    first, second = (json.loads(out) for out, _ in outputs)
    assert first == second
    assert first["architecture"] == expected["architecture"]
    for name, values in expected["weights"].items():
        torch.testing.assert_close(torch.tensor(first["weights"][name]), torch.tensor(values), rtol=1e-5, atol=1e-6)
    assert first["loss"] == pytest.approx(expected["loss"])


def test_a_batch_that_cannot_be_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    from fxnas.errors import FxnasError
    from fxnas.oneshot import data, distributed

    monkeypatch.setattr(distributed, "processes", lambda: 2)
    with pytest.raises(FxnasError, match="7 elements can't be divided among 2 processes"):
        data.DatasetBatches(TensorDataset(torch.zeros(20, 1)), 7, seed=0)
