"""Where a trial gets its graph and its evaluator from: handed over in this process, made from recipes in another."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fxnas.architecture import Architecture
from fxnas.errors import SearchSpaceError
from fxnas.evaluators.base import Report, Score, evaluation
from fxnas.recipe import Recipe
from fxnas.space import SearchSpace

Evaluation = Callable[[Any, Architecture, Report], Score]


@dataclass(frozen=True)
class Bench:
    """What trials are evaluated with: the graph or bare space, its space, and the evaluating function."""

    graph: Any
    space: SearchSpace
    evaluate: Evaluation

    def architecture(self, given: Mapping[str, Any]) -> Architecture:
        """The architecture itself, or the one that its JSON describes."""
        return given if isinstance(given, Architecture) else Architecture.from_json(given, self.space)


class Source(Protocol):
    """Gives the bench to evaluate on."""

    def bench(self) -> Bench:
        """The bench, the same at every call in one process."""


@dataclass(frozen=True)
class Given:
    """The objects as they are, for trials in the process of the search."""

    given: Bench

    def bench(self) -> Bench:
        """What was given."""
        return self.given


@dataclass(frozen=True)
class Made:
    """Recipes, which travel to a process that makes the objects for itself, once.

    Args:
        graph: makes the graph or bare space; or a bare space, which is plain data.
        evaluator: makes the evaluator.
        fingerprint: of the space that the search has.
    """

    graph: Recipe | SearchSpace
    evaluator: Recipe
    fingerprint: str

    def bench(self) -> Bench:
        """The bench, made at the first call in a process.

        Raises:
            FxnasError: a recipe makes something else.
            SearchSpaceError: the graph has another space than the search.
        """
        with _lock:
            if self not in _benches:
                _benches[self] = self._make()
            return _benches[self]

    def _make(self) -> Bench:
        graph = self.graph.make(what="graph") if isinstance(self.graph, Recipe) else self.graph
        space = space_of(graph)
        if space.fingerprint != self.fingerprint:
            made = self.graph.name if isinstance(self.graph, Recipe) else "the space"
            raise SearchSpaceError(
                f"{made} makes a graph of another space ({len(space)} choices) than the strategy was made for"
            )
        return Bench(graph, space, evaluation(self.evaluator.make(what="evaluator")))


_benches: dict[Made, Bench] = {}
_lock = threading.Lock()


def space_of(graph: Any) -> SearchSpace:
    """The space of a ChoiceGraph, or the bare space itself.

    Raises:
        SearchSpaceError: it is neither.
    """
    space = graph if isinstance(graph, SearchSpace) else getattr(graph, "space", None)
    if not isinstance(space, SearchSpace):
        raise SearchSpaceError(
            f"search takes a ChoiceGraph or a SearchSpace, got a {type(graph).__name__}; "
            "a model becomes a graph by fxnas.trace(model, example_inputs)"
        )
    return space


def given(graph: Any, evaluator: Any) -> Given:
    """The source of trials in this process; what is named or a recipe is made here."""
    if isinstance(graph, str | Recipe) or inspect.isfunction(graph):
        graph = Recipe.of(graph, what="graph").make(what="graph")
    if isinstance(evaluator, str | Recipe):
        evaluator = Recipe.of(evaluator, what="evaluator").make(what="evaluator")
    return Given(Bench(graph, space_of(graph), evaluation(evaluator)))


def made(graph: Any, evaluator: Any, space: SearchSpace) -> Made:
    """The source of trials in other processes.

    Raises:
        FxnasError: a ChoiceGraph or an evaluator that can't be made elsewhere; says what to do.
    """
    if isinstance(graph, SearchSpace):
        graph = SearchSpace(graph.values(), graph.scopes)  # it travels with each trial, which needs no wiring
    else:
        graph = Recipe.of(graph, what="graph")
    return Made(graph, Recipe.of(evaluator, what="evaluator"), space.fingerprint)
