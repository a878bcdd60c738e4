"""Operations in words: equal ones cost the same."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from fxnas.costs.alternatives import Call

_PLAIN = (bool, int, float, str, tuple, list, type(None))
_STATE = frozenset(nn.Module().__dict__)


class Signatures:
    """Describes calls; what a module is made of is found out once for each, so that it must not change meanwhile."""

    def __init__(self) -> None:
        self._modules: dict[nn.Module, str] = {}

    def __call__(self, call: Call) -> str:
        """The function, or the configuration of a layer, and the layout of all arguments."""
        return f"{self._function(call.function)} {pytree.tree_map(_Written, (call.args, call.kwargs))}"

    def _function(self, function: Any) -> str:
        if not isinstance(function, nn.Module):
            return f"{getattr(function, '__module__', None)}.{getattr(function, '__qualname__', function)}"
        if function not in self._modules:
            self._modules[function] = _configuration(function)
        return self._modules[function]


def _configuration(module: nn.Module) -> str:
    """All plain attributes, which `repr` doesn't always show, and the layout of tensors, also of what is inside."""
    found = [
        f"{key}={value!r}" for key, value in module.__dict__.items() if isinstance(value, _PLAIN) and key not in _STATE
    ]
    tensors = {**module._parameters, **module._buffers}
    found += [f"{key}={_written(tensor)}" for key, tensor in tensors.items()]
    found += [f"{key}={None if child is None else _configuration(child)}" for key, child in module._modules.items()]
    hooks = [hook for table in (module._forward_hooks, module._forward_pre_hooks) for hook in table.values()]
    return f"{type(module).__module__}.{type(module).__qualname__}({', '.join([*found, *map(repr, hooks)])})"


class _Written(str):
    """A leaf of the arguments, which shows itself without quotes."""

    __slots__ = ()

    def __new__(cls, leaf: object) -> _Written:
        return super().__new__(cls, _written(leaf))

    def __repr__(self) -> str:
        return str(self)


def _written(leaf: object) -> str:
    if isinstance(leaf, Tensor):
        return f"{leaf.dtype}{list(leaf.shape)}{list(leaf.stride())}"
    return repr(leaf)
