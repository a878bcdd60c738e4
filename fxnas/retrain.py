"""Retraining: a model with choices becomes the single model that its architecture describes."""

from __future__ import annotations

from torch import nn

from fxnas.errors import ArchitectureError
from fxnas.fixed import fix_input_choice, fix_layer_choice
from fxnas.inherit import WeightTable, inherit, weight_table
from fxnas.nn import InputChoice, LayerChoice, named_choices
from fxnas.select import AnyArchitecture, decisions_for

__all__ = ["WeightTable", "apply_fixed_architecture", "inherit", "weight_table"]


def apply_fixed_architecture(model: nn.Module, architecture: AnyArchitecture, *, strict: bool = True) -> nn.Module:
    """Fixes a model to one architecture, in place.

    The chosen candidate takes the place of its LayerChoice under every name that the choice has; the others go. An
    InputChoice becomes a plain selection of its inputs. A LayerChoice that doesn't give just the output of one of its
    candidates (it may take several, returns a mask, or returns a list) becomes a `FixedLayerChoice` of the chosen ones,
    which keep their names.

    Args:
        model: an eager model with choices. A model that is itself a LayerChoice is replaced: use what is returned.
        architecture: an Architecture, a parsed JSON object, JSON text, or the path of a JSON file.
        strict: False ignores unknown keys and takes the default for missing ones.

    Returns:
        The model.

    Raises:
        ArchitectureError: the architecture doesn't fit; the model is untouched then.
        SearchSpaceError: the choices of the model contradict each other; the model is untouched then.
    """
    decisions = decisions_for(model, architecture, strict=strict)
    choices = [(key, choice) for key, places in named_choices(model).items() for _, choice in places]
    for key, choice in choices:
        _check_standard(key, choice)

    modules = list(_modules(model, {}).values())
    replacement: dict[int, nn.Module] = {}
    for key, choice in choices:
        if isinstance(choice, InputChoice):
            fix_input_choice(choice, decisions[key])
            continue
        if _is_one_layer(choice):
            replacement[id(choice)] = choice[decisions[key][0]]
        fix_layer_choice(choice, decisions[key])

    for module in modules:
        for name, child in module._modules.items():
            if child is not None:
                module._modules[name] = _resolved(child, replacement)
    return _resolved(model, replacement)


def _is_one_layer(choice: LayerChoice) -> bool:
    """Whether calling the choice is calling one candidate."""
    return choice.n_chosen == 1 and not choice.return_mask and choice.reduction != "none"


def _resolved(module: nn.Module, replacement: dict[int, nn.Module]) -> nn.Module:
    while id(module) in replacement:  # the chosen candidate may itself be a choice
        module = replacement[id(module)]
    return module


def _modules(module: nn.Module, seen: dict[int, nn.Module]) -> dict[int, nn.Module]:
    """Every module once, by identity. Through `_modules`, since `named_children` skips second names."""
    if id(module) not in seen:
        seen[id(module)] = module
        for child in module._modules.values():
            if child is not None:
                _modules(child, seen)
    return seen


def _check_standard(key: str, choice: LayerChoice | InputChoice) -> None:
    standard = LayerChoice.forward if isinstance(choice, LayerChoice) else InputChoice.forward
    if type(choice).forward is not standard or "forward" in choice.__dict__:
        raise ArchitectureError(
            f"choice {key!r} has a forward of its own ({type(choice).__name__}), which would be lost with the choice; "
            "move it to the module around the choice"
        )
