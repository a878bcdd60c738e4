"""Random models with choices, as readable source.

A model is a handful of classes whose `forward` is a list of statements. The main value `x` goes through all of them and
always reaches the output; side values branch off it and feed InputChoices. Whatever is random in training mode stands
on the main path: eager Python computes what only an unchosen input needs and a graph doesn't, so that a random side
value would move the random state by design.

    python -m tests.random_models SEED SIZE      prints the model
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterable

from tests.random_choices import CHOICES
from tests.random_source import Class, Sketch
from tests.random_statements import LAYERS
from tests.random_writer import Book, Writer


def sketch(seed: int, size: int, *, exportable: bool = False) -> Sketch:
    """The random model of a seed.

    Args:
        seed: decides everything.
        size: about how many statements `forward` has.
        exportable: only what ONNX has, and outputs that are tensors.
    """
    book = Book(random.Random(f"{seed}/{size}/{exportable}"), {**LAYERS, **CHOICES}, exportable)
    writer = Writer(book, "Model", depth=2)
    arguments = writer.begin_model()
    for _ in range(size):
        writer.statement()
    root = Class("Model", arguments, tuple(writer.init), tuple(writer.forward), writer.outputs())
    return Sketch(seed, size, (*book.classes, root), book.features)


def features(sketches: Iterable[Sketch]) -> Counter[str]:
    """In how many of the models each feature occurs."""
    return Counter(feature for one in sketches for feature in one.features)


if __name__ == "__main__":
    print(sketch(int(sys.argv[1]), int(sys.argv[2]), exportable=len(sys.argv) > 3).source)
