"""What a study is begun with: a search that goes on with it must have the same. Free of torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fxnas.errors import SearchSpaceError
from fxnas.objectives import with_signs
from fxnas.space import SearchSpace


def described_space(space: SearchSpace) -> dict[str, Any]:
    """The space as a study records it."""
    return {
        "fingerprint": space.fingerprint,
        "space": space.to_json(),
    }


def compare(study: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuses to go on with a study that was begun with something else.

    An evaluator that couldn't be described, then or now, is not compared.

    Args:
        study: what the message calls it.
        found: what the study was begun with.
        wanted: what it shall go on with.

    Raises:
        SearchSpaceError: names the first difference.
    """
    compare_space(study, found, wanted)
    if found.get("strategy") != wanted["strategy"]:
        _refuse(study, "strategy", _difference(found.get("strategy"), wanted["strategy"], "setting"))
    for name in ("stopping rule", "objectives", "evaluator"):
        if name not in found or name not in wanted:
            continue
        before = with_signs(found[name]) if name == "objectives" else found[name]
        if before != wanted[name] and (name != "evaluator" or None not in (before, wanted[name])):
            _refuse(study, name, _difference(before, wanted[name], "setting"))


def compare_space(study: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """As `compare`, of the space alone."""
    if found.get("fingerprint") != wanted["fingerprint"]:
        _refuse(study, "space", _difference(found.get("space"), wanted["space"], "choice"))


def _refuse(study: str, what: str, difference: str) -> None:
    raise SearchSpaceError(
        f"{study} was begun by a search with another {what}: {difference}; go on with that {what}, or use a new study"
    )


def _difference(old: object, new: object, what: str) -> str:
    """The first difference between two flat objects, in words."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return f"it was {_short(old)}, is {_short(new)}"
    for key in [*new, *old]:
        if key not in old:
            return f"{what} {key!r} is new"
        if key not in new:
            return f"{what} {key!r} is gone"
        if old[key] != new[key]:
            return f"{what} {key!r} was {_short(old[key])}, is {_short(new[key])}"
    return f"every {what} in another order"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"
