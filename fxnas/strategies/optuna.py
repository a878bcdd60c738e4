"""Any sampler of Optuna as a strategy; needs the extra `fxnas[optuna]`."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.errors import SearchSpaceError, shown
from fxnas.space import SearchSpace
from fxnas.strategies.base import Reward, Strategy, as_point
from fxnas.strategies.moves import Decision, built, unseen
from fxnas.strategies.pareto import Point

LISTED = 64  # decisions of a choice that are one categorical parameter; of more, each candidate is a parameter
REPEATS = 20  # proposals in a row that were told before, after which an architecture not seen yet is drawn
LARGEST = 1e300  # what an infinite reward counts as: samplers compute with rewards
LARGEST_VOLUME = 1e250  # with several objectives they multiply them


class OptunaSampler(Strategy):
    """Hands the interface of a strategy to a sampler of Optuna, with a study in memory.

    Each active choice is a categorical parameter, its values the numbers of its decisions; a choice with very many
    decisions becomes one parameter for each candidate. What the sampler proposes again is answered from the study.

    With several objectives the study is one to maximize each of them, and rewards are tuples, as with `Nsga2`; `told`
    holds the first objective only. `study.best_trials` is the front.

    Args:
        space: the space to search.
        seed: see `Strategy`. A sampler that is given ready-made has its own.
        sampler: a class of samplers that take a seed, such as `optuna.samplers.GPSampler`, a function from a seed to a
            sampler, or a sampler; by default TPE.
        objectives: how many numbers a reward is. TPE takes several, as do `NSGAIISampler` and `NSGAIIISampler`.

    Raises:
        SearchSpaceError: Optuna is not installed, the sampler isn't one, or the number of objectives isn't positive.
    """

    objectives: int

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int = 0,
        sampler: Callable[[int], Any] | Any = None,
        objectives: int = 1,
    ) -> None:
        super().__init__(space, seed=seed)
        if isinstance(objectives, bool) or not isinstance(objectives, int) or objectives < 1:
            raise SearchSpaceError(f"objectives is how many numbers a reward is, 1 or more, got {shown(objectives)}")
        self.objectives = objectives
        self._largest = LARGEST if objectives == 1 else LARGEST_VOLUME ** (1 / objectives)
        self._optuna = _optuna()
        made = self._made(sampler)
        if not isinstance(made, self._optuna.samplers.BaseSampler):
            raise SearchSpaceError(f"sampler is an Optuna sampler, or a function from a seed to one, got {shown(made)}")
        verbosity = self._optuna.logging.get_verbosity()
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)  # no line about the new study
        self.study = self._optuna.create_study(directions=["maximize"] * objectives, sampler=made)
        self._optuna.logging.set_verbosity(verbosity)
        self._waiting: dict[Architecture, list[Any]] = {}
        self._points: dict[Architecture, Point | None] = {}

    @property
    def settings(self) -> dict[str, object]:
        """Seed and class of the sampler, and how many objectives where there are several."""
        several = {"objectives": self.objectives} if self.objectives > 1 else {}
        return super().settings | {"sampler": type(self.study.sampler).__name__} | several

    def propose(self, rng: random.Random) -> Architecture:
        """What the sampler proposes, if it is new.

        Raises:
            SearchSpaceError: the sampler can't do with several objectives.
        """
        seen = {**self.rewards, **self._waiting}
        for _ in range(REPEATS if len(seen) < self.space.size else 1):
            trial, proposal = self._asked()
            if proposal not in self.rewards:
                self._waiting.setdefault(proposal, []).append(trial)
                return proposal
            self._finish(trial, self._points[proposal])
        return unseen(self.space, rng, seen) or self.space.sample(rng)

    def tell(self, architecture: Architecture, reward: Reward) -> None:
        """Finishes the trial of the architecture, or adds one that the sampler didn't propose.

        Args:
            architecture: any architecture of the space, asked for or not.
            reward: higher is better; of several objectives one number for each. None and NaN mean failed.

        Raises:
            ArchitectureError: the architecture isn't one of the space.
            SearchSpaceError: the reward isn't numbers, or not as many as there are objectives; or the sampler can't do
                with several objectives.
        """
        point = self._point(reward)
        super().tell(architecture, None if point is None else point[0])
        canonical = self.told[-1][0]
        if self._points.get(canonical) is None:  # the first success counts, as in `rewards`
            self._points[canonical] = point
        waiting = self._waiting.get(canonical)
        self._finish(waiting.pop(0) if waiting else self._enqueued(canonical), point)
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
        return self._asked()[0]

    def _asked(self) -> tuple[Any, Architecture]:
        """The study's next trial, and the architecture that it suggests."""
        try:
            trial = self.study.ask()
            return trial, built(self.space, lambda choice: _suggest(trial, choice))
        except ValueError as error:
            if self.objectives == 1:
                raise
            name = type(self.study.sampler).__name__
            raise SearchSpaceError(f"{name} can't do with {self.objectives} objectives: {error}") from error

    def _point(self, reward: Reward) -> Point | None:
        if self.objectives > 1:
            return as_point(reward, self.objectives)
        number = self._number(reward)
        return None if number is None else (number,)

    def _finish(self, trial: Any, point: Point | None) -> None:
        if point is None:
            self.study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(trial, [max(-self._largest, min(self._largest, number)) for number in point])


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
