"""The costs of many architectures at once, with numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.conditions import ALWAYS, Atom, Condition
from fxnas.errors import ArchitectureError, shown

if TYPE_CHECKING:
    from fxnas.costs.model import CostModel

Array = np.ndarray[Any, Any]

_CHUNK = 1 << 15  # rows whose temporary arrays stay in the cache
_LISTED = 1 << 12  # decisions of one choice that a table holds; of others it holds those that are met


def costs_of(model: CostModel, indices: Any) -> Array:
    """`CostModel.many`."""
    if isinstance(indices, Sequence) and any(isinstance(given, Architecture) for given in indices):
        return np.array([model(architecture) for architecture in indices], dtype=dtype_of(model))
    rows = np.asarray(indices)
    if rows.ndim != 2 or rows.shape[1] != len(model.space) or not np.issubdtype(rows.dtype, np.integer):
        wanted = f"an integer array [architectures, {len(model.space)}]"
        raise ArchitectureError(f"{wanted}, or a sequence of architectures, is needed, got {_form(rows)}")
    compiled = model.__dict__.get("_rows") or model.__dict__.setdefault("_rows", Rows(model))
    result: Array = compiled.costs(rows)
    return result


def dtype_of(model: CostModel) -> type[np.generic]:
    """int64 if all costs are ints that it holds, else float64."""
    costs = [model.base, *(c for costs in model.costs.values() for c in costs), *(term.cost for term in model.joint)]
    whole = all(isinstance(cost, int) for cost in costs) and sum(abs(int(cost)) for cost in costs) < 2**63
    return np.int64 if whole else np.float64


class Rows:
    """The tables of a cost model as arrays."""

    def __init__(self, model: CostModel) -> None:
        self.dtype = dtype_of(model)
        self.base = model.base
        self.choices = list(model.space.values())
        self.columns = {choice.key: _Column(j, choice) for j, choice in enumerate(self.choices)}
        costs_of_keys = {key: np.array(costs, dtype=self.dtype) for key, costs in model.costs.items() if any(costs)}
        self.sums = [self.columns[key].summed(costs) for key, costs in costs_of_keys.items()]
        self.groups = [group.terms for group in model._groups]

    def costs(self, rows: Array) -> Array:
        """The cost of each row."""
        total = np.full(len(rows), self.base, dtype=self.dtype)
        for start in range(0, len(rows), _CHUNK):
            # one copy makes every column contiguous
            part = np.ascontiguousarray(rows[start : start + _CHUNK].T, dtype=np.intp)
            self._check(part, rows, start)
            self._add(part, total[start : start + _CHUNK])
        return total

    def _add(self, part: Array, total: Array) -> None:
        for sums in self.sums:
            total += sums(part)
        memo: dict[Condition, Any] = {}
        for terms in self.groups:
            subtotal = np.zeros(len(total), dtype=self.dtype)
            for term in terms:
                subtotal += self.dtype(term.cost) * self._holds(term.when, part, memo)
            total += subtotal

    def _holds(self, condition: Condition, part: Array, memo: dict[Condition, Any]) -> Any:
        for inner in condition._parts(memo):
            memo[inner] = self._evaluate(inner, part, memo)
        return memo[condition]

    def _evaluate(self, condition: Condition, part: Array, memo: dict[Condition, Any]) -> Any:
        if condition.atom is not None:
            return self.columns[condition.atom.key].holds(part, condition.atom)
        terms = [memo[term] for term in condition.terms]
        match condition.kind:
            case "not":
                return ~terms[0]
            case "all":
                return np.logical_and.reduce(terms)
            case "any":
                return np.logical_or.reduce(terms)
        return np.full(part.shape[1], condition is ALWAYS)

    def _check(self, part: Array, rows: Array, start: int) -> None:
        for column in self.columns.values():
            numbers = part[column.at]
            if numbers.size and (numbers.min() < column.least or numbers.max() > column.most):
                wrong = np.flatnonzero((numbers < column.least) | (numbers > column.most))[0]
                given = rows[start + wrong, column.at]
                raise ArchitectureError(
                    f"row {start + wrong}, choice {shown(column.choice.key)}: a number in {column.least}.."
                    f"{column.choice.count - 1} is needed, got {given}"
                )


class _Column:
    """One choice: how its column is read."""

    def __init__(self, at: int, choice: Choice) -> None:
        self.at, self.choice = at, choice
        self.most = min(choice.count - 1, np.iinfo(np.intp).max)
        self.least = 0 if choice.active is ALWAYS else -1  # not active: the default
        self.listed = choice.count <= _LISTED
        # the last row is what -1 finds
        self.members = self._members([*choice.decisions(), choice.default]) if self.listed else None

    def summed(self, costs: Array) -> Callable[[Array], Any]:
        """A function that gives the costs of the chosen candidates."""
        if self.members is None:
            return partial(self._summed, costs)
        table = self.members @ costs
        return lambda part: np.take(table, part[self.at], mode="wrap")

    def _summed(self, costs: Array, part: Array) -> Any:
        numbers, members = self._read(part)
        return np.take(members @ costs, numbers)

    def holds(self, part: Array, atom: Atom) -> Any:
        """Where an atom holds."""
        numbers, members = self._read(part)
        return np.take(
            members.any(axis=1) if atom.candidate is None else members[:, atom.candidate], numbers, mode="wrap"
        )

    def _read(self, part: Array) -> tuple[Array, Array]:
        """Numbers of rows of a table that says which candidates are chosen, and this table."""
        numbers = part[self.at]
        if self.members is not None:
            return numbers, self.members
        met, places = np.unique(numbers, return_inverse=True)
        decisions = [self.choice.default if n < 0 else self.choice.decision(int(n)) for n in met]
        return places, self._members(decisions)

    def _members(self, decisions: list[tuple[int, ...]]) -> Array:
        members = np.zeros((len(decisions), len(self.choice.candidates)), dtype=bool)
        for row, decision in enumerate(decisions):
            members[row, list(decision)] = True
        return members


def _form(rows: Array) -> str:
    return f"{rows.dtype} of shape {list(rows.shape)}"
