"""`fxnas study`: looking at the record of a search, also while it runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from fxnas.cli import console
from fxnas.cli.options import Json, StudyFile
from fxnas.errors import FxnasError
from fxnas.files import json_text, write_atomic
from fxnas.study import Study

_MOST_DECISIONS = 12  # of a trial in the table of all trials

app = typer.Typer(help="Look at studies: the records of searches.", no_args_is_help=True)


class Format(StrEnum):
    """The formats that a study is exported to."""

    jsonl = "jsonl"
    csv = "csv"


@app.command()
def ls(
    places: Annotated[
        list[Path] | None,
        typer.Argument(help="Studies, or folders with studies called *.db; by default this one.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """List studies: how many trials, and the best. A study is told by its ending .db where a folder is searched.

    For example:

      fxnas study ls

      fxnas study ls runs/ search.db --json
    """
    inside = {place: _studies(place) for place in places or [Path()]}
    found = [_summary(path) for paths in inside.values() for path in paths]
    if json:
        console.print_json(found)
        return
    for place in [place for place, paths in inside.items() if not paths]:
        console.print_text(f"there is no study in {place.resolve()}: no file called *.db; name files to list others")
    if not found:
        return
    rows = [
        (s["study"], s["strategy"] or "–", _counted(s["trials"]), s["problem"] or _written(s["best"])) for s in found
    ]
    console.print_table(("study", "strategy", "trials", "best score"), rows)


@app.command()
def show(study: StudyFile, json: Json = False) -> None:
    """Print what a study was begun with, and its trials; of architectures of many choices the first decisions.

    For example:

      fxnas study show search.db
    """
    with Study(study, readonly=True) as opened:
        described, trials = opened.described, opened.rows()
    if json:
        console.print_json({**described, "trials": trials})
        return
    rows = [
        (
            t["trial"],
            t["state"] if t["source"] is None else f"{t['state']} (as {t['source']})",
            _written(t["score"]),
            f"{t['seconds']:.1f}",
            t["error"] or "",
            console.one_line(t["architecture"], _MOST_DECISIONS),
        )
        for t in trials
    ]
    strategy = console.one_line(described.get("strategy", {}))
    title = f"{study}: {strategy}; {len(described.get('space', {}))} choices"
    console.print_table(("trial", "state", "score", "seconds", "error", "architecture"), rows, title=title)
    if any(len(t["architecture"]) > _MOST_DECISIONS for t in trials):
        console.print_text(f"all decisions: fxnas study best {study}, or fxnas study export {study}")


@app.command()
def best(
    study: StudyFile,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many, of different architectures.")] = 1,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the best architecture here.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Print the best trials, or write the best architecture, by the score; without one, by the first objective.

    For example:

      fxnas study best search.db -o best.json

      fxnas study best search.db -n 10 --json
    """
    with Study(study, readonly=True) as opened:
        found = _best(opened.rows())[:count]
    if not found:
        raise FxnasError(f"study {study} has no trial with a score yet")
    if output is not None:
        write_atomic(output, json_text(found[0]["architecture"]))
    if json:
        console.print_json(found)
        return
    rows = [(t["trial"], _written(t["score"]), console.one_line(t["architecture"])) for t in found]
    console.print_table(("trial", "score", "architecture"), rows)
    if output is not None:
        console.print_text(f"best architecture written to {output}")


@app.command()
def export(
    study: StudyFile,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; without it, print.", show_default=False)
    ] = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="JSON lines, or a table.")] = Format.jsonl,
) -> None:
    """Write all trials as JSON lines or CSV.

    For example:

      fxnas study export search.db -o trials.jsonl

      fxnas study export search.db --format csv -o trials.csv
    """
    from fxnas.study.export import FORMATS, export_study

    with Study(study, readonly=True) as opened:
        if output is None:
            console.print_text(FORMATS[format](opened))
        else:
            export_study(opened, output, format)
            console.print_text(f"{sum(opened.counts.values())} trials written to {output}")


def _studies(place: Path) -> list[Path]:
    """The *.db in a folder; a file itself."""
    return sorted(place.glob("*.db")) if place.is_dir() else [place]


def _summary(path: Path) -> dict[str, Any]:
    """A study in a few words; one that can't be read is no reason not to list the others."""
    try:
        with Study(path, readonly=True) as opened:
            found = _best(opened.rows())
            return {
                "study": str(path),
                "strategy": opened.described.get("strategy", {}).get("name"),
                "trials": opened.counts,
                "best": found[0]["score"] if found else None,
                "problem": None,
            }
    except FxnasError as error:
        return {"study": str(path), "strategy": None, "trials": {}, "best": None, "problem": str(error)}


def _best(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Done trials of different architectures, best first."""
    done = [row for row in rows if row["state"] == "done"]
    ranked = sorted(done, key=lambda row: (-row["score"], row["trial"]))
    return list({row["hash"]: row for row in reversed(ranked)}.values())[::-1]


def _written(score: float | None) -> str:
    return "–" if score is None else f"{score:.6g}"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "none"
