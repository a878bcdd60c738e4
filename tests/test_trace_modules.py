"""A traced graph is a module like any other: it trains, copies, moves, compiles."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from fxnas.passes import materialize
from fxnas.select import select
from fxnas.trace import trace
from tests.trace_help import (
    SMALL,
    Small,
    image,
)


def test_training_the_graph_is_training_the_model() -> None:
    torch.manual_seed(0)
    model = Small()
    graph, reference = trace(model, image()), copy.deepcopy(model)
    optimizers = [torch.optim.Adam(module.parameters(), lr=0.01) for module in (graph.module, reference)]
    for step in range(8):
        architecture = SMALL[step % 4]
        graph.select(architecture)
        select(reference, architecture)
        for module, optimizer in zip((graph.module, reference), optimizers, strict=True):
            optimizer.zero_grad()
            F.cross_entropy(module(image(4)), torch.tensor([0, 1, 2, 0])).backward()
            optimizer.step()
    for (name, one), other in zip(model.state_dict().items(), reference.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_state_dicts_interchange() -> None:
    model, other = Small(), Small()
    graph = trace(model, image())
    assert list(graph.state_dict()) == list(model.state_dict()) == list(graph.module.state_dict())
    graph.load_state_dict(other.state_dict())
    assert torch.equal(model.head.weight, other.head.weight)
    other.load_state_dict(graph.state_dict())
    assert [name for name, _ in graph.module.named_parameters()] == [name for name, _ in model.named_parameters()]


def test_a_deep_copy_is_independent() -> None:
    graph = trace(Small(), image()).select(SMALL[3])
    copied = copy.deepcopy(graph)
    assert copied.architecture == graph.architecture
    assert copied.text() == graph.text()
    expected = graph.eval()(image(3))
    copied.select(SMALL[0])
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    assert torch.equal(graph(image(3)), expected)
    assert graph.architecture.to_json() == {"conv": "one", "skip": 0}
    module = copy.deepcopy(graph.module)
    assert torch.equal(module(image(3)), expected)


def test_to_train_and_eval() -> None:
    model = Small()
    graph = trace(model, image())
    assert graph.to(torch.float64)(image(3).double()).dtype == torch.float64
    assert model.head.weight.dtype == torch.float64
    graph.to(torch.float32).eval()
    assert not model.norm.training
    before = model.norm.num_batches_tracked.clone()
    graph(image(3))
    assert model.norm.num_batches_tracked == before
    graph.train()(image(3))
    assert model.norm.num_batches_tracked == before + 1


@pytest.fixture
def process_group() -> Iterator[None]:
    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_distributed_data_parallel(process_group: None) -> None:
    graph = trace(Small(), image())
    parallel = nn.parallel.DistributedDataParallel(graph.module, find_unused_parameters=True)
    for architecture in SMALL:
        graph.select(architecture)
        parallel.zero_grad()
        output = parallel(image(4))
        output.sum().backward()
        used = graph.module.conv["three"].weight.grad, graph.module.conv["one"].weight.grad
        assert [gradient is not None for gradient in used] == [
            architecture["conv"] == "three",
            architecture["conv"] == "one",
        ]


def test_torch_compile() -> None:
    graph = trace(Small(), image()).eval()
    compiled = torch.compile(graph.module, backend="eager")
    for architecture in [*SMALL, *SMALL]:
        graph.select(architecture)
        assert torch.equal(compiled(image(3)), graph(image(3)))
    child = torch.compile(materialize(graph, SMALL[0]), backend="eager", fullgraph=True)
    assert torch.equal(child(image(3)), graph.select(SMALL[0])(image(3)))


def test_torch_export_of_a_materialized_module() -> None:
    graph = trace(Small(), image()).eval()
    child = materialize(graph, SMALL[1])
    program = torch.export.export(child, (image(),))
    torch.testing.assert_close(program.module()(image()), child(image()), rtol=0, atol=0)


def test_autocast_around_the_call() -> None:
    model = Small().eval()
    graph = trace(model, image())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model(image(3)), graph(image(3)))


def test_tracing_under_no_grad_gives_the_same_graph() -> None:
    model = Small()
    with torch.no_grad():
        quiet = trace(model, image())
    assert quiet.text() == trace(model, image()).text()


def test_tracing_is_deterministic() -> None:
    assert trace(Small(), image()).text() == trace(Small(), image(5)).text()
