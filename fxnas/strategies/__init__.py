"""Search strategies: each proposes architectures and learns from their rewards. One file each.

A strategy of your own subclasses `Strategy` and writes `propose`, and `learn` if it learns.
"""

from fxnas.strategies.base import Strategy
from fxnas.strategies.evolution import RegularizedEvolution
from fxnas.strategies.grid import GridSearch
from fxnas.strategies.local import LocalSearch
from fxnas.strategies.nsga2 import Nsga2
from fxnas.strategies.optuna import OptunaSampler
from fxnas.strategies.ppo import PPO
from fxnas.strategies.predictor import PredictorSearch
from fxnas.strategies.random import RandomSearch
from fxnas.strategies.wrappers import Budgeted, Constrained, Deduped

__all__ = [
    "PPO",
    "Budgeted",
    "Constrained",
    "Deduped",
    "GridSearch",
    "LocalSearch",
    "Nsga2",
    "OptunaSampler",
    "PredictorSearch",
    "RandomSearch",
    "RegularizedEvolution",
    "Strategy",
]
