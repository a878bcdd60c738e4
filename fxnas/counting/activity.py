"""Which decisions are part of an architecture.

A choice is active when its condition holds whatever stands at the choices that are not active themselves. That makes
the answer depend on active decisions alone: starting from the choices that are always active, one after the other is
found active, and the order in which they are looked at plays no role.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from fxnas.choice import Choice
from fxnas.conditions import ALWAYS, NEVER, Atom, Condition
from fxnas.counting.tautology import always_true
from fxnas.errors import SearchSpaceError, nearest, shown

Decision = tuple[int, ...]


class Activity:
    """Tells which of some choices are active; compiled once, so that asking is one pass over the conditions.

    Attributes:
        conditional: whether any choice is not always active.
    """

    def __init__(self, choices: Iterable[Choice]) -> None:
        self._choices = {choice.key: choice for choice in choices}
        self._sizes = {c.key: (len(c.candidates), c.n_chosen) for c in self._choices.values()}
        for choice in self._choices.values():
            _check_atoms(choice, self._choices)
        self._ordered, self._cyclic = _sorted(self._choices)
        self.conditional = any(c.active is not ALWAYS for c in self._choices.values())

    def resolve(self, decision_of: Callable[[Choice], Decision]) -> dict[str, Decision]:
        """The decisions of the active choices, in the order of the choices.

        Args:
            decision_of: gives the decision of an active choice; it may raise an error where there is none.
        """
        if not self.conditional:
            return {key: decision_of(choice) for key, choice in self._choices.items()}
        known: dict[str, Decision] = {}
        values: dict[Condition, bool | None] = {ALWAYS: True, NEVER: False}
        for choice, conditions in self._ordered:
            for condition in conditions:
                values[condition] = _value(condition, values, known)
            if self._holds(choice.active, values[choice.active], known):
                known[choice.key] = decision_of(choice)
        self._resolve_cyclic(known, decision_of)
        return {key: known[key] for key in self._choices if key in known}

    def _holds(self, condition: Condition, value: bool | None, known: Mapping[str, Decision]) -> bool:
        if value is not None:
            return value
        return always_true(condition.substitute(lambda atom: _atom_value(atom, known)), self._sizes)

    def _resolve_cyclic(self, known: dict[str, Decision], decision_of: Callable[[Choice], Decision]) -> None:
        """Conditions that depend on each other in a circle: looks again until no further choice is found active."""
        waiting = list(self._cyclic)
        progress = True
        while progress:
            progress = False
            for choice in list(waiting):
                if self._holds(choice.active, None, known):
                    known[choice.key] = decision_of(choice)
                    waiting.remove(choice)
                    progress = True


def activity_of(choices: Mapping[str, Choice]) -> Activity:
    """The activity that a search space keeps, or a new one for another mapping of choices."""
    kept = getattr(choices, "activity", None)
    return kept if isinstance(kept, Activity) else Activity(choices.values())


def _atom_value(atom: Atom, known: Mapping[str, Decision]) -> bool | None:
    return atom.holds(known) if atom.key in known else None


def _value(condition: Condition, values: Mapping[Condition, bool | None], known: Mapping[str, Decision]) -> bool | None:
    """The value of a condition whose terms have theirs; None where it depends on choices that aren't active."""
    if condition.atom is not None:
        return _atom_value(condition.atom, known)
    terms = [values[term] for term in condition.terms]
    if condition.kind == "not":
        return None if terms[0] is None else not terms[0]
    decisive = condition.kind == "any"
    if decisive in terms:
        return decisive
    return None if None in terms else not decisive


def _check_atoms(choice: Choice, choices: Mapping[str, Choice]) -> None:
    for atom in choice.active.atoms():
        other = choices.get(atom.key)
        depends = f"choice {shown(choice.key)} depends on"
        if other is None:
            hint = nearest(atom.key, choices)
            raise SearchSpaceError(f"{depends} {shown(atom.key)}, which is not in the space{hint}")
        fits = atom.candidate is None or 0 <= atom.candidate < atom.count
        if not fits or (atom.count, atom.n_chosen) != (len(other.candidates), other.n_chosen):
            given = f"{atom.candidate} of {atom.count}, n_chosen {atom.n_chosen}"
            legal = f"{other.forms().legal()}, n_chosen {other.n_chosen}"
            raise SearchSpaceError(f"{depends} {shown(atom.key)} ({given}), which has {legal}")


def _sorted(choices: Mapping[str, Choice]) -> tuple[list[tuple[Choice, list[Condition]]], list[Choice]]:
    """The choices after all they depend on, each with the conditions to evaluate for it; and those in circles."""
    order = _topological({key: choice.active.keys for key, choice in choices.items()})
    seen: set[Condition] = {ALWAYS, NEVER}
    ordered = [(choices[key], _unseen(choices[key].active, seen)) for key in order]
    placed = set(order)
    return ordered, [choice for key, choice in choices.items() if key not in placed]


def _topological(needs: Mapping[str, Sequence[str]]) -> list[str]:
    users: dict[str, list[str]] = {key: [] for key in needs}
    missing = {key: len(needed) for key, needed in needs.items()}
    for key, needed in needs.items():
        for other in needed:
            users[other].append(key)
    order = [key for key, count in missing.items() if count == 0]
    for key in order:  # grows while it is walked
        for user in users[key]:
            missing[user] -= 1
            if missing[user] == 0:
                order.append(user)
    return order


def _unseen(condition: Condition, seen: set[Condition]) -> list[Condition]:
    """The parts of a condition that were not seen before, terms first."""
    parts: list[Condition] = []
    stack = [(condition, False)]
    while stack:
        part, terms_done = stack.pop()
        if terms_done:
            parts.append(part)
        elif part not in seen:
            seen.add(part)
            stack.append((part, True))
            stack.extend((term, False) for term in part.terms)
    return parts
