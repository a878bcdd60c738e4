"""The torch.export exporter, and the export of an architecture alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fxnas
from fxnas.errors import ExportError
from fxnas.exporters import export_architecture, export_program, program
from tests.export_nets import Attention, Cnn, Result, Tagger, ids, image, kinds, kinds_inputs, padding, traced


def load(path: Path) -> Any:
    with program.quiet():
        return torch.export.load(path).module()


def test_the_program_runs_at_any_batch_size(tmp_path: Path) -> None:
    net = traced(Cnn())
    report = export_program(net, image(), tmp_path / "net.pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt2"]
    loaded = load(tmp_path / "net.pt2")
    x = image(5)
    assert torch.equal(loaded(x), net.eval()(x))
    assert (report.format, report.batch_sizes, report.provider) == ("program", (2, 3, 1), "cpu")
    assert report.notes == ("the module is in training mode; it was exported in evaluation mode",)
    assert list(loaded.state_dict()) == list(net.state_dict())


@pytest.mark.parametrize(
    ("net", "inputs"),
    [(Tagger(), ids(1)), (Attention(), {"ids": ids(), "mask": padding()}), (kinds("other"), kinds_inputs(key="other"))],
    ids=["lstm", "attention", "kinds"],
)
def test_networks_of_all_sorts(net: nn.Module, inputs: Any, tmp_path: Path) -> None:
    report = export_program(net, inputs, tmp_path / "net.pt2", architecture={"op": 1})
    assert report.max_eps_error <= 64
    extra = {"fxnas.json": ""}
    with program.quiet():
        torch.export.load(tmp_path / "net.pt2", extra_files=extra)
    assert json.loads(extra["fxnas.json"])["architecture"] == {"op": 1}


def test_an_output_class_that_torch_does_not_know_becomes_a_dict(tmp_path: Path) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Result:
            return Result(self.fc(x))

    report = export_program(Net(), torch.rand(2, 3), tmp_path / "net.pt2")
    assert "returns a dict of tensors" in report.notes[-1]
    assert list(load(tmp_path / "net.pt2")(torch.rand(4, 3))) == ["logits"]


def test_the_file_tells_nothing_about_this_machine(tmp_path: Path) -> None:
    export_program(Cnn(), image(), tmp_path / "net.pt2")
    assert str(Path(__file__).parent).encode() not in (tmp_path / "net.pt2").read_bytes()


@pytest.mark.parametrize("key", ["a'b", 'a"b', "a\nb", "{x}", "\\"])
def test_a_key_that_torch_would_write_into_code_is_refused(key: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="is the key of an input, and torch"):
        export_program(kinds(key), kinds_inputs(key=key), tmp_path / "net.pt2")
    assert list(tmp_path.iterdir()) == []


def test_a_mismatch_hands_nothing_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_runner", lambda plan, path: lambda tensors: {"output": torch.ones(2, 10)})
    with pytest.raises(ExportError, match="doesn't compute what eager computes"):
        export_program(Cnn(), image(), tmp_path / "net.pt2")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_says_why(tmp_path: Path) -> None:
    class Branches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + 1 if x.sum() > 0 else x

    with pytest.raises(ExportError, match=r"torch\.export fails on Branches"):
        export_program(Branches(), torch.rand(2, 3), tmp_path / "net.pt2")
    with pytest.raises(ExportError, match="open choice"):
        export_program(fxnas.LayerChoice([nn.Tanh()]), torch.rand(2, 3), tmp_path / "net.pt2")
    assert list(tmp_path.iterdir()) == []


def test_an_architecture_is_written_as_json(tmp_path: Path) -> None:
    space = fxnas.SearchSpace.from_json({"op": {"_type": "layer_choice", "_value": ["a", "b"]}})
    architecture = fxnas.Architecture({"op": [1]}, space)
    path = export_architecture(architecture, tmp_path / "best.json")
    assert json.loads(path.read_text()) == {"op": "b"}
    assert fxnas.Architecture.from_json(path, space) == architecture
    export_architecture({"op": 0}, path)
    assert json.loads(path.read_text()) == {"op": 0}
    with pytest.raises(ExportError, match="is no JSON"):
        export_architecture({"op": {1, 2}}, path)
    with pytest.raises(ExportError, match="can't be written"):
        export_architecture({"op": 0}, tmp_path / "missing" / "best.json")
    assert [entry.name for entry in tmp_path.iterdir()] == ["best.json"]
