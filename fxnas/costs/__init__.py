"""Cost models: what an architecture costs, looked up in tables that are exact sums. One file each."""

from typing import TYPE_CHECKING

from fxnas.lazy import lazily

if TYPE_CHECKING:
    from fxnas.costs.lookup import table as table
    from fxnas.costs.model import CostModel as CostModel
    from fxnas.costs.operations import flops as flops
    from fxnas.costs.parameters import params as params
    from fxnas.costs.timing import AdditivityError as AdditivityError
    from fxnas.costs.timing import additivity_error as additivity_error
    from fxnas.costs.timing import latency as latency
    from fxnas.costs.work import elementwise as elementwise
    from fxnas.costs.work import memory as memory

# Where each public name is defined; resolved at first use, since looking up needs no torch.
_DEFINED_IN = {
    "AdditivityError": "fxnas.costs.timing",
    "CostModel": "fxnas.costs.model",
    "additivity_error": "fxnas.costs.timing",
    "elementwise": "fxnas.costs.work",
    "flops": "fxnas.costs.operations",
    "latency": "fxnas.costs.timing",
    "memory": "fxnas.costs.work",
    "params": "fxnas.costs.parameters",
    "table": "fxnas.costs.lookup",
}

__all__ = [*_DEFINED_IN]
__getattr__, __dir__ = lazily(__name__, _DEFINED_IN)
