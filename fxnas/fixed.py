"""What is left of a choice once its decision is final: modules without candidates to choose from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from torch import nn

from fxnas.mutables.containers import AnyNames
from fxnas.mutables.forwarding import ordered_inputs, reduced
from fxnas.nn import InputChoice, LayerChoice
from fxnas.ops import Reduction

__all__ = ["FixedInputChoice", "FixedLayerChoice", "fix_input_choice", "fix_layer_choice"]

Fixed = TypeVar("Fixed", bound=nn.Module)


class FixedLayerChoice(AnyNames):
    """Runs all its children and reduces their outputs. Made by `fix_layer_choice`.

    Attributes:
        fixed: indices of the children among the candidates that there were.
        count: how many candidates there were, which is the length of the mask.
        reduction: how the outputs become one.
        return_mask: whether `(output, mask)` is returned.
    """

    fixed: tuple[int, ...]
    count: int
    reduction: Reduction
    return_mask: bool

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Runs every child on the same arguments and reduces the outputs."""
        outputs = [child(*args, **kwargs) for child in self._modules.values() if child is not None]
        masked = (self.fixed, self.count) if self.return_mask else None
        return reduced(outputs, self.reduction, masked=masked, inputs=(args, kwargs))

    def extra_repr(self) -> str:
        """The options."""
        return f"fixed={self.fixed} of {self.count}, reduction={self.reduction!r}"


class FixedInputChoice(nn.Module):
    """Selects always the same inputs and reduces them. Made by `fix_input_choice`.

    Attributes:
        fixed: indices of the selected inputs.
        choose_from: names of all inputs.
        reduction: how the selected inputs become one.
        return_mask: whether `(output, mask)` is returned.
    """

    fixed: tuple[int, ...]
    choose_from: list[str]
    reduction: Reduction
    return_mask: bool

    def forward(self, inputs: Sequence[Any] | Mapping[str, Any]) -> Any:
        """Reduces the selected inputs; arguments and errors as in `InputChoice.forward`."""
        values = ordered_inputs(inputs, self.choose_from, f"FixedInputChoice (choose_from={self.choose_from})")
        masked = (self.fixed, len(self.choose_from)) if self.return_mask else None
        return reduced([values[i] for i in self.fixed], self.reduction, masked=masked, inputs=values)

    def extra_repr(self) -> str:
        """The options."""
        return f"fixed={self.fixed} of {self.choose_from}, reduction={self.reduction!r}"


def fix_layer_choice(choice: LayerChoice, decision: Sequence[int]) -> FixedLayerChoice:
    """Turns a LayerChoice into its fixed form, without the other candidates.

    The object stays the same one and only its class changes: whoever refers to it, be it from a plain list that PyTorch
    doesn't see, calls what was chosen.
    """
    names = choice.names
    for i, name in enumerate(names):
        if i not in decision:
            del choice._modules[name]
    return _become(choice, FixedLayerChoice, fixed=tuple(decision), count=len(names))


def fix_input_choice(choice: InputChoice, decision: Sequence[int]) -> FixedInputChoice:
    """Turns an InputChoice into its fixed form; the object stays the same one."""
    return _become(choice, FixedInputChoice, fixed=tuple(decision))


def _become(choice: nn.Module, kind: type[Fixed], **attributes: Any) -> Fixed:
    for name in ("key", "n_chosen", "n_candidates", "decision"):
        choice.__dict__.pop(name, None)
    choice.__dict__.update(attributes)  # past nn.Module, which minds children of the same name
    choice.__class__ = kind
    assert isinstance(choice, kind)
    return choice
