"""Local rewrites: a rule looks at one node, and says what it would do or why not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch.fx import Node

from fxnas.errors import PassError
from fxnas.graph import ChoiceGraph
from fxnas.liveness import erase_dead
from fxnas.passes.base import Pass
from fxnas.text import node_text


@dataclass(frozen=True, slots=True)
class Miss:
    """Why a rule does not apply to a node that it is about."""

    rule: str
    node: str
    reason: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.node}: {self.reason}"


class Rule(ABC):
    """A rewrite of one node and what stands around it."""

    @abstractmethod
    def match(self, node: Node, graph: ChoiceGraph) -> bool | str:
        """Whether the rule applies.

        Returns:
            True: it applies. False: the node is none of the rule's business. A text: it nearly applies, and this is the
            reason why it doesn't.
        """

    @abstractmethod
    def rewrite(self, node: Node, graph: ChoiceGraph) -> None:
        """Rewrites around a node that matched. What is left without users is erased later."""

    def __str__(self) -> str:
        return type(self).__name__


class Rewrite(Pass):
    """A pass that applies rules to every node, again and again until none matches.

    Args:
        rules: tried in this order at each node.

    Attributes:
        misses: the near misses of the last application, with their reasons.
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
            if node.graph is graph.graph and not node._erased:
                changed = self._apply(node, graph) or changed
        if changed:
            erase_dead(graph.graph)  # what a rule left without users must not match again
        return changed

    def _apply(self, node: Node, graph: ChoiceGraph) -> bool:
        for rule in self.rules:
            found = rule.match(node, graph)
            if found is True:
                rule.rewrite(node, graph)
                return True
            if found:
                self.misses.append(Miss(str(rule), node_text(node), str(found)))
        return False

    def __str__(self) -> str:
        return f"Rewrite({', '.join(map(str, self.rules))})" if type(self) is Rewrite else type(self).__name__
