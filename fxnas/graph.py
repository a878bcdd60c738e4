"""ChoiceGraph: a traced module and its open choices."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node

from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.conditions import NEVER, TRAINING_KEY, Condition, any_of
from fxnas.ir.children import share
from fxnas.ir.liveness import is_choose, is_switch, needs
from fxnas.ir.supernet import Supernet, copy_graph
from fxnas.ir.text import graph_text
from fxnas.ir.wires import wiring_of
from fxnas.space import SearchSpace
from fxnas.verify import Stage

if TYPE_CHECKING:
    import networkx


class ChoiceGraph:
    """A module as a torch.fx graph, with its choices as nodes.

    Attributes:
        module: the `GraphModule` to run and to train. At stage "traced" it shares the submodules and parameters of the
            model that was traced, and runs what the current architecture needs; at stage "materialized" it is plain.
        stage: "traced" (choices are open), "relaxed" (choices are mixtures) or "materialized" (no choices).
        example_inputs: `(args, kwargs)` that the model was traced with, or None.
    """

    def __init__(
        self, module: GraphModule, stage: Stage = "traced", *, example_inputs: Any = None, scopes: Iterable[str] = ()
    ) -> None:
        self.module, self.stage, self.example_inputs = module, stage, example_inputs
        self.scopes = tuple(scopes)
        self._space: tuple[object, SearchSpace] | None = None

    @property
    def graph(self) -> Graph:
        """The fx graph: the single source of truth."""
        return self.module.graph

    @property
    def space(self) -> SearchSpace:
        """The search space, derived from the graph's nodes, in graph order."""
        version = self.module.__dict__.get("conditions")  # a new object whenever the module is recompiled
        if version is None:
            return self._derived(needs(self.graph))
        if self._space is None or self._space[0] is not version:
            self._space = (version, self._derived(version))
        return self._space[1]

    def _derived(self, conditions: dict[Node, Condition]) -> SearchSpace:
        choices = {choice.key: choice for choice in _choices(self.graph, conditions)}
        wiring = wiring_of(self.module, self.graph, conditions, choices) if choices else None
        return SearchSpace(choices.values(), self.scopes, wiring)

    @property
    def architecture(self) -> Architecture:
        """What runs."""
        decisions = self.module.decisions if isinstance(self.module, Supernet) else {}
        return Architecture(decisions, self.space)

    def select(self, architecture: Mapping[str, Any]) -> Self:
        """Sets what runs.

        Args:
            architecture: an Architecture, or a mapping in any of the JSON forms. Keys whose decision does not matter
            may
                be missing.

        Raises:
            ArchitectureError: it is no architecture of this space; nothing is changed then.
        """
        space = self.space
        given = architecture if isinstance(architecture, Architecture) else Architecture.from_json(architecture, space)
        complete = space.complete(given)
        if isinstance(self.module, Supernet):
            self.module.decide(complete)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the current architecture; the signature is that of the model."""
        return self.module(*args, **kwargs)

    def fork(self, *, compiled: bool = True) -> ChoiceGraph:
        """A copy of the graph that shares modules and weights: what a pass works on.

        Args:
            compiled: write the code of the copy now; otherwise its `module.recompile()` has to be called before it
            runs.
        """
        graph = copy_graph(self.graph)
        if isinstance(self.module, Supernet):
            module: GraphModule = Supernet(self.module, graph, self.module.decisions, compiled=compiled)
        else:
            module = share(self.module, graph)
        return ChoiceGraph(module, self.stage, example_inputs=self.example_inputs, scopes=self.scopes)

    def text(self) -> str:
        """One stable line for each node."""
        return graph_text(self.graph)

    def to_networkx(self) -> networkx.DiGraph:
        """The data flow: a node for each name, with `op`, `target` and `shape`; an edge from a value to each user."""
        import networkx

        flow = networkx.DiGraph()
        for node in self.graph.nodes:
            flow.add_node(node.name, op=node.op, target=node.target, shape=node.meta.get("shape"))
            flow.add_edges_from((used.name, node.name) for used in node.all_input_nodes)
        return flow

    def conditions(self) -> dict[Node, Condition]:
        """Under which decisions each node is needed, as of the last compilation."""
        known: dict[Node, Condition] | None = self.module.__dict__.get("conditions")
        return needs(self.graph) if known is None else known

    # -- the module's own, for convenience

    def parameters(self) -> Iterator[nn.Parameter]:
        """The parameters of the module."""
        return self.module.parameters()

    def state_dict(self) -> dict[str, Tensor]:
        """The state dict of the module; at stage "traced" it is that of the model."""
        return self.module.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor], strict: bool = True) -> Any:
        """Loads a state dict of the module or of the model."""
        return self.module.load_state_dict(state, strict=strict)

    def train(self, mode: bool = True) -> Self:
        """Puts the module into training mode."""
        self.module.train(mode)
        return self

    def eval(self) -> Self:
        """Puts the module into evaluation mode."""
        return self.train(False)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Moves or casts the module, as `nn.Module.to`."""
        self.module.to(*args, **kwargs)
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ChoiceGraph:
        module = copy.deepcopy(self.module, memo)
        example = copy.deepcopy(self.example_inputs, memo)
        return ChoiceGraph(module, self.stage, example_inputs=example, scopes=self.scopes)

    def __repr__(self) -> str:
        choices = f", {len(self.space)} choices" if self.stage == "traced" else ""
        return f"<ChoiceGraph {self.stage}: {len(self.graph.nodes)} nodes{choices}>"


def _choices(graph: Graph, conditions: dict[Node, Condition]) -> list[Choice]:
    nodes: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if (is_choose(node) or is_switch(node)) and node.kwargs["key"] != TRAINING_KEY:
            nodes.setdefault(str(node.kwargs["key"]), []).append(node)
    found = []
    for key, places in nodes.items():
        active = _independent(any_of(conditions[node] for node in places), key)
        if active is not NEVER:
            details: Any = places[0].kwargs
            found.append(
                Choice(
                    key,
                    details["kind"],
                    tuple(details["candidates"]),
                    details["n_chosen"],
                    active,
                    tuple(details["paths"]),
                )
            )
    return found


def _independent(condition: Condition, key: str) -> Condition:
    """Where the condition holds for some decision at `key` and in some mode: what doesn't depend on these."""
    for atom in [atom for atom in condition.atoms() if atom.key in (key, TRAINING_KEY)]:
        condition = any_of(
            condition.substitute(lambda a, t=truth, i=atom.identity: t if a.identity == i else None)  # type: ignore[misc]
            for truth in (True, False)
        )
    return condition


def device_of(module: nn.Module) -> torch.device:
    """The device of the module's first parameter or buffer; the CPU without any."""
    tensors = (*module.parameters(), *module.buffers())
    return tensors[0].device if tensors else torch.device("cpu")
