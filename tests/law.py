"""The law as a function: eager, graph, materialized and fixed model of an architecture agree, bit for bit."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils import _pytree as pytree

from fxnas.errors import TraceError
from fxnas.graph import ChoiceGraph
from fxnas.nn import InputChoice, LayerChoice
from fxnas.passes import materialize
from fxnas.retrain import apply_fixed_architecture
from fxnas.select import select
from fxnas.trace import trace
from tests.random_source import Sketch

Inputs = Callable[[int], tuple[Tensor, ...]]
Decisions = dict[str, tuple[int, ...]]

BATCH, OTHER_BATCH = 2, 3
PHASES = (((True, BATCH), (False, OTHER_BATCH)), ((True, OTHER_BATCH), (False, BATCH)))


class Broken(AssertionError):
    """The law does not hold."""


@dataclass
class Checked:
    """What a check has seen."""

    architectures: int = 0
    without_gradients: int = 0  # eager's own backward fails: something it needs was written to
    eager_fails: int = 0  # eager's own forward fails, for this architecture


@dataclass
class Run:
    """What can be seen of one forward and backward pass."""

    form: Any
    outputs: list[Any]
    input_gradients: list[Tensor | None]
    random_state: Tensor
    failure: str  # of the backward pass
    modules: set[int]  # by identity: what ran


def check_law(
    model: nn.Module,
    inputs: Inputs,
    *,
    seed: int = 0,
    count: int = 5,
    traced_in_training: bool = True,
) -> Checked:
    """Traces a copy of the model and compares the four ways to run an architecture.

    Args:
        model: any model with choices; it is left as it is.
        inputs: gives inputs of a batch size.
        seed: decides which architectures are tried.
        count: how many of them, if there are as many.
        traced_in_training: the mode of the model when it is traced.

    Raises:
        Broken: something differs; the message names the architecture and what differs.
    """
    traced = copy.deepcopy(model).train(traced_in_training)
    before = _state(traced)
    graph = trace(traced, inputs(BATCH))
    _check_untouched(traced, before)
    checked = Checked()
    for number, decisions in enumerate(architectures(model, seed, count)):
        _restore(traced, model)
        given = {key: list(decisions[key]) for key in graph.space}
        if number:  # a new graph is set to the default, which comes first
            graph.select(given)
        _check_architecture(model, graph, decisions, given, inputs, PHASES[number % 2], checked)
        checked.architectures += 1
    return checked


def outcome(one: Sketch, count: int = 5) -> Checked | Exception:
    """The result of `check_law` on a random model, or what it raised."""
    model = one.build()
    try:
        return check_law(model, one.inputs, seed=one.seed, count=count, traced_in_training=one.seed % 2 == 0)
    except AssertionError as error:  # a graph of one mode only, since the two don't fit into one
        return TraceError(str(error)) if "differ too much for one graph" in str(error) else error
    except Exception as error:
        return error


def architectures(model: nn.Module, seed: int, count: int) -> Iterator[Decisions]:
    """The default, nothing optional at all, and random ones; a decision for every key, each architecture once."""
    choices: dict[str, LayerChoice | InputChoice] = {}
    for path, module in model.named_modules():
        if isinstance(module, LayerChoice | InputChoice):
            choices.setdefault(module.key or path or "choice", module)
    rng = random.Random(seed)
    yield (default := {key: choice.default for key, choice in choices.items()})
    seen = [default]
    for attempt in range(4 * count):
        decisions = {key: _decision(rng, len(c), c.n_chosen, nothing=attempt == 0) for key, c in choices.items()}
        if decisions not in seen and len(seen) < count:
            seen.append(decisions)
            yield decisions


def _decision(rng: random.Random, size: int, n_chosen: int | None, nothing: bool) -> tuple[int, ...]:
    if n_chosen is not None:
        return tuple(sorted(rng.sample(range(size), n_chosen)))
    return () if nothing else tuple(i for i in range(size) if rng.random() < 0.45)


def _check_architecture(
    model: nn.Module,
    graph: ChoiceGraph,
    decisions: Decisions,
    given: dict[str, list[int]],
    inputs: Inputs,
    phases: tuple[tuple[bool, int], ...],
    checked: Checked,
) -> None:
    eager = select(copy.deepcopy(model), decisions)
    child = materialize(graph, given)
    fixed = copy.deepcopy(model)
    names = {id(tensor): name for name, tensor in _tensors(fixed).items()}
    fixed = apply_fixed_architecture(fixed, decisions)
    users_name = _users_names(child)

    for training, batch in phases:
        place = f"{'training' if training else 'evaluation'}, batch {batch}, architecture {given}"
        try:
            expected = run(eager, inputs(batch), training)
        except RuntimeError as error:
            if "single memory location" not in str(error):  # x += a view of x
                raise
            checked.eager_fails += 1
            return
        checked.without_gradients += bool(expected.failure)
        results = {
            "graph": (graph.module, _tensors(graph.module)),
            "materialized": (child, _tensors(child, users_name)),
        }
        results["fixed"] = (fixed, {names[id(t)]: t for t in _tensors(fixed).values() if id(t) in names})
        in_use = set(results["materialized"][1]) & set(_tensors(eager))  # a plain tensor becomes a buffer
        for name, (module, tensors) in results.items():
            found = run(module, inputs(batch), training)
            with _told(f"{name} differs from eager ({place})"):
                _compare(expected, found)
                _compare_tensors(_tensors(eager), tensors, in_use, bool(expected.failure), name != "fixed")
                _compare_modules(name, eager, expected, module, found, users_name)


# -- one run


def run(module: nn.Module, inputs: tuple[Tensor, ...], training: bool) -> Run:
    """One forward and backward pass from a fixed random state."""
    module.train(training)
    module.zero_grad(set_to_none=True)
    given = [tensor.clone().requires_grad_() for tensor in inputs]
    torch.manual_seed(1)
    with _modules_called() as called:
        output = module(*given)
    state = torch.get_rng_state()
    leaves, form = pytree.tree_flatten(_plain(output))
    failure = _backward([leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.requires_grad])
    outputs = [leaf.detach() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    return Run(form, outputs, [tensor.grad for tensor in given], state, failure, called)


def _plain(output: Any) -> Any:
    """Dataclasses as dicts, so that their tensors are found."""
    if is_dataclass(output) and not isinstance(output, type):
        return {type(output).__name__: {f.name: _plain(getattr(output, f.name)) for f in fields(output)}}
    return output


def _backward(outputs: list[Tensor]) -> str:
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(output.shape, generator=generator) for output in outputs]
    try:
        torch.autograd.backward(outputs, weights)
    except RuntimeError as error:  # the model overwrites what autograd needs: so does each way to run it
        if "modified by an inplace operation" not in str(error):
            raise
        return "modified by an inplace operation"
    return ""


@contextmanager
def _modules_called() -> Iterator[set[int]]:
    called: set[int] = set()
    handle = register_module_forward_pre_hook(lambda module, _: called.add(id(module)))
    try:
        yield called
    finally:
        handle.remove()


# -- comparisons


def same_bits(one: Any, other: Any) -> bool:
    """Equal to the last bit; NaN equals itself, and 0.0 is not -0.0."""
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return type(one) is type(other) and one == other
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not one.dtype.is_floating_point:
        return torch.equal(one, other)
    whole = {4: torch.int32, 8: torch.int64, 2: torch.int16}[one.element_size()]
    return torch.equal(one.contiguous().view(whole), other.contiguous().view(whole))


@contextmanager
def _told(where: str) -> Iterator[None]:
    try:
        yield
    except Broken as broken:
        raise Broken(f"{where}: {broken}") from None


def _require(truth: bool, problem: str) -> None:
    if not truth:
        raise Broken(problem)


def _compare(expected: Run, found: Run) -> None:
    _require(expected.form == found.form, f"the output has the form {found.form}, not {expected.form}")
    for i, (one, other) in enumerate(zip(expected.outputs, found.outputs, strict=True)):
        _require(same_bits(one, other), f"output {i}: {_distance(one, other)}")
    _require(torch.equal(expected.random_state, found.random_state), "the random state after the call")
    if expected.failure:  # what only an unchosen input needs isn't written to in a graph, which may then succeed
        return
    _require(not found.failure, f"backward: {found.failure}")
    for i, (one, other) in enumerate(zip(expected.input_gradients, found.input_gradients, strict=True)):
        _require(same_bits(one, other), f"gradient of input {i}: {_distance(one, other)}")


def _compare_tensors(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], in_use: set[str], no_gradients: bool, complete: bool
) -> None:
    """Buffers, and gradients of parameters, of what is in use."""
    for name in sorted(in_use):
        if name not in found:
            _require(not complete, f"{name!r} is missing")
            continue
        one, other = expected[name], found[name]
        if isinstance(one, nn.Parameter) and not no_gradients:
            _require(same_bits(one.grad, other.grad), f"gradient of {name!r}: {_distance(one.grad, other.grad)}")
            _require(one.requires_grad == other.requires_grad, f"requires_grad of {name!r}")
        _require(same_bits(one.detach(), other.detach()), f"value of {name!r}: {_distance(one, other)}")
    if no_gradients:
        return
    known = {id(expected[name]) for name in in_use}
    for name, tensor in expected.items():
        used = tensor.grad is not None
        _require(not used or id(tensor) in known, f"{name!r} has a gradient, but isn't in the materialized module")


def _compare_modules(
    name: str, eager: nn.Module, expected: Run, module: nn.Module, found: Run, users_name: Callable[[str], str]
) -> None:
    """What eager didn't call isn't called by the graph, and isn't there in the materialized module."""
    if name == "fixed":
        return
    path_of = users_name if name == "materialized" else str
    ran = {path for path, m in eager.named_modules(remove_duplicate=False) if id(m) in expected.modules}
    for path, child in module.named_modules(remove_duplicate=False):
        if path and id(child) in found.modules and not isinstance(child, GraphModule):  # a branch of the graph itself
            _require(path_of(path) in ran, f"{path!r} runs, but not in eager")
    if isinstance(module, GraphModule) and name == "materialized":
        for target in (str(node.target) for node in module.graph.nodes if node.op == "call_module"):
            _require(path_of(target) in ran, f"{target!r} is there, but doesn't run in eager")


def _distance(one: Any, other: Any) -> str:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return f"{_short(other)} instead of {_short(one)}"
    if one.shape != other.shape or one.dtype != other.dtype:
        return f"{_short(other)} instead of {_short(one)}"
    return f"off by {(one.double() - other.double()).abs().max().item():.3g}"


def _short(value: Any) -> str:
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, Tensor) else repr(value)


# -- tensors and their names


def _tensors(module: nn.Module, path_of: Callable[[str], str] = str) -> dict[str, Tensor]:
    """Parameters and buffers under every name they have."""
    named = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    return {path_of(name): tensor for name, tensor in named if not name.startswith("_constant")}


def _users_names(child: nn.Module) -> Callable[[str], str]:
    """The user's path for a path in a materialized module."""
    paths: dict[str, str] = child.meta["fxnas"]["paths"]

    prefixes: dict[str, str] = {}
    for mine, users in paths.items():
        parts, user_parts = mine.split("."), users.split(".")
        for i in range(1, len(parts) + 1):
            prefixes[".".join(parts[:i])] = ".".join(user_parts[:i])

    def users_name(name: str) -> str:
        parts = name.split(".")
        for i in range(len(parts), 0, -1):
            head = ".".join(parts[:i])
            if head in prefixes:
                return ".".join([prefixes[head], *parts[i:]])
        return name

    return users_name


def _state(model: nn.Module) -> tuple[Any, ...]:
    tensors = {name: tensor.clone() for name, tensor in _tensors(model).items()}
    modules = {name: (type(m), m.training, list(m.__dict__)) for name, m in model.named_modules(remove_duplicate=False)}
    return tensors, modules, torch.get_rng_state()


def _check_untouched(model: nn.Module, before: tuple[Any, ...]) -> None:
    tensors, modules, random_state = _state(model)
    for name, tensor in before[0].items():
        _require(name in tensors and same_bits(tensor, tensors[name]), f"tracing changes {name!r}")
    _require(before[1] == modules, "tracing changes modules")
    _require(torch.equal(random_state, before[2]), "tracing moves the random state")


def _restore(model: nn.Module, source: nn.Module) -> None:
    with torch.no_grad():
        for tensor, original in zip(_tensors(model).values(), _tensors(source).values(), strict=True):
            tensor.copy_(original)
