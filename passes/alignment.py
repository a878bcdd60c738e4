"""Candidates that are the same chain of operations, of several sizes, laid beside each other node by node."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.nn import functional as F

from fxnas.graph import ChoiceGraph
from fxnas.modules import attribute
from fxnas.passes.calls import obstacle_of_call, single_argument
from fxnas.shells import Size

CONVOLUTIONS: dict[type[nn.Module], Any] = {nn.Conv1d: F.conv1d, nn.Conv2d: F.conv2d, nn.Conv3d: F.conv3d}
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

# What computes each channel from the same channel of its inputs: the first channels don't see how many there are.
_MODULES = (
    nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.GELU, nn.Mish, nn.Hardswish, nn.Hardsigmoid,
    nn.Sigmoid, nn.Tanh, nn.Identity, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
)  # fmt: skip
_FUNCTIONS = (
    operator.add, operator.mul, torch.add, torch.mul, torch.relu, torch.sigmoid, torch.tanh, F.relu, F.relu6, F.silu,
    F.hardswish, F.hardsigmoid, F.gelu, F.sigmoid, F.tanh, F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d,
)  # fmt: skip
_METHODS = ("add", "add_", "mul", "mul_", "relu", "relu_", "sigmoid", "sigmoid_", "tanh", "tanh_")


class Obstacle(Exception):
    """Why candidates can't be merged; completes "it can't be merged: ..."."""


@dataclass(frozen=True)
class Column:
    """The same operation in each candidate.

    Attributes:
        nodes: candidate → its node.
        varying: what varies in size: candidate → (inputs in a group, *kernel), with the others at their largest.
    """

    nodes: Mapping[int, Node]
    varying: list[dict[int, Size]] = field(default_factory=list)


def aligned(
    regions: Mapping[int, Sequence[Node]], options: Mapping[int, Any], names: Sequence[str], graph: ChoiceGraph
) -> list[Column]:
    """The columns of several candidates.

    Args:
        regions: candidate → its nodes, in graph order.
        options: candidate → its output.
        names: of the candidates.
        graph: the graph.

    Raises:
        Obstacle: they are no chains of the same operations, or differ in more than what can be cut out of the largest.
    """
    first, *others = regions
    for other in others:
        if len(regions[other]) != len(regions[first]):
            counts = f"{len(regions[first])} and {len(regions[other])}"
            raise Obstacle(f"candidates {names[first]!r} and {names[other]!r} are of {counts} operations")
    columns = [Column(dict(zip(regions, nodes, strict=True))) for nodes in zip(*regions.values(), strict=True)]
    row: dict[int, dict[Node, Node]] = {other: {} for other in others}  # its nodes → those of the first
    narrow: set[Node] = set()  # of the first: where candidates differ in how many channels there are
    for column in columns:
        for other in others:
            if not _same_call(column.nodes[first], column.nodes[other], row[other]):
                raise Obstacle(f"{column.nodes[first]} and {column.nodes[other]} are different operations")
            row[other][column.nodes[other]] = column.nodes[first]
        if _is_narrow(column):
            narrow.add(column.nodes[first])
        _check_operation(column, not narrow.isdisjoint(column.nodes[first].all_input_nodes), graph)
    if any(_mapped(options[other], row[other]) != options[first] for other in others):
        raise Obstacle("the candidates give different ones of their values")
    return columns


def _same_call(one: Node, other: Node, row: dict[Node, Node]) -> bool:
    if one.op != other.op or (one.op in ("call_function", "call_method") and one.target != other.target):
        return False
    return (one.args, one.kwargs) == (_mapped(other.args, row), _mapped(other.kwargs, row))


def _mapped(value: Any, row: dict[Node, Node]) -> Any:
    return torch.fx.node.map_arg(value, lambda node: row.get(node, node))


def _is_narrow(column: Column) -> bool:
    """Whether the values differ in the number of channels.

    Raises:
        Obstacle: they differ in more than that.
    """
    shapes = [tuple(node.meta.get("shape", ())) for node in column.nodes.values()]
    if len({(len(shape), shape[:1], shape[2:]) for shape in shapes}) > 1:
        raise Obstacle(f"the values {', '.join(map(str, column.nodes.values()))} have the shapes {shapes}")
    return len(set(shapes)) > 1


def _check_operation(column: Column, narrow: bool, graph: ChoiceGraph) -> None:
    """Finds what varies in an operation; `narrow`: whether some input of it does.

    Raises:
        Obstacle: it varies in what can't be cut out of the largest.
    """
    one = next(iter(column.nodes.values()))
    if one.op == "call_module":
        modules = {i: attribute(graph.module, str(node.target)) for i, node in column.nodes.items()}
        _check_modules(column, modules, narrow)
    elif one.op == "get_attr":
        tensors = [attribute(graph.module, str(node.target)) for node in column.nodes.values()]
        if not all(isinstance(tensor, Tensor) and tensor.shape == tensors[0].shape for tensor in tensors):
            raise Obstacle(f"{one} is of different sizes, and no convolution")
    elif narrow and one.target not in (_METHODS if one.op == "call_method" else _FUNCTIONS):
        raise Obstacle(f"{one} takes inputs of different widths, and isn't known to keep channels apart")


def _check_modules(column: Column, modules: dict[int, Any], narrow: bool) -> None:
    one = next(iter(column.nodes.values()))
    kinds = [type(module) for module in modules.values()]
    if len(set(kinds)) > 1:
        raise Obstacle(
            f"{one} is a {' in one candidate and a '.join(dict.fromkeys(k.__name__ for k in kinds))} in another"
        )
    for module in modules.values():
        if reason := obstacle_of_call(module):
            raise Obstacle(f"{one}: {reason}")
    if kinds[0] in CONVOLUTIONS:
        column.varying.extend(_varying(one, modules))
    elif kinds[0] in _NORMS:
        _check_alike(one, modules, "eps", "momentum", "affine", "track_running_stats")
    elif narrow and kinds[0] not in _MODULES:
        raise Obstacle(f"{one} takes inputs of different widths, and a {kinds[0].__name__} may mix channels")
    elif len({(m.extra_repr(), tuple(t.shape for t in m.state_dict().values())) for m in modules.values()}) > 1:
        raise Obstacle(
            f"{one} is a {kinds[0].__name__} that differs between candidates: {', '.join(map(str, modules.values()))}"
        )


def _check_alike(node: Node, modules: Mapping[int, Any], *names: str) -> None:
    for name in names:
        values = list(dict.fromkeys(getattr(module, name) for module in modules.values()))
        if len(values) > 1:
            raise Obstacle(f"{node} differs between candidates: {name} is {' or '.join(map(str, values))}")


def _varying(node: Node, convolutions: dict[int, Any]) -> list[dict[int, Size]]:
    """What varies in size of a convolution: its kernel, the number of its inputs."""
    if single_argument(node) is None:
        raise Obstacle(f"{node} is called with more than its input")
    if len({c.bias is None for c in convolutions.values()}) > 1:
        raise Obstacle(f"{node} has a bias in some candidates only")
    _check_alike(node, convolutions, "stride", "dilation", "padding_mode")
    _check_channels(node, convolutions)
    inputs = {i: c.in_channels // c.groups for i, c in convolutions.items()}
    kernels = {i: tuple(c.kernel_size) for i, c in convolutions.items()}
    largest = tuple(map(max, zip(*kernels.values(), strict=True)))
    found = []
    if len(set(kernels.values())) > 1:
        _check_kernels(node, convolutions)
        found.append({i: (max(inputs.values()), *kernel) for i, kernel in kernels.items()})
    elif len({_padding(c) for c in convolutions.values()}) > 1:
        raise Obstacle(f"{node} differs in padding, with kernels of one size")
    if len(set(inputs.values())) > 1:
        found.append({i: (count, *largest) for i, count in inputs.items()})
    return found


def _check_channels(node: Node, convolutions: dict[int, Any]) -> None:
    channels = [(c.in_channels, c.out_channels, c.groups) for c in convolutions.values()]
    depthwise = all(inputs == outputs == groups for inputs, outputs, groups in channels)
    if len(set(channels)) > 1 and not depthwise and any(groups != 1 for *_, groups in channels):
        raise Obstacle(
            f"{node} has {channels} channels in, channels out and groups; where these differ it has to have one group, "
            "or one for each channel"
        )


def _check_kernels(node: Node, convolutions: dict[int, Any]) -> None:
    ordered = sorted(convolutions.values(), key=lambda c: tuple(c.kernel_size))
    if ordered[0].padding_mode != "zeros":
        raise Obstacle(f"{node} pads by {ordered[0].padding_mode}, which depends on the size of the kernel")
    for small, large in pairwise(ordered):
        growth = [b - a for a, b in zip(small.kernel_size, large.kernel_size, strict=True)]
        if any(g < 0 or g % 2 for g in growth):
            sizes = f"{small.kernel_size} and {large.kernel_size}"
            raise Obstacle(f"{node} has kernels of {sizes}: the smaller one isn't the core of the larger one")
        padding = zip(_padding(small), _padding(large), large.dilation, growth, strict=True)
        if any(b - a != dilation * g // 2 for a, b, dilation, g in padding):
            raise Obstacle(
                f"{node} has kernels of {small.kernel_size} and {large.kernel_size} with paddings {small.padding} and "
                f"{large.padding}, which don't center them at the same place; take kernel_size // 2"
            )


def _padding(convolution: Any) -> tuple[int, ...]:
    if convolution.padding == "same":
        sizes = zip(convolution.kernel_size, convolution.dilation, strict=True)
        return tuple(dilation * (size - 1) // 2 for size, dilation in sizes)
    return (0,) * len(convolution.kernel_size) if convolution.padding == "valid" else tuple(convolution.padding)
