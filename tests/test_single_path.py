"""Single-Path NAS: its indicator, its thresholds, its warm-up, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fxnas.costs import flops
from fxnas.errors import FxnasError, PassError
from fxnas.graph import ChoiceGraph
from fxnas.nn import InputChoice, LayerChoice
from fxnas.oneshot import LogAdded, SinglePathNas, SinglePathNasTrainer
from fxnas.oneshot.base import Batch
from fxnas.oneshot.checkpoint import load_state, save_state
from fxnas.oneshot.single_path import indicator
from fxnas.passes import materialize
from fxnas.shells import inner
from fxnas.trace import trace

TRUTH = {"small": "3x3", "large": "5x5", "none": "none"}
SIZES = {"3x3": 9.0, "5x5": 25.0, "none": 1.0}


def conv(kernel: int) -> nn.Conv2d:
    return nn.Conv2d(2, 2, kernel, padding=kernel // 2, bias=False)


class Teachers(nn.Module):
    """Three pairs of channels; the teacher of the first is a 3×3 kernel, of the second a 5×5 one, of the third none.

    2 · 3 · 3 = 18 architectures.
    """

    def __init__(self) -> None:
        super().__init__()
        self.small = LayerChoice({"3x3": conv(3), "5x5": conv(5)})
        self.large = LayerChoice({"3x3": conv(3), "5x5": conv(5), "none": nn.Identity()})
        self.none = LayerChoice({"3x3": conv(3), "5x5": conv(5), "none": nn.Identity()})

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.small(x[:, :2]), self.large(x[:, 2:4]), self.none(x[:, 4:])], 1)


class Kernels:
    """A cost: the pixels of the kernels."""

    def expected(self, probabilities: Mapping[str, Tensor]) -> Tensor:
        found = [(p * torch.tensor(list(SIZES.values())[: len(p)])).sum() for p in probabilities.values()]
        return torch.stack(found).sum()


def graph(seed: int) -> ChoiceGraph:
    torch.manual_seed(seed)
    return trace(Teachers(), torch.zeros(2, 6, 8, 8))


def batches(seed: int, steps: int) -> Iterator[Batch]:
    generator = torch.Generator().manual_seed(seed)
    small, large = (0.4 * torch.randn(2, 2, k, k, generator=generator) for k in (3, 5))
    for _ in range(steps):
        x = torch.randn(16, 6, 8, 8, generator=generator)
        parts = [torch.conv2d(x[:, :2], small, padding=1), torch.conv2d(x[:, 2:4], large, padding=2), x[:, 4:]]
        yield x, torch.cat(parts, 1)


def method(seed: int = 0, **options: Any) -> SinglePathNas:
    options = {"optimizer": lambda p: torch.optim.Adam(p, 0.02), "penalty": LogAdded(Kernels(), 0.1)} | options
    return SinglePathNas(graph(seed), loss=nn.functional.mse_loss, seed=seed, **options)


def searched(seed: int = 0, steps: int = 120) -> SinglePathNas:
    made = method(seed)
    for batch in batches(seed, steps):
        made.step(batch, batch)
    return made


def test_it_finds_what_is_planted() -> None:
    found = [searched(seed).decide().to_json() for seed in range(10)]
    assert sum(each == TRUTH for each in found) >= 9, found


def test_the_indicator_is_a_step_with_the_gradient_of_the_sigmoid() -> None:
    x = torch.linspace(-3, 3, 13, requires_grad=True)  # with 0 in the middle
    values = indicator(x)
    assert values.tolist() == [0.0] * 6 + [1.0] * 7  # exactly: a candidate that is off leaves no trace
    values.sum().backward()
    sigmoid = torch.sigmoid(x.detach())
    torch.testing.assert_close(x.grad, sigmoid * (1 - sigmoid))


def test_the_gradients_of_threshold_and_weights() -> None:
    made = method()
    batch = next(batches(0, 1))
    made.weights.optimizer.step = lambda: None
    made.weights.clear = lambda: None
    made.step(batch, batch)
    weight: Any = made.graph.module.get_submodule("small.5x5").weight
    shell = weight.detach().clone()
    inner(shell, (2, 2, 3, 3)).zero_()
    # By hand: w = core + g · shell, with dL/dg = Σ dL/dw · shell and the derivative of the penalty by g.
    x, y = batch
    free = weight.detach().clone().requires_grad_()
    others = made.forward(x)[:, 2:].detach()
    loss = nn.functional.mse_loss(torch.cat([torch.conv2d(x[:, :2], free, padding=2), others], 1), y)
    (by_weight,) = torch.autograd.grad(loss, free)
    by_gate = (by_weight * shell).sum() + 0.1 * (SIZES["5x5"] - SIZES["3x3"]) / (3 * SIZES["5x5"])
    slope = torch.sigmoid(shell.square().sum()) * (1 - torch.sigmoid(shell.square().sum()))
    torch.testing.assert_close(made.thresholds["small"].grad, -(by_gate * slope)[None], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(weight.grad, by_weight + by_gate * slope * 2 * shell, rtol=1e-4, atol=1e-7)


def test_thresholds_start_from_zero_and_are_no_parameters_of_the_model() -> None:
    made = method()
    assert {key: t.tolist() for key, t in made.thresholds.items()} == {"small": [0.0], "large": [0, 0], "none": [0, 0]}
    own = {id(p) for p in made.graph.parameters()}
    assert not own & {id(t) for t in made.thresholds.values()}
    assert made.decide().to_json() == dict.fromkeys(TRUTH, "5x5")  # everything is let through at first


def test_indicators_decide() -> None:
    made = method()
    with torch.no_grad():
        made.thresholds["small"].fill_(1e3)
        made.thresholds["large"].copy_(torch.tensor([0.0, 1e3]))
        made.thresholds["none"].copy_(torch.tensor([1e3, 0.0]))  # the outer shell goes where the core does
    assert made.decide().to_json() == {"small": "3x3", "large": "3x3", "none": "none"}
    probabilities = made._probabilities(made.indicators())
    assert [p.tolist() for p in probabilities.values()] == [[1, 0], [1, 0, 0], [0, 0, 1]]


def test_the_warm_up_drops_indicators_and_has_no_penalty() -> None:
    class Refused:
        def expected(self, probabilities: Mapping[str, Tensor]) -> Tensor:
            raise AssertionError("the penalty acts in the warm-up")

    made = method(penalty=LogAdded(Refused(), 1.0), warmup=2, optimizer=lambda p: torch.optim.SGD(p, 0.0))
    seen: list[float] = []
    made.begin_epoch(1, 5)
    set_all = made.merged.set
    made.merged.set = lambda indicators: (seen.extend(torch.cat([*indicators.values()]).tolist()), set_all(indicators))
    for batch in batches(0, 200):
        made.step(batch, batch)
    assert set(seen) == {0.0, 1.0}
    assert abs(sum(seen) / len(seen) - 0.6) < 5 * (0.24 / len(seen)) ** 0.5
    made.begin_epoch(2, 5)
    with pytest.raises(AssertionError, match="the penalty acts"):
        made.step(batch, batch)
    with pytest.raises(FxnasError, match="warmup=0"):
        made.begin_epoch(0, 2)


def test_what_is_inherited_computes_the_same() -> None:
    made = searched(steps=40)
    made.inherit(made.decide())
    x = next(batches(1, 1))[0]
    child = materialize(made.graph, made.decide())
    torch.testing.assert_close(made.forward(x), child(x), rtol=1e-4, atol=1e-5)


def test_a_state_goes_on_to_the_same_result(tmp_path: Path) -> None:
    data = list(batches(0, 6))

    def trained(made: SinglePathNas, part: slice, epoch: int) -> SinglePathNas:
        made.begin_epoch(epoch, 2)
        for batch in data[part]:
            made.step(batch, batch)
        return made

    whole = trained(trained(method(warmup=1), slice(0, 2), 0), slice(2, 6), 0)
    half = trained(method(warmup=1), slice(0, 2), 0)
    resumed = method(warmup=1)
    save_state(tmp_path / "state.safetensors", half.state_dict())
    resumed.load_state_dict(load_state(tmp_path / "state.safetensors"))
    assert resumed.warming
    trained(resumed, slice(2, 6), 0)
    for a, b in zip(whole.weights.parameters, resumed.weights.parameters, strict=True):
        assert torch.equal(a, b)


def test_the_same_in_another_process(run_python: Callable[..., Any], root: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import torch; torch.set_num_threads(1);"
        "from tests.test_single_path import searched; made = searched(3, 20);"
        "print(made.decide().to_json(), [t.tolist() for t in made.thresholds.values()])"
    )
    outputs = {run_python("-c", script, root, PYTHONHASHSEED=seed).stdout for seed in "01"}
    assert len(outputs) == 1


def test_what_it_refuses() -> None:
    class Inputs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.op, self.pick = LayerChoice([conv(3), conv(5)]), InputChoice(2, n_chosen=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.pick([x, self.op(x)])

    with pytest.raises(PassError, match="choice 'pick' can't become one superkernel"):
        SinglePathNas(trace(Inputs(), torch.zeros(2, 2, 8, 8)))
    model = Teachers()
    with pytest.raises(FxnasError, match="give a function that builds the optimizer"):
        SinglePathNas(trace(model, torch.zeros(2, 6, 8, 8)), optimizer=torch.optim.SGD(model.parameters(), 0.1))


def test_the_network_that_is_exported_has_the_trained_weights() -> None:
    torch.manual_seed(0)
    trainer = SinglePathNasTrainer(
        Teachers(),
        loss=nn.functional.mse_loss,
        num_epochs=2,
        dataset_train=list(batches(0, 6)),
        dataset_valid=list(batches(0, 2)),
        warmup=1,
        progress=False,
    )
    trainer.train()
    graph, x = trainer.method.graph, next(batches(1, 1))[0]
    child = materialize(graph, trainer.export())
    torch.testing.assert_close(trainer.method.forward(x), child(x), rtol=1e-4, atol=1e-5)


def test_what_the_cost_models_tell_is_what_it_pays() -> None:
    made = method()
    cost = flops(made.graph)
    made.penalty = LogAdded(cost, 0.1)
    for i, batch in enumerate(batches(0, 3)):
        made.step(batch, batch)
        with torch.no_grad():
            made.thresholds["large"][i % 2] = 1e3
        expected = cost.expected(made._probabilities(made.indicators()))
        assert expected.item() == pytest.approx(cost(made.decide()))
