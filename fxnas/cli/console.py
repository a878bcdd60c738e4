"""What all commands print with: text for people, JSON for machines, errors without a traceback."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fxnas.errors import FxnasError

DEBUG = False  # set by --debug

out = Console()
err = Console(stderr=True)


@contextmanager
def errors_explained() -> Iterator[None]:
    """Turns an error that the user can mend into one block on standard error and exit code 1."""
    try:
        yield
    except (FxnasError, OSError) as error:
        if DEBUG:
            raise
        err.print(Text.assemble((f"{type(error).__name__}: ", "bold red"), str(error)), soft_wrap=True)
        sys.exit(1)


def print_json(value: object) -> None:
    """Prints plain data as JSON on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def print_text(text: str) -> None:
    """Prints text as it is: no markup, no wrapping."""
    sys.stdout.write(text.rstrip("\n") + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Prints rows; a cell is text as it is, never markup, and whole however narrow the terminal is."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    out.print(table)


def one_line(architecture: Mapping[str, object], most: int | None = None) -> str:
    """An architecture's JSON in one line of a table.

    Args:
        architecture: decisions by key.
        most: of how many, and how many there are beside them; None: all.
    """
    decisions = [f"{key}={decision}" for key, decision in architecture.items()]
    left_out = 0 if most is None else len(decisions) - most
    return ", ".join(decisions) if left_out <= 0 else f"{', '.join(decisions[:most])}, … and {left_out:,} more"


def version(wanted: bool) -> None:
    """Prints the version and exits, if wanted."""
    if not wanted:
        return
    from fxnas import __version__

    print_text(f"fxnas {__version__}")
    raise typer.Exit
