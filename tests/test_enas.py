"""ENAS: the controller is a distribution over architectures, and learns by REINFORCE which are good."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.errors import ArchitectureError, FxnasError
from fxnas.nn import InputChoice, LayerChoice
from fxnas.oneshot import Enas, EnasTrainer, enas
from fxnas.oneshot.controller import Controller, Sample
from fxnas.passes import materialize
from fxnas.space import SearchSpace
from tests import planted
from tests.differentiable import Options, batch, calls, graph
from tests.spaces import nested_space

BATCHES = [batch(100 + i) for i in range(3)]


class Nested(nn.Module):
    """Candidate "deep" holds a choice, and an input may be left: 6 architectures."""

    def __init__(self) -> None:
        super().__init__()
        deep = nn.Sequential(nn.Linear(4, 4), LayerChoice([nn.Tanh(), nn.Softsign()], key="inner"))
        self.outer = LayerChoice({"flat": nn.Sigmoid(), "deep": deep}, key="outer")
        self.skip = InputChoice(1, key="skip")
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        y, kept = self.outer(x), self.skip([x])
        return self.head(self.norm(y if kept is None else y + kept))


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sharp(space: SearchSpace, seed: int = 0) -> Controller:
    """In float64, with parameters so large that probabilities differ much."""
    controller = Controller(space, source(seed)).double()
    with torch.no_grad():
        for parameter in controller.parameters():
            parameter.mul_(5)
    return controller


def all_of(space: SearchSpace) -> list[Architecture]:
    return [space.architecture(rank) for rank in range(space.size)]


def given(controller: Controller, architecture: Architecture) -> Sample:
    return controller._walk(lambda choice, logits: architecture[choice.key])


def quick(net: nn.Module | None = None, **options: Any) -> Enas:
    return Enas(graph(net), **{"controller_steps": 2, "aggregate": 4, **options})


# -- the controller


@pytest.mark.parametrize(
    "space", [nested_space(), graph(Nested()).space, graph().space], ids=["nested", "small", "net"]
)
def test_probabilities_of_all_architectures_sum_to_one(space: SearchSpace) -> None:
    controller = sharp(space)
    each = torch.stack([controller.log_probability(architecture).detach() for architecture in all_of(space)]).exp()
    torch.testing.assert_close(each.sum(), torch.ones((), dtype=torch.float64))
    assert each.max() > 3 * each.min()


def test_a_sample_tells_its_probability() -> None:
    space, generator = nested_space(), source(1)
    controller, seen = sharp(space), set()
    for _ in range(30):
        sample = controller.sample(generator)
        assert list(sample.decisions) == list(space.canonical(sample.decisions))
        torch.testing.assert_close(sample.log_probability, controller.log_probability(sample.decisions))
        seen.add(tuple(sample.decisions))
    assert seen == {("outer", "skip"), ("outer", "inner", "pair", "skip")}


def test_inactive_choices_do_not_count() -> None:
    controller = sharp(nested_space())
    few = {"outer": (0,), "skip": (1,)}
    assert controller.log_probability(few) == controller.log_probability({**few, "inner": (2,), "pair": (0, 1)})
    with pytest.raises(ArchitectureError, match="inner"):
        controller.log_probability({"outer": (1,), "skip": (1,)})


def test_a_choice_is_decided_after_those_that_it_depends_on() -> None:
    space = graph().space
    assert list(space).index("inner") < list(space).index("outer")
    for seed in range(10):
        decisions = Controller(space, source(seed)).sample(source(seed)).decisions
        assert space.canonical(decisions) == decisions


def test_what_takes_part_learns_and_nothing_else() -> None:
    space = nested_space()
    controller = sharp(space)
    for architecture in all_of(space):
        controller.zero_grad()
        controller.log_probability(architecture).backward()
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in controller.parameters())
        for key, rows in controller.rows.items():
            learns = controller.embeddings.grad[list(rows)].ne(0).any(1)
            assert learns.all() if key in architecture else not learns.any()


def test_inputs_without_names_are_told_apart() -> None:
    space = SearchSpace(
        [Choice("source", "input_choice", ("", "", ""), 1), Choice("any", "input_choice", ("", ""), None)]
    )
    controller = Controller(space, source())
    optimizer = torch.optim.Adam(controller.parameters(), 0.01)
    wanted = {"source": (1,), "any": (1,)}
    for _ in range(60):
        optimizer.zero_grad()
        (-controller.log_probability(wanted)).backward()
        optimizer.step()
    assert controller.greedy().decisions == wanted
    assert controller.log_probability(wanted) > controller.log_probability({"source": (2,), "any": (0,)}) + 2


@pytest.mark.parametrize("n_chosen", [1, 2, None])
def test_the_tanh_constant_bounds_the_logits(n_chosen: int | None) -> None:
    space = SearchSpace([Choice("pick", "input_choice", ("", "", ""), n_chosen)])
    spreads = set()
    for seed in range(10):
        controller = sharp(space, seed)
        with torch.no_grad():
            controller.score.weight.mul_(1e6)
        logs = [controller.log_probability(each).item() for each in all_of(space)]
        spreads.add(round(max(logs) - min(logs), 6))
    assert spreads <= ({9.0} if n_chosen is None else {0.0, 3.0}) and max(spreads) > 0


def test_the_lstm_is_the_textbooks_and_reads_the_mean_of_what_was_chosen() -> None:
    first, two = Choice("first", "layer_choice", ("a", "b"), 1), Choice("two", "input_choice", ("", "", ""), 2)
    space = SearchSpace(
        [first, two, Choice("any", "input_choice", ("",), None), Choice("last", "layer_choice", ("a", "b"), 1)]
    )
    decisions = {"first": (1,), "two": (0, 2), "any": (), "last": (1,)}
    controller = sharp(space)
    cell, embeddings = controller.cell, controller.embeddings.split([2, 3, 1, 2])
    read, total = controller.start, torch.zeros((), dtype=torch.float64)
    h = c = torch.zeros_like(read)
    for choice, e in zip(space.values(), embeddings, strict=True):
        i, f, g, o = (read @ cell.weight_ih.T + h @ cell.weight_hh.T).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        hidden = torch.tanh(h @ controller.of_output.weight.T + e @ controller.of_embedding.weight.T)
        logits = 1.5 * torch.tanh(hidden @ controller.score.weight[0]) * (2 if choice.n_chosen is None else 1)
        every = list(choice.decisions())
        sums = torch.stack([logits[list(each)].sum() for each in every])
        taken = decisions[choice.key]
        total = total + torch.log_softmax(sums, 0)[every.index(taken)]
        read = sum((e[k : k + 1] for k in taken), torch.zeros_like(read)) / max(len(taken), 1)
    found = controller.log_probability(decisions)
    torch.testing.assert_close(found, total)
    own, expected = [torch.autograd.grad(value, list(controller.parameters())) for value in (found, total)]
    torch.testing.assert_close(own, expected)  # what is read learns too


def conditional(controller: Controller, key: str, before: dict[str, tuple[int, ...]]) -> dict[tuple[int, ...], float]:
    """The probability of each decision of the last choice, given those before it."""
    decisions = list(controller.space[key].decisions())
    logs = torch.stack([controller.log_probability({**before, key: each}) for each in decisions])
    return dict(zip(decisions, torch.softmax(logs, 0).tolist(), strict=True))


def test_entropy_and_skip_penalty_are_those_of_the_probabilities() -> None:
    first, second = (Choice(key, "input_choice", ("", "", ""), None) for key in ("first", "second"))
    alone = sharp(SearchSpace([first]))
    both = sharp(SearchSpace([first, second]))
    for decision in first.decisions():
        before = {"first": decision}
        sample = given(both, both.space.check({"first": decision, "second": (0,)}))
        start = {d: sum(both.log_probability({"first": d, "second": s}).exp().item() for s in second.decisions())
                 for d in first.decisions()}  # fmt: skip
        tables = [start, conditional(both, "second", before)]
        assert sample.entropy.item() == pytest.approx(sum(-p * math.log(p) for t in tables for p in t.values()))
        assert sample.skip_penalty.item() == pytest.approx(sum(map(penalty, tables)) / 2)
    sample = given(alone, alone.space.check({"first": ()}))
    assert sample.skip_penalty.item() == pytest.approx(penalty(conditional(alone, "first", {})))


def penalty(table: dict[tuple[int, ...], float]) -> float:
    """KL of each input's coin from a coin of 0.4."""
    taken = [sum(p for decision, p in table.items() if i in decision) for i in range(3)]
    return sum(p * math.log(p / 0.4) + (1 - p) * math.log((1 - p) / 0.6) for p in taken)


def test_without_inputs_to_skip_there_is_no_skip_penalty() -> None:
    space = SearchSpace([Choice("op", "layer_choice", ("a", "b"), 1), Choice("two", "input_choice", ("", "", ""), 2)])
    assert sharp(space).sample(source()).skip_penalty == 0


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    controllers = [Controller(nested_space(), source(3)) for _ in range(2)]
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(*(c.parameters() for c in controllers), strict=True))
    assert all(0.05 < parameter.abs().max() <= 0.1 for parameter in controllers[0].parameters())


# -- the steps


def test_only_the_sampled_path_runs_and_it_alone_moves() -> None:
    method = quick()
    names = ["outer.nested.0", "outer.sigmoid", "outer.soft"]
    seen: set[tuple[str, ...]] = set()
    for i in range(25):
        before = {name: p.detach().clone() for name, p in method.graph.module.named_parameters()}
        with calls(method.graph.module, names) as ran:
            method.step(batch(i), batch(99))
        assert len(ran) <= 1
        seen.add(tuple(ran))
        moved = {n for n, p in method.graph.module.named_parameters() if not torch.equal(p, before[n])}
        assert "head.weight" in moved and ("outer.nested.0.weight" in moved) == (ran == names[:1])
    assert len(seen) >= 3


def test_a_path_computes_what_the_materialized_net_computes() -> None:
    method = quick()
    for i in range(10):
        method.step(batch(i), batch(99))
        child = materialize(method.graph, method.graph.architecture)
        assert torch.equal(method.graph(batch(i)[0]), child(batch(i)[0]))


@contextmanager
def still(method: Enas) -> Iterator[dict[str, Tensor]]:
    """The gradients of the controller that the last step within has; it isn't taken."""
    seen: dict[str, Tensor] = {}
    optimizer = method.policy.optimizer
    assert optimizer is not None
    step = optimizer.step
    optimizer.step = lambda: seen.update({n: p.grad.clone() for n, p in method.controller.named_parameters()})
    yield seen
    optimizer.step = step


def test_the_expected_gradient_is_that_of_the_expected_reward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enas, "ENTROPY_WEIGHT", 0.0)
    monkeypatch.setattr(enas, "SKIP_WEIGHT", 0.0)
    method = quick(Nested(), reward_function=lambda output, target: output.square().mean())
    method.controller = sharp(method.space)
    parameters = list(method.controller.parameters())
    estimated = [torch.zeros_like(p) for p in parameters]
    expected = torch.zeros((), dtype=torch.float64)
    for architecture in all_of(method.space):
        method.baseline = 0.0
        sample, reward = given(method.controller, architecture), method._reward(architecture, batch(0))
        expected = expected + sample.log_probability.exp() * reward
        each = torch.autograd.grad(method._loss(sample, reward), parameters, retain_graph=True)
        for total, gradient in zip(estimated, each, strict=True):
            total += sample.log_probability.detach().exp() * gradient
    exact = torch.autograd.grad(-expected, parameters)
    assert any(gradient.abs().max() > 1e-3 for gradient in exact)
    torch.testing.assert_close(estimated, list(exact))


def test_the_loss_and_the_baseline() -> None:
    method = quick(Options(1))
    sample = Sample({}, torch.tensor(-2.0), torch.tensor(3.0), torch.tensor(0.5))
    assert method.baseline is None
    assert float(method._loss(sample, 0.7)) == pytest.approx(0.8 * 0.5)  # the first reward is its own baseline
    assert method.baseline == pytest.approx(0.7 + 3e-4)
    assert float(method._loss(sample, 0.2)) == pytest.approx(2 * (0.2 - 0.7) + 0.8 * 0.5)
    assert method.baseline == pytest.approx(0.99 * (0.7 + 3e-4) + 0.01 * (0.2 + 3e-4))


def test_a_step_takes_the_mean_of_its_samples() -> None:
    method, rewards = quick(Nested(), aggregate=5), iter([0.3, 0.9, 0.1, 0.5, 0.7])
    method.baseline = 0.2
    method.reward_function = lambda output, target: next(rewards)
    twin = quick(Nested(), aggregate=5)
    twin.baseline = 0.2
    with still(method) as seen:
        metrics = method.controller_step(batch(0))
    losses = [twin._loss(twin.controller.sample(twin.generator), r) for r in (0.3, 0.9, 0.1, 0.5, 0.7)]
    torch.stack(losses).mean().backward()
    for name, parameter in twin.controller.named_parameters():
        torch.testing.assert_close(seen[name], parameter.grad)
    assert metrics == {"reward": pytest.approx(0.5), "baseline": twin.baseline}


def test_the_controller_learns_from_evaluation_and_leaves_the_weights() -> None:
    def reward(output: Tensor, target: Tensor) -> float:
        assert not output.requires_grad and not method.graph.module.training
        return 0.5

    method = quick(Nested(), reward_function=reward)
    before = {name: tensor.clone() for name, tensor in method.graph.module.state_dict().items()}
    controller = [p.detach().clone() for p in method.controller.parameters()]
    method.graph.train()
    method.end_epoch(BATCHES)
    assert method.graph.module.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in method.graph.module.state_dict().items())
    assert all(not torch.equal(a, b) for a, b in zip(method.controller.parameters(), controller, strict=True))
    method.step(batch(0), batch(1))
    assert int(method.graph.module.state_dict()["norm.num_batches_tracked"]) == 1


def test_validation_batches_follow_each_other() -> None:
    used: list[int] = []

    def reward(output: Tensor, target: Tensor) -> float:
        used.append(next(i for i, (_, y) in enumerate(BATCHES) if y is target))
        return 0.5

    method = quick(Options(1), reward_function=reward, controller_steps=2, aggregate=2)
    for _ in range(4):
        method.end_epoch(BATCHES)
    assert used == list(itertools.islice(itertools.cycle(range(3)), 16))


def test_it_learns_to_take_what_is_rewarded() -> None:
    method = quick(Options(1), controller_rate=0.02, controller_steps=30)
    method.reward_function = lambda *_: float(method.graph.architecture["pick"] == (2,))
    before = method.entropy()
    method.end_epoch(BATCHES)
    assert method.decide() == {"pick": (2,)} and method.entropy() < before


def test_the_skip_penalty_holds_the_inputs_at_their_target() -> None:
    method = quick(
        Options(None), controller_rate=0.02, controller_steps=150, aggregate=1, reward_function=lambda *_: 0.5
    )
    method.end_epoch(BATCHES)
    p = [sum(method.controller.log_probability(a).exp().item() for a in all_of(method.space) if i in a["pick"])
         for i in range(4)]  # fmt: skip
    assert p == pytest.approx([0.4] * 4, abs=0.03)


# -- the decision


def test_the_decision_is_the_best_of_the_samples_and_asking_changes_nothing() -> None:
    method = quick(Options(1))
    method.reward_function = lambda *_: float(method.graph.architecture["pick"] == (3,))
    method.valid_batches = BATCHES
    method.graph.select({"pick": 1})
    before = method.generator.get_state()
    assert [method.decide()["pick"] for _ in range(3)] == [(3,)] * 3
    assert torch.equal(method.generator.get_state(), before) and method.graph.architecture["pick"] == (1,)


def test_without_validation_batches_it_is_the_most_probable_one() -> None:
    method = quick(Options(1))
    method.controller = sharp(method.space)
    best = max(all_of(method.space), key=lambda each: method.controller.log_probability(each).item())
    assert method.decide() == best
    x = batch(9)[0]
    assert torch.equal(method.forward(x), materialize(method.graph, best)(x))


def test_what_is_wrong_is_told() -> None:
    with pytest.raises(FxnasError, match="aggregate is positive, got 0"):
        quick(aggregate=0)
    with pytest.raises(FxnasError, match="the validation data is empty"):
        quick().end_epoch([])
    with pytest.raises(FxnasError, match=r"the reward of \{.*'pick': .*\} is nan"):
        quick(Options(1), reward_function=lambda *_: math.nan).controller_step(batch(0))


# -- going on, elsewhere, and the whole


def trained(method: Enas, steps: range) -> Enas:
    for i in steps:  # epochs of two steps
        if i % 2 == 0:
            method.begin_epoch(i // 2, 3)
        method.step(batch(i), batch(1000 + i))
        if i % 2:
            method.end_epoch(BATCHES)
    return method


def flat(value: Any) -> Any:
    """Comparable by ==, bit by bit."""
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: flat(item) for key, item in value.items()}
    return [flat(item) for item in value] if isinstance(value, list | tuple) else value


def test_a_state_goes_on_to_the_same_result() -> None:
    whole = trained(quick(aggregate=2), range(6))
    for cut in (1, 3, 4):
        resumed = quick(aggregate=2, seed=5)
        resumed.load_state_dict(trained(quick(aggregate=2), range(cut)).state_dict())
        trained(resumed, range(cut, 6))
        assert flat(resumed.state_dict()) == flat(whole.state_dict())
        assert resumed.decide() == whole.decide()


def outcome(seed: int) -> str:
    method = trained(quick(seed=seed), range(4))
    return f"{method.decide().to_json()} {method.baseline} {flat(method.controller.state_dict())}"


def test_another_process_decides_the_same(run_python: Callable[..., Any]) -> None:
    code = "from tests.test_enas import outcome; print(outcome(3))"
    assert run_python("-c", code, PYTHONHASHSEED="7").stdout.strip() == outcome(3)
    assert outcome(4) != outcome(3)


def test_the_trainer_takes_a_reward_function() -> None:
    def reward(output: Tensor, target: Tensor) -> Tensor:
        return -nn.functional.cross_entropy(output, target)

    trainer = EnasTrainer(
        Nested().double(),
        num_epochs=2,
        dataset_train=[batch(i) for i in range(4)],
        dataset_valid=BATCHES,
        reward_function=reward,
        controller_steps=2,
        aggregate=2,
        progress=False,
    )
    trainer.train()
    assert trainer.method.baseline < 0 and set(trainer.export()) <= {"outer", "inner", "skip"}
    assert trainer.history[-1]["entropy"] > 0


def search_planted(seed: int) -> Enas:
    """Two epochs, the first a long one: rewards that grow while the baseline lags behind reward anything."""
    method = Enas(
        planted.graph(seed),
        loss=nn.functional.mse_loss,
        optimizer=lambda p: torch.optim.SGD(p, 0.05, momentum=0.9),
        reward_function=lambda output, target: -nn.functional.mse_loss(output, target),
        controller_rate=0.006,
        controller_steps=20,
        aggregate=8,
        seed=seed,
    )
    pairs = list(planted.batches(seed, 260, size=512))
    valid_batches = [valid for _, valid in pairs]
    method.valid_batches = valid_batches[:10]
    for epoch in (pairs[:230], pairs[230:]):
        for train, valid in epoch:
            method.step(train, valid)
        method.end_epoch(valid_batches)
    return method


def test_it_finds_what_is_planted() -> None:
    found = [planted.mistakes(search_planted(seed).decide()) for seed in range(10)]
    assert sum(mistakes <= 1 for mistakes in found) >= 9, found
