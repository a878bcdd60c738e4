"""Classes of outputs, rewritten for generated source: a dataclass or namedtuple of ours needs no import."""

from __future__ import annotations

import dataclasses
from typing import Any

from fxnas.exporters.identifiers import Scope, is_plain
from fxnas.exporters.literals import Unwritable, literal

_METHODS = """
    def __getitem__(self, key):
        return [v for v in vars(self).values() if v is not None][key] if isinstance(key, int) else vars(self)[key]
"""


class Classes:
    """The output classes that a graph uses.

    Args:
        scope: gives out their names.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._names: dict[type, str] = {}
        self._sources: list[str] = []

    def name_of(self, kind: Any) -> str | None:
        """The name of our version of a class, which is written when first asked for; None if it is no such class."""
        if not isinstance(kind, type) or kind.__module__.partition(".")[0] in ("torch", "builtins"):
            return None
        if not dataclasses.is_dataclass(kind) and not hasattr(kind, "_fields"):
            return None
        if kind not in self._names:
            name = self._scope.fresh(kind.__name__)
            self._sources.append(_source(kind, name))
            self._names[kind] = name
        return self._names[kind]

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources of all classes asked for."""
        return tuple(self._sources)

    @property
    def imports(self) -> tuple[str, ...]:
        """The import lines that the sources need."""
        wanted = []
        if any(source.startswith("@dataclass") for source in self._sources):
            wanted.append("from dataclasses import dataclass")
        if any("(NamedTuple)" in source for source in self._sources):
            wanted.append("from typing import NamedTuple")
        return tuple(wanted)


def _source(kind: Any, name: str) -> str:
    if hasattr(kind, "_fields"):
        lines = [
            _field(field, field in kind._field_defaults, kind._field_defaults.get(field)) for field in kind._fields
        ]
        return "\n".join([f"class {name}(NamedTuple):", *lines])
    lines = [_dataclass_field(field) for field in dataclasses.fields(kind) if field.init]
    methods = (
        _METHODS.rstrip() if issubclass(kind, dict) else ""
    )  # Hugging Face's outputs are read like dicts and tuples
    return "\n".join(["@dataclass", f"class {name}:", *lines]) + ("\n" + methods if methods else "")


def _dataclass_field(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return _field(field.name, True, None)
    return _field(field.name, field.default is not dataclasses.MISSING, field.default)


def _field(name: str, optional: bool, default: Any) -> str:
    if not is_plain(name):
        raise Unwritable(f"the field {name!r} of an output class is no plain identifier")
    return f"    {name}: object" + (f" = {literal(default)}" if optional else "")
