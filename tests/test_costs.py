"""Cost models: looked up, they say exactly what the materialized network costs."""

from __future__ import annotations

import copy
import os
import pickle
import random
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.fx import GraphModule, Interpreter, Node
from torch.utils.flop_counter import FlopCounterMode

from fxnas import costs, strategies
from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.conditions import TRAINING_KEY, Condition, all_of, any_of, chosen, negate, present
from fxnas.costs.operations import FORMULAS
from fxnas.costs.work import count_elements, new_bytes
from fxnas.errors import ArchitectureError, PassError, SearchSpaceError, TraceError
from fxnas.nn import InputChoice, LayerChoice
from fxnas.passes import materialize
from fxnas.space import SearchSpace
from fxnas.trace import trace
from fxnas.zoo.nasbench_macro import NasBenchMacro
from tests.graph_help import Cells
from tests.law import architectures
from tests.random_models import sketch

DATA = Path(os.environ.get("FXNAS_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
EXAMPLES = int(os.environ.get("FXNAS_COSTS_EXAMPLES", "16"))

SIZES = {"a": (3, 1), "b": (3, None), "c": (4, 2), "d": (3, 2), "e": (2, 1)}
SPACE = SearchSpace(Choice(key, "input_choice", ("",) * count, n) for key, (count, n) in SIZES.items())


def counted(module: nn.Module, inputs: tuple[Any, ...]) -> int:
    with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
        module(*inputs)
    return int(counter.get_total_flops())


class Activations(Interpreter):
    """Adds up the memory of what nodes return and weren't given."""

    bytes = 0

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if n.op.startswith("call"):
            self.bytes += new_bytes(value, self.fetch_args_kwargs_from_env(n))
        return value


def activations(module: GraphModule, inputs: tuple[Any, ...]) -> int:
    interpreter = Activations(module)
    interpreter.run(*inputs)
    return interpreter.bytes


def atom(rng: random.Random) -> Condition:
    key = rng.choice(list(SIZES))
    count, n_chosen = SIZES[key]
    return present(key, count, n_chosen) if rng.random() < 0.2 else chosen(key, rng.randrange(count), count, n_chosen)


def condition(rng: random.Random, depth: int) -> Condition:
    if depth == 0:
        return atom(rng)
    if rng.random() < 0.2:
        return negate(condition(rng, depth - 1))
    return rng.choice((all_of, any_of))([condition(rng, depth - 1) for _ in range(rng.randint(2, 3))])


def random_terms(seed: int) -> list[tuple[Condition, int]]:
    rng = random.Random(seed)
    return [(condition(rng, rng.randint(0, 3)), rng.randint(1, 100)) for _ in range(10)]


def every(space: SearchSpace) -> list[Architecture]:
    return [space.architecture(number) for number in range(space.size)]


# -- the model itself, on random conditions


@pytest.mark.parametrize("seed", range(4))
def test_lookup_is_the_sum_of_the_terms_that_hold_one_by_one_and_at_once(seed: int) -> None:
    terms = random_terms(seed)
    model = costs.CostModel(SPACE, terms, "x")
    found = every(SPACE)
    truth = [sum(cost for when, cost in terms if when.holds(a)) for a in found]
    assert [model(a) for a in found] == truth
    many = model.many(np.array([SPACE.encode(a) for a in found]))
    assert many.dtype == np.int64
    assert many.tolist() == truth == model.many(found).tolist()


@pytest.mark.parametrize("seed", range(4))
def test_the_expected_cost_is_the_mean_over_all_architectures(seed: int) -> None:
    model = costs.CostModel(SPACE, random_terms(seed), "x")
    generator = torch.Generator().manual_seed(seed)
    likely, decisions = {}, {}
    for key, choice in SPACE.items():
        several = choice.n_chosen not in (None, 1)
        p = torch.rand(choice.count if several else len(choice.candidates), generator=generator, dtype=torch.float64)
        p = p if choice.n_chosen is None else p / p.sum()
        members = [[i in d for i in range(len(choice.candidates))] for d in choice.decisions()]
        if key == "d":  # two of three: the candidates' probabilities say how likely each pair is
            p, decisions[key] = p @ p.new_tensor(members), p
        likely[key] = p.requires_grad_()
        if choice.n_chosen is None:
            decisions[key] = torch.where(torch.tensor(members), p, 1 - p).prod(1)
        decisions.setdefault(key, p)
    expected = model.expected(likely)
    mean = sum(
        model(a) * torch.stack([decisions[key][SPACE[key].index(a[key])] for key in SPACE]).prod() for a in every(SPACE)
    )
    torch.testing.assert_close(expected, mean, rtol=1e-12, atol=1e-9)
    for key in [key for key in SPACE if key != "d"]:
        gradients = [torch.autograd.grad(value, likely[key], retain_graph=True)[0] for value in (expected, mean)]
        if SPACE[key].n_chosen is not None:  # they add up to 1: only differences between them mean anything
            gradients = [gradient - gradient.mean() for gradient in gradients]
        torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-8)


def test_gradients_reach_every_probability_and_are_finite_differences() -> None:
    model = costs.CostModel(SPACE, random_terms(7), "x")
    likely = [
        torch.full((SPACE[key].count if key == "c" else SIZES[key][0],), 0.3, dtype=torch.float64) for key in SIZES
    ]
    for p in likely:
        p.requires_grad_()
    assert torch.autograd.gradcheck(lambda *ps: model.expected(dict(zip(SIZES, ps, strict=True))), likely)
    model.expected(dict(zip(SIZES, likely, strict=True))).backward()
    assert all(p.grad is not None for p in likely)


def test_certain_probabilities_give_the_cost() -> None:
    model = costs.CostModel(SPACE, random_terms(3), "x")
    for a in every(SPACE)[::7]:
        certain = {key: torch.tensor([float(i in a[key]) for i in range(count)]) for key, (count, _) in SIZES.items()}
        certain["c"] = torch.tensor([float(d == a["c"]) for d in SPACE["c"].decisions()])
        assert model.expected(certain).item() == model(a)


def test_pairs_of_one_choice_ask_for_the_probabilities_of_decisions() -> None:
    together = any_of([chosen("c", 0, 4, 2), chosen("c", 1, 4, 2)])
    model = costs.CostModel(SPACE, [(together, 5), (chosen("c", 3, 4, 2), 1)], "x")
    likely = {key: torch.full((count,), 0.5) for key, (count, _) in SIZES.items()}
    with pytest.raises(ArchitectureError, match=r"'c' takes 2 of 4 .* shape \[6\] is needed"):
        model.expected(likely)
    likely["c"] = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 1.0])  # candidates 2 and 3
    assert model.expected(likely) == 1


def test_what_is_passed_wrongly_is_named() -> None:
    model = costs.CostModel(SPACE, [], "x")
    likely = {key: torch.full((count,), 0.5) for key, (count, _) in SIZES.items()}
    with pytest.raises(ArchitectureError, match="'b' needs the probabilities of its candidates: none are given"):
        model.expected({key: p for key, p in likely.items() if key != "b"})
    with pytest.raises(ArchitectureError, match="no choice 'z'"):
        model.expected({**likely, "z": likely["a"]})
    with pytest.raises(
        ArchitectureError, match=r"'c' needs a tensor of probabilities of shape \[4\] or \[6\], got .* \[3\]"
    ):
        model.expected({**likely, "c": torch.rand(3)})
    with pytest.raises(ArchitectureError, match=r"row 1, choice 'a': a number in 0..2 is needed, got 3"):
        model.many(np.array([[0, 0, 0, 0, 0], [3, 0, 0, 0, 0]]))
    with pytest.raises(ArchitectureError, match=r"an integer array \[architectures, 5\]"):
        model.many(np.zeros((2, 4), dtype=int))
    with pytest.raises(SearchSpaceError, match="finite number, got nan"):
        costs.CostModel(SPACE, [(atom(random.Random(0)), float("nan"))], "x")
    with pytest.raises(SearchSpaceError, match="doesn't fit the space"):
        costs.CostModel(SPACE, [(chosen("a", 0, 4, 1), 1)], "x")


def test_every_form_of_an_architecture_costs_the_same() -> None:
    space = SearchSpace(
        [Choice("op", "layer_choice", ("conv", "skip"), 1), Choice("in", "input_choice", ("", ""), None)]
    )
    model = costs.CostModel(space, [(chosen("op", 1, 2, 1), 3), (chosen("in", 0, 2, None), 0.5)], "ms")
    written: list[Any] = [
        {"op": "skip", "in": [0]}, {"op": 1, "in": [True, False]}, {"op": [1], "in": 0}, {"op": (1,), "in": (0,)},
        {"fxnas": 1, "architecture": {"op": "skip", "in": 0}}, Architecture({"op": [1], "in": [0]}, space),
    ]  # fmt: skip
    assert [model(one) for one in written] == [3.5] * len(written)
    single = SearchSpace([space["op"]])
    plain = costs.CostModel(single, [(chosen("op", 1, 2, 1), 3)], "ms")
    assert [plain({"op": value}) for value in ("skip", 1, [1], (1,), [False, True], ["skip"])] == [3] * 6
    for wrong in (True, 2, -1, "conf", [True], None, [0, 1]):
        with pytest.raises(ArchitectureError, match="choice 'op'"):
            plain({"op": wrong})
    for wrong_keys in ({}, {"op": 1, "o": 1}, {"o": 1}):
        with pytest.raises(ArchitectureError):
            plain(wrong_keys)


def test_many_decisions_are_added_up_without_a_table() -> None:
    wide = SearchSpace(
        [Choice("wide", "input_choice", ("",) * 24, None), Choice("pairs", "input_choice", ("",) * 60, 4)]
    )
    terms = [(chosen("wide", i, 24, None), i) for i in range(24)] + [(chosen("pairs", 9, 60, 4), 1000)]
    model = costs.CostModel(wide, [*terms, (present("wide", 24, None), 10_000)], "x")
    for seed in range(5):
        a = wide.sample(random.Random(seed))
        assert model(a) == sum(a["wide"]) + 1000 * (9 in a["pairs"]) + 10_000 * bool(a["wide"])
        assert model.many(np.array([wide.encode(a)])) == [model(a)]


def test_a_model_can_be_sent_to_another_process_and_prints_itself() -> None:
    model = costs.CostModel(SPACE, random_terms(1), "x")
    copied = pickle.loads(pickle.dumps(model))
    assert [copied(a) for a in every(SPACE)[::11]] == [model(a) for a in every(SPACE)[::11]]
    assert str(copied) == str(model)
    assert copied.per_candidate()[1] == ("a", 1, model.costs["a"][1])


# -- graphs


@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
@example(number=9, size=9)  # a tensor whose strides depend on decisions is flattened
@given(number=st.integers(0, 2**20), size=st.integers(1, 10))
def test_costs_are_those_of_the_network(number: int, size: int) -> None:
    one = sketch(number, size)
    try:
        model = one.build().eval()
        graph = trace(model, one.inputs(2))
    except (TraceError, AssertionError):  # a branch that no graph can express
        return
    parameters, flops = costs.params(graph), costs.flops(graph, batch=3)
    memory, elements = costs.memory(graph, batch=3), costs.elementwise(graph, batch=3)
    modes = any(TRAINING_KEY in condition.keys for condition in graph.conditions().values())
    for decisions in architectures(model, number, 4):
        given_ = {key: list(decisions[key]) for key in graph.space}
        child = materialize(graph, given_).eval()
        assert parameters(given_) == sum(p.numel() for p in child.parameters())
        try:
            graph.select(given_)
            expected = counted(graph.module, one.inputs(3))
        except RuntimeError as error:
            assert "single memory location" in str(error)  # x += a view of x fails in eager too
            continue
        assert flops(given_) == expected
        if not modes:  # what one mode alone runs is computed in both by a plain module
            assert counted(child, one.inputs(3)) == expected
            assert count_elements(partial(child, *one.inputs(3))) == elements(given_)
            assert activations(child.train(), one.inputs(3)) == memory(given_)


class Entangled(nn.Module):
    """A list of any length that is joined, and what follows has as many shapes; a tied weight, a shared module."""

    def __init__(self) -> None:
        super().__init__()
        self.some = InputChoice(3, n_chosen=None, reduction="concat", key="some")
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.two.weight = self.one.weight
        self.shared = nn.Linear(4, 4)
        self.op = LayerChoice(
            {"tied": nn.Sequential(self.one, self.two), "twice": nn.Identity(), "none": nn.Tanh()}, key="op"
        )
        self.pick = InputChoice(2, n_chosen=1, key="pick")

    def forward(self, x):
        left = self.shared(self.shared(x))
        y = self.pick([self.op(x), left])
        wide = self.some([x, y, y * 2])
        if wide is None:
            return y
        return y + torch.mm(wide @ wide.t(), y)


def test_shapes_that_depend_on_decisions_are_followed() -> None:
    x = torch.randn(5, 4)
    graph = trace(Entangled().eval(), x)
    parameters, flops = costs.params(graph), costs.flops(graph, batch=5)
    assert not flops.additive
    found = every(graph.space)
    for a in found:
        child = materialize(graph, a).eval()
        assert parameters(a) == sum(p.numel() for p in child.parameters())
        assert flops(a) == counted(child, (x,))
    rows = np.array([graph.space.encode(a) for a in found])
    assert (rows == -1).any()
    for model in (parameters, flops, costs.memory(graph)):
        assert model.many(rows).tolist() == [model(a) for a in found]


def test_the_expected_cost_of_nested_and_shared_choices_is_the_mean() -> None:
    graph = trace(Cells().eval(), torch.randn(2, 4))
    model = costs.params(graph)
    space = graph.space
    generator = torch.Generator().manual_seed(1)
    likely = {key: torch.rand(len(c.candidates), generator=generator, dtype=torch.float64) for key, c in space.items()}
    likely = {key: p if space[key].n_chosen is None else p / p.sum() for key, p in likely.items()}

    def share(key: str, decision: tuple[int, ...]) -> float:
        p = likely[key]
        if space[key].n_chosen == 1:
            return p[decision[0]].item()
        return torch.where(torch.tensor([i in decision for i in range(len(p))]), p, 1 - p).prod().item()

    total = Counter[str]()
    for a in every(space):  # inactive choices don't matter: their probabilities add up to 1
        weight = np.prod([share(key, decision) for key, decision in a.items()])
        total["cost"] += weight * model(a)
        total["weight"] += weight
    assert total["weight"] == pytest.approx(1)
    assert model.expected(likely).item() == pytest.approx(total["cost"], rel=1e-12)


def test_attention_counts_on_a_cpu_what_it_counts_on_a_gpu() -> None:
    class Attend(nn.Module):
        def forward(self, q):
            return nn.functional.scaled_dot_product_attention(q, q, q)

    flops = costs.flops(trace(Attend().eval(), torch.randn(2, 3, 4, 8)))
    assert flops({}) == 2 * 2 * 3 * 4 * 4 * 8  # two products for each of 3 heads, at batch 1


def test_an_lstm_counts_its_products() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 8, num_layers=2, batch_first=True)

        def forward(self, x):
            return self.lstm(x)[0]

    flops = costs.flops(trace(Recurrent().eval(), torch.randn(2, 5, 4)), batch=2)
    assert flops({}) == 2 * 2 * 5 * 4 * 8 * (4 + 8 + 8 + 8)


def test_what_cant_run_without_data_is_named_with_its_line() -> None:
    class Reads(nn.Module):
        def forward(self, x):
            return unfakeable(x) + 1

    graph = trace(Reads().eval(), torch.randn(2, 4))
    with pytest.raises(PassError, match=r"test_costs.py:\d+ in forward: node \w+ .*register_fake"):
        costs.flops(graph)


@torch.library.custom_op("fxnas_tests::unfakeable", mutates_args=())
def unfakeable(x: torch.Tensor) -> torch.Tensor:
    return x * 2


def test_the_graph_is_left_as_it_is() -> None:
    model = Cells()
    graph = trace(model, torch.randn(2, 4))
    before = (
        graph.text(),
        copy.deepcopy(model.state_dict()),
        [m.training for m in model.modules()],
        graph.architecture,
    )
    costs.flops(graph)
    costs.params(graph)
    assert graph.text() == before[0]
    assert graph.architecture == before[3]
    assert [m.training for m in model.modules()] == before[2]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[1][name])


def test_what_hooks_assign_is_taken_back() -> None:
    model = nn.Sequential(nn.Linear(4, 4)).eval()
    model[0].register_forward_hook(lambda module, _, output: setattr(module, "last", output))
    graph = trace(model, torch.randn(2, 4))
    for make in (costs.flops, costs.elementwise, costs.memory):
        make(graph)
        assert not hasattr(model[0], "last")
    kept = model(torch.randn(2, 4))
    costs.flops(graph)
    assert model[0].last is kept


def test_a_graph_without_choices_has_one_cost() -> None:
    graph = trace(nn.Linear(4, 2).eval(), torch.randn(3, 4))
    flops = costs.flops(graph)
    assert flops({}) == flops(graph.space.default) == flops.expected({}) == 2 * 4 * 2
    assert flops.many(np.zeros((3, 0), dtype=int)).tolist() == [16, 16, 16]


def test_equal_spaces_are_one(macro_small: Any) -> None:
    graph, flops = macro_small
    other = pickle.loads(pickle.dumps(graph.space))
    a = other.sample(random.Random(0))
    assert a.choices is not graph.space
    assert flops(a) == flops(dict(a))
    fewer = SearchSpace(list(graph.space.values())[:-1])
    with pytest.raises(ArchitectureError, match="'layer7'"):
        flops(fewer.sample(random.Random(0)))


@pytest.fixture(scope="module")
def macro_small() -> Any:
    graph = trace(NasBenchMacro.small().eval(), torch.randn(2, 3, 32, 32))
    return graph, costs.flops(graph)


def test_a_constraint_takes_a_cost_model(macro_small: Any) -> None:
    graph, flops = macro_small
    rows = np.indices((3,) * 8).reshape(8, -1).T
    limit = float(np.median(flops.many(rows)))
    strategy = strategies.Constrained(
        strategies.RegularizedEvolution(graph.space, population=5, sample_size=2), flops, limit
    )
    for trial in range(30):
        a = strategy.ask()
        assert flops(a) <= limit
        strategy.tell(a, float(trial))


# -- NAS-Bench-Macro: the benchmark's own table


@pytest.fixture(scope="module")
def macro() -> Any:
    if not (DATA / "nb_macro.npz").exists():
        pytest.skip(f"no nb_macro.npz in {DATA}")
    graph = trace(NasBenchMacro().eval(), torch.randn(2, 3, 32, 32))
    return graph, costs.params(graph), costs.flops(graph), np.load(DATA / "nb_macro.npz")


def test_all_6561_networks_cost_what_the_benchmark_says(macro: Any) -> None:
    _, parameters, flops, table = macro
    rows = np.indices((3,) * 8).reshape(8, -1).T
    assert parameters.additive
    assert flops.additive
    assert (parameters.many(rows) == table["params"].ravel()).all()
    assert (flops.many(rows) == 2 * table["flops"].ravel().astype(np.int64)).all()
    for row in rows[::97]:
        one = dict(zip(parameters.space, map(int, row), strict=True))
        assert parameters(one) == table["params"][tuple(row)]
        assert flops(one) == 2 * table["flops"][tuple(row)]


def test_materialized_networks_of_the_benchmark_cost_the_same(macro: Any) -> None:
    graph, parameters, flops, _ = macro
    for seed in range(50):
        a = graph.space.sample(random.Random(seed))
        child = materialize(graph, a).eval().to("meta")
        assert parameters(a) == sum(p.numel() for p in child.parameters())
        assert flops(a) == counted(child, (torch.empty(1, 3, 32, 32, device="meta"),))
