"""Statements of a random model that choose among inputs, and branch on what isn't there."""

from __future__ import annotations

from tests.random_writer import Statement, Writer


def branch_off(w: Writer) -> None:
    name = w.book.name("v")
    w.say("side value", f"{name} = {w.side()}")
    w.sides.append(name)


def side_choice(w: Writer) -> None:
    name = w.book.name("v")
    layer = w.attribute("op", w.layer_choice(loud=False, sting=False, depth=w.depth - 1))
    w.say("choice as a side value", f"{name} = {layer}({w.rng.choice(['x', *w.sides])})")
    w.sides.append(name)


def side_in_place(w: Writer) -> None:
    if not w.sides:
        return branch_off(w)
    name = w.rng.choice(w.sides)
    return w.say("side value in place", w.rng.choice((f"{name} += 1", f"{name}[:, 1:].mul_(0.5)", f"{name} *= 0.5")))


def input_choice(w: Writer) -> None:
    """An InputChoice of any kind; what it gives is kept for later statements."""
    count = w.rng.randint(1, 3)
    n_chosen = w.rng.choice([None, None, None, 0, 1, 1, count])
    if n_chosen is None and not w.may_branch():
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
        return keep(w, name, reduction)
    return known(w, name, reduction, n_chosen)


def subset(w: Writer) -> None:
    if not w.may_branch():
        return input_choice(w)
    reduction = w.rng.choice(("sum", "mean", "concat", "none"))
    options = f", {reduction!r}, n_chosen=None"
    layer = w.attribute("op", w.layer_choice(loud=False, sting=False, depth=w.depth - 1, options=options))
    name = w.book.name("some")
    w.say(f"any candidates, {reduction}", f"{name} = {layer}(x)")
    return keep(w, name, reduction)


def keep(w: Writer, name: str, reduction: str) -> None:
    """Notes a value that may be absent, and mostly uses it at once."""
    w.book.optional += 1
    if reduction == "none":
        w.lists.append(name)
        return use_list(w) if w.rng.random() < 0.7 else None
    if reduction == "concat":
        w.forward.append(f"if {name} is not None:\n    {name} = fold({name})")
    w.maybe.append(name)
    return use_maybe(w) if w.rng.random() < 0.4 else None


def known(w: Writer, name: str, reduction: str, n_chosen: int) -> None:
    if reduction == "none":
        w.lists.append(name)
    elif n_chosen == 0:
        w.maybe.append(name)
    else:
        w.say("chosen inputs", f"x = x + {f'fold({name})' if reduction == 'concat' else name}")


def optional_input(w: Writer) -> bool:
    """One more value that may be absent, for a statement that needs one; False if there are enough of them."""
    if not w.may_branch():
        return False
    inputs = [w.side() for _ in range(w.rng.randint(1, 2))]
    name = w.book.name("some")
    w.say("optional input", f"{name} = {w.attribute('pick', f'InputChoice({len(inputs)})')}([{', '.join(inputs)}])")
    w.book.optional += 1
    w.maybe.append(name)
    return True


def use_maybe(w: Writer) -> None:
    """A branch on whether a value is there."""
    if not w.maybe and not optional_input(w):
        return input_choice(w)
    o = w.maybe.pop(w.rng.randrange(len(w.maybe)))
    return w.rng.choice(BRANCHES)(w, o)


def use_two(w: Writer) -> None:
    while len(w.maybe) < 2:
        if not optional_input(w):
            return input_choice(w)
    a, b = (w.maybe.pop(w.rng.randrange(len(w.maybe))) for _ in range(2))
    form = w.rng.choice(
        (
            f"if {a} is not None and {b} is not None:\n    x = x + {a} * {b}",
            f"if {a} is not None or {b} is not None:\n    x = x * 2",
            f"if {a} is not None:\n    x = x + {a}\n    if {b} is not None:\n        x = x - {b}",
            f"if {a} is None:\n    x = x * 0.5\nelif {b} is None:\n    x = x + {a}\nelse:\n    x = x + {b}",
            f"x = fold(torch.cat([t for t in (x, {a}, {b}) if t is not None], 1))",
            f"x = x + sum(t for t in ({a}, {b}) if t is not None)",
            f"total = None\nfor t in ({a}, {b}):\n    if t is not None:"
            "\n        total = t if total is None else t + total"
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


def use_list(w: Writer) -> None:
    """A list whose length may vary."""
    if not w.lists:
        return input_choice(w)
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


def mask(w: Writer) -> None:
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
    if w.name == "Model" and w.may_branch():
        w.book.optional += 2
        w.say("mask in Python", w.rng.choice(in_python))
    w.say("mask as a tensor", w.rng.choice(forms))


# -- branches on one value


def by_if(w: Writer, o: str) -> None:
    w.say("if", w.rng.choice((f"if {o} is not None:\n    x = x + {o}", f"if {o} is not None:\n    x += {o}")))


def both_sides(w: Writer, o: str) -> None:
    yes, no = (w.attribute("way", w.layer(loud=w.loud, depth=min(w.depth, 1))) for _ in range(2))
    w.say("if and else", f"if {o} is None:\n    x = {yes}(x)\nelse:\n    x = {no}(x + {o})")


def by_expression(w: Writer, o: str) -> None:
    w.say("conditional expression", f"x = x if {o} is None else x * torch.tanh({o})")


def by_helper(w: Writer, o: str) -> None:
    w.say("helper", w.rng.choice((f"x = add_if(x, {o})", f"x = mix(x, {o})", f"x = x + either({o}, x)")))


def by_lambda(w: Writer, o: str) -> None:
    w.say("lambda", f"merge = lambda a, b: a if b is None else a - b\nx = merge(x, {o})")


def by_module(w: Writer, o: str) -> None:
    layer = w.attribute("merge", "Merge()")
    w.say("module that takes None", w.rng.choice((f"x = {layer}(x, {o})", f"x = x + {layer}(x, other={o})")))


def filtered(w: Writer, o: str) -> None:
    w.say("filter", f"x = fold(torch.cat([t for t in (x, {o}, x * 2) if t is not None], 1))")


def early_return(w: Writer, o: str) -> None:
    if w.name == "Model":  # elsewhere the rest of the block follows
        return by_if(w, o)
    return w.say("early return", f"if {o} is None:\n    return x * 2", f"x = x + {o}")


def choice_inside(w: Writer, o: str) -> None:
    layer = w.attribute("op", w.layer_choice(loud=w.loud, sting=False, depth=0))
    w.say("choice inside a branch", f"if {o} is not None:\n    x = x + {layer}({o})")


def in_place_inside(w: Writer, o: str) -> None:
    form = w.rng.choice(
        (
            f"x = x * 1.0\nif {o} is not None:\n    x += {o}\n    x[:, 0] = 1",
            f"x = x + 0\nview = x[:, 1:]\nif {o} is None:\n    view += 1",
            f"buffer = torch.zeros_like(x)\nif {o} is not None:\n    buffer += {o}\nx = x + buffer",
        )
    )
    w.say("in place inside a branch", form)


BRANCHES = (
    by_if, by_if, both_sides, by_expression, by_helper, by_lambda, by_module, filtered, early_return, early_return,
    choice_inside, in_place_inside,
)  # fmt: skip
"""What a model does with one value that may be absent."""

CHOICES: dict[Statement, float] = {
    subset: 1, branch_off: 2, side_choice: 1, side_in_place: 0.7, input_choice: 4, use_maybe: 2, use_two: 3,
    use_list: 1, mask: 0.8,
}  # fmt: skip
"""The statements of this file, with how often each is taken."""
