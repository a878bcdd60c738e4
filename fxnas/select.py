"""Selecting the architecture that a model runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import nn
from torch.fx import GraphModule

from fxnas.architecture import Architecture, Decision
from fxnas.choice import Choice
from fxnas.conditions import NEVER
from fxnas.errors import ArchitectureError
from fxnas.nn import named_choices, space_of

__all__ = ["AnyArchitecture", "Selectable", "decisions_for", "select"]

AnyArchitecture = Architecture | Mapping[str, Any] | str | Path


class Selectable(Protocol):
    """What selects for itself, as a ChoiceGraph does."""

    @property
    def space(self) -> Mapping[str, Choice]:
        """The choices that can be selected."""

    def select(self, architecture: Any) -> Any:
        """Runs this architecture from now on."""


Target = TypeVar("Target", bound=nn.Module | Selectable)


def select(model_or_graph: Target, architecture: AnyArchitecture, *, strict: bool = True) -> Target:
    """Sets which architecture runs from now on; weights and modules stay as they are.

    Args:
        model_or_graph: an eager model with choices, or a ChoiceGraph.
        architecture: an Architecture, a parsed JSON object, JSON text, or the path of a JSON file.
        strict: False ignores unknown keys and takes the default for missing ones.

    Returns:
        What was given.

    Raises:
        ArchitectureError: the architecture doesn't fit; nothing has changed then.
        SearchSpaceError: the choices of the model contradict each other.
    """
    if not isinstance(model_or_graph, nn.Module):
        if not strict:
            architecture = Architecture.from_json(architecture, model_or_graph.space, strict=False)
        model_or_graph.select(architecture)
        return model_or_graph
    decisions = decisions_for(model_or_graph, architecture, strict=strict)
    for key, places in named_choices(model_or_graph).items():
        for _, choice in places:
            choice.decision = decisions[key]
    return model_or_graph


def decisions_for(model: nn.Module, architecture: AnyArchitecture, *, strict: bool = True) -> dict[str, Decision]:
    """A checked decision for every choice of a model; those that play no role get their default.

    An architecture leaves out what plays no role under it. For an `Architecture` its own space decides what that is.
    For JSON the modules do, as far as they can: they tell that a choice lies in a candidate that isn't chosen, but not
    that it only feeds an input that isn't. So where inputs are left out, a missing key counts as one of those.

    Raises:
        ArchitectureError: the architecture doesn't fit the model.
        SearchSpaceError: the choices of the model contradict each other.
    """
    _refuse_graphs(model)
    space = space_of(model)
    if isinstance(architecture, Architecture):
        given, optional = _of_same_choices(architecture, space, strict), True
    else:
        # With every choice inactive no key is required, but those that are given are checked.
        lenient = {key: replace(choice, active=NEVER) for key, choice in space.items()}
        given = dict(Architecture.from_json(architecture, lenient, strict=strict))
        optional = _leaves_inputs_out(given, space)
    defaults = {key: choice.default for key, choice in space.items()}
    if strict:
        _check({**defaults, **given} if optional else given, space)
    return {**defaults, **given}


def _refuse_graphs(model: nn.Module) -> None:
    """The module of a graph holds the choices of the model that was traced, but isn't decided by them."""
    if any(isinstance(module, GraphModule) and hasattr(type(module), "decide") for module in model.modules()):
        raise ArchitectureError(
            "this is the module of a traced graph, not an eager model: select on the graph, or materialize the graph"
        )


def _check(decisions: dict[str, Decision], space: Mapping[str, Choice]) -> None:
    try:
        Architecture(decisions, space)
    except ArchitectureError as error:
        raise ArchitectureError(f"{error}; strict=False ignores unknown keys and takes defaults") from None


def _of_same_choices(architecture: Architecture, space: Mapping[str, Choice], strict: bool) -> dict[str, Decision]:
    for key, choice in space.items():
        other = architecture.choices.get(key)
        if other is not None and not _alike(choice, other):
            raise ArchitectureError(
                f"choice {key!r} of the model is {_description(choice)}, "
                f"but in the space of the architecture it is {_description(other)}"
            )
    return {key: decision for key, decision in architecture.items() if strict or key in space}


def _alike(one: Choice, other: Choice) -> bool:
    return (one.kind, one.candidates, one.n_chosen) == (other.kind, other.candidates, other.n_chosen)


def _description(choice: Choice) -> str:
    number = "any number" if choice.n_chosen is None else choice.n_chosen
    return f"{choice.kind} of {number} of {list(choice.candidates)}"


def _leaves_inputs_out(given: Mapping[str, Decision], space: Mapping[str, Choice]) -> bool:
    return any(
        len(decision) < len(space[key].candidates) if space[key].kind == "input_choice" else not decision
        for key, decision in given.items()
    )
