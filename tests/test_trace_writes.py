"""Writes that the recorded run doesn't show: of the other mode, of another layout, to statistics and to lists."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fxnas.errors import TraceError
from fxnas.nn import InputChoice, LayerChoice
from fxnas.passes import materialize
from fxnas.select import select
from fxnas.trace import trace
from fxnas.verify import problems
from tests.trace_help import Function, assert_equal, x4


def follows(model: nn.Module, *inputs: Tensor, architecture: dict[str, Any] | None = None) -> None:
    """Traced in either mode, graph and child do in both what the model does, to inputs and buffers too, twice."""
    for traced_in in (True, False):
        graph = trace(copy.deepcopy(model).train(traced_in), inputs[0])
        child = materialize(graph, architecture or {})
        graph.select(architecture or {})
        for training in (True, False):
            for x in inputs:
                eager = select(copy.deepcopy(model).train(training), architecture or {})
                for other in (copy.deepcopy(graph.module).train(training), copy.deepcopy(child).train(training)):
                    _compare(copy.deepcopy(eager), other, x)


def _compare(eager: nn.Module, other: nn.Module, x: Tensor) -> None:
    for _ in range(2):
        results = []
        for run in (eager, other):
            given = x.clone()
            torch.manual_seed(0)
            results.append([run(given), given])
        assert_equal(*results)
        buffers = dict(other.named_buffers())
        assert all(torch.equal(buffer, buffers.get(name, buffer)) for name, buffer in eager.named_buffers())


class With(nn.Module):
    """A function of the module and its input, and what it needs."""

    def __init__(self, function: Callable[[Any, Tensor], Any], **parts: nn.Module | Tensor) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.register_buffer(name, part) if isinstance(part, Tensor) else self.add_module(name, part)

    def forward(self, x):
        return self.function(self, x)


# -- in place in one mode only


def _by_module(m: Any, x: Tensor) -> Tensor:
    y = x * 2
    m.drop(y)
    return y


@pytest.mark.parametrize(
    "module",
    [
        nn.Dropout(0.5, inplace=True),
        nn.Dropout1d(0.5, inplace=True),
        nn.RReLU(inplace=True),
        nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(0.5, inplace=True)),
    ],
    ids=lambda module: type(module).__name__,
)
def test_a_module_that_may_write_in_place(module: nn.Module) -> None:
    follows(With(_by_module, drop=module), x4())


@pytest.mark.parametrize(
    "drop",
    [
        lambda m, y: F.dropout(y, 0.5, m.training, True),
        lambda m, y: F.dropout(y, training=m.training, inplace=True),
        lambda m, y: F.alpha_dropout(y, 0.5, m.training, inplace=True),
        lambda m, y: torch.dropout_(y, 0.5, m.training),
        lambda m, y: torch.ops.aten.dropout_(y, 0.5, m.training),
    ],
)
def test_a_function_that_may_write_in_place(drop: Callable[[Any, Tensor], Tensor]) -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = x * 2
        drop(m, y)
        return y

    follows(With(forward), x4())


def test_alpha_dropout_is_never_in_place_whatever_it_is_told() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        y = x * 2
        return y + m.drop(y)

    follows(With(forward, drop=nn.AlphaDropout(0.5, inplace=True)), x4())


# -- a view in one case, a copy in another


@pytest.mark.parametrize("drop", [lambda m, y: m.drop(y), lambda m, y: F.dropout(y, 0.5, m.training)])
def test_a_dropout_gives_its_input_in_evaluation(drop: Callable[[Any, Tensor], Tensor]) -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = x * 2
        drop(m, y).add_(1)
        return y

    follows(With(forward, drop=nn.Dropout(0.5)), x4())


def test_fake_strides_are_not_the_real_ones() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.norm(x.permute(0, 2, 3, 1)) + 0.5
        y.flatten(1)[:, :5] += 1
        return y

    follows(With(forward, norm=nn.BatchNorm2d(4)), torch.randn(2, 4, 4, 4), torch.randn(3, 4, 4, 4))


@pytest.mark.parametrize(
    "view",
    [
        lambda m, y: y.reshape(-1),
        lambda m, y: y.contiguous().view(-1),
        lambda m, y: torch.ravel(y),
        lambda m, y: m.flatten(y),
        lambda m, y: y.t().sum_to_size(1, 4)[0],
    ],
)
def test_a_view_where_the_batch_is_one(view: Callable[[Any, Tensor], Tensor]) -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = (x * 2).t()
        view(m, y)[..., 0] = 7
        return y

    follows(With(forward, flatten=nn.Flatten(0)), x4(), x4(1), x4(3))


# -- statistics


def _norm_for_its_statistics(m: Any, x: Tensor) -> Tensor:
    m.norm(x)
    return x * 2


def _slowly_converging() -> nn.Linear:
    """Singular values so close that the power iteration of a spectral norm still moves after dozens of steps."""
    layer = nn.Linear(4, 4)
    with torch.no_grad():
        layer.weight.copy_(torch.diag(torch.tensor([1.0, 0.95, 0.9, 0.85])))
    return layer


def _batch_norm(m: Any, x: Tensor) -> Tensor:
    F.batch_norm(x, m.mean, m.var, None, None, m.training)
    return x * 2


def _torch_batch_norm(m: Any, x: Tensor) -> Tensor:
    torch.batch_norm(x, None, None, m.mean, m.var, m.training, 0.1, 1e-5, False)
    return x * 2


def _instance_norm(m: Any, x: Tensor) -> Tensor:
    F.instance_norm(x[:, :, None].expand(-1, -1, 3), m.mean, m.var)
    return x * 2


@pytest.mark.parametrize(
    ("function", "parts"),
    [
        (_norm_for_its_statistics, {"norm": nn.BatchNorm1d(4)}),
        (_norm_for_its_statistics, {"norm": nn.BatchNorm1d(4, momentum=None)}),
        (_norm_for_its_statistics, {"norm": nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4))}),
        (_norm_for_its_statistics, {"norm": nn.utils.parametrizations.spectral_norm(_slowly_converging())}),
        (_batch_norm, {"mean": torch.zeros(4), "var": torch.ones(4)}),
        (_torch_batch_norm, {"mean": torch.zeros(4), "var": torch.ones(4)}),
        (_instance_norm, {"mean": torch.zeros(4), "var": torch.ones(4)}),
    ],
)
def test_statistics_are_updated_where_nobody_takes_the_output(
    function: Callable[[Any, Tensor], Tensor], parts: dict[str, Any]
) -> None:
    model = With(function, **parts).train()
    follows(model, x4())
    graph, before = trace(model, x4()), copy.deepcopy(model.state_dict())
    graph(x4())
    assert any(not torch.equal(tensor, before[name]) for name, tensor in graph.state_dict().items())


def test_an_embedding_bounds_the_rows_that_it_looks_up() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        m.table((x[:, 0] > 0).long())
        return x * 2

    model = With(forward, table=nn.Embedding(2, 3, max_norm=0.1))
    graph = trace(copy.deepcopy(model), x4())
    graph(x4())
    assert not torch.equal(graph.state_dict()["table.weight"], model.table.weight)
    model(x4())
    assert torch.equal(graph.state_dict()["table.weight"], model.table.weight)


def test_the_new_statistics_are_read_after_the_call() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        mean = m.norm.running_mean
        m.norm(x)
        return x * mean + m.norm.num_batches_tracked

    follows(With(forward, norm=nn.BatchNorm1d(4)), x4())


def test_a_norm_before_an_input_that_is_not_chosen_does_not_run() -> None:
    model = With(lambda m, x: m.pick([m.one(x), m.two(x)]), one=nn.BatchNorm1d(4), two=nn.BatchNorm1d(4))
    model.pick = InputChoice(2, n_chosen=1, key="pick")
    child = materialize(trace(model, x4()), {"pick": [1]})
    assert [name for name, _ in child.named_children()] == ["two"]


# -- lists of tensors, attributes, constants


def test_in_place_calls_on_lists() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        y, z = x * 2, x * 3
        torch._foreach_add_([y, m.count], 1)
        torch._foreach_mul_((z,), [y])
        torch._foreach_copy_([y], [z * 2])
        return y, z, m.count * 1

    follows(With(forward, count=torch.zeros(4)), x4())


def test_several_outputs() -> None:
    def forward(x: Tensor) -> Any:
        values, places = x[:, 0] * 0, (x[:, 0] * 0).long()
        torch.max(x, 1, out=(values, places))
        return values, places

    follows(Function(forward), x4(), x4(3))


def test_a_read_of_a_buffer_is_a_read_of_what_a_candidate_writes_to() -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x):
            self.count += 1
            return x * self.count

    counts = Counts()
    model = With(lambda m, x: m.op(x) * m.counts.count, counts=counts, op=LayerChoice([counts, nn.Tanh()], key="op"))
    (problem,) = problems(trace(model, x4()).module, "relaxed")
    assert "no_shared_writes" in problem


def test_a_buffer_has_one_number_in_every_run() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        view, other = m.count.view(2, 2), m.pick([x])
        if other is None:
            m.count.add_(1)
        else:
            x = x + other
        return x + view.view(-1)

    model = With(forward, count=torch.zeros(4))
    model.pick = InputChoice(1, n_chosen=None, key="pick")
    graph = trace(model, x4())
    reads = {s for n in graph.graph.nodes if n.op == "get_attr" for s in n.meta["storages"]}
    (write,) = [n for n in graph.graph.nodes if n.meta.get("mutates")]
    assert set(write.meta["mutates"]) == reads
    for decision in ([], [0]):
        follows(model, x4(), architecture={"pick": decision})


def test_an_assignment_to_data_is_refused() -> None:
    def forward(x: Tensor) -> Tensor:
        y = x * 2
        y.data = x * 3
        return y

    with pytest.raises(
        TraceError, match=r"test_trace_writes.py:\d+ in forward: assigning .data can't be recorded; write to"
    ):
        trace(Function(forward), x4())


def test_an_assignment_to_requires_grad_is_kept() -> None:
    def forward(x: Tensor) -> Tensor:
        y = x.detach() * 2
        y.requires_grad = True
        return y

    assert trace(Function(forward), x4())(x4()).requires_grad


def test_a_write_to_a_tensor_of_no_module_is_refused_and_does_not_happen() -> None:
    table = torch.zeros(4)
    with pytest.raises(TraceError, match=r"belongs to no module; register it as a buffer"):
        trace(Function(lambda x: x + table.add_(1)), x4())
    assert not table.any()
