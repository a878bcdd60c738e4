"""The search space: all choices of a model, how many architectures they make, and how to walk among these."""

from __future__ import annotations

import hashlib
import json
import operator
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fxnas import active_if, entries, subsets
from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.conditions import ALWAYS
from fxnas.counting import numbering
from fxnas.counting.activity import Activity
from fxnas.counting.diagram import compile_diagram
from fxnas.counting.outline import outline
from fxnas.errors import ArchitectureError, SearchSpaceError, shown
from fxnas.files import json_text, load_json, write_atomic
from fxnas.wiring import Wiring

Decision = tuple[int, ...]


class SearchSpace(Mapping[str, Choice]):
    """An immutable mapping from keys to choices, in the order of the graph.

    Two architectures that build the same network have one *canonical* form; size, sampling, numbering and neighbors
    speak of canonical architectures.

    Args:
        choices: the choices.
        scopes: dotted module paths that `tree()` shows as groups.
        wiring: see the attribute.

    Attributes:
        wiring: what is connected to what in the graph that the choices are of, and under which decisions; None where
            that isn't known, or too much to be stored. It plays no role in comparisons, and isn't in files.

    Raises:
        SearchSpaceError: if two choices have one key, or a condition depends on what isn't in the space.
    """

    def __init__(self, choices: Iterable[Choice], scopes: Iterable[str] = (), wiring: Wiring | None = None) -> None:
        self._choices: dict[str, Choice] = {}
        for choice in choices:
            if choice.key in self._choices:
                raise SearchSpaceError(f"two choices have the key {shown(choice.key)}")
            self._choices[choice.key] = choice
        self.scopes = tuple(scopes)
        self.wiring = wiring
        self.activity = Activity(self._choices.values())

    @property
    def size(self) -> int:
        """The exact number of canonical architectures.

        Raises:
            SearchSpaceError: the conditions are too entangled to be counted, which those of real graphs never were.
        """
        return self._diagram.count

    @cached_property
    def default(self) -> Architecture:
        """The canonical form of what runs outside a search."""
        return self._canonical({})

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of the search-space file, order included."""
        text = json.dumps(list(self.to_json().items()), separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def sample(self, rng: random.Random) -> Architecture:
        """A canonical architecture, each with the same probability.

        Args:
            rng: the source of randomness; one draw is taken from it.
        """
        return self._numbered(rng.randrange(self.size))

    def architecture(self, rank: int) -> Architecture:
        """The canonical architecture with the number `rank`, in 0..size-1.

        Raises:
            ArchitectureError: if there is no such number.
        """
        if not 0 <= rank < self.size:
            raise ArchitectureError(f"{shown(self.size)} architectures are numbered from 0, got {shown(rank)}")
        return self._numbered(operator.index(rank))

    def rank(self, architecture: Mapping[str, Sequence[int]]) -> int:
        """The number of an architecture's canonical form, the reverse of `architecture`.

        Raises:
            ArchitectureError: if the architecture isn't one of this space.
        """
        return numbering.rank(self._diagram, self.canonical(architecture))

    def check(self, architecture: Mapping[str, Sequence[int]]) -> Architecture:
        """The given decisions as an architecture of this space.

        Raises:
            ArchitectureError: for unknown keys, illegal decisions, or an active choice without a decision.
        """
        if isinstance(architecture, Architecture) and architecture.choices is self:
            return architecture
        return Architecture(architecture, self)

    def canonical(self, architecture: Mapping[str, Sequence[int]]) -> Architecture:
        """The architecture without the decisions of inactive choices.

        Raises:
            ArchitectureError: as `check`.
        """
        return self.check(architecture).canonical()

    def complete(self, architecture: Mapping[str, Sequence[int]]) -> Architecture:
        """The architecture with a decision for every choice: the default where none is given.

        Raises:
            ArchitectureError: for unknown keys or illegal decisions.
        """
        given = self._checked(architecture)
        return Architecture.trusted({key: given.get(key, choice.default) for key, choice in self.items()}, self)

    def neighbors(self, architecture: Mapping[str, Sequence[int]]) -> list[Architecture]:
        """The canonical architectures that differ in one decision, in the order of the choices, none twice.

        One decision means: another candidate where one is chosen, one candidate exchanged where several are, one taken
        or dropped where any number is legal. A choice that becomes active takes its default.

        Raises:
            ArchitectureError: as `check`.
        """
        start = self.canonical(architecture)
        return [
            self._canonical({**start, key: other})
            for key, decision in start.items()
            for other in subsets.adjacent(len(self[key].candidates), self[key].n_chosen, decision)
        ]

    def encode(self, architecture: Mapping[str, Sequence[int]]) -> list[int]:
        """One integer for every choice, in order: the number of its decision, -1 where it is not active.

        Raises:
            ArchitectureError: as `check`.
        """
        canonical = self.canonical(architecture)
        return [choice.index(canonical[key]) if key in canonical else -1 for key, choice in self.items()]

    def decode(self, vector: Sequence[int]) -> Architecture:
        """The canonical architecture that `encode` made the vector of.

        Raises:
            ArchitectureError: for a wrong length, a number out of range, or -1 at an active choice.
        """
        if len(vector) != len(self):
            raise ArchitectureError(f"a vector of {len(self)} integers is needed, got {len(vector)}: {shown(vector)}")
        numbers = [_integer(value, key) for key, value in zip(self, vector, strict=True)]
        pairs = zip(self.values(), numbers, strict=True)
        return self.canonical({choice.key: choice.decision(number) for choice, number in pairs if number != -1})

    def to_json(self) -> dict[str, Any]:
        """The search-space file: key → {"_type": …, "_value": …}.

        A choice that isn't always part of an architecture has a third entry, "_active_if": see `fxnas.active_if`.
        """
        return {key: self._entry(choice) for key, choice in self.items()}

    @classmethod
    def from_json(cls, source: object) -> SearchSpace:
        """Reads a search-space file.

        Args:
            source: JSON text, a parsed object, or a path (a `Path`, or a string that names an existing file).

        Raises:
            SearchSpaceError: naming the choice and what is wrong with it.
        """
        value, file = load_json(source, error=SearchSpaceError, what="search space")
        if not isinstance(value, Mapping):
            raise SearchSpaceError(f"a search space is an object from keys to choices, got {shown(value)}")
        try:
            choices = {key: Choice.from_json(key, entry) for key, entry in value.items()}
            return cls(_conditional(choice, value[key], choices) for key, choice in choices.items())
        except SearchSpaceError as problem:
            if file is None:
                raise
            raise SearchSpaceError(f"{problem} ({file})") from None

    def save(self, path: str | Path) -> None:
        """Writes the search-space file, whole or not at all."""
        write_atomic(path, json_text(self.to_json()))

    @classmethod
    def load(cls, path: str | Path) -> SearchSpace:
        """Reads the search-space file at `path`.

        Raises:
            SearchSpaceError: if it can't be read or is malformed.
        """
        return cls.from_json(Path(path))

    def tree(self) -> str:
        """The choices as an indented text, grouped by scopes."""
        return outline(self._choices, self.scopes)

    def _entry(self, choice: Choice) -> dict[str, object]:
        written = choice.to_json()
        return (
            written
            if choice.active is ALWAYS
            else {**written, "_active_if": active_if.as_json([choice.active], self)[0]}
        )

    def _canonical(self, given: Mapping[str, Decision]) -> Architecture:
        """The canonical architecture of legal decisions; active choices without one take the default."""
        active = self.activity.resolve(lambda choice: given.get(choice.key, choice.default))
        return Architecture.trusted(active, self)

    def _checked(self, given: Mapping[str, Sequence[int]]) -> Mapping[str, Decision]:
        if isinstance(given, Architecture) and given.choices is self:
            return given
        entries.check_known(entries.mapping(given, None), self)
        return {key: self._choices[key].check(decision) for key, decision in given.items()}

    def _numbered(self, number: int) -> Architecture:
        decisions = numbering.unrank(self._diagram, number)
        return Architecture.trusted({key: decisions[key] for key in self._choices if key in decisions}, self)

    @cached_property
    def _diagram(self) -> numbering.Node:
        return compile_diagram(self._choices)

    def __getitem__(self, key: str) -> Choice:
        return self._choices[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._choices)

    def __len__(self) -> int:
        return len(self._choices)

    def __hash__(self) -> int:
        return hash(frozenset(self._choices.values()))

    def __reduce__(self) -> tuple[object, ...]:
        return (SearchSpace, (list(self._choices.values()), self.scopes, self.wiring))

    def __repr__(self) -> str:
        return f"SearchSpace({len(self)} choices)"


def _conditional(choice: Choice, entry: Mapping[str, object], choices: Mapping[str, Choice]) -> Choice:
    if "_active_if" not in entry:
        return choice
    return replace(choice, active=active_if.from_json(choice.key, entry["_active_if"], choices))


def _integer(value: object, key: str) -> int:
    try:
        if not isinstance(value, bool):
            return operator.index(value)  # type: ignore[arg-type]  # also takes the integers of numpy
    except TypeError:
        pass
    raise ArchitectureError(f"choice {shown(key)}: an integer is needed, got {shown(value)}")
