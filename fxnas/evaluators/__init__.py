"""Evaluators: what a trial does with an architecture to find out how good it is. One file each."""

from typing import TYPE_CHECKING

from fxnas.lazy import lazily

if TYPE_CHECKING:
    from fxnas.evaluators.base import Evaluator as Evaluator
    from fxnas.evaluators.base import Report as Report
    from fxnas.evaluators.base import Score as Score
    from fxnas.evaluators.base import TrialPruned as TrialPruned
    from fxnas.evaluators.batches import TensorBatches as TensorBatches
    from fxnas.evaluators.command import TrialCommand as TrialCommand
    from fxnas.evaluators.train import TrainAndScore as TrainAndScore
    from fxnas.evaluators.train import accuracy as accuracy
    from fxnas.evaluators.train import fit as fit
    from fxnas.evaluators.train import measure as measure

# Where each public name is defined; resolved at first use, since a search over a bare space needs no torch.
_DEFINED_IN = {
    "Evaluator": "fxnas.evaluators.base",
    "Report": "fxnas.evaluators.base",
    "Score": "fxnas.evaluators.base",
    "TensorBatches": "fxnas.evaluators.batches",
    "TrainAndScore": "fxnas.evaluators.train",
    "TrialCommand": "fxnas.evaluators.command",
    "TrialPruned": "fxnas.evaluators.base",
    "accuracy": "fxnas.evaluators.train",
    "fit": "fxnas.evaluators.train",
    "measure": "fxnas.evaluators.train",
}

__all__ = [*_DEFINED_IN]
__getattr__, __dir__ = lazily(__name__, _DEFINED_IN)
