"""Public contracts, for the tests of authors: what a pass has to keep, and what a strategy has to."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.utils import _pytree as pytree

from fxnas.graph import ChoiceGraph
from fxnas.inputs import bind_inputs
from fxnas.passes.base import Pass, PassResult
from fxnas.passes.foreign import as_choice_graph
from fxnas.strategy_contract import StrategyContract
from fxnas.verify import problems

__all__ = ["StrategyContract", "check_pass"]

_ARCHITECTURES = 8


def check_pass(
    pass_: Pass,
    graph: ChoiceGraph | GraphModule,
    inputs: Any,
    *,
    before: str | None = None,
    after: str | None = None,
    tolerance: float = 0.0,
) -> PassResult:
    """Applies a pass and checks what every pass promises.

    The graph that it is given stays as it is: text, state dict, and every module and tensor. The result is legal at its
    stage; what `modified` says is true, and a second application has nothing left to do. The result computes the same,
    in evaluation and in training mode: outputs, what is written to the inputs, gradients of inputs and parameters,
    buffers, and the random state. While choices are open this is checked for the current architecture, and for some
    others if the graph runs there.

    Args:
        pass_: the pass.
        graph: a graph that the pass takes.
        inputs: see `fxnas.inputs.bind_inputs`: a tensor, a tuple of arguments, a dict of keyword arguments, or both.
        before: the text that the graph has; None: any.
        after: the text that the result has; None: any.
        tolerance: the largest difference of an output, as a multiple of eps·max|reference|; 0 demands equal bits. With
            a tolerance only the outputs in evaluation mode are compared.

    Returns:
        The result of the pass.

    Raises:
        AssertionError: a promise is broken.
        PassError: the pass does not take the graph, or fails.
    """
    given = as_choice_graph(graph)
    args, kwargs = bind_inputs(given.module, inputs)
    whole = graph.module if isinstance(graph, ChoiceGraph) else graph
    _check_text("the graph", given.text(), before)
    seen = given.text(), _contents(whole)
    result = pass_(graph)
    assert (given.text(), _contents(whole)) == seen, f"{pass_} changes the graph that it is given"
    _check_result(pass_, given, result)
    _check_text("the result", result.graph.text(), after)
    with torch.random.fork_rng(devices=[]):
        for number, (one, other, architecture) in enumerate(_pairs(given, result.graph)):
            for training in (False,) if tolerance else (False, True):
                where = f"{pass_} ({'training' if training else 'evaluation'} mode, architecture {architecture})"
                try:
                    expected = _run(one, args, kwargs, training)
                except RuntimeError:
                    if number == 0:
                        raise
                    continue  # the graph itself doesn't run everywhere: nothing to compare with
                _compare(expected, _run(other, args, kwargs, training), tolerance, where)
    return result


def _check_text(what: str, text: str, expected: str | None) -> None:
    if expected is not None:
        assert text.strip() == "\n".join(map(str.strip, expected.strip().splitlines())), f"{what} reads\n{text}"


def _contents(module: nn.Module) -> list[Any]:
    """Every module and tensor by identity, with the version of each tensor, which a write raises."""
    modules = [(name, id(part)) for name, part in module.named_modules(remove_duplicate=False)]
    return [*modules, *((name, id(t), t._version) for name, t in _tensors(module).items())]


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    named = *module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)
    return dict(named)


def _check_result(pass_: Pass, given: ChoiceGraph, result: PassResult) -> None:
    graph = result.graph
    assert graph is not given and graph.module is not given.module, f"{pass_} gives its input back"
    assert graph.graph is not given.graph, f"{pass_} gives a result that shares the nodes of its input"
    found = problems(graph.module, graph.stage)
    assert not found, f"{pass_} gives a graph that is not legal at stage {graph.stage!r}: {found}"
    if not result.modified:
        same = given.text() == graph.text() and _leaves(given) == _leaves(graph)
        assert same, f"{pass_} says that it changed nothing, but it did"
    if graph.stage in pass_.requires and graph.stage == given.stage:
        assert not pass_(graph).modified, f"{pass_} finds more to do in its own result"


def _leaves(graph: ChoiceGraph) -> list[Any]:
    """The modules that nodes call, and all tensors, by identity."""
    called = {str(node.target) for node in graph.graph.find_nodes(op="call_module")}
    modules = [(name, id(part)) for name, part in graph.module.named_modules() if name in called]
    return sorted([*modules, *((name, id(tensor)) for name, tensor in _tensors(graph.module).items())])


def _pairs(given: ChoiceGraph, result: ChoiceGraph) -> Iterator[tuple[GraphModule, GraphModule, Any]]:
    """Copies of both modules to compare, for each architecture."""
    one = copy.deepcopy(given)
    if result.stage == "materialized" and given.stage != "materialized":
        one.select(result.module.meta["fxnas"]["architecture"])
        yield one.module, result.module, result.module.meta["fxnas"]["architecture"]
    elif given.stage == "materialized" or not given.space:
        yield one.module, result.module, {}
    else:
        other = copy.deepcopy(result)
        for architecture in _architectures(given):
            yield one.select(architecture).module, other.select(architecture).module, architecture


def _architectures(graph: ChoiceGraph) -> Iterator[Any]:
    """The current one, and others from all over the space."""
    space = graph.space
    tried = {graph.architecture.fingerprint: space.canonical(graph.architecture)}
    for i in range(_ARCHITECTURES):
        other = space.architecture(i * (space.size - 1) // (_ARCHITECTURES - 1))
        tried.setdefault(other.fingerprint, other)
    yield from tried.values()


# -- one run


@dataclass
class _Run:
    outputs: dict[str, Any]
    gradients: dict[str, Tensor | None]
    tied: list[list[str]]  # the names in `gradients` of each parameter
    buffers: dict[str, Tensor]
    random_state: Tensor
    failure: str  # of the backward pass


def _run(module: GraphModule, args: Any, kwargs: Any, training: bool) -> _Run:
    module = copy.deepcopy(module).train(training)
    leaves, spec = pytree.tree_flatten(copy.deepcopy((args, kwargs)))
    sources = [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    for leaf in sources:
        leaf.requires_grad_()
    torch.manual_seed(0)
    given = [leaf * 1 if isinstance(leaf, Tensor) and leaf.requires_grad else leaf for leaf in leaves]
    new_args, new_kwargs = pytree.tree_unflatten(given, spec)
    output = module(*new_args, **new_kwargs)
    state = torch.get_rng_state()
    outputs = {f"output{pytree.keystr(path)}": leaf for path, leaf in pytree.tree_flatten_with_path(_plain(output))[0]}
    failure = _backward([leaf for leaf in outputs.values() if isinstance(leaf, Tensor) and leaf.requires_grad])
    outputs |= {f"input {i} afterwards": leaf for i, leaf in enumerate(given)}
    gradients = {f"the gradient of input {i}": leaf.grad for i, leaf in enumerate(sources)}
    names: dict[int, list[str]] = {id(leaf): [name] for leaf, name in zip(sources, gradients, strict=True)}
    users_name = _users_names(module)
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(f"the gradient of {users_name(name)!r}")
        gradients[names[id(parameter)][-1]] = parameter.grad
    buffers = {f"buffer {users_name(name)!r}": buffer for name, buffer in module.named_buffers(remove_duplicate=False)}
    return _Run(outputs, gradients, list(names.values()), buffers, state, failure)


def _plain(output: Any) -> Any:
    """Dataclasses as dicts, at any depth, so that their tensors are found."""
    if is_dataclass(output) and not isinstance(output, type):
        return {type(output).__name__: {f.name: _plain(getattr(output, f.name)) for f in fields(output)}}
    if isinstance(output, dict):
        return {key: _plain(value) for key, value in output.items()}
    return type(output)(map(_plain, output)) if type(output) in (tuple, list) else output


def _backward(outputs: list[Tensor]) -> str:
    """Why autograd refuses; empty when it doesn't."""
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(output.shape, generator=generator).to(output) for output in outputs]
    try:
        torch.autograd.backward(outputs, weights)
    except RuntimeError as error:
        return str(error)
    return ""


def _users_names(module: GraphModule) -> Callable[[str], str]:
    """The user's name for a tensor of a materialized module, whose odd names are replaced."""
    paths: dict[str, str] = module.meta.get("fxnas", {}).get("paths", {})

    def users_name(name: str) -> str:
        parts = name.split(".")
        for i in range(len(parts), 0, -1):
            if ".".join(parts[:i]) in paths:
                return ".".join([paths[".".join(parts[:i])], *parts[i:]])
        return name

    return users_name


# -- comparisons


def _compare(expected: _Run, found: _Run, tolerance: float, where: str) -> None:
    assert list(expected.outputs) == list(found.outputs), (
        f"{where}: the outputs are {list(found.outputs)}, not {list(expected.outputs)}"
    )
    for name, reference in expected.outputs.items():
        problem = _difference(reference, found.outputs[name], tolerance)
        assert not problem, f"{where}: {name} {problem}"
    if tolerance:
        return
    assert torch.equal(expected.random_state, found.random_state), f"{where}: the random state differs afterwards"
    for name, buffer in found.buffers.items():
        if name in expected.buffers:  # a plain tensor of the model becomes a buffer when it is materialized
            problem = _difference(expected.buffers[name], buffer, 0)
            assert not problem, f"{where}: {name} {problem}"
    if expected.failure:  # nothing to compare with
        return
    assert not found.failure, f"{where}: {found.failure}"
    for names in expected.tied:
        there = [name for name in names if name in found.gradients]
        for name in there or names[:1]:  # what isn't there any more must not have had a gradient
            problem = _difference(expected.gradients[name], found.gradients.get(name), 0)
            assert not problem, f"{where}: {name} {problem}"


def _difference(reference: Any, value: Any, tolerance: float) -> str:
    """How a value differs from its reference, in words; empty when it doesn't."""
    if not isinstance(reference, Tensor) or not isinstance(value, Tensor):
        return "" if type(reference) is type(value) and reference == value else f"is {value!r}, not {reference!r}"
    if (reference.shape, reference.dtype) != (value.shape, value.dtype):
        return f"is {value.dtype} {list(value.shape)}, not {reference.dtype} {list(reference.shape)}"
    if not tolerance or not reference.dtype.is_floating_point:
        return "" if _same_bits(reference, value) else f"is off by {_largest(reference.double() - value.double()):.3g}"
    scale, off = _largest(reference), _largest(reference.double() - value.double())
    if scale == 0:
        return "is all zeros before, which checks nothing: give other inputs"
    limit = tolerance * torch.finfo(reference.dtype).eps * scale
    return "" if off <= limit else f"is off by {off:.3g}, more than {tolerance:g}·eps·{scale:.3g} = {limit:.3g}"


def _same_bits(one: Tensor, other: Tensor) -> bool:
    """NaN equals itself, and 0.0 is not -0.0."""
    first, second = (t.detach().contiguous().reshape(-1).view(torch.uint8) for t in (one, other))
    return torch.equal(first, second)


def _largest(values: Tensor) -> float:
    return float(values.detach().abs().max()) if values.numel() else 0.0
