"""Reading the entries of an architecture, in plain or proposal form, into legal decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fxnas.choice import Choice
from fxnas.counting.activity import activity_of
from fxnas.errors import ArchitectureError, nearest, shown

Decision = tuple[int, ...]
HEADER_VERSION = 1
_SHOWN_KEYS = 12


def mapping(value: object, file: str | None) -> Mapping[object, object]:
    """The value itself, once it is known to be a mapping.

    Raises:
        ArchitectureError: if it isn't one.
    """
    if not isinstance(value, Mapping):
        raise ArchitectureError(f"an architecture maps keys to decisions, got {shown(value)}{_in(file)}")
    return value


def without_header(value: object, file: str | None) -> Mapping[object, object]:
    """The entries of an architecture that is given with or without the header `{"fxnas": 1, "architecture": …}`.

    Raises:
        ArchitectureError: if it isn't a mapping, or of an unknown version.
    """
    entries = mapping(value, file)
    # No decision is an object, so that a space with these two keys can't be mistaken for a header.
    if "fxnas" not in entries or not isinstance(entries.get("architecture"), Mapping):
        return entries
    version = entries["fxnas"]
    if isinstance(version, bool) or not isinstance(version, int) or version != HEADER_VERSION:
        raise ArchitectureError(f"a header of version {HEADER_VERSION} can be read, got {shown(version)}{_in(file)}")
    return mapping(entries["architecture"], file)


def check_known(keys: Iterable[object], choices: Mapping[str, Choice], file: str | None = None) -> None:
    """Raises an ArchitectureError that names the first key without a choice."""
    for key in keys:
        if not isinstance(key, str):
            raise ArchitectureError(f"a key is a string, got {shown(key)}{_in(file)}")
        if key not in choices:
            known = ", ".join(map(shown, list(choices)[:_SHOWN_KEYS])) or "none"
            more = ", …" if len(choices) > _SHOWN_KEYS else ""
            hint = nearest(key, choices)
            raise ArchitectureError(f"there is no choice {shown(key)}; known: {known}{more}{hint}{_in(file)}")


def check_complete(given: Mapping[str, Decision], choices: Mapping[str, Choice], file: str | None = None) -> None:
    """Raises an ArchitectureError that names the first active choice without a decision."""

    def decision_of(choice: Choice) -> Decision:
        if choice.key not in given:
            legal = choice.forms().legal()
            raise ArchitectureError(f"choice {shown(choice.key)} has {legal}, but no decision is given{_in(file)}")
        return given[choice.key]

    activity_of(choices).resolve(decision_of)


def filled(given: Mapping[str, Decision], choices: Mapping[str, Choice]) -> dict[str, Decision]:
    """The decisions, with the default for every active choice that has none; in the order of the choices."""
    active = activity_of(choices).resolve(lambda choice: given.get(choice.key, choice.default))
    merged = {**given, **active}
    return {key: merged[key] for key in choices if key in merged}


def as_proposal(choice: Choice, decision: Decision) -> dict[str, object]:
    """A decision as tuners propose it: `{"_value": "conv5x5", "_idx": 1}`, for inputs with lists."""
    names = [choice.candidates[i] for i in decision]
    if choice.kind == "layer_choice" and choice.n_chosen == 1:
        return {"_value": names[0], "_idx": decision[0]}
    return {"_value": names, "_idx": list(decision)}


def from_proposal(choice: Choice, entry: object, file: str | None) -> Decision:
    """The decision that a tuner proposes.

    Raises:
        ArchitectureError: for a wrong form, an illegal decision, or where `_value` and `_idx` contradict each other.
    """
    if not isinstance(entry, Mapping) or set(entry) != {"_value", "_idx"}:
        form = 'an object with "_value" and "_idx" is needed'
        raise ArchitectureError(f"choice {shown(choice.key)}: {form}, got {shown(entry)}{_in(file)}")
    decision = choice.parse(entry["_idx"], file)
    expected = as_proposal(choice, decision)["_value"]
    if entry["_value"] != expected:
        raise ArchitectureError(
            f'choice {shown(choice.key)}: "_idx" {shown(entry["_idx"])} is {shown(expected)}, '
            f'but "_value" is {shown(entry["_value"])}{_in(file)}'
        )
    return decision


def _in(file: str | None) -> str:
    return f" ({file})" if file else ""
