"""fxnas: neural architecture search as a compiler over torch.fx.

A PyTorch model with choices is traced to a graph, a strategy searches the space of its
architectures, and the one it finds becomes a plain module and a verified ONNX file:

    graph = fxnas.trace(model, example_inputs)
    strategy = fxnas.strategies.RegularizedEvolution(graph.space)
    result = fxnas.search(graph, strategy, evaluator, trials=50)
    child = fxnas.materialize(graph, result.best_architecture)
    fxnas.exporters.export_onnx(child, example_inputs, "child.onnx")

The names below are resolved when they are first used: importing torch costs seconds, and what works
without it (spaces, architectures, strategies, the command line's help) stays fast.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fxnas import costs as costs
    from fxnas import errors as errors
    from fxnas import evaluators as evaluators
    from fxnas import exporters as exporters
    from fxnas import nn as nn
    from fxnas import oneshot as oneshot
    from fxnas import passes as passes
    from fxnas import stopping as stopping
    from fxnas import strategies as strategies
    from fxnas import study as study
    from fxnas import zoo as zoo
    from fxnas.architecture import Architecture as Architecture
    from fxnas.choice import Choice as Choice
    from fxnas.graph import ChoiceGraph as ChoiceGraph
    from fxnas.inherit import inherit as inherit
    from fxnas.nn import InputChoice as InputChoice
    from fxnas.nn import LayerChoice as LayerChoice
    from fxnas.nn import MutableScope as MutableScope
    from fxnas.passes.materialize import materialize as materialize
    from fxnas.retrain import apply_fixed_architecture as apply_fixed_architecture
    from fxnas.search import search as search
    from fxnas.select import select as select
    from fxnas.space import SearchSpace as SearchSpace
    from fxnas.trace import trace as trace
    from fxnas.trial import get_and_apply_next_architecture as get_and_apply_next_architecture
    from fxnas.trial import report_final_result as report_final_result
    from fxnas.trial import report_intermediate_result as report_intermediate_result

__version__ = "0.1.0"

# Where each public name is defined. The imports above tell type checkers the same; a test compares.
_DEFINED_IN = {
    "Architecture": "fxnas.architecture",
    "Choice": "fxnas.choice",
    "ChoiceGraph": "fxnas.graph",
    "InputChoice": "fxnas.nn",
    "LayerChoice": "fxnas.nn",
    "MutableScope": "fxnas.nn",
    "SearchSpace": "fxnas.space",
    "apply_fixed_architecture": "fxnas.retrain",
    "get_and_apply_next_architecture": "fxnas.trial",
    "inherit": "fxnas.inherit",
    "materialize": "fxnas.passes.materialize",
    "report_final_result": "fxnas.trial",
    "report_intermediate_result": "fxnas.trial",
    "search": "fxnas.search",
    "select": "fxnas.select",
    "trace": "fxnas.trace",
}
_MODULES = (
    "costs",
    "errors",
    "evaluators",
    "exporters",
    "nn",
    "oneshot",
    "passes",
    "stopping",
    "strategies",
    "study",
    "zoo",
)

__all__ = ["__version__", *_DEFINED_IN, *_MODULES]


class _Package(ModuleType):
    """Keeps `fxnas.trace` the function once the module `fxnas.trace` has been imported too.

    Python sets a submodule as an attribute of its package when its import is done; where a public
    name is called like the module that defines it, the public name wins here.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and _DEFINED_IN.get(name) == value.__name__:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"fxnas.{name}")
    if name not in _DEFINED_IN:
        raise AttributeError(f"module 'fxnas' has no attribute {name!r}")
    value = getattr(import_module(_DEFINED_IN[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
