"""The five forms in which a decision may be written, and their one internal form: a sorted tuple of indices.

A decision is given as a name, an index, a list of names, a list of indices, or a list of booleans as long as the
candidates (multi-hot).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from fxnas.errors import ArchitectureError, nearest, shown

_SHOWN_NAMES = 12


@dataclass(frozen=True)
class Forms:
    """Reads and writes the decisions of one choice.

    Attributes:
        key: key of the choice.
        candidates: names of the candidates.
        n_chosen: how many are chosen; None: any number.
        source: name of the file that the value stands in, for messages.
    """

    key: str
    candidates: tuple[str, ...]
    n_chosen: int | None
    source: str | None = None

    def parse(self, value: object) -> tuple[int, ...]:
        """The decision that `value` expresses.

        Raises:
            ArchitectureError: naming the key, what was given and what is legal.
        """
        decision = self._list(value) if isinstance(value, list | tuple) else (self._entry(value, None),)
        return self._counted(decision, value)

    def candidate(self, value: object) -> int:
        """The index of the one candidate that a name or an index expresses.

        Raises:
            ArchitectureError: as `parse`.
        """
        return self._entry(value, None)

    def check(self, decision: object) -> tuple[int, ...]:
        """The decision sorted, where it is given as a sequence of indices.

        Raises:
            ArchitectureError: as `parse`.
        """
        if isinstance(decision, str | bytes) or not isinstance(decision, Sequence):
            raise self._error(f"a sequence of indices is needed, got {_json(decision)}")
        return self._counted([self._index(value, place) for place, value in enumerate(decision)], decision)

    def written(self, decision: Sequence[int]) -> object:
        """The decision as JSON: names where they identify the candidates, else indices; one alone is unwrapped."""
        names: Sequence[object] = self.candidates if self._named else range(len(self.candidates))
        return names[decision[0]] if len(decision) == 1 else [names[i] for i in decision]

    def legal(self) -> str:
        """The words for what may be chosen: `candidates 0..2 (conv1, conv3, skip)`."""
        last = len(self.candidates) - 1
        numbers = f"candidates 0..{last}" if last else "candidate 0"
        if not any(self.candidates):
            return numbers
        more = ", …" if len(self.candidates) > _SHOWN_NAMES else ""
        return f"{numbers} ({', '.join(map(_bare, self.candidates[:_SHOWN_NAMES]))}{more})"

    def _counted(self, decision: Sequence[int], value: object) -> tuple[int, ...]:
        ordered = tuple(sorted(decision))
        for first, second in pairwise(ordered):
            if first == second:
                raise self._error(
                    f"each candidate at most once, got {shown(self.written([first]))} twice: {shown(value)}"
                )
        if self.n_chosen is not None and len(ordered) != self.n_chosen:
            raise self._error(f"exactly {self.n_chosen} to be chosen, got {len(ordered)}: {shown(value)}")
        return ordered

    def _index(self, value: object, place: int | None) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._error(f"an index is needed, got {_json(value)}", place)
        if not 0 <= value < len(self.candidates):
            raise self._error(f"got {shown(value)}", place)
        return int(value)

    @cached_property
    def _named(self) -> bool:
        names = set(self.candidates)
        distinct = len(names) == len(self.candidates)
        # An input without a name is called "", which would read as "nothing".
        return distinct and "" not in names and not all(name.isdecimal() for name in names)

    def _list(self, values: Sequence[object]) -> tuple[int, ...]:
        if values and all(isinstance(value, bool) for value in values):
            return self._multi_hot(values)
        decision = tuple(self._entry(value, place) for place, value in enumerate(values))
        if len({isinstance(value, str) for value in values}) > 1:
            raise self._error(f"either names or indices are needed, got both: {shown(list(values))}")
        return decision

    def _multi_hot(self, values: Sequence[object]) -> tuple[int, ...]:
        if len(values) != len(self.candidates):
            count = len(self.candidates)
            raise self._error(f"as many booleans ({count}) are needed, got {len(values)}: {shown(list(values))}")
        return tuple(i for i, value in enumerate(values) if value)

    def _entry(self, value: object, place: int | None) -> int:
        if isinstance(value, str):
            return self._by_name(value, place)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._error(f"a name or an index is needed, got {_json(value)}", place)
        return self._index(value, place)

    def _by_name(self, name: str, place: int | None) -> int:
        found = [i for i, candidate in enumerate(self.candidates) if candidate == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise self._error(f"{shown(name)} is the name of {len(found)} of them: give an index", place)
        raise self._error(f"got {shown(name)}{nearest(name, self.candidates)}", place)

    def _error(self, got: str, place: int | None = None) -> ArchitectureError:
        spot = _bare(self.key) + ("" if place is None else f"[{place}]")
        tail = f" ({self.source}: {spot})" if self.source else f" ({spot})" if place is not None else ""
        return ArchitectureError(f"choice {shown(self.key)} has {self.legal()}, {got}{tail}")


def _bare(name: str) -> str:
    return name if name and name.isprintable() and len(name) <= 40 else shown(name)


def _json(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else shown(value)
