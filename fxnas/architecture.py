"""An architecture: one decision for every choice that takes part, immutable, with its forms in JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import ItemsView, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fxnas import entries
from fxnas.choice import Choice
from fxnas.counting.activity import activity_of
from fxnas.errors import ArchitectureError, shown
from fxnas.files import json_text, load_json, write_atomic

Decision = tuple[int, ...]


class Architecture(Mapping[str, Decision]):
    """An immutable mapping from the key of a choice to its decision, a sorted tuple of candidate indices.

    It is hashable, and equal to every mapping with the same decisions. It may carry decisions of choices that are not
    active under it; `canonical()` leaves them out.

    Args:
        decisions: key → indices of the chosen candidates.
        choices: the search space, or any mapping from keys to choices.

    Raises:
        ArchitectureError: for an unknown key, an illegal decision, or an active choice without a decision.
    """

    __slots__ = ("_choices", "_decisions", "_hash")

    _choices: Mapping[str, Choice]
    _decisions: dict[str, Decision]
    _hash: int | None

    def __init__(self, decisions: Mapping[str, Iterable[int]], choices: Mapping[str, Choice]) -> None:
        given = entries.mapping(decisions, None)
        entries.check_known(given, choices)
        checked = {key: choices[key].forms().check(_sequence(given[key])) for key in choices if key in given}
        entries.check_complete(checked, choices)
        self._decisions, self._choices, self._hash = checked, choices, None

    @classmethod
    def trusted(cls, decisions: dict[str, Decision], choices: Mapping[str, Choice]) -> Architecture:
        """An architecture of decisions that are known to be legal, complete, and in the order of the choices."""
        self = cls.__new__(cls)
        self._decisions, self._choices, self._hash = decisions, choices, None
        return self

    @classmethod
    def from_json(cls, source: object, space: Mapping[str, Choice], strict: bool = True) -> Architecture:
        """Reads an architecture in any of its JSON forms.

        Args:
            source: JSON text, a parsed object, or a path (a `Path`, or a string that names an existing file); with or
                without the header `{"fxnas": 1, "architecture": …}`.
            space: the search space that it belongs to.
            strict: False ignores unknown keys and takes the default for missing ones.

        Raises:
            ArchitectureError: naming the key, what was given, what is legal, and the file where there is one.
        """
        value, file = load_json(source, error=ArchitectureError, what="architecture")
        written = entries.without_header(value, file)
        if strict:
            entries.check_known(written, space, file)
        given = {key: choice.parse(written[key], file) for key, choice in space.items() if key in written}
        if not strict:
            return cls.trusted(entries.filled(given, space), space)
        entries.check_complete(given, space, file)
        return cls.trusted(given, space)

    @classmethod
    def from_proposal(cls, source: object, space: Mapping[str, Choice]) -> Architecture:
        """Reads what a tuner proposes: `{"conv1": {"_value": "conv5x5", "_idx": 1}, …}`.

        Args:
            source: JSON text, a parsed object, or a path.
            space: the search space that it belongs to.

        Raises:
            ArchitectureError: as `from_json`, and where `_value` and `_idx` contradict each other.
        """
        value, file = load_json(source, error=ArchitectureError, what="proposal")
        proposed = entries.mapping(value, file)
        entries.check_known(proposed, space, file)
        given = {
            key: entries.from_proposal(choice, proposed[key], file) for key, choice in space.items() if key in proposed
        }
        entries.check_complete(given, space, file)
        return cls.trusted(given, space)

    @property
    def choices(self) -> Mapping[str, Choice]:
        """The choices that the decisions belong to."""
        return self._choices

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of the canonical form as JSON with sorted keys."""
        return fingerprint_of(self.canonical().to_json())

    def canonical(self) -> Architecture:
        """The architecture without the decisions that play no role; equal for equal networks."""
        active = activity_of(self._choices).resolve(lambda choice: self._decisions[choice.key])
        return self if len(active) == len(self) else Architecture.trusted(active, self._choices)

    def to_json(self) -> dict[str, Any]:
        """Key → name or index of the chosen candidate, or the list of them where it isn't exactly one."""
        return {key: self._choices[key].written(decision) for key, decision in self._decisions.items()}

    def to_proposal(self) -> dict[str, Any]:
        """The form in which tuners propose: `{"conv1": {"_value": "conv5x5", "_idx": 1}, …}`."""
        return {key: entries.as_proposal(self._choices[key], decision) for key, decision in self._decisions.items()}

    def dumps(self) -> str:
        """The architecture as JSON text."""
        return json_text(self.to_json())

    def save(self, path: str | Path, header: Mapping[str, object] | None = None) -> None:
        """Writes the architecture to a JSON file, whole or not at all.

        Args:
            path: the file.
            header: None writes the plain mapping; else these entries stand beside it in
                `{"fxnas": 1, "architecture": …, **header}`.

        Raises:
            ArchitectureError: if the header can't be written as JSON, or uses a reserved name.
        """
        content: dict[str, object] = self.to_json()
        if header is not None:
            reserved = [name for name in ("fxnas", "architecture") if name in header]
            if reserved:
                raise ArchitectureError(f"header entry {shown(reserved[0])} is reserved")
            content = {"fxnas": entries.HEADER_VERSION, "architecture": content, **header}
        try:
            text = json_text(content)
        except (TypeError, ValueError, RecursionError) as problem:
            raise ArchitectureError(f"the header can't be written as JSON: {problem}") from None
        write_atomic(path, text)

    def diff(self, other: Mapping[str, Decision]) -> dict[str, tuple[Any, Any]]:
        """What differs: key → (decision here, decision there) in written form, None where there is no decision."""
        keys = [*self, *(key for key in other if key not in self)]
        theirs = other.choices if isinstance(other, Architecture) else self._choices
        return {
            key: (_written(self, key, self._choices), _written(other, key, theirs))
            for key in keys
            if self.get(key) != other.get(key)
        }

    def __getitem__(self, key: str) -> Decision:
        return self._decisions[key]

    # `Mapping` has what follows, but slower: strategies look at every decision of thousands of architectures.

    def get(self, key: str, default: Any = None) -> Any:
        """The decision at a choice, or `default` where it has none."""
        return self._decisions.get(key, default)

    def items(self) -> ItemsView[str, Decision]:
        """Pairs of key and decision."""
        return self._decisions.items()

    def __iter__(self) -> Iterator[str]:
        return iter(self._decisions)

    def __len__(self) -> int:
        return len(self._decisions)

    def __contains__(self, key: object) -> bool:
        return key in self._decisions

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Architecture):
            return self._decisions == other._decisions
        return self._decisions == other if isinstance(other, Mapping) else NotImplemented

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self._decisions.items()))
        return self._hash

    def __repr__(self) -> str:
        return f"Architecture({self.to_json()})"

    def __reduce__(self) -> tuple[object, ...]:
        return (Architecture.trusted, (self._decisions, self._choices))

    def __copy__(self) -> Architecture:
        return self

    def __deepcopy__(self, memo: object) -> Architecture:
        return self


def fingerprint_of(canonical: Mapping[str, Any]) -> str:
    """The fingerprint of the architecture whose canonical form is this JSON object."""
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _sequence(decision: object) -> object:
    """Sets and generators of indices are welcome too; what can't be a decision is left to be refused with its key."""
    return tuple(decision) if isinstance(decision, Iterable) and not isinstance(decision, str | bytes) else decision


def _written(decisions: Mapping[str, Decision], key: str, choices: Mapping[str, Choice]) -> object:
    if key not in decisions:
        return None
    return choices[key].written(decisions[key]) if key in choices else list(decisions[key])
