"""What a study keeps of the graph that is searched, so that a report can draw any architecture of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Any

from fxnas.results import Trial
from fxnas.running.source import Given, Made, Source
from fxnas.space import SearchSpace
from fxnas.study import Study


def drawing(source: Source) -> dict[str, Any] | None:
    """The wiring of the graph that a source gives, as JSON; None of a bare space, or where it is too large."""
    graph = source.bench().graph
    if isinstance(graph, SearchSpace):
        return None
    from fxnas.graph import ChoiceGraph

    if not isinstance(graph, ChoiceGraph):
        return None
    wiring = graph.wiring
    return None if wiring is None else wiring.to_json(graph.space)


def keep_drawing(source: Given | Made, engine: Executor, study: Study) -> Callable[[Trial], None]:
    """Records the wiring if the study has none: at once, or where only workers have a graph, as soon as one gave it.

    Returns:
        what is to be called when a trial is finished.
    """
    if "wiring" in study.described or (isinstance(source, Made) and isinstance(source.graph, SearchSpace)):
        return lambda trial: None
    if isinstance(source, Given):
        _keep(drawing(source), study)
        return lambda trial: None
    coming: list[Future[dict[str, Any] | None]] = []
    with suppress(RuntimeError):  # an engine that takes nothing is met again with the first trial, which tells it
        coming.append(engine.submit(drawing, source))

    def look(trial: Trial) -> None:
        if coming and coming[0].done():
            future = coming.pop()
            # A worker that was killed meanwhile gives none: the next search of the study asks again.
            if not future.cancelled() and future.exception() is None:
                _keep(future.result(), study)

    return look


def _keep(wiring: dict[str, Any] | None, study: Study) -> None:
    if wiring is not None:
        study.keep_wiring(wiring)
