"""Arguments of one-shot methods as they are written on the command line: NAME=VALUE."""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING, Any

import typer

from fxnas.errors import FxnasError, nearest
from fxnas.named import load_object

if TYPE_CHECKING:
    from fxnas.oneshot import OneShotTrainer

_PLAIN: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "str": (str,), "bool": (bool,), "tuple": (list,), "Mapping": (dict,),
}  # fmt: skip


def arguments_of(kind: type[OneShotTrainer]) -> dict[str, str]:
    """The arguments of a trainer's method: name → annotation."""
    found: dict[str, str] = {}
    for each in kind.method_type.__mro__:
        parameters = inspect.signature(each.__init__).parameters if "__init__" in each.__dict__ else {}  # type: ignore[misc]
        for name, parameter in parameters.items():
            if parameter.kind is parameter.KEYWORD_ONLY:
                found.setdefault(name, str(parameter.annotation))
    return found


def read_options(
    texts: list[str], kind: type[OneShotTrainer], method: str, model: str, taken: set[str]
) -> dict[str, Any]:
    """The arguments that were written.

    Args:
        texts: NAME=VALUE each; the value is JSON, a string without quotes, or for functions a name as for the model.
        kind: the trainer.
        method: its name on the command line, for messages.
        model: where functions are looked for that are named without a place.
        taken: arguments that have options of their own.

    Raises:
        FxnasError: the method has no such argument, or the value isn't one for it.
    """
    known = {n: a for n, a in arguments_of(kind).items() if n not in taken and _is_writable(a)}
    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"--option {text!r}: expected NAME=VALUE")
        if name not in known:
            raise FxnasError(f"{method} has no argument {name!r}{nearest(name, known)}; it has {', '.join(known)}")
        options[name] = _read(name, value, known[name], model)
    return options


def _is_writable(annotation: str) -> bool:
    return bool(re.match(r"(int|float|str|bool|tuple|Mapping|Metric|Evolution)\b", annotation))


def _read(name: str, text: str, annotation: str, model: str) -> Any:
    kind = re.split(r"[ \[]", annotation)[0]
    if kind == "Metric":
        return load_object(text, what=name, beside=model)
    value: Any
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if kind == "Evolution":
        return _evolution(value)
    fits = isinstance(value, _PLAIN[kind]) and (kind == "bool" or not isinstance(value, bool))
    if not fits:
        raise FxnasError(f"{name} is written as {annotation}, got {text!r}")
    return tuple(value) if kind == "tuple" else value


def _evolution(value: Any) -> Any:
    from fxnas.oneshot import Evolution

    try:
        return Evolution(**value)
    except TypeError:
        fields = ", ".join(Evolution.__dataclass_fields__)
        raise FxnasError(f'evolution is written as {{"generations": 5, …}}, of {fields}; got {value!r}') from None
