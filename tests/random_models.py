"""Random models with choices, as readable source.

A model is a handful of classes whose `forward` is a list of statements. The main value `x` goes through all of them and
always reaches the output; side values branch off it and feed InputChoices. Whatever is random in training mode stands
on the main path: eager Python computes what only an unchosen input needs and a graph doesn't, so that a random side
value would move the random state by design.

    python -m tests.random_models SEED SIZE      prints the model
"""

from __future__ import annotations

import ast
import linecache
import random
import sys
import textwrap
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from fxnas.nn import InputChoice, LayerChoice
from tests import random_parts

QUIET = (
    "conv()", "conv(1)", "norm()", "nn.Sequential(conv(1), norm(), nn.ReLU(inplace=True))", "nn.GroupNorm(2, WIDTH)",
    "nn.Identity()", "nn.ReLU()", "nn.Hardtanh()", "nn.AvgPool2d(3, 1, 1)", "nn.PReLU(WIDTH)", "Scale()", "Poke()",
    "Moody()", "Tables()", "ByHand()", "Merge()", "Twins()", "nn.Sequential(nn.Identity(), conv(1))", "nn.Sequential()",
)  # fmt: skip
"""Layers that draw no random numbers and leave their input as it is."""

LOUD = ("nn.Dropout(0.5)", "nn.Dropout2d(0.3)", "Noisy()", "Tally()", "nn.Sequential(norm(), nn.Dropout(0.2))")
STINGING = ("nn.ReLU(inplace=True)", "Sting()", "nn.Hardtanh(inplace=True)", "nn.Dropout(0.5, inplace=True)")
SLOW = ("Attention()",)


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


def sketch(seed: int, size: int, *, exportable: bool = False) -> Sketch:
    """The random model of a seed.

    Args:
        seed: decides everything.
        size: about how many statements `forward` has.
        exportable: only what ONNX has, and outputs that are tensors.
    """
    rng = random.Random(f"{seed}/{size}/{exportable}")
    book = _Book(rng, exportable)
    writer = _Writer(book, "Model", depth=2)
    arguments = writer.begin_model()
    for _ in range(size):
        writer.statement()
    root = Class("Model", arguments, tuple(writer.init), tuple(writer.forward), writer.outputs())
    return Sketch(seed, size, (*book.classes, root), book.features)


class _Book:
    """What the classes of one model share."""

    def __init__(self, rng: random.Random, exportable: bool) -> None:
        self.rng, self.exportable = rng, exportable
        self.classes: list[Class] = []
        self.features: Counter[str] = Counter()
        self.optional = 0  # how many inputs Python sees come and go
        self._names: Counter[str] = Counter()

    def name(self, kind: str) -> str:
        self._names[kind] += 1
        return f"{kind}{self._names[kind]}"


class _Writer:
    """Writes the body of one class.

    `x` is the main value, `sides` are tensors that are there, `maybe` expressions that may be None, `lists` lists whose
    length may vary.
    """

    def __init__(self, book: _Book, name: str, depth: int, loud: bool = True) -> None:
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
        makers = [maker for maker, _ in _STATEMENTS]
        self.rng.choices(makers, [weight for _, weight in _STATEMENTS])[0](self)

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
        inner = _Writer(self.book, name, depth, loud)
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


# -- statements: the main path


def _apply(w: _Writer) -> None:
    layer = w.attribute("layer", w.layer(loud=w.loud))
    w.say("layer", f"x = {layer}(x)")


def _choice(w: _Writer) -> None:
    sting = w.rng.random() < 0.25
    layer = w.attribute("op", w.layer_choice(loud=w.loud, sting=sting, depth=w.depth - 1))
    w.say("layer choice on the main path", w.rng.choice((f"x = {layer}(x)", f"x = x + {layer}(x * 1.0)")))


def _several(w: _Writer) -> None:
    reduction = w.rng.choice(("sum", "mean", "concat", "none"))
    options = f", {reduction!r}, n_chosen=2"
    layer = w.attribute("op", w.layer_choice(loud=w.loud, sting=False, depth=w.depth - 1, options=options))
    result = {"concat": "fold({})", "none": "torch.stack({}).sum(0)"}.get(reduction, "{}").format(f"{layer}(x)")
    w.say(f"two candidates, {reduction}", f"x = {result}")


def _subset(w: _Writer) -> None:
    if not _may_branch(w):
        return _choice(w)
    reduction = w.rng.choice(("sum", "mean", "concat", "none"))
    options = f", {reduction!r}, n_chosen=None"
    layer = w.attribute("op", w.layer_choice(loud=False, sting=False, depth=w.depth - 1, options=options))
    name = w.book.name("some")
    w.say(f"any candidates, {reduction}", f"{name} = {layer}(x)")
    return _keep(w, name, reduction)


def _shared(w: _Writer) -> None:
    """Two choices of one key."""
    key = f"{w.name}/shared{len(w.shared)}"
    w.shared[key] = ""
    one, two = (
        w.attribute("op", f"LayerChoice({{'a': {a}, 'b': {b}}}, key={key!r})")
        for a, b in (w.rng.sample(QUIET, 2) for _ in range(2))
    )
    w.say("shared key", f"x = {one}(x)", f"x = x - {two}(x)")


def _many(w: _Writer) -> None:
    layers = ", ".join(w.layer_choice(loud=w.loud, sting=False, depth=0) for _ in range(2))
    if w.rng.random() < 0.5:
        ops = w.attribute("ops", f"nn.ModuleList([{layers}])")
        w.say("choices in a list", f"for op in {ops}:\n    x = op(x)")
    else:
        ops = w.attribute("ops", f"nn.ModuleDict(dict(zip(('one', 'two'), [{layers}])))")
        w.say("choices in a dict", f"for name in ('two', 'one'):\n    x = {ops}[name](x)")


def _twice(w: _Writer) -> None:
    layer = w.attribute("again", w.layer(loud=w.loud))
    w.say("module called twice", f"x = {layer}(x)", f"x = torch.tanh({layer}(x))")


def _tied(w: _Writer) -> None:
    inner = w.rng.choice(("conv()", "norm()", "Tally()", "Scale()", "Noisy()") if w.loud else ("conv()", "Scale()"))
    layer = w.attribute("tied", inner)
    op = w.attribute("op", f"LayerChoice([{layer}, nn.Sequential({layer}, nn.ReLU()), nn.Identity()])")
    second = w.attribute("alias", op) if w.rng.random() < 0.5 else op
    w.say("tied modules", f"x = {op}(x)", f"x = {layer}(x)", f"x = {second}(x)")


def _mode(w: _Writer) -> None:
    form = w.rng.choice(
        (
            "if self.training:\n    x = x * 1.5",
            "if self.training:\n    x = x + 1\nelse:\n    x = x - x.mean()",
            "x = x * (2.0 if self.training else 0.5)",
        )
    )
    w.say("training branch", form)
    if w.loud:
        w.say("functional dropout", "x = F.dropout(x, 0.3, training=self.training)")


def _sizes(w: _Writer) -> None:
    form = w.rng.choice(
        (
            "x = x.reshape(x.size(0), -1).view(x.shape)",
            "x = x + torch.arange(x.size(0)).reshape(-1, 1, 1, 1)",
            "half = x.size(0) // 2\nx = torch.cat([x[:half], x[half:] * 2])",
            "x = x * torch.full((x.shape[0], 1, 1, 1), 2.0)",
            "x = x + x.new_ones(x.size(0), *x.shape[1:]) / x.numel()",
            "x = torch.stack([row * 2 for row in x.unbind(1)], 1)",
            "x, rest = x.chunk(2, 1)\nx = torch.cat([rest, x], 1)",
            "x = x.softmax(1) if x.dim() == 4 else x",
        )
    )
    w.say("sizes", form)


def _in_place(w: _Writer) -> None:
    other = w.rng.choice(["0.5", *w.sides])
    form = w.rng.choice(
        (
            f"x = x + 1\nx += {other}",
            "x += 1",
            "x = x - 1\nx[:, 0] = 0.5",
            "x = x * 1.0\nx[:, 1:3] += x[:, 1:2].clone()",
            "x = x + 0\nview = x[:, 2]\nview *= 2",
            "x = x + 0\nx.transpose(1, 2)[:, 0].zero_()",
            "x = x + 0\nF.relu(x, inplace=True)",
            f"x = x * 1.0\nx.{'select(1, 2)' if w.book.exportable else 'flatten(1)[:, 3:7]'}.add_(1)",
            f"old = x\nx = x.clone()\nx.add_({other})\nx = x + old",
            "with torch.no_grad():\n    bump = x.mean(1, keepdim=True)\n    bump.mul_(0.5)\nx = x + bump",
        )
    )
    w.say("in place", form)


def _through_choice(w: _Writer) -> None:
    """A write to what a choice gives: where that is the main value itself, the main value changes."""
    if w.rng.random() < 0.5:
        call = f"{w.attribute('op', 'LayerChoice([nn.Identity(), conv(1), nn.Sequential(nn.Identity())])')}(x)"
    else:
        call = f"{w.attribute('pick', 'InputChoice(3, n_chosen=1)')}([x, x * 2, x[:, :]])"
    write = w.rng.choice(("t += 1", "t[:, 0] = 0.25", "t.mul_(0.5)", "t.transpose(2, 3)[:, 1:] *= 2"))
    w.say("write through a choice", f"x = x * 1.0\nt = {call}\n{write}")


# -- statements: side values and what chooses among them


def _branch_off(w: _Writer) -> None:
    name = w.book.name("v")
    w.say("side value", f"{name} = {w.side()}")
    w.sides.append(name)


def _side_choice(w: _Writer) -> None:
    name = w.book.name("v")
    layer = w.attribute("op", w.layer_choice(loud=False, sting=False, depth=w.depth - 1))
    w.say("choice as a side value", f"{name} = {layer}({w.rng.choice(['x', *w.sides])})")
    w.sides.append(name)


def _side_in_place(w: _Writer) -> None:
    if not w.sides:
        return _branch_off(w)
    name = w.rng.choice(w.sides)
    return w.say("side value in place", w.rng.choice((f"{name} += 1", f"{name}[:, 1:].mul_(0.5)", f"{name} *= 0.5")))


def _may_branch(w: _Writer) -> bool:
    return w.book.optional < 7


def _input_choice(w: _Writer) -> None:
    """An InputChoice of any kind; what it gives is kept for later statements."""
    count = w.rng.randint(1, 3)
    n_chosen = w.rng.choice([None, None, None, 0, 1, 1, count])
    if n_chosen is None and not _may_branch(w):
        n_chosen = 1
    reduction = w.rng.choice(("sum", "mean", "concat", "none", "sum"))
    options = f"n_chosen={n_chosen}, reduction={reduction!r}"
    inputs = [w.side() for _ in range(count)]
    given = w.rng.choice(("[{}]", "[{}]", "({},)")).format(", ".join(inputs))
    if w.rng.random() < 0.1:
        w.book.features["shared key of inputs"] += 1
        pick = w.attribute("pick", f"InputChoice({count}, {options}, key={f'{w.name}/in{count}{n_chosen}'!r})")
    elif count > 1 and w.rng.random() < 0.2:
        sources = [f"{w.name}/{word}" for word in ("a", "b", "c")[:count]]
        marks = [w.attribute("source", f"LayerChoice([nn.ReLU(), nn.Identity()], key={key!r})") for key in sources]
        values = (f"{key!r}: {m}({v})" for key, m, v in zip(sources, marks, inputs, strict=True))
        given = f"{{{', '.join(values)}}}"
        if any(f"key={key!r}" in line for line in w.init[:-count] for key in sources):
            w.book.features["shared key"] += 1
        pick = w.attribute("pick", f"InputChoice(choose_from={sources!r}, {options})")
        w.book.features["inputs by name"] += 1
    else:
        pick = w.attribute("pick", f"InputChoice({count}, {options})")
    name = w.book.name("some")
    kind = "any" if n_chosen is None else "0" if n_chosen == 0 else "1" if n_chosen == 1 else "k"
    w.say(f"{kind} inputs, {reduction}", f"{name} = {pick}({given})")
    if n_chosen is None:
        return _keep(w, name, reduction)
    return _known(w, name, reduction, n_chosen)


def _keep(w: _Writer, name: str, reduction: str) -> None:
    """Notes a value that may be absent, and mostly uses it at once."""
    w.book.optional += 1
    if reduction == "none":
        w.lists.append(name)
        return _use_list(w) if w.rng.random() < 0.7 else None
    if reduction == "concat":
        w.forward.append(f"if {name} is not None:\n    {name} = fold({name})")
    w.maybe.append(name)
    return _use_maybe(w) if w.rng.random() < 0.4 else None


def _known(w: _Writer, name: str, reduction: str, n_chosen: int) -> None:
    if reduction == "none":
        w.lists.append(name)
    elif n_chosen == 0:
        w.maybe.append(name)
    else:
        w.say("chosen inputs", f"x = x + {f'fold({name})' if reduction == 'concat' else name}")


def _use_maybe(w: _Writer) -> None:
    """A branch on whether a value is there."""
    if not w.maybe:
        return _input_choice(w)
    o = w.maybe.pop(w.rng.randrange(len(w.maybe)))
    return w.rng.choice(_BRANCHES)(w, o)


def _use_two(w: _Writer) -> None:
    if len(w.maybe) < 2:
        return _input_choice(w)
    a, b = (w.maybe.pop(w.rng.randrange(len(w.maybe))) for _ in range(2))
    form = w.rng.choice(
        (
            f"if {a} is not None and {b} is not None:\n    x = x + {a} * {b}",
            f"if {a} is not None or {b} is not None:\n    x = x * 2",
            f"if {a} is not None:\n    x = x + {a}\n    if {b} is not None:\n        x = x - {b}",
            f"if {a} is None:\n    x = x * 0.5\nelif {b} is None:\n    x = x + {a}\nelse:\n    x = x + {b}",
            f"x = fold(torch.cat([t for t in (x, {a}, {b}) if t is not None], 1))",
            f"x = x + sum(t for t in ({a}, {b}) if t is not None)",
            f"total = None\nfor t in ({a}, {b}):\n    if t is not None:\n        total = t if total is None else total + t"
            "\nif total is not None:\n    x = x + total",
            f"for t in there([{a}, {b}]):\n    x = x + t",
            f"x = torch.stack(present((x, {a}, {b}))).sum(0)",
            f"found = {{'a': {a}, 'b': {b}}}\nfor key, t in found.items():\n    x = x * 2 if t is None else x + t",
            f"rest = [{a}, {b}]\nwhile rest:\n    if (t := rest.pop()) is not None:\n        x = x + t",
            f"if ({a} is None) != ({b} is None):\n    x = x * 3",
            f"x = either({a}, x) + either({b}, x)",
            f"x = add_if(add_if(x, {a}), {b})",
        )
    )
    return w.say("branch on two", form)


def _use_list(w: _Writer) -> None:
    """A list whose length may vary."""
    if not w.lists:
        return _input_choice(w)
    some = w.lists.pop()
    form = w.rng.choice(
        (
            f"for t in {some}:\n    x = x + t",
            f"x = x + sum({some})",
            f"x = torch.stack([x, *{some}]).mean(0)",
            f"x = fold(torch.cat([x] + {some}, 1))",
            f"if {some}:\n    x = x + {some}[0]",
            f"x = x * (len({some}) + 1)",
            f"if len({some}) == 1:\n    x = x - {some}[0]",
            f"x = sum([torch.tanh(t) for t in {some}], x)",
        )
    )
    return w.say("list of inputs", form)


def _mask(w: _Writer) -> None:
    """A mask, used as a tensor or read in Python."""
    count, name = w.rng.randint(2, 3), w.book.name("m")
    if w.rng.random() < 0.5:
        n_chosen = w.rng.choice([1, 2])
        inputs = ", ".join(w.side() for _ in range(count))
        call = f"{w.attribute('pick', f'InputChoice({count}, n_chosen={n_chosen}, return_mask=True)')}([{inputs}])"
    else:
        candidates = ", ".join(w.layer(loud=w.loud, depth=0) for _ in range(count))
        call = f"{w.attribute('op', f'LayerChoice([{candidates}], return_mask=True)')}(x)"
    w.say("mask", f"t, {name} = {call}", "x = x + t")
    forms = [f"x = x * ({name}.float().sum() + 1)", f"x = x * {name}[:1].to(x.dtype)", f"x = x + {name}.any()"]
    in_python = [
        f"if {name}[0]:\n    x = x * 2",
        f"if {name}[-1].item():\n    x = x - 1\nelse:\n    x = torch.tanh(x)",
        f"x = x * ({name}.tolist().index(True) + 1)",
        f"for flag in {name}:\n    x = x * 2 if flag else x + 1",
        f"if int({name}.sum()) == 1:\n    x = x + 1",
    ]
    if w.name == "Model" and _may_branch(w):
        w.book.optional += 2
        w.say("mask in Python", w.rng.choice(in_python))
    w.say("mask as a tensor", w.rng.choice(forms))


# -- branches on one value


def _plain(w: _Writer, o: str) -> None:
    w.say("if", w.rng.choice((f"if {o} is not None:\n    x = x + {o}", f"if {o} is not None:\n    x += {o}")))


def _sides(w: _Writer, o: str) -> None:
    yes, no = (w.attribute("way", w.layer(loud=w.loud, depth=min(w.depth, 1))) for _ in range(2))
    w.say("if and else", f"if {o} is None:\n    x = {yes}(x)\nelse:\n    x = {no}(x + {o})")


def _expression(w: _Writer, o: str) -> None:
    w.say("conditional expression", f"x = x if {o} is None else x * torch.tanh({o})")


def _helper(w: _Writer, o: str) -> None:
    w.say("helper", w.rng.choice((f"x = add_if(x, {o})", f"x = mix(x, {o})", f"x = x + either({o}, x)")))


def _lambda(w: _Writer, o: str) -> None:
    w.say("lambda", f"merge = lambda a, b: a if b is None else a - b\nx = merge(x, {o})")


def _module(w: _Writer, o: str) -> None:
    layer = w.attribute("merge", "Merge()")
    w.say("module that takes None", w.rng.choice((f"x = {layer}(x, {o})", f"x = x + {layer}(x, other={o})")))


def _filter(w: _Writer, o: str) -> None:
    w.say("filter", f"x = fold(torch.cat([t for t in (x, {o}, x * 2) if t is not None], 1))")


def _early(w: _Writer, o: str) -> None:
    if w.name == "Model":  # elsewhere the rest of the block follows
        return _plain(w, o)
    return w.say("early return", f"if {o} is None:\n    return x * 2", f"x = x + {o}")


def _choice_inside(w: _Writer, o: str) -> None:
    layer = w.attribute("op", w.layer_choice(loud=w.loud, sting=False, depth=0))
    w.say("choice inside a branch", f"if {o} is not None:\n    x = x + {layer}({o})")


def _in_place_inside(w: _Writer, o: str) -> None:
    form = w.rng.choice(
        (
            f"x = x * 1.0\nif {o} is not None:\n    x += {o}\n    x[:, 0] = 1",
            f"x = x + 0\nview = x[:, 1:]\nif {o} is None:\n    view += 1",
            f"buffer = torch.zeros_like(x)\nif {o} is not None:\n    buffer += {o}\nx = x + buffer",
        )
    )
    w.say("in place inside a branch", form)


_BRANCHES = (
    _plain, _plain, _sides, _expression, _helper, _lambda, _module, _filter, _early, _early, _choice_inside, _in_place_inside,
)  # fmt: skip

_STATEMENTS: tuple[tuple[Callable[[_Writer], Any], float], ...] = (
    (_apply, 2), (_choice, 3), (_several, 1), (_subset, 1), (_shared, 1), (_many, 0.7), (_twice, 0.7), (_tied, 0.7),
    (_mode, 0.7), (_sizes, 1), (_in_place, 1.5), (_through_choice, 0.7), (_branch_off, 2), (_side_choice, 1), (_side_in_place, 0.7),
    (_input_choice, 4), (_use_maybe, 2), (_use_two, 3), (_use_list, 1), (_mask, 0.8),
)  # fmt: skip


def features(sketches: Iterable[Sketch]) -> Counter[str]:
    """In how many of the models each feature occurs."""
    return Counter(feature for one in sketches for feature in one.features)


if __name__ == "__main__":
    print(sketch(int(sys.argv[1]), int(sys.argv[2]), exportable=len(sys.argv) > 3).source)
