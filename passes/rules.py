"""Local rewrites: a rule looks at one node, and says what it would do, or why not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch.fx import Node

from fxnas.errors import PassError
from fxnas.graph import ChoiceGraph
from fxnas.ir.liveness import erase_dead
from fxnas.ir.text import node_text
from fxnas.passes.base import Pass


@dataclass(frozen=True, slots=True)
class Match:
    """A rule applies.

    Attributes:
        node: where.
        found: what else the rule found, for its `rewrite`.
    """

    node: Node
    found: Any = None


@dataclass(frozen=True, slots=True)
class NoMatch:
    """A rule nearly applies. The reason completes the sentence "it does not apply, because ..."."""

    reason: str


@dataclass(frozen=True, slots=True)
class Miss:
    """A near miss, as `Rewrite.misses` keeps it: plain text, which holds no graph alive.

    Attributes:
        rule: the name of the rule.
        node: the line of the node.
        reason: why the rule did not apply.
    """

    rule: str
    node: str
    reason: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.node}: {self.reason}"


class Rule(ABC):
    """A rewrite of one node and what stands around it."""

    @abstractmethod
    def match(self, node: Node, graph: ChoiceGraph) -> Match | NoMatch | None:
        """Whether the rule applies to a node.

        Returns:
            A `Match`: it does. A `NoMatch`: nearly, and this is why it doesn't. None: the node is none of its business.
        """

    @abstractmethod
    def rewrite(self, match: Match, graph: ChoiceGraph) -> None:
        """Rewrites around a match. What is left without users is erased later, and need not be erased here."""

    def __str__(self) -> str:
        return type(self).__name__.strip("_")


class Rewrite(Pass):
    """A pass that applies rules to every node, in graph order, again and again until none matches.

    Nodes that a rule makes take over the user's line and the guard of the node that it matched.

    Args:
        rules: tried in this order at each node.

    Attributes:
        misses: the near misses of the last application: what was left when no rule matched any more.
    """

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules
        self.misses: list[Miss] = []

    def rewrite(self, graph: ChoiceGraph) -> bool:
        """Applies the rules.

        Raises:
            PassError: they go on for ever.
        """
        modified = False
        for _ in range(len(graph.graph.nodes) + 1):
            if not self._sweep(graph):
                return modified
            modified = True
        raise PassError(f"{self}: the rules still match after a round for every node; does one undo another?")

    def _sweep(self, graph: ChoiceGraph) -> bool:
        self.misses = []
        changed = False
        for node in list(graph.graph.nodes):
            if not node._erased:
                changed = self._apply(node, graph) or changed
        if changed:
            erase_dead(graph.graph)  # what a rule left without users must not match again
        return changed

    def _apply(self, node: Node, graph: ChoiceGraph) -> bool:
        for rule in self.rules:
            found = rule.match(node, graph)
            if isinstance(found, Match):
                _rewrite(rule, found, graph)
                return True
            if found is not None:
                self.misses.append(Miss(str(rule), node_text(node), found.reason))
        return False

    def __str__(self) -> str:
        return f"Rewrite({', '.join(map(str, self.rules))})" if type(self) is Rewrite else type(self).__name__


def _rewrite(rule: Rule, match: Match, graph: ChoiceGraph) -> None:
    notes = {note: match.node.meta[note] for note in ("frame", "guard") if note in match.node.meta}
    known = set(graph.graph.nodes)
    rule.rewrite(match, graph)
    for made in graph.graph.nodes:
        if made not in known:
            made.meta = {**notes, **made.meta}
