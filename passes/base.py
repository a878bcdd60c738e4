"""The pass contract.

A pass is a class with one method, `rewrite`, which edits a fork of the graph and says whether it changed anything. The
base class does the rest, in this order: check the stage it requires, fork, rewrite, drop dead nodes, verify the stage
it ensures, recompile. So no pass can change its input, and none can leave an ill-formed graph.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch.fx import GraphModule, Node

from fxnas.errors import FxnasError, PassError
from fxnas.graph import ChoiceGraph
from fxnas.ir.children import prune, recompile
from fxnas.ir.liveness import erase_dead
from fxnas.ir.supernet import Supernet
from fxnas.ir.text import node_text
from fxnas.passes.foreign import as_choice_graph
from fxnas.verify import STAGES, Stage, verify


@dataclass(frozen=True, slots=True)
class PassResult:
    """What a pass gives back.

    Attributes:
        graph: the rewritten graph, a fork of the input; weights are shared unless the pass says otherwise.
        modified: whether it differs from the input, dead parts that were dropped included.
    """

    graph: ChoiceGraph
    modified: bool


class Pass(ABC):
    """One rewrite of a graph. Options are constructor arguments.

    Class attributes:
        requires: the stages it takes; default all.
        ensures: the stage it gives; None for the stage it was given.
    """

    requires: ClassVar[tuple[Stage, ...]] = tuple(STAGES)
    ensures: ClassVar[Stage | None] = None

    @abstractmethod
    def rewrite(self, graph: ChoiceGraph) -> bool:
        """Edits `graph`, which is the pass's own, in place.

        Returns:
            whether anything changed.
        """

    def __call__(self, graph: ChoiceGraph | GraphModule) -> PassResult:
        """Applies the pass.

        Args:
            graph: a ChoiceGraph, or a materialized `GraphModule`. It is left as it is.

        Raises:
            PassError: the graph is not at a stage that the pass takes, or the pass fails; the message names the pass.
            ArchitectureError: the pass takes an architecture, and it doesn't fit the graph.
        """
        graph = as_choice_graph(graph)
        if graph.stage not in self.requires:
            wanted = " or ".join(map(repr, self.requires))
            raise PassError(f"{self}: takes a graph at stage {wanted}, got one at stage {graph.stage!r}")
        try:
            result, modified = self.transform(graph)
        except FxnasError:
            raise
        except Exception as error:  # a mistake in the pass: say in which
            raise PassError(f"{self}: {type(error).__name__}: {error}") from error
        self._check_honest(graph, result, modified)
        return PassResult(result, modified)

    def transform(self, graph: ChoiceGraph) -> tuple[ChoiceGraph, bool]:
        """The result, and whether it differs. A pass that builds its result anew overrides this."""
        fork = graph.fork(compiled=False)
        modified = self.rewrite(fork)
        dropped = bool(erase_dead(fork.graph))
        if fork.stage == "materialized":
            prune(fork.module, fork.graph)
            dropped = dropped or _paths(fork) != _paths(graph)
        self.check_result(fork)
        if isinstance(fork.module, Supernet):
            fork.module.recompile()
        else:
            recompile(fork.module)
        return fork, modified or dropped

    def check_result(self, result: ChoiceGraph) -> None:
        """Moves the result to the stage that the pass ensures.

        Raises:
            PassError: it is not legal there.
        """
        result.stage = self.ensures or result.stage
        verify(result.module, result.stage, where=f"{self}: the result")

    def _check_honest(self, before: ChoiceGraph, after: ChoiceGraph, modified: bool) -> None:
        if not modified and before.text() != after.text():
            raise PassError(f"{self}: says that it changed nothing, but the text of the graph differs")

    def __str__(self) -> str:
        return type(self).__name__


class PassManager(Pass):
    """Several passes, one after the other; itself a pass.

    Args:
        passes: applied in this order.
    """

    def __init__(self, *passes: Pass) -> None:
        self.passes = passes

    def rewrite(self, graph: ChoiceGraph) -> bool:
        """Not used: each pass works on a fork of its own."""
        raise NotImplementedError

    def __call__(self, graph: ChoiceGraph | GraphModule) -> PassResult:
        """Applies the passes in order.

        Raises:
            FxnasError: one of them fails, with the error that it raises alone; the message tells which had run before.
        """
        graph, modified = as_choice_graph(graph), False
        done: list[str] = []
        for step in self.passes:
            try:
                result = step(graph)
            except FxnasError as error:
                raise type(error)(f"{error} (after {', '.join(done) or 'no other pass'})") from error
            graph, modified = result.graph, modified or result.modified
            done.append(str(step))
        return PassResult(graph, modified)

    def __str__(self) -> str:
        return f"PassManager({', '.join(map(str, self.passes))})"


def _paths(graph: ChoiceGraph) -> set[str]:
    """What a materialized module holds."""
    held = graph.module.named_modules, graph.module.named_parameters, graph.module.named_buffers
    return {path for names in held for path, _ in names(remove_duplicate=False)}


def line_of(node: Node) -> str:
    """The user's line, for error messages."""
    return str(node.meta.get("frame") or "the graph")


def around(node: Node, lines: int = 2) -> str:
    """The text around a node, for error messages."""
    nodes = list(node.graph.nodes)
    at = nodes.index(node)
    return "\n".join(("> " if n is node else "  ") + node_text(n) for n in nodes[max(at - lines, 0) : at + lines + 1])
