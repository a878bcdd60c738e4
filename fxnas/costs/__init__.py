"""Cost models: what an architecture costs, looked up in tables that are exact sums. One file each."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fxnas.costs.model import CostModel as CostModel
    from fxnas.costs.operations import flops as flops
    from fxnas.costs.parameters import params as params

# Where each public name is defined; resolved at first use, since looking up needs no torch.
_DEFINED_IN = {
    "CostModel": "fxnas.costs.model",
    "flops": "fxnas.costs.operations",
    "params": "fxnas.costs.parameters",
}

__all__ = [*_DEFINED_IN]


def __getattr__(name: str) -> Any:
    if name not in _DEFINED_IN:
        raise AttributeError(f"module 'fxnas.costs' has no attribute {name!r}")
    value = getattr(import_module(_DEFINED_IN[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
