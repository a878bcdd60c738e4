"""Sizes that come from the batch follow it; what Python makes of them is followed or refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fxnas.errors import TraceError
from fxnas.nn import InputChoice, LayerChoice
from fxnas.trace import trace
from fxnas.tracing.runs import Runner
from tests.trace_help import (
    Function,
    assert_follows,
    targets,
    x4,
)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.view(x.size(0), -1),
        lambda x: x.reshape(x.shape[0] * 2, -1),
        lambda x: x.reshape(2 * x.shape[0], 2, -1),
        lambda x: x[: x.shape[0] // 2],
        lambda x: x[x.size(0) - 1 :],
        lambda x: x[-(x.size(0) // 2) :],
        lambda x: x + torch.zeros(x.shape[0], 4),
        lambda x: x + torch.zeros(x.shape),
        lambda x: x + torch.ones(x.size()),
        lambda x: x + torch.full((x.size(0), 1), 2.0),
        lambda x: x + torch.arange(x.size(0))[:, None],
        lambda x: x + torch.linspace(0, 1, x.size(0))[:, None],
        lambda x: x + torch.eye(x.size(0))[:, :1],
        lambda x: torch.ones(1, 4).expand(x.size(0), -1) * x,
        lambda x: torch.ones(1, 4).repeat(x.size(0), 1) * x,
        lambda x: torch.ones(4).expand(x.shape) * x,
        lambda x: x.sum(0) / x.size(0),
        lambda x: x.sum() / x.numel(),
        lambda x: x * (1 / x.size(0)),
        lambda x: x * (x.size(0) % 3 + x.size(0) ** 2),
        lambda x: x.new_zeros(x.size(0), 2).sum() + x,
        lambda x: torch.cat([x, x]).view(x.size(0), 2, 4).sum(1),
        lambda x: torch.cat([x, x]).chunk(2)[1],
        lambda x: x.split(x.size(0))[0],
        lambda x: x.unsqueeze(0).reshape(-1, 2),
        lambda x: x.flatten(),
        lambda x: torch.stack([x, x]).transpose(0, 1).reshape(x.shape[0], -1),
        lambda x: torch.empty(x.shape).fill_(2) * x,
        lambda x: F.pad(x, (0, 0, 0, x.size(0))),
        lambda x: x.index_select(0, torch.arange(x.size(0) - 1, -1, -1)),
        lambda x: torch.cat([x, torch.zeros(1, 4)]).view((x.size(0) + 1) * 4),
        lambda x: torch.cat([x, torch.zeros(1, 4)]).view(-1, 2)[: x.size(0) * 2],
        lambda x: x.mean((0,)) + torch.tensor(x.shape[0]),
        lambda x: x.shape[0] * x + x.size()[0],
        lambda x: torch.narrow(x, 0, 0, x.size(0) // 2),
        lambda x: x.repeat_interleave(x.size(0), 0),
    ],
)  # fmt: skip
def test_sizes_that_come_from_the_batch_follow_it(function: Callable[[Tensor], Tensor]) -> None:
    model = Function(function)
    graph = trace(model, x4(2), check=True)
    for batch in (2, 4, 6, 10):
        assert_follows(model, graph, x4(batch))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[: len(x) // 2],
        lambda x: x + torch.arange(len(x))[:, None],
        lambda x: torch.stack([row.tanh() for row in x]),
        lambda x: torch.stack(list(x.unbind(0))),
        lambda x: x * 2 if x.shape[0] > 16 else x,
        lambda x: x * 2 if x.shape[0] % 2 else x,
        lambda x: x * 2 if x.shape[0] == 2 else x,
        lambda x: x * min(x.shape[0], 16),
        lambda x: x * max(x.size(0), 3),
        lambda x: x * int(x.size(0) ** 0.5),
        lambda x: x * round(x.size(0) / 2),
        lambda x: x * (x.size(0) & 3),
        lambda x: x * len(str(x.size(0))),
        lambda x: x * len(range(x.size(0))),
        lambda x: x * [3, 5][x.size(0) % 2],
        lambda x: x * bool(x.size(0) - 2),
        lambda x: x * {2: 0.5}.get(x.size(0), 2.0),
        lambda x: x.reshape(x.shape[0] // 2, -1),
        lambda x: x * float(x.size(dim=0)),
        lambda x: (y := torch.cat([x, torch.zeros(1, 4)])).reshape(y.shape[0], 2, 2),
    ],
)  # fmt: skip
def test_a_batch_size_that_python_reads_is_followed_or_refused_with_its_line(
    function: Callable[[Tensor], Tensor],
) -> None:
    model = Function(function)
    try:
        graph = trace(model, x4(2))
    except TraceError as error:
        line = function.__code__.co_firstlineno
        assert f"{__file__}:{line} in <lambda>" in str(error)
        assert "dynamic_batch=False" in str(error)
    else:
        for batch in (2, 4, 6, 18, 64):
            assert_follows(model, graph, x4(batch))
    fixed = trace(model, x4(2), dynamic_batch=False)
    assert_follows(model, fixed, x4(2))


def test_a_static_batch_is_as_traced() -> None:
    model = Function(lambda x: x.view(len(x) * 2, -1))
    graph = trace(model, x4(2), dynamic_batch=False)
    assert_follows(model, graph, x4(2))
    assert targets(graph, "call_method") == ["view"]


class OnlyTwo(nn.Module):
    def forward(self, x):
        assert x.shape[0] == 2, "two rows"
        return x * 2


def test_a_model_for_one_batch_size_says_how_to_trace_it() -> None:
    with pytest.raises(TraceError, match=r"(?s)two rows.*dynamic_batch=False"):
        trace(OnlyTwo(), x4(2))
    graph = trace(OnlyTwo(), x4(2), dynamic_batch=False)
    assert torch.equal(graph(x4(2)), x4(2) * 2)


def test_a_batch_of_one_is_no_special_case() -> None:
    model = Function(lambda x: x.squeeze(0) + x.view(x.size(0), 2, 2).sum((1, 2), keepdim=True).flatten(1))
    graph = trace(model, x4(1))
    for batch in (1, 2, 3):
        assert_follows(model, graph, x4(batch))


def test_inputs_of_several_batches() -> None:
    """Inputs whose first dimension isn't the batch keep it."""
    model = Star2()
    graph = trace(model, (x4(2), torch.randn(5, 4)))
    assert_follows(model, graph, x4(3), torch.randn(5, 4))


class Star2(nn.Module):
    def forward(self, x, table):
        return (x @ table.T).view(x.size(0), table.size(0)) * table.size(0)


def test_choices_alone_need_no_second_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes that only fxnas looks at, to compare candidates, are not sizes that Python reads."""
    runs: list[object] = []
    record = Runner.record
    monkeypatch.setattr(Runner, "record", lambda self, *args: runs.append(args) or record(self, *args))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = LayerChoice([nn.Linear(4, 4), nn.Identity()])
            self.both = InputChoice(n_candidates=2, n_chosen=2, reduction="concat", return_mask=True)

        def forward(self, x: Tensor) -> Tensor:
            y, _ = self.both([self.layer(x), x])
            return y

    trace(Net(), x4())
    assert len(runs) == 1
