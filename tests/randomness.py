"""Whether a model draws random numbers that its output doesn't depend on.

Eager Python draws them, a graph doesn't: then the two differ in their random state by design.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

_DRAWS = ("bernoulli", "native_dropout", "rand", "randn", "rand_like", "randn_like", "uniform", "normal")


class _Followed(TorchDispatchMode):
    """Follows which memory depends on which random call."""

    def __init__(self) -> None:
        super().__init__()
        self.draws = 0
        self._from: dict[int, frozenset[int]] = {}
        self._alive: list[Tensor] = []  # so that addresses stay unique

    def of(self, tree: Any) -> frozenset[int]:
        leaves = (leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor))
        return frozenset().union(*(self._from.get(leaf.untyped_storage()._cdata, frozenset()) for leaf in leaves))

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        found = self.of((args, kwargs))
        output = function(*args, **kwargs)
        written = [
            value
            for value, argument in zip(args, function._schema.arguments, strict=False)
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
        if function._schema.name.removeprefix("aten::").rstrip("_") in _DRAWS:
            found |= {self.draws}
            self.draws += 1
        for leaf in pytree.tree_leaves((output, written)):
            if isinstance(leaf, Tensor):
                self._alive.append(leaf)
                address = leaf.untyped_storage()._cdata
                self._from[address] = self._from.get(address, frozenset()) | found
        return output


def draws_in_vain(model: nn.Module, inputs: tuple[Tensor, ...]) -> bool:
    """Whether some random number that the model draws in its present mode reaches no output."""
    with torch.no_grad(), _Followed() as followed:
        output = model(*inputs)
    output = vars(output) if hasattr(output, "__dict__") and not isinstance(output, Tensor) else output
    return len(followed.of(output)) < followed.draws
