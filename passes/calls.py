"""What rules ask about a call of a module before they take it away."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.fx import Node

from fxnas.modules import HOOKS


def single_argument(node: Node) -> Node | None:
    """The one value that a call is given, by position or by name; None if it is given anything else."""
    given: list[Any] = [*node.args, *node.kwargs.values()]
    return given[0] if len(given) == 1 and isinstance(given[0], Node) else None


def obstacle_of_call(module: nn.Module) -> str:
    """Why a call of the module may do more than its class says; empty when it doesn't."""
    if any(getattr(module, hooks) for hooks in HOOKS):
        return "it has hooks"
    if "forward" in module.__dict__:
        return "its forward has been replaced"
    return ""
