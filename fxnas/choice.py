"""One decision of a search space: which candidates there are and how many of them are chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

from fxnas import subsets
from fxnas.conditions import ALWAYS, Condition
from fxnas.errors import ArchitectureError, SearchSpaceError, nearest, shown
from fxnas.forms import Forms

Kind = Literal["layer_choice", "input_choice"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Choice:
    """A choice as an architecture sees it. A decision is a sorted tuple of candidate indices.

    Attributes:
        key: its name in architectures.
        kind: "layer_choice" (one of several layers) or "input_choice" (some of several inputs).
        candidates: names of the candidates; for inputs the names of their sources, "" where they have none.
        n_chosen: how many candidates are chosen; None: any number of them.
        active: when the decision is part of an architecture.
        paths: where the choice stands in the model; not part of its identity.

    Raises:
        SearchSpaceError: where these don't fit together.
    """

    key: str
    kind: Kind
    candidates: tuple[str, ...]
    n_chosen: int | None
    active: Condition = ALWAYS
    paths: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        _check_key(self.key)
        if (problem := _kind_problem(self.kind)) or (problem := _candidates_problem(self.kind, self.candidates)):
            raise SearchSpaceError(f"choice {shown(self.key)} {problem}")
        if not _is_number(self.n_chosen, len(self.candidates)):
            count = len(self.candidates)
            raise SearchSpaceError(
                f"choice {shown(self.key)} has {count} candidates, "
                f"n_chosen is one of 0..{count} or null for any number, got {shown(self.n_chosen)}"
            )

    @property
    def count(self) -> int:
        """The number of legal decisions."""
        return subsets.count(len(self.candidates), self.n_chosen)

    @property
    def default(self) -> tuple[int, ...]:
        """What runs outside a search: the first `n_chosen` candidates, or all of them where any number is legal."""
        return tuple(range(len(self.candidates) if self.n_chosen is None else self.n_chosen))

    def decisions(self) -> Iterator[tuple[int, ...]]:
        """Every legal decision, in the order of their indices."""
        return subsets.listed(len(self.candidates), self.n_chosen)

    def decision(self, index: int) -> tuple[int, ...]:
        """The legal decision numbered `index`, in 0..count-1.

        Raises:
            ArchitectureError: if there is no such number.
        """
        if not 0 <= index < self.count:
            raise ArchitectureError(f"choice {shown(self.key)} has {shown(self.count)} decisions, got {shown(index)}")
        return subsets.unrank(len(self.candidates), self.n_chosen, index)

    def index(self, decision: Sequence[int]) -> int:
        """The number of a legal decision, the reverse of `decision(index)`."""
        return subsets.rank(len(self.candidates), self.n_chosen, self.check(decision))

    def check(self, decision: Sequence[int]) -> tuple[int, ...]:
        """The decision, sorted.

        Args:
            decision: candidate indices.

        Raises:
            ArchitectureError: if it isn't legal.
        """
        return self.forms().check(decision)

    def parse(self, value: object, source: str | None = None) -> tuple[int, ...]:
        """The decision that `value` expresses: a name, an index, a list of either, or a list of booleans.

        Args:
            value: parsed JSON.
            source: name of the file that it comes from, for messages.

        Raises:
            ArchitectureError: naming the key, what was given and what is legal.
        """
        return self.forms(source).parse(value)

    def written(self, decision: Sequence[int]) -> object:
        """The decision as JSON: names where they identify the candidates, else indices; one alone is unwrapped."""
        return self._forms.written(decision)

    def forms(self, source: str | None = None) -> Forms:
        """The reader and writer of this choice's decisions."""
        return self._forms if source is None else Forms(self.key, self.candidates, self.n_chosen, source)

    @cached_property
    def _forms(self) -> Forms:
        return Forms(self.key, self.candidates, self.n_chosen)

    def to_json(self) -> dict[str, object]:
        """The choice as it stands in a search-space file."""
        if self.kind == "layer_choice" and self.n_chosen == 1:
            return {"_type": self.kind, "_value": list(self.candidates)}
        return {"_type": self.kind, "_value": {"candidates": list(self.candidates), "n_chosen": self.n_chosen}}

    @classmethod
    def from_json(cls, key: str, value: object) -> Choice:
        """The choice that one entry of a search-space file describes; `_active_if` is left to the space.

        Raises:
            SearchSpaceError: naming the key and what is wrong with the entry.
        """
        entry = _members(key, value, ("_type", "_value"), ("_active_if",))
        kind, content = entry["_type"], entry["_value"]
        n_chosen: object = 1
        if kind == "input_choice" or (kind == "layer_choice" and isinstance(content, Mapping)):
            described = _members(key, content, ("candidates", "n_chosen"))
            content, n_chosen = described["candidates"], described["n_chosen"]
        candidates = tuple(content) if isinstance(content, list | tuple) else content
        return cls(key, kind, candidates, n_chosen)  # type: ignore[arg-type]  # __post_init__ checks all four


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise SearchSpaceError(f"the key of a choice is a string, got {shown(key)}")


def _kind_problem(kind: object) -> str | None:
    if kind in KINDS:
        return None
    hint = nearest(kind, KINDS) if isinstance(kind, str) else ""
    return f"is of unknown type {shown(kind)}, known: {', '.join(KINDS)}{hint}"


def _candidates_problem(kind: Kind, candidates: object) -> str | None:
    if not isinstance(candidates, tuple) or not candidates:
        return f"needs a list of at least one candidate, got {shown(candidates)}"
    for name in candidates:
        if not isinstance(name, str):
            return f"has a candidate whose name is not a string: {shown(name)}"
    if kind == "layer_choice" and len(set(candidates)) < len(candidates):
        twice = next(name for name, count in Counter(candidates).items() if count > 1)
        return f"has two candidates called {shown(twice)}"
    return None


def _is_number(n_chosen: object, count: int) -> bool:
    if n_chosen is None:
        return True
    return isinstance(n_chosen, int) and not isinstance(n_chosen, bool) and 0 <= n_chosen <= count


def _members(key: str, value: object, names: tuple[str, ...], optional: tuple[str, ...] = ()) -> Mapping[str, object]:
    wanted = " and ".join(f'"{name}"' for name in names)
    if not isinstance(value, Mapping):
        raise SearchSpaceError(f"choice {shown(key)}: an object with {wanted} is needed, got {shown(value)}")
    for name in [*names, *value]:
        if name not in value or name not in (*names, *optional):
            problem = "is missing" if name in names else "is unknown"
            raise SearchSpaceError(f"choice {shown(key)}: an object with {wanted} is needed, {shown(name)} {problem}")
    return value
