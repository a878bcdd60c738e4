"""A trial as a program of its own: which architecture it evaluates, and where its results go. Free of torch.

What `fxnas.evaluators.TrialCommand` starts and such a program speak through two files, which the environment names, so
that the program may be written in any language:

- `FXNAS_ARCHITECTURE`: a JSON file to read, key → name or index of the chosen candidate, or a list of them;
- `FXNAS_RESULTS`: a file to append lines of JSON to, `{"intermediate": x}` and once `{"final": x}`, where x is a
  number, higher is better, or an object of numbers by name; a final x also a list of numbers, one for each objective.
  null stands for a number that isn't finite;
- `FXNAS_SPACE_OUT`: a search-space file to write in place of all that;
- `FXNAS_TRIAL`, `FXNAS_SEED`: the number of the trial, and what its random decisions shall follow from;
- `FXNAS_STARTED_IN`: the folder that the search was started in; the program runs in a folder of its own.

Where none of them is set, the program was run by hand: it gets the default architecture, and results are printed.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from fxnas.architecture import Architecture
from fxnas.errors import FxnasError, shown
from fxnas.lines import append_line
from fxnas.space import SearchSpace

if TYPE_CHECKING:
    from torch import nn

__all__ = ["get_and_apply_next_architecture", "report_final_result", "report_intermediate_result"]

ARCHITECTURE = "FXNAS_ARCHITECTURE"
RESULTS = "FXNAS_RESULTS"
SPACE_OUT = "FXNAS_SPACE_OUT"
NUMBER = "FXNAS_TRIAL"
SEED = "FXNAS_SEED"
STARTED_IN = "FXNAS_STARTED_IN"
VARIABLES = (ARCHITECTURE, RESULTS, SPACE_OUT, NUMBER, SEED, STARTED_IN)


@overload
def get_and_apply_next_architecture(model: SearchSpace) -> Architecture: ...
@overload
def get_and_apply_next_architecture(model: nn.Module) -> nn.Module: ...
def get_and_apply_next_architecture(model: Any) -> Any:
    """Fixes a model to the architecture of this trial, in place, as `fxnas.apply_fixed_architecture` does.

    Call it when the model is made and before its optimizer is. Run by hand, the model gets its default architecture.
    Where the search space is asked for (`fxnas space --trial-command`), it writes that and ends the program.

    Args:
        model: an eager model with choices; or a SearchSpace, for a trial that has no such model.

    Returns:
        The model: use it where the model itself is a choice, which is replaced. Of a space, the architecture.

    Raises:
        ArchitectureError: the architecture doesn't fit the model or the space.
        SearchSpaceError: the choices of the model contradict each other.
        SystemExit: the search space was asked for.
    """
    space = model if isinstance(model, SearchSpace) else _space_of(model)
    if os.environ.get(SPACE_OUT):
        space.save(os.environ[SPACE_OUT])
        sys.exit(0)
    path = os.environ.get(ARCHITECTURE)
    if isinstance(model, SearchSpace):
        return model.default if not path else Architecture.from_json(Path(path), model)
    from fxnas.retrain import apply_fixed_architecture

    return apply_fixed_architecture(model, space.default if not path else Path(path))


def report_intermediate_result(value: float | Mapping[str, float]) -> None:
    """Reports how good the trial is so far; a stopping rule of the search may end it there.

    Args:
        value: the score, higher is better, which counts as that of the next epoch, from 1; or any numbers by name,
            such as {"epoch": 3, "loss": 0.2}. What `float` takes is a number.

    Raises:
        FxnasError: it isn't numbers.
    """
    _report("intermediate", value)


def report_final_result(value: float | Mapping[str, float] | Sequence[float]) -> None:
    """Reports the score of the trial, once.

    Args:
        value: the score, higher is better; or several metrics by name, among them "score" or all objectives that the
            search names; or a list of scores, one for each objective. A score or an objective that is missing, or isn't
            finite, makes the trial a failed one: the search tells, for a script knows of no objectives.

    Raises:
        FxnasError: it isn't numbers, or nothing at all.
    """
    _report("final", value)


def _space_of(model: nn.Module) -> SearchSpace:
    from fxnas.nn import space_of

    return space_of(model)


def _report(kind: str, value: Any) -> None:
    plain = _plain(kind, value)
    path = os.environ.get(RESULTS)
    if not path:
        print(f"{kind} result: {json.dumps(plain)}", flush=True)
        return
    append_line(path, json.dumps({kind: plain}).encode())


def _plain(kind: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        if kind == "final" and not value:
            raise FxnasError("final result of nothing: a number is needed, or numbers by name")
        return {str(name): _number(kind, each) for name, each in value.items()}
    if kind == "final" and isinstance(value, Sequence) and not isinstance(value, str):
        return [_number(kind, each) for each in value]
    return _number(kind, value)


def _number(kind: str, value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        also = ", or a list with one for each objective" if kind == "final" else ""
        raise FxnasError(f"{kind} result {shown(value)}: a number is needed, or numbers by name{also}") from error
    return number if math.isfinite(number) else None
