"""Search spaces of the literature, as modules with choices.

Each is one `nn.Module`: its constructor has the paper's values as defaults, its class method `small()` makes the same
kinds of choices in a network that traces and trains in seconds on a CPU. On the command line they are models like any
others, `fxnas.zoo:NasBench201` and `fxnas.zoo:NasBench201.small`.
"""

from typing import TYPE_CHECKING

from fxnas.lazy import lazily

if TYPE_CHECKING:
    from fxnas.zoo.darts import Darts as Darts
    from fxnas.zoo.enas_macro import EnasMacro as EnasMacro
    from fxnas.zoo.enas_micro import EnasMicro as EnasMicro
    from fxnas.zoo.mobile import ProxylessNas as ProxylessNas
    from fxnas.zoo.nasbench201 import NasBench201 as NasBench201
    from fxnas.zoo.nasbench_macro import NasBenchMacro as NasBenchMacro
    from fxnas.zoo.spos import Spos as Spos

# Where each public name is defined; resolved at first use, so that one space doesn't import the others.
_DEFINED_IN = {
    "Darts": "fxnas.zoo.darts",
    "EnasMacro": "fxnas.zoo.enas_macro",
    "EnasMicro": "fxnas.zoo.enas_micro",
    "NasBench201": "fxnas.zoo.nasbench201",
    "NasBenchMacro": "fxnas.zoo.nasbench_macro",
    "ProxylessNas": "fxnas.zoo.mobile",
    "Spos": "fxnas.zoo.spos",
}

__all__ = [*_DEFINED_IN]
__getattr__, __dir__ = lazily(__name__, _DEFINED_IN)
