"""RepairInPlace: in-place calls that would disturb other candidates, once all candidates run."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fxnas
from fxnas.errors import PassError, TraceError
from fxnas.graph import ChoiceGraph
from fxnas.ir.writes import old_reads
from fxnas.passes import FoldIdentity, RepairInPlace
from fxnas.testing import check_pass
from fxnas.verify import problems
from tests.mixed import check_mixed, check_repaired
from tests.pass_nets import X, choice, traced
from tests.random_models import sketch

# -- what counts as shared


def test_the_value_itself_as_a_candidate_is_a_reader() -> None:
    for sibling in (nn.Identity(), lambda x: x):
        for candidates in ((sibling, nn.ReLU(inplace=True)), (nn.ReLU(inplace=True), sibling)):
            graph = traced(lambda m, x: m.op(x * 2), op=choice(*candidates))
            check_repaired(graph)
            check_repaired(FoldIdentity()(graph).graph)


def test_an_earlier_sibling_is_a_reader_for_its_gradient() -> None:
    graph = traced(lambda m, x: m.op(x * 2), op=choice(nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True)))
    check_repaired(graph)


def test_the_absent_side_of_an_optional_input_is_a_reader() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        skip = m.skip([x])
        x = m.conv(x)
        if skip is not None:
            x += skip
        return x

    graph = traced(forward, conv=nn.Conv2d(4, 4, 1), skip=fxnas.InputChoice(n_candidates=1))
    assert "no_shared_writes: add_" in str(problems(graph.module, "relaxed"))
    check_pass(
        RepairInPlace(),
        graph,
        X,
        after="""
            %x = input x
            %skip = choose 'skip' any of (%x) sum
            %conv = conv(%x)
            %add_ = .add(%conv, %skip)
            %switch = switch 'skip' then %add_ else %conv
            return %switch
        """,
    )


def test_candidates_that_run_together_follow_each_other() -> None:
    op = choice(nn.ReLU(inplace=True), nn.Tanh(), nn.Sigmoid(), n_chosen=2)
    check_repaired(traced(lambda m, x: m.op(x * 2), op=op))  # tanh gets what relu wrote, if both are chosen


def test_a_nested_choice_is_repaired() -> None:
    inner = choice(nn.ReLU(inplace=True), nn.Tanh())
    graph = traced(lambda m, x: m.op(x * 2), op=choice(inner, nn.Sigmoid()))
    check_repaired(graph)


def test_a_repair_may_save_others() -> None:
    op = choice(nn.Sequential(nn.ReLU(inplace=True), nn.Hardtanh(inplace=True)), nn.Tanh())
    graph = traced(lambda m, x: m.op(x * 2), op=op)
    result = check_repaired(graph)
    repaired: Any = result.graph.module.op
    assert [layer.inplace for layer in repaired[0]] == [False, True]


def test_writes_to_what_a_repaired_call_returns_are_kept() -> None:
    def twice(x: Tensor) -> Tensor:
        y = x.relu_()
        y.view(-1).add_(1)
        first, _ = y.detach().chunk(2)
        first.mul_(3)
        return y

    result = check_repaired(traced(lambda m, x: m.op(x * 2), op=choice(twice, nn.Tanh())))
    assert ".add_(%view, 1)" in result.graph.text()
    assert ".mul_(%getitem, 3)" in result.graph.text()


# -- what stays


def only_here(m: Any, x: Tensor) -> Tensor:
    y = x * 2
    y.add_(1)
    result: Tensor = m.op(y)
    return result


@pytest.mark.parametrize(
    ("forward", "candidates"),
    [
        (lambda m, x: m.op(x), (nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True)), nn.Tanh())),
        (only_here, (nn.Tanh(), nn.Sigmoid())),
        (lambda m, x: m.relu(m.op(x)), (nn.Tanh(), nn.Sigmoid())),
        (lambda m, x: m.op(x * 2), (nn.ReLU(inplace=True),)),
    ],
)
def test_a_write_that_disturbs_nobody_stays(forward: Any, candidates: Any) -> None:
    graph = traced(forward, op=choice(*candidates), relu=nn.ReLU(inplace=True))
    assert not problems(graph.module, "relaxed")
    assert not check_pass(RepairInPlace(), graph, X, after=graph.text()).modified
    check_mixed(graph)


def test_a_write_in_training_only_is_no_candidate() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.op(x) * 2
        if m.training:
            y += 1
        return y * 1

    graph = traced(forward, op=choice(nn.Tanh(), nn.Sigmoid()))
    assert not check_pass(RepairInPlace(), graph, X).modified


def test_readers_in_the_same_candidate_are_no_others() -> None:
    def in_own_memory(x: Tensor) -> Tensor:
        y = x * 2
        view = y.view(-1)
        y.relu_()
        return view.view_as(x)

    graph = traced(lambda m, x: m.op(x), op=choice(choice(in_own_memory, nn.Tanh()), nn.Sigmoid()))
    (write,) = (node for node in graph.graph.nodes if node.meta.get("mutates"))
    assert str(write.meta["guard"]) == "'op' has 0 and 'op.0' has 0"
    assert [read.reader.name for read in old_reads(write)] == ["view", "view_as"]
    assert not check_pass(RepairInPlace(), graph, X, after=graph.text()).modified


# -- what is refused, and why


def refusal(graph: ChoiceGraph) -> str:
    text = graph.text()
    with pytest.raises(PassError) as caught:
        RepairInPlace()(graph)
    assert graph.text() == text
    return str(caught.value)


def test_an_effect_on_the_input_is_refused() -> None:
    message = refusal(traced(lambda m, x: m.op(x), op=choice(nn.ReLU(inplace=True), nn.Tanh())))
    head, *lines = message.splitlines()
    assert head.startswith("RepairInPlace: ")
    assert (
        ": op_0 can't be made out of place: it writes to an input, a parameter or a buffer, which others see:" in head
    )
    assert "test_inplace.py:" in head  # the user's line
    assert lines == [
        "  %x = input x",
        "> %op_0 = op.0(%x)",
        "  %op_1 = op.1(%x)",
        "  %op = choose 'op' 1 of (0: %op_0, 1: %op_1)",
    ]


def test_an_effect_on_a_buffer_is_refused() -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.count += 1
            return x * self.count

    def forward(m: Any, x: Tensor) -> Tensor:
        count = counts.count.view(1)
        return m.op(x) * count

    counts = Counts()
    assert "which others see" in refusal(traced(forward, op=choice(counts, nn.Tanh())))


def views_before(x: Tensor) -> Tensor:
    view = x.view(-1)
    view.add_(1)
    return x * 1


def adds_a_view(x: Tensor) -> Tensor:
    view = x.view_as(x)
    return x.relu_() + view


def sets_an_item(x: Tensor) -> Tensor:
    x[0] = 0
    return x * 1


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (views_before, "mul_1 reads the new value by another name, mul"),
        (adds_a_view, "add reads the new value by another name, view_as"),
        (sets_an_item, "mul_1 reads the new value by another name, mul"),
    ],
)
def test_a_write_that_is_read_by_another_name_is_refused(candidate: Any, reason: str) -> None:
    assert reason in refusal(traced(lambda m, x: m.op(x * 2), op=choice(candidate, nn.Tanh())))


def test_a_write_that_is_read_after_the_choice_is_refused() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = x * 2
        view = y.view_as(y)
        return m.op(y) + view

    assert "add reads the new value by another name, view_as" in refusal(
        traced(forward, op=choice(nn.ReLU(inplace=True), nn.Tanh()))
    )


def test_a_write_to_several_values_is_refused() -> None:
    graph = traced(lambda m, x: m.op(x * 2), op=choice(lambda x: x.add_(1), nn.Tanh()))
    write = next(node for node in graph.graph.nodes if node.meta.get("mutates"))
    write.op, write.target, write.args = "call_function", torch._foreach_add_, ([write.args[0]], 1)
    graph.module.recompile()
    assert "it writes to several values" in refusal(graph)


# -- any model


@pytest.mark.parametrize("seed", range(12))
def test_a_repair_of_a_random_model_is_exact(seed: int) -> None:
    one = sketch(seed, 1 + seed % 6)
    try:
        graph = fxnas.trace(one.build().train(seed % 2 == 0), one.inputs(2))
    except TraceError:
        pytest.skip("no graph can express the model")
    try:
        result = check_pass(RepairInPlace(), graph, one.inputs(3))
    except PassError as error:
        assert "others see" in str(error) or "another name" in str(error)
        return
    assert not problems(result.graph.module, "relaxed")
    rng = random.Random(seed)
    assert result.graph.space.sample(rng)
