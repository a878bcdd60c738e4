"""Which way a metric is better: the sign decides, else the name."""

from __future__ import annotations

import pytest

from fxnas.objectives import objective, with_signs

COSTS = (
    "latency latency_ms ms seconds val_loss valLoss valloss loss FLOPs gflops n_params num_parameters params_m "
    "macs cost MAdds peak_memory memory_mb size_bytes test_error err energy_mj train_time runtime mean.Loss "
    "latency_per_image rmse"
)
GAINS = (
    "score accuracy acc top1 f1 auc mAP bleu speed glossy sizeable msssim timely paramount lossy neg_loss "
    "negative_latency_ms memory_saved params_reduction energy_efficiency images_per_second bytes_per_second per a"
)


@pytest.mark.parametrize("name", COSTS.split())
def test_costs_are_better_when_lower(name: str) -> None:
    assert objective(name) == (name, -1)
    assert objective(f"+{name}") == (name, 1)


@pytest.mark.parametrize("name", [*GAINS.split(), "", "objective 1", "größe"])
def test_all_else_is_better_when_higher(name: str) -> None:
    assert objective(name) == (name, 1)
    assert objective(f"-{name}") == (name, -1)


def test_what_is_recorded_has_a_sign() -> None:
    assert [str(objective(name)) for name in ("loss", "-loss", "+loss", "top1")] == ["-loss", "-loss", "+loss", "+top1"]
    assert with_signs(["loss", "-loss", "+top1"]) == ["+loss", "-loss", "+top1"]
    assert with_signs({"damaged": 1}) == {"damaged": 1}
