"""Passes: rewrites of graphs, one a file."""

from fxnas.passes.base import Pass, PassManager, PassResult
from fxnas.passes.materialize import Materialize, materialize

__all__ = ["Materialize", "Pass", "PassManager", "PassResult", "materialize"]
