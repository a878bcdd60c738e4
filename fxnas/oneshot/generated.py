"""Weights of layers that something else generates: which they are, when they are used, and how they are put in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from fxnas.conditions import TRAINING_KEY, Condition
from fxnas.errors import FxnasError
from fxnas.graph import ChoiceGraph
from fxnas.ir.liveness import guard_of
from fxnas.modules import attribute

Predicate = Callable[[str, nn.Module], bool]


@dataclass
class Layer:
    """A weight that is generated.

    Attributes:
        path: of the first module that has it.
        weight: the model's own one.
        modules: those that have it.
        conditions: under which it is used.
    """

    path: str
    weight: nn.Parameter
    modules: list[nn.Module] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)

    def runs(self, decisions: Mapping[str, tuple[int, ...]]) -> bool:
        """Whether some module that has it is run under these decisions, in training or evaluation."""
        modes = ({**decisions, TRAINING_KEY: mode} for mode in ((), (0,)))
        return any(condition.holds(mode) for mode in modes for condition in self.conditions)


def layers(graph: ChoiceGraph, generated: Predicate | None) -> dict[str, Layer]:
    """The weights to generate by their paths, in graph order; tied ones are one.

    Args:
        graph: a traced graph.
        generated: whether a module's weight is, from its path and the module; None: those of all convolutions that some
            candidate holds.

    Raises:
        FxnasError: there are none, or one that is wanted is no weight with filters.
    """
    found: dict[int, Layer] = {}
    conditions = graph.conditions()
    for node in graph.graph.nodes:
        if node.op != "call_module":
            continue
        path = str(node.target)
        module = attribute(graph.module, path)
        if generated is None:
            wanted = isinstance(module, _ConvNd) and any(atom.key != TRAINING_KEY for atom in guard_of(node).atoms())
        else:
            wanted = generated(path, module)
        weight = module._parameters.get("weight")
        if not wanted or (weight is None and generated is None):
            continue
        if weight is None or weight.dim() < 2:
            raise FxnasError(f"Smash can't generate the weights of {path!r}: a {type(module).__name__} has no filters")
        layer = found.setdefault(id(weight), Layer(path, weight))
        layer.conditions.append(conditions[node])
        if module not in layer.modules:
            layer.modules.append(module)
    if not found:
        raise FxnasError(
            "Smash has no weights to generate: no candidate holds a convolution; tell by `generated` which modules' "
            "weights depend on the architecture"
        )
    return {layer.path: layer for layer in found.values()}


@contextmanager
def substituted(layers: Mapping[str, Layer], weights: Mapping[str, Tensor]) -> Iterator[None]:
    """The layers have these weights within; path → weight. Those that they have stay as they are."""
    try:
        for path, weight in weights.items():
            for module in layers[path].modules:
                module._parameters["weight"] = weight.to(layers[path].weight.dtype)  # type: ignore[assignment]
        yield
    finally:
        for path in weights:
            for module in layers[path].modules:
                module._parameters["weight"] = layers[path].weight
