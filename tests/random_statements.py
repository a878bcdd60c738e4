"""Statements about the main value of a random model."""

from __future__ import annotations

from tests.random_writer import QUIET, Statement, Writer


def apply(w: Writer) -> None:
    layer = w.attribute("layer", w.layer(loud=w.loud))
    w.say("layer", f"x = {layer}(x)")


def choice(w: Writer) -> None:
    sting = w.rng.random() < 0.25
    layer = w.attribute("op", w.layer_choice(loud=w.loud, sting=sting, depth=w.depth - 1))
    w.say("layer choice on the main path", w.rng.choice((f"x = {layer}(x)", f"x = x + {layer}(x * 1.0)")))


def several(w: Writer) -> None:
    reduction = w.rng.choice(("sum", "mean", "concat", "none"))
    options = f", {reduction!r}, n_chosen=2"
    layer = w.attribute("op", w.layer_choice(loud=w.loud, sting=False, depth=w.depth - 1, options=options))
    result = {"concat": "fold({})", "none": "torch.stack({}).sum(0)"}.get(reduction, "{}").format(f"{layer}(x)")
    w.say(f"two candidates, {reduction}", f"x = {result}")


def shared(w: Writer) -> None:
    """Two choices of one key."""
    key = f"{w.name}/shared{len(w.shared)}"
    w.shared[key] = ""
    one, two = (
        w.attribute("op", f"LayerChoice({{'a': {a}, 'b': {b}}}, key={key!r})")
        for a, b in (w.rng.sample(QUIET, 2) for _ in range(2))
    )
    w.say("shared key", f"x = {one}(x)", f"x = x - {two}(x)")


def many(w: Writer) -> None:
    layers = ", ".join(w.layer_choice(loud=w.loud, sting=False, depth=0) for _ in range(2))
    if w.rng.random() < 0.5:
        ops = w.attribute("ops", f"nn.ModuleList([{layers}])")
        w.say("choices in a list", f"for op in {ops}:\n    x = op(x)")
    else:
        ops = w.attribute("ops", f"nn.ModuleDict(dict(zip(('one', 'two'), [{layers}])))")
        w.say("choices in a dict", f"for name in ('two', 'one'):\n    x = {ops}[name](x)")


def twice(w: Writer) -> None:
    layer = w.attribute("again", w.layer(loud=w.loud))
    w.say("module called twice", f"x = {layer}(x)", f"x = torch.tanh({layer}(x))")


def tied(w: Writer) -> None:
    inner = w.rng.choice(("conv()", "norm()", "Tally()", "Scale()", "Noisy()") if w.loud else ("conv()", "Scale()"))
    layer = w.attribute("tied", inner)
    op = w.attribute("op", f"LayerChoice([{layer}, nn.Sequential({layer}, nn.ReLU()), nn.Identity()])")
    second = w.attribute("alias", op) if w.rng.random() < 0.5 else op
    w.say("tied modules", f"x = {op}(x)", f"x = {layer}(x)", f"x = {second}(x)")


def mode(w: Writer) -> None:
    form = w.rng.choice(
        (
            "if self.training:\n    x = x * 1.5",
            *(("if self.training:\n    x = x + 0.1 * torch.randn_like(x)",) if w.loud else ()),
            "if self.training:\n    x = x + 1\nelse:\n    x = x - x.mean()",
            "x = x * (2.0 if self.training else 0.5)",
        )
    )
    w.say("training branch", form)
    if w.loud:
        w.say("functional dropout", "x = F.dropout(x, 0.3, training=self.training)")


def sizes(w: Writer) -> None:
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


def in_place(w: Writer) -> None:
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


def through_choice(w: Writer) -> None:
    """A write to what a choice gives: where that is the main value itself, the main value changes."""
    if w.rng.random() < 0.5:
        call = f"{w.attribute('op', 'LayerChoice([nn.Identity(), conv(1), nn.Sequential(nn.Identity())])')}(x)"
    else:
        call = f"{w.attribute('pick', 'InputChoice(3, n_chosen=1)')}([x, x * 2, x[:, :]])"
    write = w.rng.choice(("t += 1", "t[:, 0] = 0.25", "t.mul_(0.5)", "t.transpose(2, 3)[:, 1:] *= 2"))
    w.say("write through a choice", f"x = x * 1.0\nt = {call}\n{write}")


LAYERS: dict[Statement, float] = {
    apply: 2, choice: 3, several: 1, shared: 1, many: 0.7, twice: 0.7, tied: 0.7, mode: 0.7, sizes: 1, in_place: 1.5,
    through_choice: 0.7,
}  # fmt: skip
"""The statements of this file, with how often each is taken."""
