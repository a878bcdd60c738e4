"""Any sampler of Optuna as a strategy; needs the extra `fxnas[optuna]`."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.errors import SearchSpaceError, shown
from fxnas.space import SearchSpace
from fxnas.strategies.base import Reward, Strategy
from fxnas.strategies.moves import Decision, built, unseen

LISTED = 64  # decisions of a choice that are one categorical parameter; of more, each candidate is a parameter
REPEATS = 20  # proposals in a row that were told before, after which an architecture not seen yet is drawn
LARGEST = 1e300  # what an infinite reward counts as: samplers compute with rewards


class OptunaSampler(Strategy):
    """Hands the interface of a strategy to a sampler of Optuna, with a study in memory.

    Each active choice is a categorical parameter, its values the numbers of its decisions; a choice with very many
    decisions becomes one parameter for each candidate. What the sampler proposes again is answered from the study.

    Args:
        space: the space to search.
        seed: see `Strategy`. A sampler that is given ready-made has its own.
        sampler: a class of samplers that take a seed, such as `optuna.samplers.GPSampler`, a function from a seed to a
            sampler, or a sampler; by default TPE.

    Raises:
        SearchSpaceError: Optuna is not installed, or the sampler isn't one.
    """

    def __init__(self, space: SearchSpace, *, seed: int = 0, sampler: Callable[[int], Any] | Any = None) -> None:
        super().__init__(space, seed=seed)
        self._optuna = _optuna()
        made = self._made(sampler)
        if not isinstance(made, self._optuna.samplers.BaseSampler):
            raise SearchSpaceError(f"sampler is an Optuna sampler, or a function from a seed to one, got {shown(made)}")
        verbosity = self._optuna.logging.get_verbosity()
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)  # no line about the new study
        self.study = self._optuna.create_study(direction="maximize", sampler=made)
        self._optuna.logging.set_verbosity(verbosity)
        self._waiting: dict[Architecture, list[Any]] = {}

    @property
    def settings(self) -> dict[str, object]:
        """Seed and class of the sampler."""
        return super().settings | {"sampler": type(self.study.sampler).__name__}

    def propose(self, rng: random.Random) -> Architecture:
        """What the sampler proposes, if it is new."""
        seen = {**self.rewards, **self._waiting}
        for _ in range(REPEATS if len(seen) < self.space.size else 1):
            trial = self.study.ask()
            proposal = built(self.space, lambda choice: _suggest(trial, choice))  # noqa: B023 (called in the loop)
            if proposal not in self.rewards:
                self._waiting.setdefault(proposal, []).append(trial)
                return proposal
            self._finish(trial, self.rewards[proposal])
        return unseen(self.space, rng, seen) or self.space.sample(rng)

    def tell(self, architecture: Architecture, reward: Reward) -> None:
        """Finishes the trial of the architecture, or adds one that the sampler didn't propose."""
        super().tell(architecture, reward)
        canonical, number = self.told[-1]
        waiting = self._waiting.get(canonical)
        self._finish(waiting.pop(0) if waiting else self._enqueued(canonical), number)
        if not waiting:
            self._waiting.pop(canonical, None)

    def _made(self, sampler: Any) -> Any:
        seed = self.seed % 2**32  # what NumPy, which samplers draw from, takes
        if sampler is None:
            return self._optuna.samplers.TPESampler(seed=seed)
        if isinstance(sampler, type):
            return _of_class(sampler, seed)
        return sampler(seed) if callable(sampler) else sampler

    def _enqueued(self, architecture: Architecture) -> Any:
        """A trial whose parameters are those of the architecture."""
        parameters: dict[str, Any] = {}
        for key, decision in architecture.items():
            parameters.update(_parameters(self.space[key], decision))
        self.study.enqueue_trial(parameters)
        trial = self.study.ask()
        built(self.space, lambda choice: _suggest(trial, choice))
        return trial

    def _finish(self, trial: Any, reward: float | None) -> None:
        if reward is None:
            self.study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(trial, max(-LARGEST, min(LARGEST, reward)))


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise SearchSpaceError("OptunaSampler needs Optuna: pip install 'fxnas[optuna]'") from error
    return optuna


def _of_class(sampler: type, seed: int) -> Any:
    """A sampler of a class; the first argument of many is not the seed, and what it is instead they take in silence."""
    try:
        return sampler(seed=seed)
    except TypeError as error:
        raise SearchSpaceError(
            f"no {sampler.__name__} can be made of a seed alone ({error}); give one that is made, or a function from a "
            "seed to one"
        ) from error


def _suggest(trial: Any, choice: Choice) -> Decision:
    """The decision that a trial suggests for a choice."""
    if choice.count <= LISTED:
        return choice.decision(trial.suggest_categorical(choice.key, list(range(choice.count))))
    names = [f"{choice.key}[{i}]" for i in range(len(choice.candidates))]
    if choice.n_chosen is None:
        return tuple(i for i, name in enumerate(names) if trial.suggest_categorical(name, [False, True]))
    if choice.n_chosen == 1:
        return (trial.suggest_categorical(choice.key, list(range(choice.count))),)
    weights = [trial.suggest_float(name, 0, 1) for name in names]  # those with the largest are chosen
    return tuple(sorted(sorted(range(len(names)), key=lambda i: -weights[i])[: choice.n_chosen]))


def _parameters(choice: Choice, decision: Decision) -> dict[str, Any]:
    """The parameters under which `_suggest` gives a decision."""
    if choice.count <= LISTED or choice.n_chosen == 1:
        return {choice.key: choice.index(decision)}
    taken = {i: i in decision for i in range(len(choice.candidates))}
    if choice.n_chosen is None:
        return {f"{choice.key}[{i}]": chosen for i, chosen in taken.items()}
    return {f"{choice.key}[{i}]": 1.0 if chosen else 0.0 for i, chosen in taken.items()}
