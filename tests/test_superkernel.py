"""MergeKernels: candidates of nested sizes become one superkernel, which is each of them when its gates say so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fxnas.errors import PassError
from fxnas.graph import ChoiceGraph
from fxnas.nn import InputChoice, LayerChoice
from fxnas.oneshot.merged import MergedGraph
from fxnas.oneshot.relaxed import Given
from fxnas.passes import MergeKernels, materialize, superkernels
from fxnas.shells import inner, shelled, squared_norms
from fxnas.trace import trace
from tests.graph_help import lines


def images(batch: int = 3, channels: int = 4) -> Tensor:
    return torch.randn(batch, channels, 9, 9, generator=torch.Generator().manual_seed(batch))


def conv(kernel: int, inputs: int = 4, outputs: int = 4, **options: object) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, **options)


def mb_conv(kernel: int, expansion: int, channels: int = 4, *, stride: int = 1, inplace: bool = False) -> nn.Sequential:
    width = channels * expansion
    depthwise = nn.Conv2d(width, width, kernel, stride, kernel // 2, groups=width, bias=False)
    return nn.Sequential(
        nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU6(inplace),
        depthwise, nn.BatchNorm2d(width), nn.ReLU6(inplace),
        nn.Conv2d(width, channels, 1, bias=False), nn.BatchNorm2d(channels),
    )  # fmt: skip


class Residual(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Squeezed(nn.Module):
    """A depthwise convolution between two others, with squeeze and excitation."""

    def __init__(self, kernel: int, width: int) -> None:
        super().__init__()
        self.expand, self.project = conv(1, 4, width), conv(1, width)
        self.depthwise, self.norm = conv(kernel, width, width, groups=width), nn.BatchNorm2d(width)
        self.squeeze, self.excite = conv(1, width, width // 4), conv(1, width // 4, width)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm(self.depthwise(self.expand(x))))
        scale = torch.sigmoid(self.excite(torch.relu(self.squeeze(self.pool(y)))))
        return self.project(y * scale)


class Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class Net(nn.Module):
    """A stem, one choice, and what makes its output visible in every pixel."""

    def __init__(self, candidates: dict[str, nn.Module] | list[nn.Module]) -> None:
        super().__init__()
        self.stem, self.op = nn.Conv2d(4, 4, 1), LayerChoice(candidates)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.op(self.stem(x)))


class Chain(nn.Module):
    """Two choices, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.first = LayerChoice([conv(1), conv(3), conv(5)])
        self.second = LayerChoice({"small": Residual(mb_conv(3, 2)), "none": nn.Identity()})

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


class Shared(nn.Module):
    """Two choices with one key, and one that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.one = LayerChoice([conv(3), conv(5), nn.Identity()], key="kernel")
        self.other = LayerChoice([conv(1, 4, 4), conv(7, 4, 4), nn.Tanh()], key="kernel")
        self.twice = LayerChoice([conv(3), conv(1)])

    def forward(self, x: Tensor) -> Tensor:
        return self.other(self.one(x)) + self.twice(torch.relu(self.twice(x)))


def grid(*widths: int, stride: int = 1, inplace: bool = False) -> dict[str, nn.Module]:
    return {f"{k}x{k}_{e}": mb_conv(k, e, stride=stride, inplace=inplace) for k in (3, 7, 5) for e in widths}


MERGED: dict[str, Callable[[], nn.Module]] = {
    "kernels": lambda: Net([conv(3), conv(7), conv(5)]),
    "same": lambda: Net([nn.Conv2d(4, 4, k, padding="same", dilation=2) for k in (3, 5)]),
    "one dimension": lambda: Net([nn.Conv2d(4, 4, (1, k), padding=(0, k // 2)) for k in (3, 5)]),
    "groups": lambda: Net([conv(k, groups=2, bias=False) for k in (1, 3)]),
    "depthwise": lambda: Net([conv(k, groups=4) for k in (3, 5)]),
    "mbconv": lambda: Net(grid(1, 3)),
    "in place": lambda: Net(grid(3, 6, inplace=True) | {"none": nn.Identity()}),
    "residual": lambda: Net({n: Residual(*m) for n, m in grid(2, 4).items()} | {"none": nn.Identity()}),
    "zero": lambda: Net({"zero": Zero()} | grid(2, 3)),
    "together": lambda: Net([mb_conv(3, 1), mb_conv(5, 2), mb_conv(7, 4), Zero()]),
    "squeezed": lambda: Net([Squeezed(k, w) for k in (3, 5) for w in (8, 16)]),
    "twice in a row": lambda: Net([nn.Sequential(nn.ReLU(), conv(k), nn.BatchNorm2d(4), conv(k)) for k in (3, 5)]),
    "dense": lambda: Net([nn.Sequential(conv(1, 4, w), nn.ReLU(), conv(k, w)) for k in (3, 5) for w in (2, 6)]),
    "one size or none": lambda: Net({"conv": nn.Sequential(conv(3), nn.ReLU()), "none": nn.Identity()}),
    "chain": Chain,
    "shared": Shared,
}


def traced(build: Callable[[], nn.Module]) -> ChoiceGraph:
    torch.manual_seed(0)
    model = build()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after some training
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.uniform_(0.5, 1.5)
    return trace(model, images())


def become(merged: MergedGraph, graph: ChoiceGraph, architecture: object) -> None:
    complete = graph.space.complete(architecture)
    merged.set({key: merged.indicators_of(key, complete[key][0]) for key in merged.superkernels})


def state_of(child: nn.Module, merged: MergedGraph, graph: ChoiceGraph, architecture: object) -> None:
    """What the candidates' weights and statistics are after the superkernel has been sliced is what the child has."""
    merged.fill()
    expected = materialize(graph, architecture).state_dict()
    for name, tensor in child.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("net", MERGED)
def test_the_superkernel_is_each_candidate(net: str) -> None:
    graph = traced(MERGED[net])
    merged, x = MergedGraph(graph), images(5)
    merged.fill()
    for rank in range(graph.space.size):
        architecture = graph.space.architecture(rank)
        become(merged, graph, architecture)
        for training in (False, True):
            child = materialize(graph, architecture).train(training)
            merged.graph.train(training)
            torch.testing.assert_close(merged(x), child(x), rtol=1e-4, atol=1e-5)
        state_of(child, merged, graph, architecture)


@pytest.mark.parametrize("net", ["mbconv", "residual", "squeezed", "shared"])
def test_its_gradients_are_those_of_each_candidate(net: str) -> None:
    graph = traced(MERGED[net])
    merged, x = MergedGraph(graph), images(5)
    merged.fill()
    for rank in range(graph.space.size):
        architecture = graph.space.architecture(rank)
        become(merged, graph, architecture)
        child = materialize(graph, architecture).train()
        child(x).square().sum().backward()
        merged.graph.train().module.zero_grad()
        merged(x).square().sum().backward()
        gradients = {name: p.grad for name, p in merged.module.named_parameters()}
        paths = dict(pair for each in merged.superkernels.values() for pair in each.slices)
        user = child.meta["fxnas"]["paths"]
        for name, parameter in child.named_parameters():
            if parameter.grad is None:
                continue
            owner, _, last = name.rpartition(".")
            owner = user.get(owner, owner)
            found = gradients[f"{paths.get(owner, owner)}.{last}"]
            torch.testing.assert_close(inner(found, parameter.shape), parameter.grad, rtol=1e-3, atol=1e-4)


def test_the_text_shows_shells_and_gates() -> None:
    graph = traced(lambda: Net({"small": conv(3), "large": conv(5), "none": nn.Identity()}))
    gates = {"op": [Given(torch.ones(2)), Given(torch.tensor([1.0, 0.0]))]}
    result = MergeKernels(gates)(graph)
    assert result.modified and result.graph.stage == "relaxed"
    assert result.graph.text() == lines("""
        %x = input x
        %mixtures_0 = mixtures.0()
        %mixtures_1 = mixtures.1()
        %stem = stem(%x)
        %op_large_weight = attribute op.large.weight
        %op_large_bias = attribute op.large.bias
        %shelled = shelled(%op_large_weight, %mixtures_0, ((4, 3, 3,), (4, 5, 5,),))
        %op_large_1 = conv2d(%stem, %shelled, %op_large_bias, (1, 1,), (2, 2,), (1, 1,), 1)
        %op_none = op.none(%stem)
        %op_1 = mix 'op' of (large: %op_large_1, none: %op_none) by %mixtures_1
        %tanh = tanh(%op_1)
        return %tanh
        """)


def test_the_source_stays_and_weights_are_shared() -> None:
    graph = traced(MERGED["residual"])
    before = graph.text()
    merged = MergedGraph(graph)
    assert graph.text() == before and graph.stage == "traced"
    assert list(merged.graph.state_dict()) == list(graph.state_dict())
    assert all(a is b for a, b in zip(merged.graph.parameters(), graph.parameters(), strict=True))


def test_levels_and_axes() -> None:
    found = superkernels(traced(MERGED["in place"]))["op"]
    assert found.counts == [3, 2] and found.drop == 6
    assert found.levels == ((0, 0), (0, 1), (2, 0), (2, 1), (1, 0), (1, 1), None)
    assert [[shells.path for shells in axis] for axis in found.axes] == [["op.7x7_6.3"], ["op.7x7_6.6"]]
    together = superkernels(traced(MERGED["together"]))["op"]
    assert together.counts == [3] and together.levels == ((0,), (1,), (2,), None)


def test_probabilities_are_the_candidates() -> None:
    for net in ("residual", "together", "kernels", "one size or none"):
        graph = traced(MERGED[net])
        merged = MergedGraph(graph)
        for candidate in range(len(graph.space["op"].candidates)):
            found = merged.probabilities("op", merged.indicators_of("op", candidate))
            assert found.tolist() == [float(i == candidate) for i in range(len(found))]
        soft = merged.probabilities("op", torch.rand(len(merged.norms("op"))))
        torch.testing.assert_close(soft.sum(), torch.tensor(1.0))


def test_shells() -> None:
    weight = torch.randn(2, 3, 5, 5)
    sizes = ((3, 1, 1), (3, 3, 3), (3, 5, 5))
    found = shelled(weight, torch.tensor([1.0, 0.5, 0.0]), sizes)
    expected = torch.zeros_like(weight)
    expected[:, :, 1:4, 1:4] = weight[:, :, 1:4, 1:4] / 2
    expected[:, :, 2, 2] = weight[:, :, 2, 2]
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    norms = squared_norms(weight, sizes)
    core, middle = weight[:, :, 2, 2].square().sum(), weight[:, :, 1:4, 1:4].square().sum()
    torch.testing.assert_close(norms, torch.stack([core, middle - core, weight.square().sum() - middle]))


REFUSED: list[tuple[Callable[[], nn.Module], str]] = [
    (lambda: Net([nn.Conv2d(4, 4, k, 4, padding=2) for k in (3, 5)]), "which don't center them"),
    (lambda: Net([nn.Conv2d(4, 4, 3, padding=2, dilation=2), conv(5)]), "dilation is"),
    (lambda: Net([conv(3), conv(5, bias=False)]), "has a bias in some candidates only"),
    (lambda: Net([conv(3), nn.Conv2d(4, 4, 5, padding=2, padding_mode="reflect")]), "padding_mode is"),
    (lambda: Net([conv(3), conv(3)]), "'0' and '1' are of the same size"),
    (lambda: Net([conv(3), conv(5, groups=2)]), "channels in, channels out and groups"),
    (lambda: Net([nn.Conv2d(4, 4, k, padding=(k[0] // 2, k[1] // 2)) for k in ((1, 3), (3, 1))]), "isn't the core of"),
    (lambda: Net([mb_conv(3, 2), mb_conv(5, 2), mb_conv(3, 4)]), r"2 · 2 = 4 combinations, and only 3"),
    (lambda: Net([conv(3), nn.Sequential(conv(5), nn.ReLU())]), "are of 1 and 2 operations"),
    (lambda: Net([nn.Sequential(conv(3), nn.ReLU()), nn.Sequential(conv(5), nn.Tanh())]), "a ReLU in one candidate"),
    (lambda: Net([conv(3), nn.Identity(), nn.Tanh()]), r"\['1', '2'\] have no weights"),
    (lambda: Net([nn.Tanh(), nn.Identity()]), r"\['0', '1'\] have no weights"),
    (lambda: Net([nn.BatchNorm2d(4), nn.Identity()]), "no candidate has a convolution"),
    (lambda: Net([conv(3), LayerChoice([conv(5), conv(7)])]), "candidate '1' holds a decision of its own, 'op.1'"),
    (
        lambda: Net([nn.Sequential(conv(1, 4, w), nn.Dropout(), conv(1, w)) for w in (2, 6)]),
        "a Dropout may mix channels",
    ),
    (
        lambda: Net([nn.Sequential(conv(1, 4, w), nn.GroupNorm(2, w), conv(1, w)) for w in (2, 6)]),
        "a GroupNorm may mix channels",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("build", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_what_is_refused(build: Callable[[], nn.Module], reason: str) -> None:
    with pytest.raises(PassError, match=rf"'op' can't become one superkernel: .*({reason})"):
        MergedGraph(traced(build))


def test_choices_of_inputs_are_refused_unless_they_are_decided() -> None:
    class Inputs(nn.Module):
        def __init__(self, n_chosen: int) -> None:
            super().__init__()
            self.op, self.pick = LayerChoice([conv(3), conv(5)]), InputChoice(2, n_chosen=n_chosen)

        def forward(self, x: Tensor) -> Tensor:
            return self.pick([x, self.op(x)])

    with pytest.raises(PassError, match="'pick' can't become one superkernel: only one of several layers"):
        MergedGraph(traced(lambda: Inputs(1)))
    graph = traced(lambda: Inputs(2))
    merged = MergedGraph(graph)
    merged.fill()
    become(merged, graph, {"op": (0,)})
    torch.testing.assert_close(merged(images()), materialize(graph, {"op": 0, "pick": [0, 1]})(images()))


def test_every_refused_choice_is_named() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = LayerChoice([nn.Tanh(), nn.ReLU()]), LayerChoice([conv(3), conv(3)])

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x))

    with pytest.raises(PassError, match=r"'a' can't become one superkernel.*; choice 'b' can't"):
        superkernels(traced(Two))


def test_weights_that_are_used_elsewhere_are_refused() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = conv(3)
            self.op = LayerChoice([self.stem, conv(5)])

        def forward(self, x: Tensor) -> Tensor:
            return self.op(self.stem(x))

    with pytest.raises(PassError, match="weights of candidate '0', of stem, are also used elsewhere"):
        MergedGraph(traced(Tied))


def test_writes_that_a_mixture_would_hide_are_refused() -> None:
    class Writes(nn.Module):
        def __init__(self, *more: nn.Module) -> None:
            super().__init__()
            self.op = LayerChoice([conv(3), conv(5), *more])

        def forward(self, x: Tensor) -> Tensor:
            x = x * 1.0
            y = self.op(x)
            y.mul_(0.5)
            return x + y

    with pytest.raises(PassError, match=r"'op' can't become one superkernel: mul_ writes in place"):
        MergedGraph(traced(lambda: Writes(nn.Identity())))
    graph = traced(Writes)
    merged = MergedGraph(graph)
    merged.fill()
    become(merged, graph, {"op": (0,)})
    torch.testing.assert_close(merged(images()), materialize(graph, {"op": 0})(images()))


def test_masks_are_refused() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.op = LayerChoice([conv(3), conv(5)], return_mask=True)

        def forward(self, x: Tensor) -> Tensor:
            y, mask = self.op(x)
            return y * mask[0]

    with pytest.raises(PassError, match="'op' can't become one superkernel: the model asks for its mask"):
        MergedGraph(traced(Masked))


def test_odd_names() -> None:
    graph = traced(lambda: Net({"class": conv(3), "forward": conv(5), "a'b": nn.Identity()}))
    merged = MergedGraph(graph)
    merged.fill()
    for candidate in range(3):
        become(merged, graph, {"op": (candidate,)})
        child = materialize(graph, {"op": candidate})
        torch.testing.assert_close(merged(images()), child(images()), rtol=1e-4, atol=1e-5)


def test_the_gates_are_counted() -> None:
    with pytest.raises(PassError, match="superkernel of 'op' takes 1 gates, got 0"):
        MergeKernels({})(traced(MERGED["kernels"]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    merged = MergedGraph(trace(Net(grid(1, 3)).to(dtype), images().to(dtype)))
    assert merged(images().to(dtype)).dtype == dtype
    assert merged.norms("op").dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
