"""The body of a generated `__init__`: modules, ties, and where they matter frozen parameters and train/eval flags."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, fx, nn

from fxnas.errors import ExportError
from fxnas.exporters.constructors import Call, constructor
from fxnas.exporters.layout import Layout, unique_modules
from fxnas.exporters.literals import Unwritable, literal
from fxnas.exporters.sameness import Repair, check_plain
from fxnas.modules import attribute, submodule

_WIDTH = 100


@dataclass(frozen=True)
class Construction:
    """How a network is built.

    Attributes:
        layout: the expressions for its parts.
        lines: the body of `__init__`, without indentation.
    """

    layout: Layout
    lines: tuple[str, ...]


def construction(root: fx.GraphModule) -> Construction:
    """Writes the `__init__` that builds a network.

    Raises:
        ExportError: a module that the graph calls has no constructor call that makes it.
    """
    return _Writer(root).write()


class _Writer:
    def __init__(self, root: fx.GraphModule) -> None:
        self._root = root
        self._calls = _constructor_calls(root)
        self._layout = Layout(root, frozenset(self._built()))
        self._made: dict[int, str] = {}
        self._done: set[int] = set()
        self._lines: list[str] = []

    def write(self) -> Construction:
        try:
            check_plain(self._root)
        except Unwritable as error:
            raise ExportError(f"the network itself can't be written: {error}") from error
        self._fill(self._root)
        modules = unique_modules(self._root)
        self._lines += [
            *_ties(modules, self._layout),
            *_frozen(self._root, self._layout),
            *_flags(modules, self._layout),
        ]
        return Construction(self._layout, tuple(self._lines))

    def _built(self) -> Iterator[int]:
        """Modules that a constructor makes, with all that it makes inside them."""
        for module in unique_modules(self._root):
            if id(module) in self._calls:
                yield from map(id, unique_modules(module))

    def _fill(self, module: nn.Module) -> None:
        """Writes the tensors and children of a container."""
        self._done.add(id(module))
        for name, parameter in module._parameters.items():
            self._lines.append(self._parameter(module, name, parameter))
        for name, buffer in module._buffers.items():
            self._lines.append(self._buffer(module, name, buffer))
        for name, tensor in module.__dict__.items():
            if isinstance(tensor, Tensor):
                self._lines.append(self._buffer(module, name, tensor))
        kind = self._layout.kind(module)
        for name, child in module._modules.items():
            if child is not None and not isinstance(child, fx.GraphModule):  # a branch is code, no part
                if kind == "module":
                    source = self._creation(self._layout.child(module, name), child)
                    self._lines.append(self._layout.assignment(module, name, source))
                self._finish(child)

    def _finish(self, module: nn.Module) -> None:
        """Writes what follows the creation of a module: its content, or what its constructor left out."""
        if id(module) in self._done:
            return
        if id(module) not in self._calls:
            self._fill(module)
            return
        self._done.add(id(module))
        for repair in self._calls[id(module)][1]:
            owner = self._layout.modules[id(submodule(module, ".".join(repair.path)))]
            self._lines.append(f"{owner}.{repair.attribute} = {literal(repair.value)}")

    def _creation(self, expression: str, module: nn.Module) -> str:
        """The source that makes a module, or names the one made before; `expression` is what it will be called."""
        if id(module) in self._made:
            return self._made[id(module)]
        self._made[id(module)] = expression
        if id(module) in self._calls:
            return str(self._calls[id(module)][0])
        kind = self._layout.kind(module)
        if kind == "module":
            return "nn.Module()"
        children = [
            (name, self._creation(f"{expression}[{int(name) if kind == 'list' else literal(name)}]", child))
            for name, child in module._modules.items()
            if child is not None
        ]
        parts = [source if kind == "list" else f"{literal(name)}: {source}" for name, source in children]
        opening, closing = ("nn.ModuleList([", "])") if kind == "list" else ("nn.ModuleDict({", "})")
        line = f"{opening}{', '.join(parts)}{closing}"
        if len(line) < _WIDTH - 20:
            return line
        return "\n".join([opening, *(f"    {line}" for part in parts for line in f"{part},".split("\n")), closing])

    def _parameter(self, owner: nn.Module, name: str, parameter: nn.Parameter | None) -> str:
        if parameter is None:
            return f"{self._layout.modules[id(owner)]}.register_parameter({literal(name)}, None)"
        fixed = "" if parameter.is_floating_point() or parameter.is_complex() else ", requires_grad=False"
        return self._layout.parameter_assignment(owner, name, f"nn.Parameter({_empty(parameter)}{fixed})")

    def _buffer(self, owner: nn.Module, name: str, buffer: Tensor | None) -> str:
        kept = name in owner._buffers and name not in owner._non_persistent_buffers_set
        content = "None" if buffer is None else _empty(buffer)
        persistent = "" if kept else ", persistent=False"
        return f"{self._layout.modules[id(owner)]}.register_buffer({literal(name)}, {content}{persistent})"


def _empty(tensor: Tensor) -> str:
    dtype = "" if str(tensor.dtype) == "torch.float32" else f", dtype={literal(tensor.dtype)}"
    return f"torch.empty({literal(tuple(tensor.shape))}{dtype})"


def _constructor_calls(root: fx.GraphModule) -> dict[int, tuple[Call, tuple[Repair, ...]]]:
    """The constructor calls of all modules that the graph calls, and of others where there is one."""
    calls: dict[int, tuple[Call, tuple[Repair, ...]]] = {}
    inside: set[int] = set()
    for node in (*root.graph.find_nodes(op="call_module"), *_given(root)):
        module = submodule(root, str(node.target))
        if id(module) not in calls:
            calls[id(module)] = _constructor(module, str(node.target))
            inside.update(map(id, unique_modules(module)))
    for module in unique_modules(root):
        if id(module) in inside or isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict) or module is root:
            continue
        if module._parameters or module._buffers:
            try:
                calls[id(module)] = constructor(module)
                inside.update(map(id, unique_modules(module)))
            except Unwritable:
                continue  # only its tensors are used: they are written one by one
    return calls


def _given(root: fx.GraphModule) -> Iterator[fx.Node]:
    """The nodes that give a module to a branch."""
    for node in root.graph.find_nodes(op="get_attr"):
        found = attribute(root, str(node.target)) if node.target != "training" else None
        if isinstance(found, nn.Module) and not isinstance(found, fx.GraphModule):
            yield node


def _constructor(module: nn.Module, path: str) -> tuple[Call, tuple[Repair, ...]]:
    try:
        return constructor(module)
    except Unwritable as error:
        raise ExportError(
            f"module {path!r} ({type(module).__qualname__}) can't be written as Python source: {error}. Let fxnas "
            "trace into it, replace it by a module of torch.nn, or use export_onnx or export_program"
        ) from error


def _ties(modules: list[nn.Module], layout: Layout) -> Iterator[str]:
    """`self.head.weight = self.embedding.weight` for tensors that are one."""
    first: dict[int, str] = {}
    for module in modules:
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is None:
                continue
            expression = layout.tensor(module, name)
            if first.setdefault(id(tensor), expression) != expression:
                assign = layout.parameter_assignment if name in module._parameters else layout.buffer_assignment
                yield assign(module, name, first[id(tensor)])


def _frozen(module: nn.Module, layout: Layout) -> Iterator[str]:
    parameters = [p for p in module.parameters() if p.is_floating_point() or p.is_complex()]
    if all(parameter.requires_grad for parameter in parameters):
        return
    if not any(parameter.requires_grad for parameter in parameters):
        yield f"{layout.modules[id(module)]}.requires_grad_(False)"
        return
    for name, parameter in module._parameters.items():
        if (
            parameter is not None
            and not parameter.requires_grad
            and (parameter.is_floating_point() or parameter.is_complex())
        ):
            yield f"{layout.tensor(module, name)}.requires_grad_(False)"
    for child in module._modules.values():
        if child is not None:
            yield from _frozen(child, layout)


def _flags(modules: list[nn.Module], layout: Layout) -> Iterator[str]:
    """`self.eval()`, and the same for parts that are in another mode than what holds them."""
    now = {id(module): True for module in modules}
    for module in modules:
        wanted = _training(module, layout)
        if now[id(module)] != wanted:
            now.update({id(inner): wanted for inner in unique_modules(module)})
            yield f"{layout.modules[id(module)]}.{'train' if wanted else 'eval'}()"


def _training(module: nn.Module, layout: Layout) -> bool:
    """The flag of a module. That of a container has no effect: it follows its parts where these agree."""
    if layout.is_built(module) or module is layout.root:
        return module.training
    flags = {part.training for part in unique_modules(module) if layout.is_built(part)}
    return flags.pop() if len(flags) == 1 else module.training
