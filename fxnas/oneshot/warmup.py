"""Epochs at the start of a search in which only the weights are trained."""

from __future__ import annotations

from fxnas.errors import FxnasError


def warms_up(method: object, given: int | None, usual: int, epoch: int, epochs: int) -> bool:
    """Whether the architecture still rests.

    Args:
        method: for the message.
        given: how many epochs it rests; None: `usual`, but at most a quarter of all.
        usual: that of the paper.
        epoch: from 0.
        epochs: how many there will be.

    Raises:
        FxnasError: it would rest in all of them.
    """
    warmup = min(usual, epochs // 4) if given is None else given
    if warmup >= epochs:
        raise FxnasError(
            f"{type(method).__name__} trains only the weights in the first {warmup} epochs, and there are {epochs}: "
            f"nothing would be learned about the architecture; give more epochs or warmup={epochs // 5}"
        )
    return epoch < warmup
