"""The module that runs a graph with choices."""

from __future__ import annotations

import copy
import itertools
import linecache
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node
from torch.fx.graph import PythonCode

from fxnas.conditions import ALWAYS, TRAINING_KEY, Condition, Evaluation
from fxnas.ir.codegen import Source
from fxnas.ir.liveness import is_decided, needs

_NUMBERS = itertools.count()

Decisions = Mapping[str, tuple[int, ...]]


class Supernet(GraphModule):
    """A `GraphModule` whose forward runs only what the decisions need.

    It holds the user's own submodules, parameters and buffers under their own names, so that its state dict is the
    model's. `decide` sets what runs; nothing is copied or compiled for that.
    """

    conditions: dict[Node, Condition]
    _picks: tuple[tuple[int, ...], ...]
    _live: tuple[tuple[bool, ...], tuple[bool, ...]]

    def __init__(
        self,
        root: nn.Module,
        graph: Graph,
        decisions: Decisions,
        constants: Mapping[str, Tensor] | None = None,
        *,
        compiled: bool = True,
    ) -> None:
        empty = Graph()
        empty.output(None)
        super().__init__(nn.Module(), empty, class_name=type(root).__name__)
        self._modules.update(root._modules)
        self._parameters.update(root._parameters)
        self._buffers.update(root._buffers)
        self._non_persistent_buffers_set |= root._non_persistent_buffers_set
        for name, value in root.__dict__.items():
            if isinstance(value, Tensor):
                self.__dict__[name] = value
        for name, value in (constants or {}).items():
            self.register_buffer(name, value, persistent=False)
        self.training = root.training
        self.__dict__["_decisions"] = dict(decisions)
        self.__dict__["_graph"] = graph  # not by assignment: a child of the user's may be called like this
        graph.owning_module = self
        self.__dict__.pop("conditions", None)  # those of the empty graph
        if compiled:
            self.recompile()

    def recompile(self) -> PythonCode:
        """Writes the forward function anew from the graph; to be called after the graph has been edited."""
        graph = self.__dict__["_graph"]
        state = self.__dict__
        self.__dict__["conditions"] = conditions = needs(graph)
        found = (conditions[node] for node in graph.nodes)
        regions = tuple(dict.fromkeys(c for c in found if c is not ALWAYS))
        state["_evaluation"] = Evaluation(regions)
        defaults = _defaults(graph)
        for key, default in _defaults_of_guards(regions).items():
            defaults.setdefault(key, default)
        state["_keys"] = keys = tuple(defaults)
        source = Source(graph, self, conditions, keys, regions)
        state["_code"] = source.text
        state["_lineno_map"], state["_prologue_start"] = {}, 0  # what TorchDynamo expects of a GraphModule
        type(self).forward = _compile(self, source)
        self.decide({**defaults, **state.get("_decisions", {})})
        return PythonCode(source.text, source.names, None)

    @property
    def decisions(self) -> dict[str, tuple[int, ...]]:
        """What runs: the decision of every key."""
        return dict(self.__dict__["_decisions"])

    def decide(self, decisions: Decisions) -> None:
        """Sets what runs. `decisions` has every key, and is legal: the caller has checked it."""
        state = self.__dict__
        state["_decisions"] = {key: tuple(decisions[key]) for key in state["_keys"]}
        state["_picks"] = tuple(state["_decisions"].values())
        evaluation = state["_evaluation"]
        decisions = {**state["_decisions"], TRAINING_KEY: ()}
        running = evaluation(decisions)
        if TRAINING_KEY in evaluation.keys:
            state["_live"] = (running, evaluation({**decisions, TRAINING_KEY: (0,)}))
        else:
            state["_live"] = (running, running)

    def forget(self) -> None:
        """The next compilation starts from the defaults: for a rewrite that gives the keys another meaning."""
        self.__dict__["_decisions"] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Supernet:
        shell = nn.Module()
        shell.__dict__.update(
            {k: v for k, v in self.__dict__.items() if k in nn.Module().__dict__ or isinstance(v, Tensor)}
        )
        return Supernet(copy.deepcopy(shell, memo), copy_graph(self._graph), self.decisions)

    def __reduce__(self) -> Any:
        raise TypeError(
            "a ChoiceGraph's module can't be pickled; send an architecture and trace the model again, or export"
        )


def copy_graph(graph: Graph) -> Graph:
    """An equal graph of new nodes; `meta` dictionaries are copied one level deep."""
    copied = Graph()
    output: Any = copied.graph_copy(graph, {}, return_output_node=True)
    if output is not None:
        value, old = output
        copied.output(value).meta = dict(old.meta)
    return copied


def _defaults(graph: Graph) -> dict[str, tuple[int, ...]]:
    """The first candidates of each key that the graph decides by, or all of them; in graph order."""
    nodes = (node for node in graph.nodes if is_decided(node) and node.kwargs["key"] != TRAINING_KEY)
    details = {str(n.kwargs["key"]): (n.kwargs["n_chosen"], len(n.kwargs["candidates"])) for n in nodes}
    return {key: tuple(range(count if n_chosen is None else n_chosen)) for key, (n_chosen, count) in details.items()}


def _defaults_of_guards(regions: Iterable[Condition]) -> dict[str, tuple[int, ...]]:
    """The same for keys that only conditions know: where a rewrite left nothing else of a choice."""
    atoms = (atom for region in regions for atom in region.atoms() if atom.key != TRAINING_KEY)
    return {a.key: tuple(range(a.count if a.n_chosen is None else a.n_chosen)) for a in atoms}


def _compile(owner: Supernet, source: Source) -> Any:
    """The function of a source. Its text can be seen in tracebacks for as long as the owner lives."""
    filename = f"<fxnas graph {next(_NUMBERS)}>"
    names = dict(source.names)
    exec(compile(source.text, filename, "exec"), names)
    linecache.cache[filename] = (len(source.text), None, source.text.splitlines(keepends=True), filename)
    weakref.finalize(owner, linecache.cache.pop, filename, None)
    return names["forward"]
