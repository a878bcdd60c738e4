"""One-shot methods: the supernet is trained once, and the architecture is read off it. One file each."""

from fxnas.oneshot.base import OneShotMethod
from fxnas.oneshot.callbacks import ArchitectureCheckpoint, Callback, LRSchedulerCallback, ModelCheckpoint, TensorBoard
from fxnas.oneshot.darts import Darts, DartsTrainer, UnrolledDarts, UnrolledDartsTrainer
from fxnas.oneshot.enas import Enas, EnasTrainer
from fxnas.oneshot.evolution import Evolution, Limit
from fxnas.oneshot.fbnet import FBNet, FBNetTrainer
from fxnas.oneshot.gdas import Gdas, GdasTrainer
from fxnas.oneshot.path_dropout import PathDropout, PathDropoutTrainer
from fxnas.oneshot.penalty import Added, LogAdded, LogScaled, Penalty, Scaled
from fxnas.oneshot.proxyless import ProxylessNas, ProxylessNasTrainer, every_path, two_paths
from fxnas.oneshot.single_path import SinglePathNas, SinglePathNasTrainer
from fxnas.oneshot.smash import Smash, SmashTrainer
from fxnas.oneshot.spos import Spos, SposTrainer
from fxnas.oneshot.trainer import OneShotTrainer

__all__ = [
    "Added",
    "ArchitectureCheckpoint",
    "Callback",
    "Darts",
    "DartsTrainer",
    "Enas",
    "EnasTrainer",
    "Evolution",
    "FBNet",
    "FBNetTrainer",
    "Gdas",
    "GdasTrainer",
    "LRSchedulerCallback",
    "Limit",
    "LogAdded",
    "LogScaled",
    "ModelCheckpoint",
    "OneShotMethod",
    "OneShotTrainer",
    "PathDropout",
    "PathDropoutTrainer",
    "Penalty",
    "ProxylessNas",
    "ProxylessNasTrainer",
    "Scaled",
    "SinglePathNas",
    "SinglePathNasTrainer",
    "Smash",
    "SmashTrainer",
    "Spos",
    "SposTrainer",
    "TensorBoard",
    "UnrolledDarts",
    "UnrolledDartsTrainer",
    "every_path",
    "two_paths",
]
