"""The mutables: LayerChoice, InputChoice and MutableScope, and how the choices of a model are found.

A model with choices is an ordinary `nn.Module`. Each choice carries its decision as plain data; without one it follows
the default architecture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from torch import nn

from fxnas.choice import Choice
from fxnas.conditions import Condition, all_of, any_of, chosen
from fxnas.errors import SearchSpaceError
from fxnas.mutables.arguments import NO_KEY, checked_key, checked_n_chosen, checked_reduction, checked_sources
from fxnas.mutables.containers import Candidates, NamedModules
from fxnas.mutables.forwarding import ordered_inputs, reduced
from fxnas.ops import Reduction
from fxnas.space import SearchSpace

__all__ = [
    "NO_KEY",
    "InputChoice",
    "LayerChoice",
    "MutableScope",
    "check_sources",
    "choice_paths",
    "named_choices",
    "scopes",
    "space_of",
]


class _Decided:
    """What both kinds of choice share: a decision, and the default where there is none."""

    n_chosen: int | None
    decision: tuple[int, ...] | None
    return_mask: bool

    def __len__(self) -> int:
        raise NotImplementedError

    @property
    def default(self) -> tuple[int, ...]:
        """The decision of the default architecture: the first `n_chosen` candidates, all when it is None."""
        return tuple(range(len(self) if self.n_chosen is None else self.n_chosen))

    @property
    def chosen(self) -> tuple[int, ...]:
        """The indices of what runs: the decision, or the default without one."""
        return self.default if self.decision is None else self.decision

    @property
    def _masked(self) -> tuple[Sequence[int], int] | None:
        return (self.chosen, len(self)) if self.return_mask else None


class LayerChoice(NamedModules, _Decided):
    """A layer that is one of several candidates.

    Args:
        candidates: a list, tuple or `nn.ModuleList` (named "0", "1", …), or a dict or `nn.ModuleDict`. They lie
            directly below the choice in the state dict: `conv1.conv3x3.weight`.
        reduction: how the outputs of several chosen candidates become one: "sum", "mean", "concat" (along dimension 1)
            or "none" (their list). A single output is passed on as it is; no output is None.
        return_mask: return `(output, mask)` with a bool vector over the candidates.
        key: the name of the decision; default is the path of the module in its model. Choices with equal keys share one
            decision.
        n_chosen: how many candidates an architecture takes; None allows any subset.

    Raises:
        TypeError: a candidate that is no module; a name or key that is no string; `n_chosen` that is no integer.
        ValueError: no candidates; an illegal name, key or reduction; `n_chosen` outside 0..number of candidates.

    Attributes:
        decision: indices of the chosen candidates in ascending order, or None for the default architecture.
    """

    def __init__(
        self,
        candidates: Candidates,
        reduction: Reduction = "sum",
        return_mask: bool = False,
        key: str | None = None,
        *,
        n_chosen: int | None = 1,
    ) -> None:
        super().__init__(candidates)
        self.reduction = checked_reduction(reduction)
        self.return_mask = return_mask
        self.key = checked_key(key)
        self.n_chosen = checked_n_chosen(n_chosen, len(self))
        self.decision = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the chosen candidates, and no other, on the same arguments and reduces their outputs."""
        candidates = self.candidates()
        outputs = [candidates[i](*args, **kwargs) for i in self.chosen]
        return reduced(outputs, self.reduction, masked=self._masked, inputs=(args, kwargs))

    def extra_repr(self) -> str:
        """The options, and what runs."""
        chosen_names = [self.names[i] for i in self.chosen]
        return f"key={self.key!r}, n_chosen={self.n_chosen}, reduction={self.reduction!r}, chosen={chosen_names}"

    def _check_removal(self, left: int) -> None:
        if self.n_chosen is not None and left < self.n_chosen:
            raise ValueError(f"LayerChoice takes {self.n_chosen} candidates: can't delete down to {left}")

    def _removed(self, before: list[str]) -> None:
        if self.decision is None:
            return
        kept = [before[i] for i in self.decision if before[i] in self._modules]
        self.decision = tuple(map(self.names.index, kept)) if len(kept) == len(self.decision) else None


class InputChoice(nn.Module, _Decided):
    """A choice among several inputs: which of them go on.

    Args:
        n_candidates: the number of inputs; may be left out when `choose_from` is given.
        choose_from: a source name for each input: the key of an earlier choice or scope, or `NO_KEY`. Default: `NO_KEY`
            for each.
        n_chosen: how many inputs an architecture takes; None allows any subset.
        reduction: how the chosen inputs become one: "sum", "mean", "concat" (along dimension 1) or "none" (their list).
            A single input is passed on as it is; no input is None.
        return_mask: return `(output, mask)` with a bool vector over the inputs.
        key: the name of the decision; default is the path of the module in its model. Choices with equal keys share one
            decision.

    Raises:
        TypeError: a key or source name that is no string; a number that is no integer.
        ValueError: neither number nor sources, or both and they disagree; no inputs; an unknown reduction; `n_chosen`
            outside 0..number of inputs.

    Attributes:
        decision: indices of the chosen inputs in ascending order, or None for the default architecture.
    """

    NO_KEY: ClassVar[str] = NO_KEY

    def __init__(
        self,
        n_candidates: int | None = None,
        choose_from: Sequence[str] | None = None,
        n_chosen: int | None = None,
        reduction: Reduction = "sum",
        return_mask: bool = False,
        key: str | None = None,
    ) -> None:
        super().__init__()
        self.choose_from = checked_sources(n_candidates, choose_from)
        self.n_candidates = len(self.choose_from)
        self.n_chosen = checked_n_chosen(n_chosen, self.n_candidates)
        self.reduction = checked_reduction(reduction)
        self.return_mask = return_mask
        self.key = checked_key(key)
        self.decision: tuple[int, ...] | None = None

    @property
    def names(self) -> list[str]:
        """The source names, in order: `choose_from`."""
        return list(self.choose_from)

    def __len__(self) -> int:
        return self.n_candidates

    def forward(self, inputs: Sequence[Any] | Mapping[str, Any]) -> Any:
        """Reduces the chosen inputs.

        Args:
            inputs: one list or tuple in the order of `choose_from`, or a dict keyed by it.

        Raises:
            TypeError: the inputs are neither.
            ValueError: their number or names don't agree with `choose_from`.
        """
        values = self.ordered(inputs)
        outputs = [values[i] for i in self.chosen]
        return reduced(outputs, self.reduction, masked=self._masked, inputs=values)

    def ordered(self, inputs: object) -> Sequence[Any]:
        """The inputs in the order of `choose_from`; arguments and errors as in `forward`."""
        name = "without a key" if self.key is None else repr(self.key)
        return ordered_inputs(inputs, self.choose_from, f"InputChoice {name} (choose_from={self.choose_from})")

    def extra_repr(self) -> str:
        """The options, and what goes on."""
        return (
            f"key={self.key!r}, choose_from={self.choose_from}, n_chosen={self.n_chosen}, "
            f"reduction={self.reduction!r}, chosen={list(self.chosen)}"
        )


class MutableScope(nn.Module):
    """A module that marks a sub-space, such as a cell; to be subclassed. It shows in the tree of the space only.

    Args:
        key: the name of the scope, by which an InputChoice may refer to it; default is its path in the model.

    Raises:
        TypeError: the key is no string.
        ValueError: the key is empty.
    """

    def __init__(self, key: str | None = None) -> None:
        super().__init__()
        self.key: Any = checked_key(key)
        self._scope_key = self.key  # a subclass may well have a layer named `key`


Mutable = LayerChoice | InputChoice


def named_choices(model: nn.Module) -> dict[str, list[tuple[str, Mutable]]]:
    """The choices of a model by key, in the order of registration.

    Args:
        model: any module.

    Returns:
        For each key the (path, choice) pairs that share it. The key is the explicit one, or the path where the choice
        is first registered ("choice" for a model that is itself one). One choice in several places is listed once, at
        its first.

    Raises:
        SearchSpaceError: choices of equal keys disagree in kind, candidate names or `n_chosen`.
    """
    found: dict[str, list[tuple[str, Mutable]]] = {}
    for path, module in _first_places(model):
        if isinstance(module, LayerChoice | InputChoice):
            found.setdefault(_key(path, module), []).append((path, module))
    for key, places in found.items():
        for path, module in places[1:]:
            _check_agree(key, places[0], (path, module))
    return found


def choice_paths(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Every path at which a choice of each key is registered, second names of one module included."""
    keys = {id(module): key for key, places in named_choices(model).items() for _, module in places}
    paths: dict[str, tuple[str, ...]] = {key: () for key in keys.values()}
    for path, module, _ in _places(model):
        if id(module) in keys:
            paths[keys[id(module)]] += (path,)
    return paths


def scopes(model: nn.Module) -> list[tuple[str, str]]:
    """The (path, key) of each MutableScope, in the order of registration; a key defaults to the path."""
    return [
        (path, module._scope_key or path or "scope")
        for path, module in _first_places(model)
        if isinstance(module, MutableScope)
    ]


def check_sources(model: nn.Module) -> None:
    """Checks that each source an InputChoice names is an earlier choice or scope.

    Raises:
        SearchSpaceError: it is not; the message lists the known sources.
    """
    known: dict[str, None] = {}
    for path, module in _first_places(model):
        if isinstance(module, InputChoice):
            unknown = [name for name in module.choose_from if name != NO_KEY and name not in known]
            if unknown:
                raise SearchSpaceError(
                    f"input choice {_key(path, module)!r} (module {path!r}) chooses from {unknown[0]!r}, which is no "
                    f"earlier choice or scope; known here: {', '.join(map(repr, known)) or 'none'} and NO_KEY"
                )
        if isinstance(module, LayerChoice | InputChoice):
            known[_key(path, module)] = None
        elif isinstance(module, MutableScope):
            known[module._scope_key or path or "scope"] = None


def space_of(model: nn.Module) -> SearchSpace:
    """The search space of a model as its modules tell it: a choice inside a candidate depends on that candidate.

    Raises:
        SearchSpaceError: choices of equal keys disagree, or an InputChoice names an unknown source.
    """
    found = named_choices(model)
    check_sources(model)
    keys = {id(module): key for key, places in found.items() for _, module in places}
    active: dict[str, list[Condition]] = {key: [] for key in found}
    for _, module, parents in _places(model):
        if id(module) in keys:
            active[keys[id(module)]].append(all_of(_condition(keys[id(p)], p, i) for p, i in parents))
    paths = choice_paths(model)
    choices = [
        Choice(
            key, _kind(places[0][1]), tuple(places[0][1].names), places[0][1].n_chosen, any_of(active[key]), paths[key]
        )
        for key, places in found.items()
    ]
    return SearchSpace(choices, scopes=tuple(path for path, _ in scopes(model)))


def _condition(key: str, parent: LayerChoice, index: int) -> Condition:
    return chosen(key, index, len(parent), parent.n_chosen)


def _kind(module: Mutable) -> Any:
    return "layer_choice" if isinstance(module, LayerChoice) else "input_choice"


def _key(path: str, module: Mutable) -> str:
    return module.key if module.key is not None else path or "choice"


def _check_agree(key: str, first: tuple[str, Mutable], second: tuple[str, Mutable]) -> None:
    for what, value in (("kind", _kind), ("candidates", lambda m: m.names), ("n_chosen", lambda m: m.n_chosen)):
        one, other = value(first[1]), value(second[1])
        if one != other:
            raise SearchSpaceError(
                f"choices with the key {key!r} disagree in {what}: {one!r} in module {first[0]!r}, "
                f"{other!r} in module {second[0]!r}"
            )


def _first_places(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Each module once, at its first path. Walks `_modules`, since a child's name may clash with an attribute's."""
    seen: set[int] = set()
    for path, module, _ in _places(model):
        if id(module) not in seen:
            seen.add(id(module))
            yield path, module


def _places(
    module: nn.Module, path: str = "", parents: tuple[tuple[LayerChoice, int], ...] = ()
) -> Iterator[tuple[str, nn.Module, tuple[tuple[LayerChoice, int], ...]]]:
    """Each (path, module, candidates it lies in) of a model, outer first; one module may have several paths."""
    yield path, module, parents
    for i, (name, child) in enumerate(module._modules.items()):
        if child is not None:
            inner = (*parents, (module, i)) if isinstance(module, LayerChoice) else parents
            yield from _places(child, f"{path}.{name}" if path else name, inner)
