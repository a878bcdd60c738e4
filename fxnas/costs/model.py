"""CostModel: what an architecture costs, by looking it up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from math import isfinite, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.conditions import ALWAYS, NEVER, Condition
from fxnas.counting.outline import describe
from fxnas.errors import SearchSpaceError, shown
from fxnas.files import json_text, write_atomic
from fxnas.space import SearchSpace

if TYPE_CHECKING:
    import numpy
    from torch import Tensor

Decision = tuple[int, ...]

_LISTED = 4096  # decisions whose costs are kept in one table; more are added up when they are asked for


class Price(NamedTuple):
    """What one candidate adds to the cost of the architectures that choose it."""

    key: str
    candidate: str | int
    cost: float


class Joint(NamedTuple):
    """What is added where decisions at several choices, or several candidates of one choice, come together."""

    when: Condition
    cost: float


class CostModel:
    """The cost of every architecture of a space, as a sum of terms that each hold under a condition.

    A term whose condition depends on candidates one by one is folded into a table of costs per candidate; the others
    (nested choices, what several candidates share) are kept as *joint* terms. Nothing is approximated by that: where
    the terms are exact, so is the cost of every architecture.

    Args:
        space: the space. Decisions that an architecture doesn't have, since they play no role, count as the default.
        terms: pairs of a condition over decisions of the space, and the cost where it holds.
        unit: of the costs, for people.

    Attributes:
        space: the space.
        unit: "parameters", "FLOPs", "bytes", "ms", …
        base: the cost that every architecture has.
        costs: key → the cost of each candidate.
        joint: the terms that depend on more than one candidate.

    Raises:
        SearchSpaceError: a term depends on what isn't in the space, or its cost isn't a finite number.
    """

    def __init__(self, space: SearchSpace, terms: Iterable[tuple[Condition, float]], unit: str) -> None:
        self.space, self.unit = space, unit
        self.base: float = 0
        self.costs: dict[str, list[float]] = {key: [0] * len(choice.candidates) for key, choice in space.items()}
        merged: dict[Condition, float] = {}
        for condition, cost in terms:
            _check_term(condition, cost, space)
            merged[condition] = merged.get(condition, 0) + cost
        joint = [Joint(*term) for term in merged.items() if term[1] and not self._fold(*term)]
        place = {key: number for number, key in enumerate(space)}
        self.joint = tuple(sorted(joint, key=lambda term: sorted(place[key] for key in term.when.keys)))
        self._same: Mapping[str, Choice] = space

    def _fold(self, condition: Condition, cost: float) -> bool:
        """Adds a term to base and costs, if it depends on candidates one by one."""
        if condition is ALWAYS or condition is NEVER:
            self.base += cost if condition is ALWAYS else 0
            return True
        if len(condition.keys) > 1:
            return False
        (key,) = condition.keys
        if self.space[key].n_chosen == 1:
            for i in range(len(self.costs[key])):
                self.costs[key][i] += cost if condition.under(key, (i,)) is ALWAYS else 0
            return True
        inverted = condition.kind == "not"
        atom = condition.terms[0].atom if inverted else condition.atom
        if atom is None or (atom.candidate is None and atom.count > 1):
            return False
        self.base += cost if inverted else 0
        self.costs[key][atom.candidate or 0] += -cost if inverted else cost
        return True

    @property
    def additive(self) -> bool:
        """Whether the cost is a sum over candidates alone: there are no joint terms."""
        return not self.joint

    def __call__(self, architecture: Mapping[str, Any]) -> float:
        """The cost of an architecture.

        Args:
            architecture: an Architecture, or a mapping in any of the JSON forms.

        Returns:
            an int where all costs are ints.

        Raises:
            ArchitectureError: it is no architecture of the space.
        """
        given = self._checked(architecture)
        total = self.base
        for key, prices, default in self._prices:
            total += prices[given.get(key, default)]
        for group in self._groups:
            total += group.cost(given)
        return total

    def many(self, indices: Any) -> numpy.ndarray[Any, Any]:
        """The costs of many architectures at once.

        Args:
            indices: an integer array [architectures, choices]: each row as `SearchSpace.encode` makes it, that is the
                number of the decision at every choice, in the order of the space: the candidate where one is chosen;
                where any number is, the sum of 2**i over the chosen candidates i; `Choice.index(decision)` in general;
                -1 at a choice that is not active. Or a sequence of architectures.

        Returns:
            the costs: int64 where all costs are ints, else float64.

        Raises:
            ArchitectureError: for another shape, or a number out of range.
        """
        from fxnas.costs.rows import costs_of

        return costs_of(self, indices)

    def expected(self, probabilities: Mapping[str, Tensor]) -> Tensor:
        """The expected cost when decisions are drawn independently: exact, and differentiable in every probability.

        Args:
            probabilities: key → a tensor [candidates]: how likely each candidate is chosen. Where any number of
                candidates may be chosen, each is drawn on its own. Where several are (`n_chosen` > 1), their joint
                distribution may be given instead: a tensor [Choice.count], in the order of `Choice.decisions()`; it
                has to be where a joint term asks for two candidates of this choice, and `n_chosen` is not one less
                than all. Tensors of one dtype and device.

        Returns:
            a tensor without dimensions.

        Raises:
            ArchitectureError: naming the key that is unknown, missing, or has a tensor of another shape.
        """
        expected: Tensor = self._expectation(probabilities)
        return expected

    def per_candidate(self) -> list[Price]:
        """The cost of every candidate, in the order of the space."""
        return [
            Price(key, name or i, self.costs[key][i])
            for key, choice in self.space.items()
            for i, name in enumerate(choice.candidates)
        ]

    def __str__(self) -> str:
        """The tables, a line for each cost."""
        rows = [("base", "", self.base), *self.per_candidate()]
        rows += [("if", describe(term.when, self.space), term.cost) for term in self.joint]
        wide = [max(len(str(row[column])) for row in rows) for column in range(3)]
        lines = (f"{key:{wide[0]}}  {name!s:{wide[1]}}  {cost!s:>{wide[2]}} {self.unit}" for key, name, cost in rows)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<CostModel in {self.unit}: {len(self.space)} choices, {len(self.joint)} joint terms>"

    def terms(self) -> list[tuple[Condition, float]]:
        """Terms that make an equal model: base, candidates, joint ones."""
        from fxnas.conditions import chosen

        found: list[tuple[Condition, float]] = [(ALWAYS, self.base)]
        for key, choice in self.space.items():
            count = len(choice.candidates)
            found += [(chosen(key, i, count, choice.n_chosen), cost) for i, cost in enumerate(self.costs[key]) if cost]
        return found + [(term.when, term.cost) for term in self.joint]

    def save(self, path: str | Path) -> None:
        """Writes the model to a JSON file, whole or not at all; `fxnas.costs.table` reads it."""
        from fxnas.costs.lookup import to_json

        write_atomic(path, json_text(to_json(self)))

    def __reduce__(self) -> tuple[object, ...]:
        return (CostModel, (self.space, self.terms(), self.unit))

    # -- looking up

    def _checked(self, architecture: Mapping[str, Any]) -> Mapping[str, Decision]:
        if not isinstance(architecture, Architecture):
            return self._read(architecture) or Architecture.from_json(architecture, self.space)
        if architecture.choices is not self._same and architecture.choices is not self.space:
            if architecture.choices != self.space:
                return Architecture(architecture, self.space)
            self._same = architecture.choices  # an equal space: compared once
        return architecture

    def _read(self, written: object) -> dict[str, Decision] | None:
        """The decisions of the plainest form, a name or an index for every choice; None for any other."""
        if not isinstance(written, dict) or len(written) != len(self.space):
            return None
        found: dict[str, Decision] = {}
        for key, known in self._written.items():
            value: Any = written.get(key)
            if type(value) in (tuple, list) and len(value) == 1:
                value = value[0]
            decision = known.get(value) if type(value) in (str, int) else None
            if decision is None:
                return None
            found[key] = decision
        return found

    @cached_property
    def _written(self) -> dict[str, dict[object, Decision]]:
        """The decisions of each choice that takes one candidate, by index and by name."""
        found: dict[str, dict[object, Decision]] = {}
        for key, choice in self.space.items():
            names = Counter(choice.candidates) if choice.n_chosen == 1 else Counter()
            found[key] = {name: (i,) for i, name in enumerate(choice.candidates) if names[name] == 1}
            found[key] |= {i: (i,) for i in range(len(choice.candidates)) if choice.n_chosen == 1}
        return found

    @cached_property
    def _prices(self) -> list[tuple[str, Mapping[Decision, float], Decision]]:
        """For every choice that costs anything: its key, the cost of its decisions, its default decision."""
        return [
            (key, prices_of(self.space[key], costs), self.space[key].default)
            for key, costs in self.costs.items()
            if any(costs)
        ]

    @cached_property
    def _groups(self) -> list[Group]:
        grouped = groupby(self.joint, key=lambda term: sorted(term.when.keys))
        return [Group(tuple(terms), self.space) for _, terms in grouped]

    @cached_property
    def _expectation(self) -> Any:
        from fxnas.costs.expected import Expectation

        return Expectation(self)


class Prices(dict[Decision, float]):
    """The costs of the decisions at one choice, each added up when it is first asked for."""

    def __init__(self, costs: Sequence[float], listed: bool) -> None:
        super().__init__()
        self._costs, self._listed = costs, listed

    def __missing__(self, decision: Decision) -> float:
        cost = sum(self._costs[i] for i in decision)
        if self._listed:
            self[decision] = cost
        return cost


def prices_of(choice: Choice, costs: Sequence[float]) -> Prices:
    """The costs of the decisions at a choice."""
    return Prices(costs, choice.count <= _LISTED)


class Group:
    """The joint terms that depend on the same choices.

    Attributes:
        keys: of these choices.
        terms: the terms.
    """

    def __init__(self, terms: tuple[Joint, ...], space: SearchSpace) -> None:
        self.terms = terms
        self.keys = tuple(key for key in space if key in terms[0].when.keys)
        self._defaults = tuple(space[key].default for key in self.keys)
        self._listed = prod(space[key].count for key in self.keys) <= _LISTED
        self._known: dict[tuple[Decision, ...], float] = {}

    def cost(self, given: Mapping[str, Decision]) -> float:
        """What the terms add; where a decision is missing, it is the default."""
        decisions: tuple[Decision, ...] = tuple(map(given.get, self.keys, self._defaults))
        known = self._known.get(decisions)
        if known is None:
            known = self._sum(decisions)
            if self._listed:
                self._known[decisions] = known
        return known

    def _sum(self, decisions: tuple[Decision, ...]) -> float:
        by_key = dict(zip(self.keys, decisions, strict=True))
        memo: dict[Condition, bool] = {}
        return sum(term.cost for term in self.terms if term.when.holds(by_key, memo))


def _check_term(condition: Condition, cost: object, space: SearchSpace) -> None:
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not isfinite(cost):
        raise SearchSpaceError(f"a cost is a finite number, got {shown(cost)} where {condition}")
    for atom in condition.atoms():
        choice = space.get(atom.key)
        if choice is None or (len(choice.candidates), choice.n_chosen) != (atom.count, atom.n_chosen):
            raise SearchSpaceError(f"a cost depends on {atom}, which doesn't fit the space")
