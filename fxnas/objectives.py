"""Which way a metric is better: by the sign before its name, else by the name. Free of torch.

One rule for the objectives of a search, for the values that stopping rules look at, for the Pareto front of the results
and for the columns of the report:

- "-x": lower is better; "+x": higher is better.
- "x": lower is better where the name is that of a cost, such as latency_ms, flops, n_params, val_loss or peak_memory;
  else higher is better. What counts is words, so that "glossy" is no loss. A cost that was negated or saved
  ("neg_loss", "memory_saved") and a rate ("images_per_second") are no costs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_COST = re.compile(
    r"latency|latencies|[kmgt]?flops?|macs?|m?adds|multadds|params?|parameters?|mem|memory|[a-z]*loss(es)?|err|errors?|"
    r"sizes?|[kmgt]i?b|[a-z]*bytes?|seconds?|secs?|ms|us|ns|(run|wall)?time|duration|elapsed|energy|joules?|costs?|"
    r"mse|rmse|mae|nll|perplexity|ppl|wer|cer|fid|regret"
)
_GAIN = re.compile(
    r"neg|negative|negated|minus|inv|inverse|saved|savings?|reduction|free|efficiency|throughput|speedup"
)
_TIME = re.compile(r"s|sec|second|ms|us|ns|min|minute|h|hour|day")


class Objective(NamedTuple):
    """A metric and which way it is better.

    Attributes:
        name: of the metric.
        sign: 1 where higher is better, -1 where lower is.
    """

    name: str
    sign: float

    @property
    def lower(self) -> bool:
        """Whether lower is better."""
        return self.sign < 0

    def __str__(self) -> str:
        return f"{'-' if self.lower else '+'}{self.name}"


def objective(name: str) -> Objective:
    """The metric that a name with or without a sign stands for.

    Args:
        name: "-x", "+x", or "x": see this module.
    """
    if name[:1] in ("-", "+"):
        return Objective(name[1:], -1.0 if name[0] == "-" else 1.0)
    return Objective(name, -1.0 if is_cost(name) else 1.0)


def objectives_of(names: Iterable[str]) -> tuple[Objective, ...]:
    """The metrics that names with or without signs stand for."""
    return tuple(map(objective, names))


def is_cost(name: str) -> bool:
    """Whether a metric of this name, without a sign, is better when lower."""
    words = re.findall("[a-z]+", re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower())
    if "per" in words:
        words, (unit, *_) = words[: words.index("per")], [*words[words.index("per") + 1 :], ""]
        if _TIME.fullmatch(unit):
            return False
    return any(map(_COST.fullmatch, words)) and not any(map(_GAIN.fullmatch, words))


def with_signs(recorded: object) -> object:
    """The objectives of a study as they are recorded now; before, a name without a sign was one to maximize."""
    if not isinstance(recorded, list) or not all(isinstance(name, str) for name in recorded):
        return recorded
    return [name if name[:1] in ("-", "+") else f"+{name}" for name in recorded]
