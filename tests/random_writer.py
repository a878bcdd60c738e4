"""Writes classes with random layers, statement by statement."""

from __future__ import annotations

import random
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from tests.random_source import Class

QUIET = (
    "conv()", "conv(1)", "norm()", "nn.Sequential(conv(1), norm(), nn.ReLU(inplace=True))", "nn.GroupNorm(2, WIDTH)",
    "nn.Identity()", "nn.ReLU()", "nn.Hardtanh()", "nn.AvgPool2d(3, 1, 1)", "nn.PReLU(WIDTH)", "Scale()", "Poke()",
    "Moody()", "Tables()", "ByHand()", "Merge()", "Twins()", "nn.Sequential(nn.Identity(), conv(1))", "nn.Sequential()",
)  # fmt: skip
"""Layers that draw no random numbers and leave their input as it is."""

LOUD = ("nn.Dropout(0.5)", "nn.Dropout2d(0.3)", "Noisy()", "Tally()", "nn.Sequential(norm(), nn.Dropout(0.2))")
STINGING = ("nn.ReLU(inplace=True)", "Sting()", "nn.Hardtanh(inplace=True)", "nn.Dropout(0.5, inplace=True)")
SLOW = ("Attention()",)


Statement = Callable[["Writer"], Any]


class Book:
    """What the classes of one model share."""

    def __init__(self, rng: random.Random, kinds: Mapping[Statement, float], exportable: bool) -> None:
        self.rng, self.kinds, self.exportable = rng, kinds, exportable
        self.classes: list[Class] = []
        self.features: Counter[str] = Counter()
        self.optional = 0  # how many inputs Python sees come and go
        self._names: Counter[str] = Counter()

    def name(self, kind: str) -> str:
        self._names[kind] += 1
        return f"{kind}{self._names[kind]}"


class Writer:
    """Writes the body of one class.

    `x` is the main value, `sides` are tensors that are there, `maybe` expressions that may be None, `lists` lists whose
    length may vary.
    """

    def __init__(self, book: Book, name: str, depth: int, loud: bool = True) -> None:
        self.book, self.rng, self.name, self.depth, self.loud = book, book.rng, name, depth, loud
        self.init: list[str] = []
        self.forward: list[str] = []
        self.sides: list[str] = []
        self.maybe: list[str] = []
        self.lists: list[str] = []
        self.masks: list[tuple[str, int]] = []
        self.shared: dict[str, str] = {}  # key → the constructor that goes with it

    def say(self, feature: str, *groups: str) -> None:
        self.book.features[feature] += 1
        self.forward.extend(textwrap.dedent(group).strip("\n") for group in groups)

    def attribute(self, kind: str, constructor: str) -> str:
        """A new attribute of self; returns the code that reads it."""
        name = self.book.name(kind)
        self.init.append(f"self.{name} = {constructor}")
        return f"self.{name}"

    # -- the frame

    def begin_model(self) -> str:
        first = self.rng.choice(("x = x * 1.0", f"x = {self.attribute('stem', 'conv()')}(x)"))
        self.forward.append(first)
        if self.rng.random() < 0.2:
            self.sides.append("y")
            self.forward.append("y = y - 1")
            self.book.features["two inputs"] += 1
            return "x, y"
        return "x"

    def outputs(self) -> str:
        side = self.rng.choice([*self.sides, "x * 2"])
        forms = ["x", "x", f"(x, {side})", f"x, [{side}, x.mean()]", f"{{'main': x, 'more': ({side},)}}"]
        if not self.book.exportable:
            maybe = self.rng.choice(["None", *self.maybe])
            forms += [f"{{'main': x, 'maybe': {maybe}}}", f"(x, {maybe})", f"Pair(x, {maybe})", f"Result(x, {side})"]
        form = self.rng.choice(forms)
        self.book.features[f"output {form[0] if form[0] in '({' else form.partition('(')[0].partition(',')[0]}"] += 1
        return form

    def statement(self) -> None:
        """One more statement, of a random kind."""
        self.rng.choices(list(self.book.kinds), list(self.book.kinds.values()))[0](self)

    def may_branch(self) -> bool:
        """Whether Python may see one more input come and go; with too many of them traces take long."""
        return self.book.optional < 5

    # -- layers

    def layer(self, *, loud: bool, sting: bool = False, depth: int | None = None) -> str:
        """The constructor of a layer."""
        depth = self.depth if depth is None else depth
        roll = self.rng.random()
        if depth > 0 and roll < 0.14:
            return self.block(loud, depth - 1)
        if depth > 0 and roll < 0.26:
            return self.layer_choice(loud=loud, sting=sting, depth=depth - 1)
        if sting and roll < 0.36:
            return self.rng.choice(STINGING if loud else STINGING[:3])
        if loud and roll < 0.5:
            return self.rng.choice(LOUD)
        return self.rng.choice(QUIET if roll < 0.97 else SLOW)

    def block(self, loud: bool, depth: int) -> str:
        """A class of its own with a few statements."""
        name = self.book.name("Block")
        inner = Writer(self.book, name, depth, loud)
        for _ in range(self.rng.randint(1, 3)):
            inner.statement()
        # A block must not write to its argument: its caller may be a choice of several.
        forward = ("x = x + 0", *inner.forward)
        self.book.classes.append(Class(name, "x", tuple(inner.init), forward, "x"))
        self.book.features["nested block"] += 1
        return f"{name}()"

    def layer_choice(self, *, loud: bool, sting: bool, depth: int, options: str = "") -> str:
        several = ", n_chosen=" in options
        count = self.rng.randint(1, 3) if not several else self.rng.randint(2, 3)
        candidates = [self.layer(loud=loud, sting=sting and not several, depth=depth) for _ in range(count)]
        if self.rng.random() < 0.1:
            tied = self.rng.choice([n for n in ("conv()", "Scale()", "norm()") if loud or n != "norm()"])
            self.book.features["tied candidates"] += 1
            return f"LayerChoice([*([{tied}] * 2), {', '.join(candidates)}]{options})"
        self.book.features["layer choice"] += 1
        if self.rng.random() < 0.5:
            return f"LayerChoice([{', '.join(candidates)}]{options})"
        words = self.rng.sample(["one", "two", "three", "forward", "key", "class"], count)
        return f"LayerChoice({{{', '.join(f'{w!r}: {c}' for w, c in zip(words, candidates, strict=True))}}}{options})"

    def side(self) -> str:
        """A value that branches off."""
        known = ["x", *self.sides]
        if self.rng.random() < 0.35:
            return self.rng.choice(known)
        source = self.rng.choice(known)
        roll = self.rng.random()
        if roll < 0.5:
            layer = self.attribute("side", self.layer(loud=False, depth=min(self.depth, 1)))
            return f"{layer}({source})"
        return self.rng.choice((f"{source} + 1", f"{source}.transpose(2, 3)", f"torch.tanh({source})", f"-{source}"))
