"""`fxnas report`: a study as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fxnas.cli import console
from fxnas.cli.options import StudyFile
from fxnas.study import Study


def report(
    study: StudyFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path("report.html"),
    front: Annotated[
        list[str] | None,
        typer.Option(
            help="A column of the Pareto front, twice: a metric, score, seconds or 'objective 1'. A leading - says "
            "that lower is better, + that higher is; without one, lower is for names of costs (latency_ms, flops, …). "
            "By default two objectives, or the score and the first other metric.",
            show_default=False,
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="The page's title; by default the study's name.", show_default=False)
    ] = None,
) -> None:
    """Write a study as one HTML page that needs no network: curves, front, choices, best architecture, trials.

    For example:

      fxnas report search.db -o report.html

      fxnas report search.db --front accuracy --front latency_ms
    """
    from fxnas.report.page import write_report

    with Study(study, readonly=True) as opened:
        write_report(opened, output, front=front or (), title=title)
        console.print_text(f"{sum(opened.counts.values())} trials reported in {output}")
