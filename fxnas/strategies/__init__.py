"""Search strategies: each proposes architectures and learns from their rewards. One file each.

A strategy of your own subclasses `Strategy` and writes `propose`, and `learn` if it learns.
"""

from fxnas.strategies.base import Strategy
from fxnas.strategies.evolution import RegularizedEvolution
from fxnas.strategies.random import RandomSearch

__all__ = ["RandomSearch", "RegularizedEvolution", "Strategy"]
