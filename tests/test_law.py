"""The law: for every architecture, eager = graph = materialized = fixed, bit for bit, and ONNX within tolerance.

Random models of every feature are traced; each is compared for several architectures, in training and evaluation mode,
at two batch sizes: outputs, gradients, buffers, random state. FXNAS_LAW_EXAMPLES sets how many models there are, and
FXNAS_LAW_START where their numbers start (to see other ones).
"""

from __future__ import annotations

import os
from collections import Counter

import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import nn

from fxnas.errors import TraceError
from fxnas.exporters import export_onnx
from fxnas.passes import materialize
from fxnas.select import select
from fxnas.trace import trace
from tests.law import BATCH, Broken, Checked, architectures, check_law
from tests.random_models import Sketch, features, shrink, sketch

PARTS = 8
EXAMPLES = int(os.environ.get("FXNAS_LAW_EXAMPLES", "320"))
START = int(os.environ.get("FXNAS_LAW_START", "0"))
ARCHITECTURES = 5
ONNX = 26

seen: dict[tuple[int, int], Sketch] = {}
total = Checked()


def failure(one: Sketch) -> Exception | None:
    """What is wrong with fxnas on this model; None if nothing is, or if it is no model."""
    try:
        model = one.build()
        model(*one.inputs(BATCH))
    except Exception:
        return None
    try:
        check_law(model, one.inputs, seed=one.seed, count=ARCHITECTURES, traced_in_training=one.seed % 2 == 0)
    except Exception as error:
        return error
    return None


def report(one: Sketch, error: Exception) -> str:
    """The smallest model that fails in the same way, as code."""
    small = shrink(one, lambda other: type(failure(other)) is type(error), attempts=150)
    return (
        f"{type(error).__name__}: {error}\n\nmodel {one.seed} of size {one.size}, made smaller "
        f"({failure(small)}):\n\n{small.source}\n\nin full: python -m tests.random_models {one.seed} {one.size}"
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_the_law(part: int) -> None:
    @settings(
        max_examples=-(-EXAMPLES // PARTS), deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(number=st.integers(0, 2**20), size=st.integers(1, 12))
    def holds(number: int, size: int) -> None:
        seed = START + PARTS * number + part
        one = seen[seed, size] = sketch(seed, size)
        model = one.build()
        try:
            found = check_law(
                model, one.inputs, seed=seed, count=ARCHITECTURES, traced_in_training=seed % 2 == 0
            )
        except Exception as error:
            pytest.fail(report(one, error), pytrace=False)
        total.architectures += found.architectures
        total.without_gradients += found.without_gradients
        total.eager_fails += found.eager_fails

    holds()
