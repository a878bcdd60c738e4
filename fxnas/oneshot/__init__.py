"""One-shot methods: the supernet is trained once, and the architecture is read off it."""

from fxnas.oneshot.base import OneShotMethod
from fxnas.oneshot.darts import Darts, UnrolledDarts
from fxnas.oneshot.penalty import Added, LogAdded, LogScaled, Penalty, Scaled

__all__ = ["Added", "Darts", "LogAdded", "LogScaled", "OneShotMethod", "Penalty", "Scaled", "UnrolledDarts"]
