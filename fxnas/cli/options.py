"""The arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fxnas.study.file import path_of


def study_path(text: str) -> Path:
    """The file of a study that is named by its path or by a URL; `Path` would make one slash of two.

    Raises:
        FxnasError: a URL of another kind.
    """
    return Path(path_of(text))


_MODEL = typer.Argument(
    help="Where the model is: path/to/file.py:factory or package.module:factory; a function without arguments "
    "that returns an nn.Module, or the module itself.",
    show_default=False,
)
Model = Annotated[str, _MODEL]
OptionalModel = Annotated[str | None, _MODEL]
CommandLine = Annotated[
    str | None,
    typer.Option(
        "--trial-command",
        "-c",
        metavar="COMMAND",
        help="In place of a model: the command of a trial, such as 'python train.py', run in a folder of its own. Its "
        "script calls get_and_apply_next_architecture(model) and report_final_result(score), or does what these do.",
        show_default=False,
    ),
]
StudyFile = Annotated[
    Path, typer.Argument(help="The file of the study, or sqlite:///path.", parser=study_path, show_default=False)
]
StudyOption = Annotated[
    Path | None,
    typer.Option(
        "--study",
        "-d",
        help="Record trials in this file (or sqlite:///path), and go on from it.",
        parser=study_path,
        metavar="<path>",
        show_default=False,
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        "-i",
        metavar="SHAPE[:DTYPE]",
        help="An example input, 1x1x28x28 or 2x16:int64; once per positional argument. Without it the model's file "
        "is asked for a function example_inputs().",
        show_default=False,
    ),
]
FixedBatch = Annotated[
    bool, typer.Option("--fixed-batch", help="Take the batch size of the example inputs to be the only one.")
]
ArchitectureFile = Annotated[
    Path | None,
    typer.Option(
        "--architecture",
        "-a",
        help="Architecture file (JSON). Without it: the default architecture.",
        show_default=False,
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        "-w",
        help="Weights (safetensors) of the supernet, of the child, or of the model that the architecture was applied "
        "to. Without it: the weights that the model starts with, at seed 0.",
        show_default=False,
    ),
]


def refuse(why: str, **given: object) -> None:
    """Ends with wrong usage if one of these options was given.

    Raises:
        BadParameter: names it.
    """
    for name, value in given.items():
        if value not in (None, False, []):
            raise typer.BadParameter(f"{name if name.isupper() else '--' + name.replace('_', '-')} {why}")


def check_outputs(**files: Path | None) -> None:
    """Looks whether files can be written later, before the work that shall be written is done.

    Raises:
        BadParameter: names the option whose file has no folder, or is one.
    """
    for name, path in files.items():
        if path is not None and not path.resolve().parent.is_dir():
            raise typer.BadParameter(f"--{name} {path}: there is no folder {path.parent}")
        if path is not None and path.is_dir():
            raise typer.BadParameter(f"--{name} {path} is a folder; name a file in it")


Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text.")]
