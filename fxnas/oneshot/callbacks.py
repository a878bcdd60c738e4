"""What happens beside the training: schedules, files, and what users add."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fxnas.errors import FxnasError
from fxnas.oneshot import distributed
from fxnas.oneshot.checkpoint import save_state

if TYPE_CHECKING:
    from fxnas.oneshot.trainer import OneShotTrainer


class Callback:
    """Does nothing; override what you need. All methods get the trainer, whose `method` can be asked and changed."""

    def on_epoch_begin(self, trainer: OneShotTrainer, epoch: int) -> None:
        """Before an epoch, numbered from 0."""

    def on_epoch_end(self, trainer: OneShotTrainer, epoch: int) -> None:
        """After an epoch; `trainer.history[-1]` tells how it went."""

    def on_batch_begin(self, trainer: OneShotTrainer, step: int) -> None:
        """Before a step, numbered from 0 through all epochs."""

    def on_batch_end(self, trainer: OneShotTrainer, step: int, metrics: Mapping[str, Any]) -> None:
        """After a step.

        Args:
            trainer: the trainer.
            step: the number of the step.
            metrics: what the method's step gave, as tensors or numbers; reading a tensor waits for the device.
        """

    def state_dict(self) -> dict[str, Any]:
        """What has to be kept in checkpoints: nests of tensors, numbers and strings."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what `state_dict` gave."""


class Scheduler(Protocol):
    """A learning-rate scheduler of torch."""

    def step(self) -> None:
        """Moves on."""

    def state_dict(self) -> dict[str, Any]:
        """Its state."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes a state."""


class LRSchedulerCallback(Callback):
    """Steps a learning-rate scheduler.

    Args:
        scheduler: of the optimizer that the trainer was given.
        mode: after each "epoch" or each "batch".

    Raises:
        FxnasError: the mode is none of these.
    """

    def __init__(self, scheduler: Scheduler, mode: Literal["epoch", "batch"] = "epoch") -> None:
        if mode not in ("epoch", "batch"):
            raise FxnasError(f'mode is "epoch" or "batch", got {mode!r}')
        self.scheduler, self.mode = scheduler, mode

    def on_epoch_end(self, trainer: OneShotTrainer, epoch: int) -> None:
        """Steps, where the mode is "epoch"."""
        if self.mode == "epoch":
            self.scheduler.step()

    def on_batch_end(self, trainer: OneShotTrainer, step: int, metrics: Mapping[str, Any]) -> None:
        """Steps, where the mode is "batch"."""
        if self.mode == "batch":
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """That of the scheduler, as far as it is plain."""
        state = self.scheduler.state_dict()
        return {k: v for k, v in state.items() if isinstance(v, int | float | str | list | type(None))}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what `state_dict` gave."""
        self.scheduler.load_state_dict(dict(state))


class ArchitectureCheckpoint(Callback):
    """Writes the architecture that the method would choose after each epoch: `epoch_0.json`, ….

    Args:
        folder: made where it is absent.
        every: epochs between two files.
    """

    def __init__(self, folder: str | Path, every: int = 1) -> None:
        self.folder, self.every = Path(folder), every

    def on_epoch_end(self, trainer: OneShotTrainer, epoch: int) -> None:
        """Writes the file; one process does."""
        if (epoch + 1) % self.every == 0:
            trainer.export(self.folder / f"epoch_{epoch}.json")


class ModelCheckpoint(Callback):
    """Writes the weights of the supernet after each epoch: `epoch_0.safetensors`, ….

    `fxnas.oneshot.checkpoint.load_state` reads them: a dict with "model", the state dict, and "epoch".

    Args:
        folder: made where it is absent.
        every: epochs between two files.
    """

    def __init__(self, folder: str | Path, every: int = 1) -> None:
        self.folder, self.every = Path(folder), every

    def on_epoch_end(self, trainer: OneShotTrainer, epoch: int) -> None:
        """Writes the file; one process does."""
        if (epoch + 1) % self.every == 0 and distributed.rank() == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            state = {"epoch": epoch, "model": trainer.method.graph.module.state_dict()}
            save_state(self.folder / f"epoch_{epoch}.safetensors", state)


class TensorBoard(Callback):
    """Writes the history of each epoch for TensorBoard; needs the extra `tensorboard`.

    Args:
        folder: of the event files.

    Raises:
        FxnasError: the package is absent.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise FxnasError("TensorBoard's files need its package: pip install 'fxnas[tensorboard]'") from error
        self.writer = SummaryWriter(str(folder))

    def on_epoch_end(self, trainer: OneShotTrainer, epoch: int) -> None:
        """Writes each number of the epoch."""
        for name, value in trainer.history[-1].items():
            self.writer.add_scalar(name, value, epoch)
        self.writer.flush()
