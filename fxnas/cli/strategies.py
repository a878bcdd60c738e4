"""The strategies that `fxnas search` offers by name: those that can be made of a space and a seed."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import typer

from fxnas.space import SearchSpace
from fxnas.strategies import (
    PPO,
    GridSearch,
    LocalSearch,
    Nsga2,
    OptunaSampler,
    PredictorSearch,
    RandomSearch,
    RegularizedEvolution,
    Strategy,
)


class StrategyName(StrEnum):
    """The strategies that the command line offers."""

    random = "random"
    grid = "grid"
    evolution = "evolution"
    local = "local"
    ppo = "ppo"
    nsga2 = "nsga2"
    predictor = "predictor"
    optuna = "optuna"


class _Offer(NamedTuple):
    strategy: type[Strategy]
    help: str
    population: int | None = None  # defaults of the options of the command line; None: it has no such option
    sample_size: int | None = None


OFFERS = {
    StrategyName.random: _Offer(RandomSearch, "uniform draws"),
    StrategyName.grid: _Offer(GridSearch, "every architecture once, in order"),
    StrategyName.evolution: _Offer(
        RegularizedEvolution, "mutates the best of a tournament, forgets the oldest", population=20, sample_size=5
    ),
    StrategyName.local: _Offer(LocalSearch, "climbs to better neighbors, starts anew at the top"),
    StrategyName.ppo: _Offer(PPO, "learns a distribution for each choice by reinforcement"),
    StrategyName.nsga2: _Offer(Nsga2, "evolution towards the front of several objectives", population=20),
    StrategyName.predictor: _Offer(PredictorSearch, "a Gaussian process tells what promises most"),
    StrategyName.optuna: _Offer(OptunaSampler, "TPE, by the package that the extra 'optuna' installs"),
}
HELP = "What proposes. " + "; ".join(f"{name}: {offer.help}" for name, offer in OFFERS.items()) + "."


def users_of(option: str) -> str:
    """The names of the strategies that have an option."""
    return ", ".join(name for name, offer in OFFERS.items() if getattr(offer, option) is not None)


def make_strategy(name: StrategyName, space: SearchSpace, seed: int, **options: int | None) -> Strategy:
    """The strategy of this name.

    Args:
        name: which.
        space: what it searches.
        seed: its seed.
        options: `population` and `sample_size`; None where not given.

    Raises:
        BadParameter: the strategy has no such option.
    """
    offer = OFFERS[name]
    chosen: dict[str, int] = {}
    for option, given in options.items():
        default = getattr(offer, option)
        if given is not None and default is None:
            written = "--" + option.replace("_", "-")
            raise typer.BadParameter(f"{name} has no {written}; it is an option of {users_of(option)}")
        if default is not None:
            chosen[option] = default if given is None else given
    return offer.strategy(space, seed=seed, **chosen)
