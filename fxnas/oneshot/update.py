"""One optimizer step on one set of parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fxnas.errors import FxnasError
from fxnas.oneshot import distributed

Parameters = list[nn.Parameter]
MakeOptimizer = Callable[[Parameters], torch.optim.Optimizer]


def check_builder(method: object, optimizer: object, more: str) -> None:
    """Refuses a ready optimizer for a method that trains more than the model, which it can't hold.

    Args:
        method: for the message.
        optimizer: what the user gave.
        more: what the method trains too, in words.

    Raises:
        FxnasError: it is an optimizer, no function that builds one.
    """
    if isinstance(optimizer, torch.optim.Optimizer):
        raise FxnasError(
            f"{type(method).__name__} trains {more} beside the weights, which this optimizer doesn't hold: give a "
            "function that builds the optimizer from a list of parameters"
        )


class Update:
    """Backward pass, mean of the gradients over all processes, clipping, and the optimizer's step.

    Args:
        parameters: what is trained.
        optimizer: an optimizer of (some of) these parameters, or what builds one from the list of them.
        clip_norm: the largest norm of all gradients together; None: they are not clipped.
        scaler: of the loss, for float16; None: the loss is taken as it is.

    Attributes:
        optimizer: the optimizer, None where there are no parameters.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        optimizer: torch.optim.Optimizer | MakeOptimizer,
        *,
        clip_norm: float | None = None,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        self.parameters = list(parameters)
        self.optimizer: torch.optim.Optimizer | None
        if isinstance(optimizer, torch.optim.Optimizer):
            self.optimizer = optimizer
            self._check_owned()
        else:
            self.optimizer = optimizer(self.parameters) if self.parameters else None
        self.clip_norm, self.scaler = clip_norm, scaler

    def __call__(self, loss: Tensor) -> None:
        """Moves the parameters that `loss` depends on, against its gradient.

        Parameters that took no part get no gradient and stay as they are: momentum and weight decay don't move them.
        """
        self.clear()
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]
        self.apply()

    def apply(self) -> None:
        """Takes the step along the gradients that the parameters have."""
        if self.optimizer is None:
            return
        moved = [parameter for parameter in self.parameters if parameter.grad is not None]
        distributed.average([parameter.grad for parameter in moved])  # type: ignore[misc]
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(moved, self.clip_norm)
        if self.scaler is not None:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self.optimizer.step()
        self.clear()

    def clear(self) -> None:
        """Drops the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """No gradients of these parameters are computed within: a step on others costs nothing for them."""
        thawed = [parameter for parameter in self.parameters if parameter.requires_grad]
        for parameter in thawed:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in thawed:
                parameter.requires_grad_(True)

    def state_dict(self) -> dict[str, Any]:
        """The state of the optimizer, and of the scaler where there is one."""
        state = {} if self.optimizer is None else {"optimizer": self.optimizer.state_dict()}
        return state if self.scaler is None else {**state, "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes the state that `state_dict` gave."""
        if self.optimizer is not None:
            self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])

    def _check_owned(self) -> None:
        assert self.optimizer is not None
        own = set(map(id, self.parameters))
        given = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        if not own & given and own:
            raise FxnasError(
                "the optimizer holds none of the model's parameters: build it from the parameters of the model that is "
                "searched, or give a function that builds it from a list of parameters"
            )
