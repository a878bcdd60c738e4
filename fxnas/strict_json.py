"""JSON as strict as files from others call for: limited depth, no key twice, only finite numbers."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import NamedTuple

from fxnas.errors import shown

MAX_DEPTH = 64

# Strings are matched whole (up to the end of the text where one isn't closed), so that brackets in them don't count.
# A string before a colon is a key.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"(?P<key>\s*:)?|\\?\Z)|[\[\]{}]', re.DOTALL)
_MAX_DIGITS = 4300  # Python itself refuses longer integers


def parse(text: str) -> object:
    """Parses JSON text.

    Raises:
        ValueError: naming the key or the line: not JSON, nested deeper than 64, a key given twice in one object, NaN or
            an infinite number, an integer of more than 4,300 digits.
    """
    _check_depth(text)
    try:
        value: object = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int
        )
    except json.JSONDecodeError as problem:
        place = f"line {problem.lineno}, column {problem.colno}"
        raise ValueError(f"this is not JSON: {problem.msg} ({place})") from None
    return _accepted(value, "")


def _check_depth(text: str) -> None:
    """Before parsing, since Python's parser recurses."""
    depth, key = 0, ""
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if token["key"] is not None:
            key = f"key {shown(token.group()[1 : -1 - len(token['key'])])}, "
        depth += (first in "[{") - (first in "]}")
        if depth > MAX_DEPTH:
            line = text.count("\n", 0, token.start()) + 1
            raise ValueError(f"nested deeper than {MAX_DEPTH} ({key}line {line})")


class _Refused(NamedTuple):
    """Stands for a number that isn't accepted, until the key is known that it belongs to."""

    reason: str


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = {key: _accepted(value, f"key {shown(key)}: ") for key, value in pairs}
    if len(result) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"key {shown(twice)} is given twice")
    return result


def _accepted(value: object, place: str) -> object:
    if isinstance(value, _Refused):
        raise ValueError(f"{place}{value.reason}")
    if isinstance(value, list):
        for item in value:
            _accepted(item, place)
    return value


def _constant(name: str) -> _Refused:
    return _Refused(f"{name} is not a JSON number")


def _float(digits: str) -> float | _Refused:
    value = float(digits)
    return value if math.isfinite(value) else _Refused(f"{shown(digits)} is too large a number")


def _int(digits: str) -> int | _Refused:
    return int(digits) if len(digits) <= _MAX_DIGITS else _Refused(f"an integer of {len(digits)} digits is too long")
