"""The main job from end to end, on real data: from a model with choices to verified files."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fxnas.architecture import Architecture
from fxnas.digits import DigitsNet, Split, load_digits
from fxnas.evaluators.batches import TensorBatches
from fxnas.evaluators.seeded import seeded
from fxnas.evaluators.train import TrainAndScore, fit, measure
from fxnas.exporters.module import export_module
from fxnas.exporters.onnx import export_onnx
from fxnas.graph import ChoiceGraph
from fxnas.passes.materialize import materialize
from fxnas.search import search
from fxnas.select import select
from fxnas.strategies import RegularizedEvolution
from fxnas.trace import trace


@dataclass(frozen=True)
class DemoResult:
    """What the demo found.

    Attributes:
        architecture: the best one, as JSON.
        search_score: its accuracy on the held-out digits, after the short training of the search.
        parameters: of the child.
        supernet_parameters: of the model with all candidates.
        torch_accuracy: of the retrained child on the test digits, in torch.
        onnx_accuracy: the same in ONNX Runtime, from the file.
        module_bytes: size of the module folder.
        onnx_bytes: size of the ONNX file.
        max_error: max|Δ| between torch and ONNX Runtime over the outputs for the test digits.
        seconds: wall time of everything.
    """

    architecture: dict[str, Any]
    search_score: float
    parameters: int
    supernet_parameters: int
    torch_accuracy: float
    onnx_accuracy: float
    module_bytes: int
    onnx_bytes: int
    max_error: float
    seconds: float

    def to_json(self) -> dict[str, object]:
        """The result as plain data."""
        return asdict(self)


def run_demo(
    folder: Path,
    *,
    trials: int = 12,
    seed: int = 0,
    progress: bool | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> DemoResult:
    """Searches a network for scikit-learn's digits, retrains the best, and exports it.

    Args:
        folder: where the files go: the architecture, the module and the ONNX file.
        trials: architectures to try.
        seed: of the split, the weights and the search.
        progress: as for `fxnas.search`.
        say: called with a line for each step.

    Raises:
        FxnasError: anything that a step raises.
    """
    start = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    train, held_out, test = load_digits(seed)
    with seeded(seed):
        model = DigitsNet()
    graph = trace(model, test.images[:2])
    say(f"traced DigitsNet: {len(graph.space)} choices, {graph.space.size} architectures")

    best, score = _search(graph, train, held_out, trials, seed, progress)
    best.save(folder / "architecture.json")
    say(f"searched {trials} trials by evolution: best {best.to_json()}, held-out accuracy {score:.1%}")

    with seeded(seed):
        _retrain(graph, best, train, held_out)
    child = materialize(graph, best).eval()
    say("retrained and materialized the best")

    example = test.images[:4]
    module_report = export_module(child, example, folder / "module")
    onnx_report = export_onnx(child, example, folder / "digits.onnx")
    say(f"exported {folder / 'module'} and {folder / 'digits.onnx'}, each loaded again, run and compared")

    with torch.no_grad():
        expected = child(test.images).numpy()
    actual = _run_onnx(folder / "digits.onnx", test)
    return DemoResult(
        architecture=best.to_json(),
        search_score=score,
        parameters=_parameters(child),
        supernet_parameters=_parameters(model),
        torch_accuracy=measure(child, TensorBatches(test.images, test.labels)),
        onnx_accuracy=float((actual.argmax(1) == test.labels.numpy()).mean()),
        module_bytes=module_report.size,
        onnx_bytes=onnx_report.size,
        max_error=float(np.abs(expected - actual).max()),
        seconds=time.perf_counter() - start,
    )


def _search(
    graph: ChoiceGraph, train: Split, held_out: Split, trials: int, seed: int, progress: bool | None
) -> tuple[Architecture, float]:
    evaluator = TrainAndScore(
        TensorBatches(train.images, train.labels, size=32, shuffle=True),
        TensorBatches(held_out.images, held_out.labels, size=350),
        epochs=3,
    )
    strategy = RegularizedEvolution(graph.space, seed=seed, population=5, sample_size=3)
    best = search(graph, strategy, evaluator, trials=trials, progress=progress).best
    assert best.score is not None  # the best trial has one
    return best.architecture, best.score


def _retrain(graph: ChoiceGraph, best: Architecture, train: Split, held_out: Split) -> None:
    """Trains the chosen path, longer than the search did and on its held-out digits too."""
    select(graph, best)
    images, labels = torch.cat([train.images, held_out.images]), torch.cat([train.labels, held_out.labels])
    fit(graph.module, TensorBatches(images, labels, size=32, shuffle=True), epochs=15)


def _run_onnx(path: Path, test: Split) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs: list[np.ndarray] = session.run(None, {session.get_inputs()[0].name: test.images.numpy()})
    return outputs[0]


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
