"""Cost models: what an architecture costs, looked up in tables that are exact sums. One file each."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fxnas.costs.lookup import table as table
    from fxnas.costs.model import CostModel as CostModel
    from fxnas.costs.operations import flops as flops
    from fxnas.costs.parameters import params as params
    from fxnas.costs.work import elementwise as elementwise
    from fxnas.costs.work import memory as memory

# Where each public name is defined; resolved at first use, since looking up needs no torch.
_DEFINED_IN = {
    "CostModel": "fxnas.costs.model",
    "elementwise": "fxnas.costs.work",
    "flops": "fxnas.costs.operations",
    "memory": "fxnas.costs.work",
    "params": "fxnas.costs.parameters",
    "table": "fxnas.costs.lookup",
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
