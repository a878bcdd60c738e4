"""Path dropout: rates and their schedule, what runs, and the ranking at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from fxnas.errors import FxnasError
from fxnas.oneshot import PathDropout
from fxnas.trace import trace
from tests import planted
from tests.differentiable import Everything, batch, calls, graph
from tests.test_spos import trained, with_data


def test_each_path_is_dropped_at_its_rate() -> None:
    method, draws = PathDropout(graph(), rate=0.3), 6000
    for key in ("outer", "two", "any"):
        choice = method.space[key]
        count = len(choice.candidates)
        kept = [method._kept(choice) for _ in range(draws)]
        rate = 0.3 ** (1 / count)
        for candidate in range(count):
            dropped = sum(candidate not in which for which in kept) / draws
            # where all are dropped and one has to run, one of them comes back
            expected = rate if choice.n_chosen is None else rate - 0.3 / count
            assert abs(dropped - expected) < 4 * (expected * (1 - expected) / draws) ** 0.5, (key, candidate)
        assert all(kept) is (choice.n_chosen is not None)


def test_the_rate_grows_linearly_from_zero() -> None:
    method = PathDropout(graph(), rate=0.2)
    rates = []
    for epoch in range(5):
        method.begin_epoch(epoch, 5)
        rates.append(method.current_rate)
    assert rates == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    method.begin_epoch(0, 1)
    assert method.current_rate == 0.2  # the only epoch is the last one
    method.begin_epoch(0, 5)
    assert all(len(method._kept(choice)) == len(choice.candidates) for choice in method.space.values())


def test_what_is_kept_is_added_up() -> None:
    method, x = PathDropout(graph(), rate=0.0), batch(0)[0]
    net = method.graph.module
    method.graph.eval()
    with torch.no_grad():
        found = method.forward(x)
        nested = net.outer.nested[0](x)
        a = nested.tanh() + net.outer.nested[1].linear(nested) + x.sigmoid() + nn.functional.softsign(x)
        b, c = (twin[0](y) + y.tanh() + y.relu() for twin, y in ((net.twins[0], a), (net.twins[1], x)))
        torch.testing.assert_close(found, net.head(a + b + c + b + x))


def test_what_is_dropped_neither_runs_nor_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    method = PathDropout(graph(), optimizer=lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.5))
    trained(method, range(2))  # there is momentum now
    kept = {"outer": (1,), "twin": (0, 2), "two": (0, 2), "any": (), "inner": (0,)}
    monkeypatch.setattr(method, "_kept", lambda choice: kept[choice.key])
    before = {name: p.detach().clone() for name, p in method.graph.module.named_parameters()}
    names = ["outer.nested.0", "outer.sigmoid", "twins.0.0", "twins.0.1", "twins.1.0"]
    with calls(method.graph.module, names) as ran:
        method.step(batch(5), batch(6))
    assert ran == ["outer.sigmoid", "twins.1.0"]  # the middle input of `two` isn't kept
    moved = {name for name, p in method.graph.module.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"twins.1.0.weight", "twins.1.0.bias", "head.weight", "head.bias"}


@pytest.mark.parametrize(
    ("options", "message"),
    [({"rate": 1.5}, "rate is between 0 and 1, got 1.5"), ({"samples": 0}, "samples is at least 1, got 0")],
    ids=["rate", "samples"],
)
def test_numbers_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(FxnasError, match=message):
        PathDropout(graph(), **options)


def test_without_data_there_is_nothing_to_compare_on() -> None:
    with pytest.raises(FxnasError, match="PathDropout compares architectures on data: set its valid_batches"):
        PathDropout(graph()).decide()


def test_a_state_goes_on_to_the_same_result() -> None:
    whole = trained(PathDropout(graph(), rate=0.4), range(6))
    resumed = PathDropout(graph(), rate=0.4, seed=9)
    resumed.load_state_dict(trained(PathDropout(graph(), rate=0.4), range(3)).state_dict())
    trained(resumed, range(3, 6))
    assert all(map(torch.equal, whole.weights.parameters, resumed.weights.parameters))


def outcome(seed: int) -> str:
    torch.manual_seed(0)
    method = with_data(PathDropout(trace(Everything().double(), batch(0)[0]), seed=seed, rate=0.5, samples=20))
    found = trained(method, range(5)).decide().to_json()
    return f"{found} {[float(p.detach().sum()) for p in method.weights.parameters]}"


def test_another_process_finds_the_same(run_python: Callable[..., Any]) -> None:
    code = "from tests.test_path_dropout import outcome; print(outcome(3))"
    assert run_python("-c", code, PYTHONHASHSEED="5").stdout.strip() == outcome(3) != outcome(4)


def test_it_finds_what_is_planted() -> None:
    found = []
    for seed in range(10):
        method = PathDropout(
            planted.graph(seed),
            loss=nn.functional.mse_loss,
            seed=seed,
            rate=0.6,
            optimizer=lambda p: torch.optim.SGD(p, 0.01, momentum=0.9),
        )
        for step, (train, valid) in enumerate(planted.batches(seed, 300)):
            if step % 30 == 0:
                method.begin_epoch(step // 30, 10)
            method.step(train, valid)
        method.valid_batches = [valid for _, valid in planted.batches(100 + seed, 2)]
        found.append(planted.mistakes(method.decide()))
    assert sum(mistakes <= 1 for mistakes in found) >= 9, found
