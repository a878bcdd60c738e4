"""The source of random models: classes made of groups of lines, and how they are made smaller."""

from __future__ import annotations

import ast
import linecache
import textwrap
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from fxnas.nn import InputChoice, LayerChoice
from tests import random_parts


@dataclass(frozen=True)
class Class:
    """One `nn.Module` of a model: groups of lines, each of which may be left out without the others."""

    name: str
    arguments: str
    init: tuple[str, ...]
    forward: tuple[str, ...]
    result: str

    def source(self) -> str:
        init = textwrap.indent("\n".join(("super().__init__()", *self.init)), " " * 8)
        forward = textwrap.indent("\n".join((*self.forward, f"return {self.result}")), " " * 8)
        return (
            f"class {self.name}(nn.Module):\n    def __init__(self):\n{init}\n\n"
            f"    def forward(self, {self.arguments}):\n{forward}\n"
        )

    def smaller(self) -> Iterator[Class]:
        if self.result != "x":
            yield replace(self, result="x")
        for name in ("forward", "init"):
            groups = getattr(self, name)
            for j in reversed(range(len(groups))):
                yield replace(self, **{name: (*groups[:j], *groups[j + 1 :])})
        for name in ("init", "forward"):
            groups = getattr(self, name)
            for j, group in enumerate(groups):
                for simpler in _simpler(group):
                    yield replace(self, **{name: (*groups[:j], simpler, *groups[j + 1 :])})


@dataclass(frozen=True)
class Sketch:
    """A model as source, with the name of what went into it."""

    seed: int
    size: int
    classes: tuple[Class, ...]
    features: Counter[str] = field(default_factory=Counter, compare=False)

    @property
    def source(self) -> str:
        return "\n\n".join(part.source() for part in self.classes)

    def build(self) -> nn.Module:
        """The model, with weights that depend on the seed; its source shows in tracebacks."""
        filename = f"<random model {self.seed} {self.size} {zlib.crc32(self.source.encode()):08x}>"
        names: dict[str, Any] = {**vars(random_parts), "LayerChoice": LayerChoice, "InputChoice": InputChoice}
        exec(compile(self.source, filename, "exec"), names)
        linecache.cache[filename] = (len(self.source), None, self.source.splitlines(keepends=True), filename)
        torch.manual_seed(self.seed)
        model: nn.Module = names[self.classes[-1].name]()
        for buffer in model.buffers():  # so that a wrong buffer shows
            if buffer.dtype.is_floating_point and buffer.dim():
                buffer.add_(torch.rand_like(buffer) * 0.25)
        return model

    def inputs(self, batch: int, salt: int = 0) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(self.seed + 97 * batch + salt)
        count = self.classes[-1].arguments.count(",") + 1
        return tuple(torch.randn(batch, *random_parts.SHAPE, generator=generator) for _ in range(count))

    def smaller(self) -> Iterator[Sketch]:
        """Every sketch with one thing less: a class, a group of lines, or a part of one. Most of them still run."""
        for i, part in enumerate(self.classes):
            if i < len(self.classes) - 1 and self.source.count(f"{part.name}(") == 1:
                yield replace(self, classes=(*self.classes[:i], *self.classes[i + 1 :]))
        for i, part in enumerate(self.classes):
            for less in part.smaller():
                yield replace(self, classes=(*self.classes[:i], less, *self.classes[i + 1 :]))


def _simpler(code: str) -> Iterator[str]:
    """The code with one element of a list or dict less, or one call replaced by what it is called with."""
    for at, node in enumerate(ast.walk(ast.parse(code))):
        for less in range(len(getattr(node, "elts", getattr(node, "keys", ())))):
            tree = ast.parse(code)
            found: Any = list(ast.walk(tree))[at]
            for part in ("elts", "keys", "values"):
                if hasattr(found, part):
                    del getattr(found, part)[less]
            yield ast.unparse(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("nn.", "LayerChoice")):
            for argument in node.args:
                for inner in argument.elts if isinstance(argument, ast.List) else [argument]:
                    if isinstance(inner, ast.Call):
                        yield code.replace(ast.unparse(node), ast.unparse(inner), 1)
            yield code.replace(ast.unparse(node), "nn.ReLU()", 1)


def shrink(sketch: Sketch, fails: Callable[[Sketch], bool], attempts: int = 400) -> Sketch:
    """A smaller sketch that still fails, found greedily; `fails` is False for one that isn't a model any more."""
    while attempts > 0:
        for smaller in sketch.smaller():
            if len(smaller.source) >= len(sketch.source):
                continue
            attempts -= 1
            if fails(smaller):
                sketch = smaller
                break
            if attempts <= 0:
                break
        else:
            break
    return sketch
