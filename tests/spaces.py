"""Search spaces without models, that several tests share."""

from __future__ import annotations

from fxnas.choice import Choice
from fxnas.conditions import chosen
from fxnas.space import SearchSpace
from fxnas.strategy_contract import flat_space

__all__ = ["flat_space", "nested_space"]


def nested_space() -> SearchSpace:
    """Candidate "deep" of "outer" holds two more choices; an input choice of any number stands beside it."""
    inside = chosen("outer", 1, 2, 1)
    return SearchSpace(
        [
            Choice("outer", "layer_choice", ("flat", "deep"), 1),
            Choice("inner", "layer_choice", ("a", "b", "c"), 1, inside),
            Choice("pair", "input_choice", ("", "", ""), 2, inside),
            Choice("skip", "input_choice", ("", ""), None),
        ]
    )
