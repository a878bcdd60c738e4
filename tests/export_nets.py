"""Small networks without choices, and what else the tests of the exporters share."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import onnxruntime
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from fxnas.exporters.imported import imported


def traced(model: nn.Module) -> fx.GraphModule:
    return fx.symbolic_trace(model)


def graph_module(build: Callable[[fx.Graph], None], **modules: nn.Module) -> fx.GraphModule:
    """A GraphModule whose nodes `build` writes."""
    root = nn.Module()
    for name, module in modules.items():
        root.add_module(name, module)
    graph = fx.Graph()
    build(graph)
    graph.lint()
    return fx.GraphModule(root, graph)


class Cnn(nn.Module):
    """A stem, a residual block and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.block = nn.Conv2d(8, 8, (3, 1), padding=(1, 0))
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(self.block(x) + x)
        return self.head(x.mean((2, 3)).view(x.size(0), -1))


class Tagger(nn.Module):
    """Ids through an embedding and a recurrent module; the head is tied to the embedding."""

    def __init__(self, kind: type[nn.RNNBase] = nn.LSTM) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6, padding_idx=0)
        self.rnn = kind(6, 3, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> dict[str, Any]:
        states, last = self.rnn(self.embed(ids))
        return {"logits": self.head(states), "last": last}


class Attention(nn.Module):
    """Attention over embedded ids, with a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu", dropout=0.2)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x = self.embed(ids)
        y, weights = self.attend(x, x, x, key_padding_mask=mask)
        return self.layer(x + y), weights


class Tensors(nn.Module):
    """Parameters and buffers of its own, of many dtypes."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(4, dtype=torch.bfloat16))
        self.fp16 = nn.Parameter(torch.rand(4, dtype=torch.float16))
        self.wave = nn.Parameter(torch.randn(4, dtype=torch.complex64))
        self.wide = nn.Parameter(torch.randn(4, dtype=torch.complex128))
        self.order = nn.Parameter(torch.tensor([3, 1, 2, 0]), requires_grad=False)
        self.table = nn.ParameterList([torch.rand(4), torch.rand(4)])
        self.register_buffer("offset", torch.tensor([1, -2, 3, -4], dtype=torch.int8))
        self.register_buffer("keep", torch.tensor([True, False, True, True]))

    def forward(self, x: Tensor) -> list[Tensor]:
        first = x * self.scale + self.offset + self.fp16
        return [first[:, self.order] * self.keep, self.wave * x, self.wide * x, x * self.table[0] + self.table[1]]


class Shared(nn.Module):
    """One module in several places, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.again = self.first
        self.both = nn.ModuleList([self.first, nn.Linear(4, 4)])
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.both[1](self.both[0](self.again(self.first(x)))))


@dataclass
class Result:
    """An output class of the user's."""

    logits: Tensor
    extra: Any = None


class Pair(NamedTuple):
    """Another one."""

    first: Any
    second: Any


ODD = "an odd \"name'"


def every_kind_of_node(graph: fx.Graph, key: str) -> None:
    """A dict input, a checked flag, in-place calls, sizes, indices, and nested outputs of the user's classes."""
    batch = graph.placeholder("batch")
    flag = graph.placeholder("flag", default_value=True)
    call, method = graph.call_function, graph.call_method
    call(torch._assert, (call(operator.eq, (flag, True)), 'flag is\n\'True\' """ in this graph'))
    image = call(operator.getitem, (batch, "image"))
    other = call(operator.getitem, (batch, key))
    size = method("size", (image, 0))
    double = call(operator.mul, (size, 2))
    y = method("relu_", (graph.call_module("conv", (image,)),))
    call(operator.setitem, (y, (slice(None), 0, slice(1, -1)), 0.5))
    flat = method("reshape", (y, size, -1))
    flat = call(operator.imul, (call(operator.iadd, (flat, other)), 2))
    twice = method("view", (call(torch.cat, ([flat, flat],), {"dim": 0}), double, -1))
    rows = call(operator.getitem, (call(getattr, (twice, "shape")), 0))
    scaled = call(operator.truediv, (twice, call(operator.pow, (call(operator.neg, (rows,)), 2))))
    result = call(Result, (scaled,), {"extra": {"maps": [y, None]}})
    graph.output(call(Pair, (result, twice)))


def kinds(key: str = ODD) -> fx.GraphModule:
    """A GraphModule with every kind of node, one of whose inputs has this key."""
    return graph_module(lambda graph: every_kind_of_node(graph, key), conv=nn.Conv2d(1, 2, 3, padding=1))


def kinds_inputs(rows: int = 2, key: str = ODD) -> tuple[dict[str, Tensor], bool]:
    """Inputs for `kinds`."""
    return {"image": torch.rand(rows, 1, 4, 4), key: torch.rand(rows, 32)}, True


def ids(rows: int = 2) -> Tensor:
    """Token ids below 11."""
    return torch.randint(0, 11, (rows, 5))


def padding(rows: int = 2) -> Tensor:
    """A mask in which the last token of the first row is padding."""
    mask = torch.zeros(rows, 5, dtype=torch.bool)
    mask[0, -1] = True
    return mask


def image(rows: int = 2) -> Tensor:
    """Images for `Cnn`."""
    return torch.rand(rows, 1, 6, 6)


def load(folder: Path, device: str = "cpu") -> Any:
    """The network in an exported folder."""
    with imported(folder / "model.py") as code:
        return code.load(device)


def written(folder: Path) -> str:
    """The class in the model.py of an exported folder."""
    text = (folder / "model.py").read_text()
    return text[text.index("class Model") : text.index("def load(")].strip()


def dead() -> fx.GraphModule:
    """A network with weights of zero."""
    net = traced(nn.Sequential(nn.Linear(3, 2)))
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    return net


def run_onnx(path: Path, **inputs: Tensor) -> list[Any]:
    """What ONNX Runtime computes from a file, as arrays."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()}))


def files(folder: Path) -> list[str]:
    """The names in a folder."""
    return sorted(path.name for path in folder.iterdir())
