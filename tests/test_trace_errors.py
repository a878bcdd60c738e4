"""What tracing refuses, with the user's line, and that the model is left alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import fxnas.tracing.check
from fxnas.errors import FxnasError, SearchSpaceError, TraceError
from fxnas.graph import ChoiceGraph
from fxnas.nn import InputChoice, LayerChoice
from fxnas.passes import materialize
from fxnas.trace import trace
from tests.trace_help import (
    Function,
    Layers,
    Small,
    assert_follows,
    image,
    unchanged,
    x4,
)

# -- what is refused, with the user's line


def branch_on_data(x: Tensor) -> Tensor:
    if x.sum() > 0:  # the line that is named
        return x * 2
    return x


def item(x: Tensor) -> Tensor:
    return x * x[0, 0].item()


def to_list(x: Tensor) -> Tensor:
    return x * len(x.tolist())


def numpy(x: Tensor) -> Tensor:
    return x + float(x.detach().numpy().sum())


def index(x: Tensor) -> Tensor:
    return x[int(x.argmax()) % 2]


def loop(x: Tensor) -> Tensor:
    while x.norm() < 10:
        x = x * 2
    return x


@pytest.mark.parametrize("function", [branch_on_data, item, to_list, numpy, index, loop], ids=lambda f: f.__name__)
def test_python_that_reads_data_is_refused_with_its_line(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(TraceError) as caught:
        trace(Function(function), x4())
    line = function.__code__.co_firstlineno + 1
    assert f"{__file__}:{line} in {function.__name__}" in str(caught.value)


def test_an_error_of_forward_is_named_with_its_line() -> None:
    def wrong(x: Tensor) -> Tensor:
        return x @ torch.ones(5, 5)

    with pytest.raises(
        TraceError, match=rf"test_trace_errors\.py:{wrong.__code__.co_firstlineno + 1} in wrong: .*RuntimeError"
    ):
        trace(Function(wrong), x4())


def test_candidates_of_different_shapes_are_named_with_their_shapes() -> None:
    model = nn.Sequential(LayerChoice({"narrow": nn.Linear(4, 2), "wide": nn.Linear(4, 3)}))
    with pytest.raises(TraceError) as caught:
        trace(model, x4())
    assert all(part in str(caught.value) for part in ("'0'", "narrow", "wide", "[batch, 2]", "[batch, 3]"))


def test_candidates_of_different_dtypes_are_refused() -> None:
    model = nn.Sequential(LayerChoice([nn.Identity(), Function(torch.Tensor.double)]))
    with pytest.raises(TraceError, match=r"float32.*float64"):
        trace(model, x4())


def test_candidates_of_different_structures_are_refused() -> None:
    model = nn.Sequential(LayerChoice([nn.Identity(), Function(lambda x: (x, x))]))
    with pytest.raises(TraceError, match="structure"):
        trace(model, x4())


class Unregistered(nn.Module):
    def forward(self, x):
        return LayerChoice([nn.Tanh(), nn.ReLU()])(x)


def test_a_choice_made_in_forward_is_refused() -> None:
    with pytest.raises(TraceError, match="registered"):
        trace(Unregistered(), x4())


class Contradiction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = LayerChoice([nn.Tanh(), nn.ReLU()], key="k")
        self.two = LayerChoice([nn.Tanh()], key="k")

    def forward(self, x):
        return self.two(self.one(x))


def test_choices_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(SearchSpaceError, match=r"'one'.*'two'"):
        trace(Contradiction(), x4())


class Assigning(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("last", torch.zeros(2, 4))

    def forward(self, x):
        self.last = x * 2
        return x


def test_a_buffer_that_is_replaced_is_refused_with_a_way_out() -> None:
    with pytest.raises(TraceError, match=r"'last'.*in place"):
        trace(Assigning(), x4())


def test_a_failed_trace_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(Layers(), Function(branch_on_data))
    with unchanged(model), pytest.raises(TraceError):
        trace(model, image())


# -- the model is left alone


class Mutating(nn.Module):
    """Keeps books while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.log, self.seen, self.names = 0, [], {}, {"first"}
        self.layer = nn.Linear(4, 4)
        self.pick = InputChoice(1)

    def forward(self, x):
        self.calls += 1
        self.log.append(x.shape)
        self.seen["x"] = self.calls
        self.names.add("second")
        self.cached = self.layer(x)
        picked = self.pick([x])
        return self.cached if picked is None else self.cached + picked


def test_what_forward_keeps_in_attributes_is_taken_back() -> None:
    model = Mutating()
    with unchanged(model):
        graph = trace(model, x4())
    assert (model.calls, model.log, model.seen, model.names) == (0, [], {}, {"first"})
    assert not hasattr(model, "cached")
    assert graph(x4(3)).shape == (3, 4)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_untouched(training: bool) -> None:
    model = nn.Sequential(Layers(), nn.Dropout(0.5), nn.BatchNorm2d(4)).train(training)
    model[0].block.eval()
    model[2].requires_grad_(False)
    with unchanged(model):
        graph = trace(model, image(), check=True)
    assert graph.module.training is training
    assert all(one is other for one, other in zip(model.parameters(), graph.parameters(), strict=True))


def test_hooks_of_the_user_run_as_they_do_in_eager() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    model[0].register_forward_hook(lambda module, args, output: output * 2)
    model[0].register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    graph = trace(model, x4())
    assert torch.equal(graph(x4(3)), model(x4(3)))
    assert torch.equal(materialize(graph, {})(x4(3)), model(x4(3)))


def test_a_model_in_eval_with_parts_in_training() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4), nn.Dropout(0.5)).train()
    model[0].eval()
    graph = trace(model, x4())
    assert_follows(model, graph, x4(3))


# -- check=True


def test_check_compares_graph_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Small()
    trace(model, image(), check=True)
    run = ChoiceGraph.__call__
    monkeypatch.setattr(ChoiceGraph, "__call__", lambda self, *args, **kwargs: run(self, *args, **kwargs) + 1e-6)
    with pytest.raises(TraceError, match="the graph computes something else than the model"):
        trace(model, image(), check=True)
    assert fxnas.tracing.check.check_trace is not None


def test_check_leaves_buffers_and_random_state_alone() -> None:
    model = nn.Sequential(Small(), nn.Dropout(0.5))
    with unchanged(model):
        trace(model, image(), check=True)


def test_all_errors_are_fxnas_errors() -> None:
    assert issubclass(TraceError, FxnasError)
    assert issubclass(TraceError, RuntimeError)


def test_the_users_line_is_named_when_a_choice_refuses_its_inputs() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.choice = InputChoice(n_candidates=2)

        def forward(self, x: Tensor) -> Tensor:
            return self.choice([x])

    line = Net.forward.__code__.co_firstlineno + 1
    with pytest.raises(TraceError, match=rf"test_trace_errors\.py:{line} in forward: .*takes 2 inputs"):
        trace(Net(), x4())
