"""The trainer of one-shot methods: what it writes, how it goes on, and what it refuses."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from fxnas.architecture import Architecture
from fxnas.errors import FxnasError
from fxnas.evaluators import TensorBatches
from fxnas.nn import LayerChoice
from fxnas.oneshot import (
    ArchitectureCheckpoint,
    Callback,
    DartsTrainer,
    LRSchedulerCallback,
    ModelCheckpoint,
    OneShotTrainer,
    TensorBoard,
)
from fxnas.oneshot.checkpoint import load_state, save_state
from fxnas.trace import trace


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice({"linear": nn.Linear(4, 8), "deep": nn.Sequential(nn.Linear(4, 8), nn.Tanh())})
        self.norm, self.dropout, self.head = nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.dropout(self.norm(self.op(x))))


class Noisy(Dataset):
    """Augmented at random: what a batch holds depends on torch's generator."""

    def __init__(self, count: int = 48) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(count, 4, generator=generator)
        self.y = self.x[:, :3].argmax(1)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.x[index] + 0.1 * torch.randn(4), self.y[index]


def model() -> Net:
    torch.manual_seed(0)
    return Net()


def accuracy(output: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
    return {"acc1": (output.argmax(1) == target).float().mean().item()}


def trainer(net: nn.Module | None = None, kind: type[OneShotTrainer] = DartsTrainer, **options: Any) -> OneShotTrainer:
    given = {"num_epochs": 3, "dataset_train": Noisy(), "batch_size": 8, "progress": False, "metrics": accuracy}
    return kind(model() if net is None else net, **{**given, **options})


def weights(of: OneShotTrainer) -> list[torch.Tensor]:
    return [*of.method.graph.state_dict().values(), *of.method.alphas.values()]


def same(one: OneShotTrainer, other: OneShotTrainer) -> bool:
    history = [{k: v for k, v in row.items() if k != "seconds"} for row in one.history]
    others = [{k: v for k, v in row.items() if k != "seconds"} for row in other.history]
    return history == others and all(map(torch.equal, weights(one), weights(other)))


def test_it_trains_the_model_and_exports(tmp_path: Path) -> None:
    net = model()
    before = [p.clone() for p in net.parameters()]
    run = trainer(net, num_epochs=8, optimizer=torch.optim.Adam(net.parameters(), 0.02))
    run.train()
    assert run.history[-1]["loss"] < 0.8 * run.history[0]["loss"]
    assert set(run.history[0]) == {"loss", "valid_loss", "valid_acc1", "entropy", "seconds"}
    assert not torch.equal(before[0], next(net.parameters()))
    exported = run.export(file=tmp_path / "new" / "final.json")
    assert Architecture.from_json(tmp_path / "new" / "final.json", run.method.space) == exported


def test_the_random_state_of_the_user_stays() -> None:
    graph = trace(model(), torch.zeros(2, 4))
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    trainer(graph).train()
    assert torch.equal(torch.rand(1), expected)


class Killed(Exception):
    pass


class KillAt(Callback):
    def __init__(self, at: int) -> None:
        self.at = at

    def on_batch_end(self, trainer: OneShotTrainer, step: int, metrics: Any) -> None:
        if step == self.at:
            raise Killed


@pytest.mark.parametrize("at", [0, 2, 3, 5, 7])
@pytest.mark.parametrize("frequency", [None, 1, 2])
def test_a_killed_training_goes_on_bit_for_bit(at: int, frequency: int | None, tmp_path: Path) -> None:
    def made(at: int) -> OneShotTrainer:
        net = model()
        optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
        schedule = LRSchedulerCallback(torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5))
        file = tmp_path / "run.safetensors"
        callbacks = [schedule, KillAt(at)]
        return trainer(net, optimizer=optimizer, checkpoint=file, checkpoint_frequency=frequency, callbacks=callbacks)

    whole = made(-1)
    whole.train()
    (tmp_path / "run.safetensors").unlink()
    with pytest.raises(Killed):
        made(at).train()
    resumed = made(-1)
    resumed.train()
    assert same(whole, resumed)
    again = made(-1)
    again.train()  # nothing is left to do
    assert same(whole, again)


SCRIPT = """
import torch
from tests.test_trainer import trainer, weights
run = trainer()
run.train()
print(run.export().dumps(), [float(w.double().sum()) for w in weights(run)])
"""


def test_another_process_finds_the_same() -> None:
    root = Path(__file__).resolve().parent.parent
    found = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, cwd=root)
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


def test_another_training_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "run.safetensors"
    trainer(checkpoint=file, num_epochs=1).train()
    with pytest.raises(FxnasError, match=r"run\.safetensors.*another training: seed was 0, is 5"):
        trainer(checkpoint=file, num_epochs=1, seed=5).train()


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "absent", "other"])
def test_damaged_checkpoints(damage: str, tmp_path: Path) -> None:
    file = tmp_path / "run.safetensors"
    run = trainer(checkpoint=file, num_epochs=1)
    run.train()
    before = [w.clone() for w in weights(run)]
    data = bytearray(file.read_bytes())
    if damage == "absent":
        file.unlink()
    elif damage == "other":
        from safetensors.torch import save_file

        save_file({"a": torch.zeros(1)}, file)
    else:
        data[-9] ^= 4
        file.write_bytes({"cut": data[:-20], "flipped": data, "text": b"{}"}[damage])
    with pytest.raises(FxnasError, match=r"run\.safetensors"):
        run.resume(file)
    assert all(map(torch.equal, before, weights(run)))


def test_states_come_back_as_they_were(tmp_path: Path) -> None:
    state = {"a": [1, 2.5, None, True, "x"], 3: (torch.arange(3), {"inf": float("inf")}), "e": {}, "0": torch.zeros(())}
    save_state(tmp_path / "s", state)
    loaded = load_state(tmp_path / "s")
    assert torch.equal(loaded[3][0], state[3][0]) and loaded[3][1] == state[3][1]
    assert torch.equal(loaded.pop("0"), state.pop("0"))
    assert {k: v for k, v in loaded.items() if k != 3} == {k: v for k, v in state.items() if k != 3}
    with pytest.raises(FxnasError, match=r"a\.0 is a set"):
        save_state(tmp_path / "s", {"a": [{1}]})


def test_files_of_callbacks(tmp_path: Path) -> None:
    run = trainer(callbacks=[ArchitectureCheckpoint(tmp_path / "a"), ModelCheckpoint(tmp_path / "m", every=2)])
    run.train()
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["epoch_0.json", "epoch_1.json", "epoch_2.json"]
    assert [p.name for p in (tmp_path / "m").iterdir()] == ["epoch_1.safetensors"]
    assert set(load_state(tmp_path / "m" / "epoch_1.safetensors")["model"]) == set(run.method.graph.state_dict())


def test_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = trainer(callbacks=[TensorBoard(tmp_path)])
    run.train()
    events = EventAccumulator(str(tmp_path)).Reload()
    for name in run.history[0]:
        written = [(event.step, event.value) for event in events.Scalars(name)]
        assert written == [(epoch, pytest.approx(values[name])) for epoch, values in enumerate(run.history)]


def test_tensorboard_where_its_package_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(FxnasError, match=r"pip install 'fxnas\[tensorboard\]'"):
        TensorBoard(tmp_path)


def test_hooks_are_called_in_order() -> None:
    calls: list[str] = []

    class Log(Callback):
        def on_epoch_begin(self, trainer: OneShotTrainer, epoch: int) -> None:
            calls.append(f"epoch {epoch}")

        def on_epoch_end(self, trainer: OneShotTrainer, epoch: int) -> None:
            calls.append(f"end {len(trainer.history)}")

        def on_batch_begin(self, trainer: OneShotTrainer, step: int) -> None:
            calls.append(f"step {step}")

        def on_batch_end(self, trainer: OneShotTrainer, step: int, metrics: Any) -> None:
            calls.append("loss" if "loss" in metrics else "?")

    trainer(num_epochs=2, batch_size=12, callbacks=[Log()]).train()
    one = ["step {}", "loss", "step {}", "loss"]
    expected = [["epoch 0", *(c.format(i // 2) for i, c in enumerate(one)), "end 1"]]
    expected += [["epoch 1", *(c.format(2 + i // 2) for i, c in enumerate(one)), "end 2"]]
    assert calls == [call for epoch in expected for call in epoch]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_and_clipping(precision: str) -> None:
    run = trainer(num_epochs=1, precision=precision, clip_norm=0.5)
    run.train()
    assert run.method.alphas["op"].dtype == torch.float32
    state = run.method.state_dict()
    run.method.load_state_dict(state)


# torch looks whether tensors have gradients, and hides its own warning from all but those who make it an error
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compiled_runs_compute_the_same() -> None:
    plain, compiled = trainer(num_epochs=1), trainer(num_epochs=1, compile="aot_eager")
    plain.train()
    compiled.train()
    for one, other in zip(weights(plain), weights(compiled), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_lists_of_batches_and_nested_inputs() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = model()

        def forward(self, *, image, scale=1.0):
            return self.net(image * scale)

    data = Noisy()
    batches = [({"image": data.x[i : i + 8]}, data.y[i : i + 8]) for i in range(0, 48, 8)]
    run = trainer(Named(), dataset_train=batches, dataset_valid=batches[:2])
    run.train()
    assert run.validate()["acc1"] >= 0.0
    tensors = TensorBatches(data.x, data.y, size=16)
    trainer(dataset_train=tensors, dataset_valid=tensors).train()


def test_lines_are_written_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    trainer(progress=None, log_frequency=2, num_epochs=1).train()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[1] for line in lines[:-1]] == ["step 2/3", "step 3/3"]
    assert "loss" in lines[0] and "entropy" in lines[0] and lines[-1].startswith("epoch 1/1 done")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_epochs": 0}, "num_epochs is a positive integer"),
        ({"dataset_train": iter([])}, "only a torch.utils.data.Dataset"),
        ({"dataset_train": [], "dataset_valid": []}, "there are no batches"),
        ({"dataset_train": iter([]), "dataset_valid": iter([])}, "can be iterated again and again"),
        ({"precision": "float8"}, "precision is float32"),
        ({"optimizer": torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1)}, "none of the model's parameters"),
        ({"dataset_train": TensorDataset(torch.zeros(0, 4)), "dataset_valid": Noisy()}, "the data set is empty"),
    ],
    ids=["epochs", "iterator", "empty list", "iterators", "precision", "optimizer", "empty"],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(FxnasError, match=message):
        trainer(**options)


def test_a_model_without_choices_is_refused() -> None:
    with pytest.raises(FxnasError, match="there is nothing to search"):
        trainer(nn.Sequential(nn.Linear(4, 3)))


def test_a_loss_that_is_not_finite_ends_it() -> None:
    with pytest.raises(FxnasError, match=r"the loss isn't finite at step 1"):
        trainer(loss=lambda output, target: output.sum() * float("nan")).train()


def test_what_a_method_reads_besides_is_in_random_order() -> None:
    class Ends(DartsTrainer.method_type):  # type: ignore[misc, valid-type]
        read: ClassVar[list[list[list[int]]]] = []

        def end_epoch(self, valid_batches: Any) -> None:
            self.read.append([target.tolist() for _, target in valid_batches])
            assert self.read[-1] == [target.tolist() for _, target in valid_batches]

    class EndsTrainer(DartsTrainer):
        method_type = Ends

    data = TensorDataset(torch.randn(48, 4), torch.arange(48) // 16)  # sorted by class
    run = trainer(kind=EndsTrainer, dataset_train=data, dataset_valid=data, num_epochs=2)
    first, second = ([target.tolist() for _, target in run.method.train_batches] for _ in range(2))
    assert first == second and len(first) == 6 and sorted(itertools.chain(*first)) == data.tensors[1].tolist()
    assert len(set(first[0])) > 1
    run.train()
    assert len(Ends.read) == 2 and Ends.read[0] != Ends.read[1]
    assert all(sorted(itertools.chain(*read)) == data.tensors[1].tolist() for read in Ends.read)
