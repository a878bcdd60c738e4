"""ONNX files: weights that lie beside them, and checking files that may come from anywhere."""

from __future__ import annotations

import random
from pathlib import Path

import onnx
import pytest
import torch
from torch import fx

from fxnas.errors import ExportError
from fxnas.exporters import export_onnx, verify_onnx
from tests.export_nets import Attention, Cnn, dead, files, ids, image, padding, run_onnx, traced

# Weights beside the file


def test_weights_may_lie_beside(tmp_path: Path) -> None:
    net = traced(Cnn())
    report = export_onnx(net, image(), tmp_path / "net.onnx", external_data=True)
    (data,) = (name for name in files(tmp_path) if name != "net.onnx")
    assert [file.name for file in report.files] == ["net.onnx", data]
    model = onnx.load(tmp_path / "net.onnx", load_external_data=False)
    locations = {entry.value for t in model.graph.initializer for entry in t.external_data if entry.key == "location"}
    assert locations == {data}
    x = image()
    torch.testing.assert_close(torch.from_numpy(run_onnx(tmp_path / "net.onnx", x=x)[0]), net.eval()(x).detach())


def test_an_old_model_and_its_weights_are_replaced_together(tmp_path: Path) -> None:
    for _ in range(2):
        export_onnx(traced(Cnn()), image(), tmp_path / "net.onnx", external_data=True)
        assert len(files(tmp_path)) == 2
    old = files(tmp_path)
    (tmp_path / "net.onnx.thesis.data").write_text("mine")
    with pytest.raises(ExportError):
        export_onnx(dead(), torch.rand(2, 3), tmp_path / "net.onnx", external_data=True)
    assert files(tmp_path) == sorted([*old, "net.onnx.thesis.data"])
    export_onnx(traced(Cnn()), image(), tmp_path / "net.onnx")
    assert files(tmp_path) == ["net.onnx", "net.onnx.thesis.data"]


def test_large_weights_go_outside_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fxnas.exporters.onnx_file.INLINE_BYTES", 100)
    export_onnx(traced(Cnn()), image(), tmp_path / "net.onnx")
    assert len(files(tmp_path)) == 2


# Checking a file


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Path, fx.GraphModule]:
    torch.manual_seed(0)
    net = traced(Cnn().eval())
    net.meta["fxnas"] = {"architecture": {"op": 1}, "fingerprint": "a"}
    export_onnx(net, image(), tmp_path / "net.onnx", external_data=True)
    return tmp_path / "net.onnx", net


def test_a_file_is_verified_against_its_network(exported: tuple[Path, fx.GraphModule]) -> None:
    path, net = exported
    report = verify_onnx(path, net, image(4))
    assert report.batch_sizes == (4, 5, 1) and report.max_eps_error <= 64
    torch.manual_seed(1)
    with pytest.raises(ExportError, match="doesn't compute what eager computes"):
        verify_onnx(path, traced(Cnn()), image())
    with pytest.raises(ExportError, match=r"the file has the inputs \['x'\]"):
        verify_onnx(path, traced(Attention()), (ids(), padding()))
    net.meta["fxnas"] = {"architecture": {"op": 2}, "fingerprint": "b"}
    with pytest.raises(ExportError, match=r'holds the architecture \{"op": 1\}, expected \{"op": 2\}'):
        verify_onnx(path, net, image())


def test_renamed_inputs_are_matched_by_their_order(tmp_path: Path) -> None:
    net = traced(Attention().eval())
    inputs = (ids(), padding())
    export_onnx(net, inputs, tmp_path / "a.onnx", input_names=["i", "m"], output_names=["s", "w"])
    assert verify_onnx(tmp_path / "a.onnx", net, inputs).batch_sizes == (2, 3, 1)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "sub/data", "", "missing", "link", "..\\secret", "."])
def test_external_weights_stay_in_their_folder(location: str, exported: tuple[Path, fx.GraphModule]) -> None:
    path, net = exported
    (path.parent / "link").symlink_to("/etc/passwd")
    (path.parent.parent / "secret").write_bytes(bytes(10_000))
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = location if entry.key == "location" else entry.value
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ExportError, match="must be a plain file in the folder of the model"):
        verify_onnx(path, net, image())


def test_damaged_files_are_refused(exported: tuple[Path, fx.GraphModule]) -> None:
    path, net = exported
    content = path.read_bytes()
    (data,) = path.parent.glob("*.data")
    weights = data.read_bytes()
    data.write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ExportError, match="ends at byte"):
        verify_onnx(path, net, image())
    data.write_bytes(weights)
    places = random.Random(0)
    for damaged in (b"", content[: len(content) // 2], b"\xff" * 100, places.randbytes(300)):
        path.write_bytes(damaged)
        with pytest.raises(ExportError):
            verify_onnx(path, net, image())
    with pytest.raises(ExportError, match="is no file"):
        verify_onnx(path.parent / "missing.onnx", net, image())
