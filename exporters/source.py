"""The whole source file of an exported network: imports, output classes, the network, and how it is loaded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from torch import fx, nn

from fxnas.exporters.classes import Classes
from fxnas.exporters.construction import construction
from fxnas.exporters.forward import forward
from fxnas.exporters.identifiers import Scope
from fxnas.exporters.loader import loader
from fxnas.exporters.weights import named_tensors, stored_as_real, strides

FILES = ("model.py", "weights.safetensors", "architecture.json")
"""The files of an export; manifest.json holds their sizes and hashes."""

_HEAD = '''"""A network exported by fxnas. It needs torch and safetensors.

    from model import load

    network = load()

The architecture it was made from is in architecture.json, the weights are in weights.safetensors.
"""

'''


@dataclass(frozen=True)
class ModelSource:
    """The source of a network.

    Attributes:
        text: the content of `model.py`.
        notes: what the user should know about it.
    """

    text: str
    notes: tuple[str, ...]


def model_source(root: fx.GraphModule) -> ModelSource:
    """Writes a graph and its modules as a Python file.

    Raises:
        ExportError: a module or node can't be written; the message names it and the way out.
    """
    built = construction(root)
    scope = Scope()
    classes = Classes(scope)
    body = forward(root, built.layout, classes, scope)
    network = [
        "class Model(nn.Module):",
        "    def __init__(self):",
        "        super().__init__()",
        *_indented(built.lines),
        "",
        f"    def forward(self, {body.signature}):" if body.signature else "    def forward(self):",
        *_indented(body.lines),
    ]
    files = f"FOLDER = Path(__file__).resolve().parent\nFILES = {FILES!r}\n".replace("'", '"')
    load = loader(
        strides=strides(root),
        as_real=any(map(stored_as_real, named_tensors(root).values())),
        recurrent=any(isinstance(module, nn.RNNBase) for module in root.modules()),
    )
    helpers = [f"{source}\n" for source in (*classes.sources, *body.functions)]
    sections = [*helpers, "\n".join(network) + "\n", load.strip("\n") + "\n"]
    code = "\n\n".join([files, *sections])
    notes = (*body.notes, *_notes(body.lines, classes))
    return ModelSource(_HEAD + _imports(code, classes) + "\n\n" + code, notes)


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"        {line}" for entry in lines for line in entry.split("\n")]


def _imports(code: str, classes: Classes) -> str:
    """The import lines, as sorted as a linter wants them."""
    standard = ["import hashlib", "import json"]
    standard += [f"import {name}" for name in ("math", "operator") if re.search(rf"\b{name}\.", code)]
    standard += sorted([*classes.imports, "from pathlib import Path"])
    functional = ["import torch.nn.functional as F"] if re.search(r"\bF\.", code) else []
    others = ["import torch", *functional, "from safetensors.torch import load as load_tensors", "from torch import nn"]
    return "\n".join([*standard, "", *others]) + "\n"


def _notes(lines: Sequence[str], classes: Classes) -> list[str]:
    notes = []
    if re.search(r"torch\.device\(", "\n".join(lines)):
        notes.append("the graph names a device: the network runs only there")
    if classes.sources:
        notes.append("model.py has its own version of each output class, with the same fields")
    return notes
