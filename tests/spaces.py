"""Search spaces without models, that several tests share."""

from __future__ import annotations

from fxnas.choice import Choice
from fxnas.conditions import chosen
from fxnas.space import SearchSpace


def flat_space(choices: int = 6, candidates: int = 4) -> SearchSpace:
    """LayerChoices "c0", "c1", …, all independent."""
    names = [f"op{i}" for i in range(candidates)]
    return SearchSpace.from_json({f"c{i}": {"_type": "layer_choice", "_value": names} for i in range(choices)})


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
