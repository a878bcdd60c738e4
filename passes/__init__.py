"""Passes: rewrites of graphs, one a file."""

from fxnas.passes.base import Pass, PassManager, PassResult
from fxnas.passes.dead import EliminateDead
from fxnas.passes.fold import FoldIdentity
from fxnas.passes.fuse import FuseConvBn
from fxnas.passes.inplace import RepairInPlace
from fxnas.passes.materialize import Materialize, materialize
from fxnas.passes.relax import Relax
from fxnas.passes.rules import Match, Miss, NoMatch, Rewrite, Rule
from fxnas.passes.superkernel import MergeKernels, superkernels

__all__ = [
    "EliminateDead",
    "FoldIdentity",
    "FuseConvBn",
    "Match",
    "Materialize",
    "MergeKernels",
    "Miss",
    "NoMatch",
    "Pass",
    "PassManager",
    "PassResult",
    "Relax",
    "RepairInPlace",
    "Rewrite",
    "Rule",
    "materialize",
    "superkernels",
]
