"""One-shot methods: the supernet is trained once, and the architecture is read off it. One file each."""

from fxnas.oneshot.base import OneShotMethod
from fxnas.oneshot.callbacks import ArchitectureCheckpoint, Callback, LRSchedulerCallback, ModelCheckpoint, TensorBoard
from fxnas.oneshot.darts import Darts, DartsTrainer, UnrolledDarts, UnrolledDartsTrainer
from fxnas.oneshot.penalty import Added, LogAdded, LogScaled, Penalty, Scaled
from fxnas.oneshot.trainer import OneShotTrainer

__all__ = [
    "Added",
    "ArchitectureCheckpoint",
    "Callback",
    "Darts",
    "DartsTrainer",
    "LRSchedulerCallback",
    "LogAdded",
    "LogScaled",
    "ModelCheckpoint",
    "OneShotMethod",
    "OneShotTrainer",
    "Penalty",
    "Scaled",
    "TensorBoard",
    "UnrolledDarts",
    "UnrolledDartsTrainer",
]
