"""A study in the form that optuna's dashboard reads. optuna is an optional extra, imported where it is used."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fxnas.errors import FxnasError

_STATES = {"done": "COMPLETE", "failed": "FAIL", "pruned": "PRUNED", "running": "RUNNING", "waiting": "WAITING"}


def write_optuna(rows: Sequence[Mapping[str, Any]], name: str, url: str) -> None:
    """Adds an optuna study called `name` to the storage at `url`; see `Study.to_optuna`.

    Raises:
        FxnasError: optuna isn't installed, the storage can't be used, or has such a study.
    """
    try:
        import optuna
        from sqlalchemy.exc import SQLAlchemyError  # optuna needs it, too
    except ImportError as error:
        raise FxnasError("handing a study to optuna needs optuna: pip install 'fxnas[optuna]'") from error
    values = {key: _texts(rows, key) for key in dict.fromkeys(key for row in rows for key in row["architecture"])}
    distributions = {key: optuna.distributions.CategoricalDistribution(texts) for key, texts in values.items()}
    count = next((len(_values(row)) for row in rows if row["state"] == "done"), 1)
    try:
        study = optuna.create_study(storage=url, study_name=name, directions=["maximize"] * count)
    except optuna.exceptions.DuplicatedStudyError as error:
        raise FxnasError(f"{url} has a study called {name!r} already: give another name") from error
    except (SQLAlchemyError, ImportError) as error:  # no such file, host or kind of database, or no driver for it
        told = str(error).splitlines()[0]
        raise FxnasError(f"optuna can't use the storage {url}: {told}; give one such as sqlite:///optuna.db") from error
    for row in rows:
        params = {key: _text(decision) for key, decision in row["architecture"].items()}
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState[_STATES[row["state"]]],
                values=_values(row) if row["state"] == "done" else None,
                params=params,
                distributions={key: distributions[key] for key in params},
                intermediate_values=_intermediate(row["reports"]) if count == 1 else {},
                user_attrs={name: row[name] for name in ("trial", "metrics", "seconds", "source", "attempts", "error")},
            )
        )


def _texts(rows: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """The decisions that a choice has had, as text: optuna's categories are plain."""
    return sorted({_text(row["architecture"][key]) for row in rows if key in row["architecture"]})


def _text(decision: object) -> str:
    return decision if isinstance(decision, str) else json.dumps(decision)


def _values(row: Mapping[str, Any]) -> list[float]:
    return row["objectives"] or [row["score"]]


def _intermediate(reports: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """The curve that a dashboard draws: the reported score, or else the first value beside the step."""
    curve: dict[int, float] = {}
    for place, report in enumerate(reports):
        step = report.get("epoch", place)
        shown = [report.get("score"), *(value for name, value in report.items() if name != "epoch")]
        value = next((value for value in shown if value is not None), None)
        if step is not None and value is not None:
            curve[int(step)] = float(value)
    return curve
