"""SMASH: candidates' weights come from the HyperNet, and what it finds with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fxnas.errors import FxnasError
from fxnas.graph import ChoiceGraph
from fxnas.nn import InputChoice, LayerChoice
from fxnas.oneshot import Smash, SmashTrainer
from fxnas.oneshot.base import Batch
from fxnas.oneshot.checkpoint import load_state, save_state
from fxnas.passes import materialize
from fxnas.trace import trace

TRUTH = {"first": "row", "second": "column", "third": "dilated", "source": 1}


def conv(kernel: int) -> nn.Conv2d:
    return nn.Conv2d(2, 2, kernel, padding=kernel // 2, bias=False)


def kernels() -> dict[str, nn.Module]:
    """None is part of another one, so that only the teacher's own can do what it does."""
    options: dict[str, Any] = {"padding": "same", "bias": False}
    return {
        "row": nn.Conv2d(2, 2, (1, 5), **options),
        "column": nn.Conv2d(2, 2, (5, 1), **options),
        "dilated": nn.Conv2d(2, 2, 3, dilation=2, **options),
    }


class Teachers(nn.Module):
    """Three pairs of channels, with a teacher for each, and one of three sources: 3 · 3 · 3 · 3 = 81 architectures."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("first", "second", "third"):
            setattr(self, name, LayerChoice(kernels()))
        self.source = InputChoice(3, n_chosen=1)
        self.head = nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        one, two, three, *sources = x.split(2, 1)
        return self.head(torch.cat([self.first(one), self.second(two), self.third(three), self.source(sources)], 1))


class Deep(nn.Module):
    """A nested choice, a shared key, a tied layer, batch norms, a skip, and a linear candidate."""

    def __init__(self) -> None:
        super().__init__()
        inner = LayerChoice({"a": conv(3), "b": nn.Tanh()}, key="inner")
        self.stem = conv(1)
        self.outer = LayerChoice(
            {"nested": nn.Sequential(conv(1), inner), "norm": nn.Sequential(conv(3), nn.BatchNorm2d(2))}
        )
        self.tied = conv(3)
        self.one = LayerChoice([self.tied, nn.Identity()], key="pair")
        self.two = LayerChoice([self.tied, conv(1)], key="pair")
        self.skip = InputChoice(1)
        self.norm, self.head = nn.BatchNorm2d(2), LayerChoice([nn.Linear(2, 3), nn.Linear(2, 3, bias=False)])

    def forward(self, x: Tensor) -> Tensor:
        y = self.outer(self.stem(x))
        kept = self.skip([x])
        y = self.norm(self.two(torch.relu(self.one(y))))
        if kept is not None:
            y = y + kept
        return self.head(y.mean((2, 3)))


def deep(**options: Any) -> Smash:
    torch.manual_seed(0)
    made = Smash(trace(Deep(), torch.zeros(2, 2, 6, 6)), **options)
    made.train_batches, made.valid_batches = [batch(i) for i in range(3)], [batch(i) for i in range(100, 103)]
    return made


def batch(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(8, 2, 6, 6, generator=generator), torch.randint(3, (8,), generator=generator)


def teachers(seed: int) -> ChoiceGraph:
    torch.manual_seed(seed)
    return trace(Teachers(), torch.zeros(2, 12, 8, 8))


def batches(seed: int, steps: int) -> Iterator[tuple[Batch, Batch]]:
    generator = torch.Generator().manual_seed(seed)
    sizes = ((1, 5), (5, 1), (3, 3))
    weights = [torch.randn(2, 2, *size, generator=generator) / (2 * size[0] * size[1]) ** 0.5 for size in sizes]

    def drawn() -> Batch:
        x = torch.randn(16, 12, 8, 8, generator=generator)
        parts = [
            torch.conv2d(x[:, :2], weights[0], padding=(0, 2)),
            torch.conv2d(x[:, 2:4], weights[1], padding=(2, 0)),
            torch.conv2d(x[:, 4:6], weights[2], padding=2, dilation=2),
            x[:, 8:10],
        ]
        return x, torch.cat(parts, 1)

    for _ in range(steps):
        yield drawn(), drawn()


def searched(seed: int, steps: int = 60, **options: Any) -> Smash:
    made = Smash(
        teachers(seed),
        loss=nn.functional.mse_loss,
        seed=seed,
        optimizer=lambda p: torch.optim.Adam(p, 0.01),
        **options,
    )
    data = list(batches(seed, steps))
    for train, valid in data:
        made.step(train, valid)
    made.valid_batches = [valid for _, valid in data[-4:]]
    return made


def test_it_finds_what_is_planted() -> None:
    found = [searched(seed).decide().to_json() for seed in range(10)]
    assert sum(each == TRUTH for each in found) >= 9, found


def test_perturbations_go_on_from_the_best_sample() -> None:
    made = searched(0, samples=5, perturbations=0)
    sampled = made.decide()
    made.perturbations = 60
    found = made.decide()
    assert found.to_json() == TRUTH != sampled.to_json()


def test_it_asks_as_often_as_it_says() -> None:
    made, asked = searched(0, 3, samples=10, perturbations=7), []
    made.metric = lambda output, target: asked.append(made.graph.architecture) or 0.0  # all alike: the first stays
    made.decide()
    assert len(asked) == len(made.valid_batches) * len(set(asked)) and 10 < len(set(asked)) <= 17
    sampled = list(dict.fromkeys(asked))[:10]
    assert all(len(each.diff(sampled[0])) == 1 for each in list(dict.fromkeys(asked))[10:])


def test_weights_of_candidates_come_from_the_hypernet() -> None:
    made, x = deep(), batch(0)
    convolutions = {p: m for p, m in made.graph.module.named_modules() if isinstance(m, nn.Conv2d) and p != "stem"}
    assert set(made._layers) == {"outer.nested.0", "outer.nested.1.a", "outer.norm.0", "tied", "two.1"}
    for rank in range(made.space.size):
        architecture = made.space.architecture(rank)
        made.graph.select(architecture)
        made.graph.eval()
        before = made.forward(x[0])
        for module in convolutions.values():
            module.weight.data.normal_()
        assert torch.equal(made.forward(x[0]), before)
        used = made.generate(architecture)
        made.loss_of(made.graph.module, x).backward()
        assert all(module.weight.grad is None for module in convolutions.values())
        for path, place in made.hypernet.places.items():
            parts = (made.hypernet.common[place], made.hypernet.templates[place], made.hypernet.mixing[place])
            assert [p.grad is not None for p in parts] == [path in used] * 3
        assert made.hypernet.first.grad is not None if used else True
        made.weights.clear()


def test_generated_weights_depend_on_the_whole_architecture() -> None:
    made = deep()
    one = made.generate({"outer": (1,), "skip": ()})
    other = made.generate({"outer": (1,), "skip": (0,)})
    assert list(one) == list(other) == ["outer.norm.0", "tied"]
    for path, weight in one.items():
        assert not torch.allclose(weight, other[path], atol=1e-3)
        torch.testing.assert_close(weight.flatten(1).norm(dim=1), torch.ones(2))


def test_inactive_choices_are_no_part_of_the_encoding() -> None:
    made = deep()
    one, other = ({"outer": (1,), "inner": (i,)} for i in (0, 1))
    assert torch.equal(made.encoded(one), made.encoded(other))
    assert made.encoded({"outer": (0,), "inner": (1,), "skip": ()}).sum() == len(made.space) - 1


def test_the_model_is_as_before_after_a_step() -> None:
    made = deep()
    weights = {name: (p, p.detach().clone()) for name, p in made.graph.module.named_parameters()}
    for i in range(12):
        made.step(batch(i), batch(100 + i))
    for name, parameter in made.graph.module.named_parameters():
        kept, value = weights[name]
        assert parameter is kept
        replaced = name.removesuffix(".weight") in made._layers
        assert torch.equal(parameter, value) or not replaced, name
    assert not torch.equal(weights["stem.weight"][0], weights["stem.weight"][1])


def test_what_is_inherited_computes_the_same() -> None:
    made = deep()
    for i in range(5):
        made.step(batch(i), batch(i))
    for rank in range(made.space.size):
        architecture = made.space.architecture(rank)
        made.inherit(architecture)
        made.graph.select(architecture).eval()
        x = batch(0)[0]
        assert torch.equal(made.forward(x), materialize(made.graph, architecture)(x))


def test_asking_changes_nothing() -> None:
    made = deep(samples=4, perturbations=4)
    for i in range(3):
        made.step(batch(i), batch(i))
    before, buffers = made.graph.architecture, {n: b.clone() for n, b in made.graph.module.named_buffers()}
    assert made.decide() == made.decide()
    assert made.graph.architecture == before and made.graph.module.training
    assert all(torch.equal(buffers[name], b) for name, b in made.graph.module.named_buffers())


def test_a_metric_that_fails_leaves_the_graph_as_it_was() -> None:
    made = deep()
    made.step(batch(0), batch(0))
    before, made.metric = made.graph.architecture, lambda output, target: 1 / 0
    with pytest.raises(ZeroDivisionError):
        made.decide()
    assert made.graph.architecture == before and made.graph.module.training
    assert made.graph.module.norm.running_mean is not None
    assert isinstance(made.graph.module.tied.weight, nn.Parameter)


def test_scores_take_statistics_of_the_architecture() -> None:
    made = deep(samples=6, perturbations=2)
    made.step(batch(0), batch(1))
    seen: list[Tensor] = []
    made.metric = lambda output, target: seen.append(output.clone()) or 0.0
    made.decide()
    for module in made.graph.module.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.fill_(7.0)
    kept, seen[:] = list(seen), []
    made.decide()
    assert all(torch.equal(a, b) for a, b in zip(kept, seen, strict=True))


def test_a_score_that_is_no_number_is_the_worst() -> None:
    made = deep(perturbations=5)
    first = made.space.architecture(0)
    made.metric = lambda output, target: float("nan" if made.graph.architecture.canonical() == first else 1)
    assert made.decide() != first


def test_a_predicate_tells_what_is_generated() -> None:
    made = deep(generated=lambda path, module: isinstance(module, nn.Linear))
    assert list(made._layers) == ["head.0", "head.1"]
    made.step(batch(0), batch(0))
    with pytest.raises(FxnasError, match=r"can't generate the weights of 'outer.nested.1.b': a Tanh has no filters"):
        deep(generated=lambda path, module: isinstance(module, nn.Tanh))
    with pytest.raises(FxnasError, match="no weights to generate"):
        deep(generated=lambda path, module: False)


def test_what_it_refuses() -> None:
    model = Teachers()
    with pytest.raises(FxnasError, match="give a function that builds the optimizer"):
        Smash(trace(model, torch.zeros(2, 12, 8, 8)), optimizer=torch.optim.SGD(model.parameters(), 0.1))
    made = deep()
    made.valid_batches = None
    with pytest.raises(FxnasError, match="set its valid_batches"):
        made.decide()


def test_a_state_goes_on_to_the_same_result(tmp_path: Path) -> None:
    def trained(made: Smash, steps: range) -> Smash:
        for i in steps:
            made.step(batch(i), batch(100 + i))
        return made

    whole, half, resumed = trained(deep(), range(8)), trained(deep(), range(3)), deep(seed=0)
    save_state(tmp_path / "state.safetensors", half.state_dict())
    resumed.load_state_dict(load_state(tmp_path / "state.safetensors"))
    trained(resumed, range(3, 8))
    for a, b in zip(whole.weights.parameters, resumed.weights.parameters, strict=True):
        assert torch.equal(a, b)
    assert whole.decide() == resumed.decide()


def test_the_same_in_another_process(run_python: Callable[..., Any], root: Any) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import torch; torch.set_num_threads(1);"
        "from tests.test_smash import searched; made = searched(3, 20);"
        "print(made.decide().to_json(), [p.sum().item() for p in made.weights.parameters])"
    )
    outputs = {run_python("-c", script, root, PYTHONHASHSEED=seed).stdout for seed in "01"}
    assert len(outputs) == 1


def test_the_network_that_is_exported_has_the_generated_weights() -> None:
    torch.manual_seed(0)
    trainer = SmashTrainer(
        Deep(),
        loss=nn.functional.cross_entropy,
        num_epochs=2,
        dataset_train=[batch(i) for i in range(4)],
        dataset_valid=[batch(100)],
        samples=10,
        perturbations=3,
        progress=False,
    )
    trainer.train()
    architecture, x = trainer.export(), batch(0)[0]
    trainer.method.graph.select(architecture).eval()
    assert torch.equal(trainer.method.forward(x), materialize(trainer.method.graph, architecture)(x))
