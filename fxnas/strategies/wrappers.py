"""Strategies around a strategy: no repeats, only what is affordable, only as much as is affordable."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from fxnas.architecture import Architecture
from fxnas.errors import SearchSpaceError, shown
from fxnas.strategies.base import Reward, Strategy
from fxnas.strategies.moves import near

Cost = Callable[[Architecture], float]

TRIES = 100  # proposals that are refused before another way is taken


class Wrapper(Strategy):
    """A strategy that passes asks and tells on to another one; subclasses change what comes out.

    Args:
        strategy: the inner strategy, which must not have been asked yet.
    """

    def __init__(self, strategy: Strategy) -> None:
        super().__init__(strategy.space, seed=strategy.seed)
        self.strategy = strategy
        self.objectives = strategy.objectives

    @property
    def settings(self) -> dict[str, object]:
        """Those of the inner strategy under "strategy"."""
        return super().settings | {"strategy": self.strategy.settings}

    @property
    def done(self) -> bool:
        """True when the inner strategy has nothing left to propose."""
        return self.strategy.done

    def allows(self, architecture: Architecture) -> bool:
        """What the inner strategy allows."""
        return self.strategy.allows(architecture)

    def tell(self, architecture: Architecture, reward: Reward) -> None:
        """Tells the inner strategy too."""
        self.strategy.tell(architecture, reward)
        self._record(*self.strategy.told[-1])

    def propose(self, rng: random.Random) -> Architecture:
        """What the inner strategy proposes."""
        return self.strategy.ask()


class Deduped(Wrapper):
    """Never proposes what was asked or told before.

    A repeat takes random steps, one decision each, until it is new, and is proposed in that form; so the proposal stays
    near what the strategy wanted. The strategy is told that the repeat itself failed, which it takes as no news. When
    nothing new is found, `done` says so, and repeats are let through.

    Args:
        strategy: the inner strategy.
    """

    def __init__(self, strategy: Strategy) -> None:
        super().__init__(strategy)
        self._seen: dict[Architecture, None] = {}
        self._through = False

    @property
    def done(self) -> bool:
        """True when every architecture of the space was seen, no new one is found, or the inner strategy is done."""
        return self._through or len(self._seen) >= self.space.size or super().done

    def tell(self, architecture: Architecture, reward: Reward) -> None:
        """Remembers the architecture and passes the reward on."""
        super().tell(architecture, reward)
        self._seen[self.told[-1][0]] = None

    def propose(self, rng: random.Random) -> Architecture:
        """The proposal of the inner strategy, or a new one near it."""
        proposal = self.strategy.ask()
        if proposal in self._seen:
            new = near(self.space, proposal, rng, self._seen, self.allows)
            if new is None:
                self._through = True
                return proposal
            self.strategy.tell(proposal, None)
            proposal = new
        self._seen[proposal] = None
        return proposal


class Constrained(Wrapper):
    """Proposes only architectures that cost at most a limit.

    A proposal that costs more is told to the inner strategy as failed, and the strategy asked again, a hundred times
    at most; then one of the affordable architectures met at the start is proposed.

    Args:
        strategy: the inner strategy.
        cost: the cost of an architecture, a pure function such as a cost model (`fxnas.costs`); not finite means
            unaffordable.
        limit: the highest cost allowed.
        samples: how many random architectures are drawn at the start, to find out which share is affordable; a space
            that isn't larger is looked at whole.

    Attributes:
        share: the share of affordable architectures, as far as known from the samples.

    Raises:
        SearchSpaceError: none of the samples is affordable (the message says what the cheapest costs, of those with a
            finite cost), a cost isn't a number, or the number of samples isn't positive.
    """

    def __init__(self, strategy: Strategy, cost: Cost, limit: float, *, samples: int = 1000) -> None:
        super().__init__(strategy)
        if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
            raise SearchSpaceError(f"samples is a whole number above 0, got {shown(samples)}")
        self.cost, self.limit = cost, limit
        drawn = self._drawn(samples)
        costs = [self._price(architecture) for architecture in drawn]
        self._affordable = [a for a, price in zip(drawn, costs, strict=True) if self._pays(price)]
        self.share = len(self._affordable) / len(drawn)
        if not self._affordable:
            raise SearchSpaceError(self._too_dear(costs))

    @property
    def settings(self) -> dict[str, object]:
        """Limit and share besides those of the inner strategy; the share stands for the cost function."""
        return super().settings | {"limit": self.limit, "share": self.share}

    def allows(self, architecture: Architecture) -> bool:
        """True if the architecture is affordable, and the inner strategy allows it."""
        return self._pays(self._price(architecture)) and super().allows(architecture)

    def propose(self, rng: random.Random) -> Architecture:
        """The first proposal of the inner strategy that is affordable."""
        for _ in range(TRIES):
            if self.strategy.done:
                break
            proposal = self.strategy.ask()
            if self._pays(self._price(proposal)):
                return proposal
            self.strategy.tell(proposal, None)
        return rng.choice(self._affordable)

    def _drawn(self, samples: int) -> list[Architecture]:
        if self.space.size <= samples:
            return [self.space.architecture(number) for number in range(self.space.size)]
        rng = random.Random(f"{self.seed}/affordable")
        return [self.space.sample(rng) for _ in range(samples)]

    def _price(self, architecture: Architecture) -> float:
        price = self.cost(architecture)
        try:
            return float(price + 0.0)  # of digits that are text, float alone would make a number
        except (TypeError, ValueError, OverflowError) as error:
            name = getattr(self.cost, "__qualname__", type(self.cost).__name__)
            told = f"{name} gave {shown(price)} for {shown(architecture.to_json())}"
            raise SearchSpaceError(f"a cost is a number, {told}") from error

    def _pays(self, price: float) -> bool:
        return math.isfinite(price) and price <= self.limit

    def _too_dear(self, costs: list[float]) -> str:
        """What the samples cost that are none of them affordable."""
        cheapest = min(filter(math.isfinite, costs), default=None)
        found = "no cost is finite" if cheapest is None else f"the cheapest costs {cheapest:g}"
        if self.space.size <= len(costs):
            return f"none of {len(costs)} architectures costs at most {self.limit:g}: {found}"
        return (
            f"none of {len(costs)} random architectures costs at most {self.limit:g}: {found}; the space has more, and "
            "samples= draws more of them"
        )


class Budgeted(Wrapper):
    """Proposes until the costs of all proposals reach a budget; then `done`, and a further ask is an error.

    Args:
        strategy: the inner strategy.
        budget: the sum of costs at which the search ends. The proposal that reaches it is the last, and may exceed it.
        cost: the cost of trying an architecture; by default 1 each, so that the budget is a number of trials.

    Attributes:
        spent: the costs so far.
    """

    def __init__(self, strategy: Strategy, budget: float, cost: Cost | None = None) -> None:
        super().__init__(strategy)
        if not budget > 0:
            raise SearchSpaceError(f"a budget is a number above 0, got {shown(budget)}")
        self.budget, self.cost = budget, cost
        self.spent = 0.0

    @property
    def settings(self) -> dict[str, object]:
        """The budget besides those of the inner strategy."""
        return super().settings | {"budget": self.budget}

    @property
    def done(self) -> bool:
        """True when the budget is spent, or the inner strategy is done."""
        return self.spent >= self.budget or super().done

    def propose(self, rng: random.Random) -> Architecture:
        """What the inner strategy proposes, while the budget lasts.

        Raises:
            SearchSpaceError: the budget is spent.
        """
        if self.spent >= self.budget:
            raise SearchSpaceError(f"the budget of {self.budget:g} is spent ({self.spent:g})")
        proposal = self.strategy.ask()
        self.spent += 1.0 if self.cost is None else self.cost(proposal)
        return proposal
