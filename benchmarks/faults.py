"""Does the property test bite? Plants one fault at a time in our own code and looks whether the law notices.

    python benchmarks/faults.py [--models N] [NAME …]

Each fault replaces one function for as long as random models are checked, until a check fails. A model that is refused
doesn't count. The table tells which model caught it; the exit code is 1 if a fault survives.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn

import fxnas.nn
from fxnas import ops, retrain
from fxnas.conditions import ALWAYS, NEVER, TRAINING_KEY
from fxnas.errors import TraceError
from fxnas.ir import codegen, liveness, supernet
from fxnas.passes import materialize as _  # noqa: F401  (loads the module that the next line names)
from fxnas.passes.materialize import _Substitution
from fxnas.tracing import build, choice_recorder
from fxnas.tracing.bindings import Bindings
from fxnas.tracing.recording import size_of
from tests.law import Checked, outcome
from tests.random_models import sketch
from tests.random_source import Sketch

MATERIALIZE = sys.modules["fxnas.passes.materialize"]  # `fxnas.passes.materialize` itself is the function
Planted = AbstractContextManager[Any]

FAULTS: dict[str, Callable[[], Planted]] = {}


def fault(plant: Callable[[], Planted]) -> Callable[[], Planted]:
    """Adds a fault to the table; its name is that of the function."""
    FAULTS[plant.__name__.replace("_", " ")] = plant
    return plant


def around(owner: Any, name: str, change: Callable[..., Any]) -> Planted:
    """Replaces `owner.name` by `change(original, *arguments)`."""
    original = getattr(owner, name)

    def replacement(*args: Any, **kwargs: Any) -> Any:
        return change(original, *args, **kwargs)

    return patch.object(owner, name, replacement)


# -- the code of a graph


@fault
def off_by_one_in_choose() -> Planted:
    def change(original: Any, self: Any, node: Any) -> str:
        text: str = original(self, node)
        return text.replace("[0] == 0 else", "[0] == 1 else")

    return around(codegen.Source, "_choose", change)


@fault
def mean_as_sum() -> Planted:
    return around(ops, "reduce_outputs", lambda f, outputs, how: f(outputs, "sum" if how == "mean" else how))


@fault
def candidates_reversed_in_concat() -> Planted:
    return around(ops, "reduce_outputs", lambda f, outputs, how: f(outputs[::-1] if how == "concat" else outputs, how))


@fault
def one_output_copied() -> Planted:
    """A single output is to be passed on as it is: what is written to it afterwards reaches its source."""

    def change(original: Any, self: Any, node: Any) -> str:
        text: str = original(self, node)
        return (
            text
            if node.kwargs["reduction"] in ("none", "mask")
            else f"(lambda v: None if v is None else v + 0)({text})"
        )

    return around(codegen.Source, "_choose", change)


@fault
def gradient_cut() -> Planted:
    def change(original: Any, outputs: Any, how: Any) -> Any:
        result = original(outputs, how)
        return result.detach() if isinstance(result, torch.Tensor) else result

    return around(ops, "reduce_outputs", change)


@fault
def mask_inverted() -> Planted:
    return around(ops, "mask", lambda f, *args: ~f(*args))


@fault
def switch_sides_swapped() -> Planted:
    return around(codegen.Source, "_test", lambda f, self, node: f"not ({f(self, node)})")


@fault
def training_mode_ignored() -> Planted:
    def change(original: Any, self: Any, node: Any) -> str:
        return "False" if node.kwargs["key"] == TRAINING_KEY else original(self, node)

    return around(codegen.Source, "_test", change)


@fault
def unchosen_candidates_run_too() -> Planted:
    return around(supernet.Evaluation, "__call__", lambda f, self, decisions: (True,) * len(f(self, decisions)))


@fault
def wrong_default() -> Planted:
    return around(supernet, "_defaults", lambda f, graph: {key: _last_decision(graph, key) for key in f(graph)})


def _last_decision(graph: Any, key: str) -> tuple[int, ...]:
    node = next(n for n in graph.nodes if n.kwargs.get("key") == key)
    count, taken = len(node.kwargs["candidates"]), node.kwargs["n_chosen"]
    return tuple(range(count if taken is None else taken)) if taken != 1 else (count - 1,)


@fault
def keyword_arguments_lost() -> Planted:
    return around(codegen.Source, "_arguments", lambda f, self, args, kwargs: f(self, args, {}))


# -- what is needed when


@fault
def in_place_write_dropped_as_dead() -> Planted:
    return around(liveness, "_need", lambda f, node, uses, readers: f(node, uses, {}))


@fault
def need_dropped() -> Planted:
    """Of several uses of a value only the first counts."""
    return around(liveness, "any_of", lambda f, conditions: next(iter(conditions), NEVER))


@fault
def effect_always() -> Planted:
    """What a candidate writes to a buffer is written whichever candidate is chosen."""
    return patch.object(liveness, "guard_of", lambda node: ALWAYS)


# -- tracing


@fault
def shared_key_ignored() -> Planted:
    return patch.object(fxnas.nn, "_key", lambda path, module: path or "choice")


@fault
def batch_size_baked_in() -> Planted:
    def change(original: Any, self: Any, value: Any) -> Any:
        return (
            self.runner.example_batch if value.function is size_of and value.operands[1] == 0 else original(self, value)
        )

    return around(build._Builder, "_expression", change)


@fault
def alias_forgotten() -> Planted:
    """The output of a choice no longer counts as memory of its candidates."""
    return patch.object(Bindings, "share", lambda self, tensor, values: None)


@fault
def sibling_writes_seen() -> Planted:
    """What one candidate writes in place isn't undone before the next is recorded."""
    return patch.object(Bindings, "rewind", lambda self, *args, **kwargs: {})


@fault
def candidates_mixed_up_in_the_recording() -> Planted:
    def change(original: Any, self: Any, choice: Any, path: Any, options: Any, reduction: Any) -> Any:
        return original(self, choice, path, list(options)[::-1], reduction)

    return around(choice_recorder.ChoiceRecorder, "_choose_record", change)


# -- materializing


@fault
def materialized_off_by_one() -> Planted:
    def change(original: Any, self: Any, node: Any) -> Any:
        decisions, key = self.decisions, node.kwargs["key"]
        count = len(node.kwargs["candidates"])
        self.decisions = {**decisions, key: tuple(sorted((i + 1) % count for i in decisions[key]))}
        try:
            return original(self, node)
        finally:
            self.decisions = decisions

    return around(_Substitution, "_chosen", change)


@fault
def materialized_mean_as_sum() -> Planted:
    def change(original: Any, self: Any, options: Any, reduction: str, node: Any) -> Any:
        return original(self, options, "sum" if reduction == "mean" else reduction, node)

    return around(_Substitution, "_reduced", change)


@fault
def materialized_sides_swapped() -> Planted:
    def change(original: Any, self: Any, node: Any, *rest: Any) -> Any:
        node.args = node.args[::-1]
        try:
            return original(self, node, *rest)
        finally:
            node.args = node.args[::-1]

    return around(_Substitution, "_switched", change)


def _mounted(change: Callable[[nn.Module], None]) -> Planted:
    def mount(original: Any, *args: Any) -> nn.Module:
        root: nn.Module = original(*args)
        change(root)
        return root

    return around(MATERIALIZE, "mount", mount)


@fault
def buffers_dropped() -> Planted:
    """The running statistics of the supernet don't reach the child."""

    def reset(root: nn.Module) -> None:
        for buffer in root.buffers():
            buffer.zero_()

    return _mounted(reset)


@fault
def requires_grad_lost() -> Planted:
    return _mounted(lambda root: root.requires_grad_(False) and None)


@fault
def tied_weights_untied() -> Planted:
    def change(original: Any, source: Any, graph: Any, names: Any, copied: Any) -> nn.Module:
        def untied(found: Any) -> Any:
            clone = copy.deepcopy(found)
            if isinstance(clone, nn.Module) and hasattr(clone, "weight"):
                clone.weight = nn.Parameter(clone.weight.detach().clone())
            return clone

        root: nn.Module = original(source, graph, names, untied)
        return root

    return around(MATERIALIZE, "mount", change)


@fault
def supernet_mutated_by_materialize() -> Planted:
    """The child shares the supernet's modules."""
    return around(MATERIALIZE, "mount", lambda f, source, graph, names, copied: f(source, graph, names, lambda m: m))


# -- fixing the eager model


@fault
def fixed_to_another_candidate() -> Planted:
    def change(original: Any, choice: Any, decision: Any) -> Any:
        count = len(choice.choose_from)
        return original(choice, tuple(sorted((i + 1) % count for i in decision)))

    return around(retrain, "fix_input_choice", change)


@fault
def second_name_of_a_choice_forgotten() -> Planted:
    """`named_children` skips a module's second name: the classic silent miscompile."""
    seen: set[tuple[int, int]] = set()

    def change(original: Any, child: Any, replacement: Any) -> Any:
        place = (id(replacement), id(child))
        if id(child) in replacement and place in seen:
            return nn.Identity()
        seen.add(place)
        return original(child, replacement)

    return around(retrain, "_resolved", change)


@dataclass(frozen=True)
class Verdict:
    """How a fault was found: the number of models it took (0: it survived) and what the check said."""

    models: int
    message: str
    seconds: float


def healthy(models: int) -> list[Sketch]:
    """Random models that pass without a fault: only these can tell anything."""
    found = (sketch(seed, 1 + seed % 12) for seed in range(models))
    return [one for one in found if isinstance(outcome(one, 4), Checked)]


def caught(plant: Callable[[], Planted], pool: list[Sketch]) -> Verdict:
    """Plants a fault and checks models until one fails."""
    start = time.perf_counter()
    with plant():
        for number, one in enumerate(pool, start=1):
            result = outcome(one, 4)
            if isinstance(result, Exception) and not isinstance(result, TraceError):
                text = f"{type(result).__name__}: {result}".partition("\n")[0]
                return Verdict(number, text, time.perf_counter() - start)
    return Verdict(0, "SURVIVED", time.perf_counter() - start)


def verdicts(names: list[str], pool: list[Sketch]) -> Iterator[tuple[str, Verdict]]:
    """The verdict on each fault."""
    for name in names:
        yield name, caught(FAULTS[name], pool)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="faults to plant; default: all")
    parser.add_argument("--models", type=int, default=80, help="models a fault may survive before it counts as missed")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in FAULTS]
    if unknown:
        parser.error(f"no such fault: {unknown[0]!r}; there are {', '.join(FAULTS)}")
    torch.set_num_threads(1)
    pool = healthy(options.models)
    print(f"{len(pool)} of {options.models} models pass without a fault\n")
    print(f"{'fault':40} {'models':>6} {'s':>6}  found by")
    survivors = 0
    for name, verdict in verdicts(options.names or list(FAULTS), pool):
        survivors += not verdict.models
        print(f"{name:40} {verdict.models or '-':>6} {verdict.seconds:6.1f}  {verdict.message[:110]}", flush=True)
    print(f"\n{len(options.names or FAULTS) - survivors} caught, {survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
