"""The law: for every architecture, eager = graph = materialized = fixed, bit for bit, and ONNX within tolerance.

Random models of every feature are traced; each is compared for several architectures, in training and evaluation mode,
at two batch sizes: outputs, gradients, buffers, random state. FXNAS_LAW_EXAMPLES sets how many models there are, and
FXNAS_LAW_START where their numbers start (to see other ones).
"""

from __future__ import annotations

import copy
import os
from pathlib import Path

import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from fxnas.errors import ExportError, TraceError
from fxnas.exporters import export_onnx
from fxnas.passes import materialize
from fxnas.select import select
from fxnas.trace import trace
from tests.law import BATCH, Checked, architectures, outcome
from tests.random_models import features, sketch
from tests.random_source import Sketch, shrink
from tests.randomness import draws_in_vain

PARTS = 8
EXAMPLES = int(os.environ.get("FXNAS_LAW_EXAMPLES", "304"))
START = int(os.environ.get("FXNAS_LAW_START", "0"))
ARCHITECTURES = 5
REFUSED = 0.05  # a branch that no graph can express is refused; no more than this share of the models may be
EXPORTED, TRIED = 26, 32


def report(one: Sketch, error: Exception) -> str:
    """The smallest model found that fails in the same way, as code."""

    def fails(other: Sketch) -> bool:
        try:
            model = other.build()
            model(*other.inputs(BATCH))
            vain = any(draws_in_vain(select(model, d), other.inputs(BATCH)) for d in architectures(model, one.seed, 5))
        except Exception:  # not a model any more
            return False
        return not vain and type(outcome(other)) is type(error)

    small = shrink(one, fails, attempts=150)
    return (
        f"{type(error).__name__}: {error}\n\nmade smaller: {outcome(small)}\n\n{small.source}\n\n"
        f"in full: python -m tests.random_models {one.seed} {one.size}"
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_the_law(part: int) -> None:
    results: list[Checked] = []
    refused: list[str] = []

    @settings(
        max_examples=-(-EXAMPLES // PARTS), deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(number=st.integers(0, 2**20), size=st.integers(1, 10))
    def holds(number: int, size: int) -> None:
        one = sketch(START + PARTS * number + part, size)
        found = outcome(one, ARCHITECTURES)
        if isinstance(found, TraceError):
            refused.append(f"{one.seed} {one.size}: {found}")
        elif isinstance(found, Exception):
            pytest.fail(report(one, found), pytrace=False)
        else:
            results.append(found)

    holds()
    models = len(results) + len(refused)
    assert models >= EXAMPLES // PARTS
    assert len(refused) <= REFUSED * models, "\n".join(refused)
    tried = 2 * sum(found.architectures for found in results)
    assert sum(found.without_gradients + found.eager_fails for found in results) <= 0.2 * tried


def test_the_models_have_every_feature() -> None:
    counted = features(sketch(START + seed, 1 + seed % 10) for seed in range(300))
    rare = {feature: n for feature, n in counted.items() if n < 4}
    assert not rare
    assert len(counted) > 60


def test_the_law_through_onnx(tmp_path: Path) -> None:
    exported, refused = 0, []
    for seed in range(START, START + TRIED):
        one = sketch(seed, 1 + seed % 8, exportable=True)
        model = one.build().eval()
        *_, decisions = architectures(model, seed, 3)
        try:
            graph = trace(model, one.inputs(BATCH))
            child = materialize(graph, {key: list(decisions[key]) for key in graph.space})
            export_onnx(child, one.inputs(BATCH), tmp_path / f"{seed}.onnx")
        except (TraceError, ExportError) as error:
            refused.append(f"{seed}: {error}")
            continue
        check_onnx(select(model, decisions), one.inputs(4, salt=1), tmp_path / f"{seed}.onnx")
        exported += 1
        if exported == EXPORTED:
            return
    pytest.fail(f"only {exported} models went through ONNX Runtime\n" + "\n".join(refused))


def check_onnx(eager: nn.Module, inputs: tuple[Tensor, ...], path: Path) -> None:
    """max|Δ| ≤ 64·eps·max|reference| for each output, or at most twice eager's own distance from float64."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [argument.name for argument in session.get_inputs()]
    found = session.run(None, {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)})
    with torch.no_grad():
        references = [t for t in pytree.tree_leaves(eager(*inputs)) if isinstance(t, Tensor)]
        exact = pytree.tree_leaves(copy.deepcopy(eager).double()(*(tensor.double() for tensor in inputs)))
    for reference, precise, output in zip(references, exact, found, strict=True):
        allowed = 64 * torch.finfo(torch.float32).eps * reference.abs().max()
        own = (reference - precise).abs().max()
        assert (reference - torch.from_numpy(output)).abs().max() <= max(allowed, 2 * own), path
