"""Whether two modules are the same in all that a user can see: weights, flags, and outputs bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from fxnas.errors import ExportError
from fxnas.exporters.compare import Difference, describe, difference, same_bits
from fxnas.exporters.inputs import TensorInputs
from fxnas.exporters.outputs import Outputs, tensor_leaves
from fxnas.exporters.report import Comparison
from fxnas.exporters.running import run
from fxnas.exporters.trials import trials
from fxnas.exporters.weights import has_own_layout


def check_same_module(wanted: fx.GraphModule, loaded: nn.Module) -> None:
    """Checks state dict, buffers outside of it, frozen parameters and train/eval flags.

    Raises:
        ExportError: something differs.
    """
    ours, theirs = wanted.state_dict(), loaded.state_dict()
    if list(ours) != list(theirs):
        raise ExportError(f"the exported network has the state dict {list(theirs)}, expected {list(ours)}")
    ours, theirs = ({**dict(m.named_buffers()), **m.state_dict()} for m in (wanted, loaded))
    for name, tensor in ours.items():
        other = theirs.get(name)
        if (
            other is None
            or not same_bits(tensor, other)
            or (has_own_layout(tensor) and tensor.stride() != other.stride())
        ):
            found = "missing" if other is None else describe(other)
            raise ExportError(f"the tensor {name!r} is {found} or has other values, expected {describe(tensor)}")
    for what, read in (("requires_grad", _requires_grad), ("training", _training)):
        mine, other_flags = read(wanted), read(loaded)
        names = mine if what == "requires_grad" else _called(wanted)
        wrong = [name for name in names if other_flags.get(name) is not mine[name]]
        if wrong:
            raise ExportError(
                f"{wrong[0] or 'the network'!r} has {what}={other_flags.get(wrong[0])}, expected {mine[wrong[0]]}"
            )


def compare_exactly(wanted: nn.Module, loaded: nn.Module, inputs: TensorInputs, names: Sequence[str]) -> Comparison:
    """Runs both modules, as they are, on the example, on other inputs and at other batch sizes.

    Batch sizes at which the wanted module fails are left out.

    Raises:
        ExportError: an output isn't equal bit for bit.
    """
    found: list[Difference] = []
    sizes: list[int] = []
    runs = 0
    generator = torch.Generator().manual_seed(0)
    for size, tensors in trials(wanted, inputs, inputs.batch_size is not None, generator):
        try:
            output = run(wanted, inputs, tensors)
        except Exception:  # a batch size or value that isn't meant for this network
            continue
        found += _one(wanted, loaded, inputs, names, output, tensors)
        sizes += [size] if size is not None and size not in sizes else []
        runs += 1
    return Comparison(tuple(found), runs, tuple(sizes))


def _one(
    wanted: nn.Module,
    loaded: nn.Module,
    inputs: TensorInputs,
    names: Sequence[str],
    output: Any,
    tensors: Sequence[Tensor],
) -> list[Difference]:
    try:
        actual = tensor_leaves(run(loaded, inputs, tensors))
    except Exception as error:
        raise ExportError(f"the exported network fails where the graph runs: {error}") from error
    reference = tensor_leaves(output)
    if len(actual) != len(reference):
        raise ExportError(f"the exported network has {len(actual)} outputs, expected {len(reference)}")
    again: Outputs = {}
    found = []
    for name, mine, other in zip(names, reference, actual, strict=True):
        delta = difference(name, mine, other)
        if not same_bits(mine, other):
            again = again or dict(zip(names, tensor_leaves(run(wanted, inputs, tensors)), strict=True))
            repeatable = same_bits(mine, again[name])  # some GPU kernels add up in a random order
            if repeatable or not delta.within:
                raise ExportError(f"the exported network doesn't compute what the graph computes: {delta}")
        found.append(delta)
    return found


def _requires_grad(module: nn.Module) -> dict[str, bool]:
    return {name: parameter.requires_grad for name, parameter in module.named_parameters(remove_duplicate=False)}


def _training(module: nn.Module) -> dict[str, bool]:
    return {name: part.training for name, part in module.named_modules(remove_duplicate=False)}


def _called(module: fx.GraphModule) -> tuple[str, ...]:
    """The paths of the network itself and of all modules that it calls."""
    return ("", *dict.fromkeys(str(node.target) for node in module.graph.find_nodes(op="call_module")))
