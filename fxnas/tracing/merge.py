"""From runs to one program: trace with everything present, then with what Python may see changed, merge, verify."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping

from fxnas.conditions import TRAINING, TRAINING_KEY, Condition, chosen, present
from fxnas.errors import TraceError
from fxnas.tracing.align import align
from fxnas.tracing.batch import check_batch
from fxnas.tracing.cover import Cover
from fxnas.tracing.learn import Learner, Steering, is_absent
from fxnas.tracing.program import Decisions, Program
from fxnas.tracing.recording import Record, Recording
from fxnas.tracing.runs import Runner

_VERIFY = 6  # random combinations that the merged program is compared with
_VERIFY_LISTS = 48  # … where Python sees which candidates are chosen, not only whether any is
_FEW = 16  # so many decisions of a choice, or combinations of all, are tried one and all
_MANY = 64  # so many decisions of one choice that Python looks into
_ALONE = 8  # up to so many optional inputs are left out one by one
_SOME = 12  # of so many optional inputs each is tried as the only one
_ROUNDS = 40


def merged_program(runner: Runner) -> Program:
    """The program of a model: every path that its choices (and its training mode) can take.

    Raises:
        TraceError: the model fails, or branches in a way that no graph can express.
    """
    base = runner.record(_base_decisions(runner, {}))
    if base.follows_batch and runner.example_batch is not None:
        check_batch(runner, base)
    try:
        return _merged(runner, base, by_mode=True)
    except TraceError as error:
        if not runner.mode_read:
            raise
        reason = str(error)
    # Training and evaluation differ too much for one graph (in the form of the output, say): keep the current mode.
    program = _merged(runner, base, by_mode=False)
    program.fixed_mode, program.reason = runner.model.training, reason
    return program


def _merged(runner: Runner, base: Recording, by_mode: bool) -> Program:
    """Merges runs; begins anew when one of them shows that Python looks at more than was known."""
    seen: list[Recording] = [base]
    while True:
        masks = tuple(dict.fromkeys(key for run in seen for key in run.masks_read))
        reads_training = by_mode and any(run.reads_training for run in seen)
        steering = _steering(runner, masks, reads_training)
        merger = _Merger(runner, steering)
        merger.add(base if base.decisions == steering.base else runner.record(steering.base))
        for decisions in _first_runs(steering):
            merger.add(runner.record(decisions))
        if not _looks_further(merger.program.runs, masks, reads_training or not by_mode):
            program = merger.finish()
            if not _looks_further(merger.seen, masks, reads_training or not by_mode):
                return program
        seen += merger.seen


def _looks_further(runs: list[Recording], masks: tuple[str, ...], mode_known: bool) -> bool:
    """Whether a run reads a mask, or the mode, that the others were not steered by."""
    return any(key not in masks for run in runs for key in run.masks_read) or (
        not mode_known and any(run.reads_training for run in runs)
    )


def _base_decisions(runner: Runner, extra: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    steered = {key: choice.default for key, choice in runner.choices.items() if choice.n_chosen is None}
    return {**steered, **extra}


def _steering(runner: Runner, masks: tuple[str, ...], reads_training: bool) -> Steering:
    literals: list[Condition] = []
    base = _base_decisions(runner, {key: runner.choices[key].default for key in masks})
    base = {key: decision for key, decision in base.items() if runner.choices[key].count > 1}
    for key in base:
        choice = runner.choices[key]
        count = len(choice.candidates)
        literals.append(present(key, count, choice.n_chosen))
        if key in masks or key in runner.paths.listed:
            literals += [chosen(key, i, count, choice.n_chosen) for i in range(count)]
    if reads_training:
        base[TRAINING_KEY] = (0,) if runner.model.training else ()
        literals.append(TRAINING)
    return Steering(runner.choices, [literal for literal in literals if literal.kind == "atom"], base)


def _first_runs(steering: Steering) -> list[dict[str, tuple[int, ...]]]:
    """Every steered key changed alone, or many optional ones changed in groups, then all optional ones absent."""
    others = {key: _others(steering, key, decision) for key, decision in steering.base.items()}
    optional = [key for key in others if key != TRAINING_KEY and steering.choices[key].n_chosen is None]
    grouped = [key for key in optional if others[key] == [()]]
    runs: list[dict[str, tuple[int, ...]]] = [{key: ()} for key in grouped]
    if len(grouped) > _ALONE:
        runs = _groups(grouped)
    runs += [{key: other} for key, sides in others.items() if key not in grouped for other in sides]
    if len(optional) > 1:
        runs.append(dict.fromkeys(optional, ()))
    return [{**steering.base, **run} for run in runs]


def _groups(keys: list[str]) -> list[dict[str, tuple[int, ...]]]:
    """Absent together: the keys whose number has a bit set, and those where it is not set, for each bit.

    No two keys are absent in the same runs, so that what changes with one of them can be told.
    """
    bits = range((len(keys) - 1).bit_length())
    return [
        {key: () for i, key in enumerate(keys) if bool(i >> bit & 1) is side} for bit in bits for side in (True, False)
    ]


def _others(steering: Steering, key: str, decision: tuple[int, ...]) -> list[tuple[int, ...]]:
    if key == TRAINING_KEY:
        return [() if decision else (0,)]
    choice = steering.choices[key]
    if not steering.members(key):
        return [()]
    if choice.count <= _MANY:
        return [other for other in choice.decisions() if other != decision]
    if choice.n_chosen is None:
        return [(), *(tuple(i for i in decision if i != gone) for gone in decision)]
    rng = random.Random(0)
    return list(dict.fromkeys(choice.decision(rng.randrange(choice.count)) for _ in range(_FEW)))


class _Merger:
    def __init__(self, runner: Runner, steering: Steering) -> None:
        self.runner, self.steering = runner, steering
        self.program = Program([], [])
        self.seen: list[Recording] = []

    def add(self, run: Recording) -> None:
        """Merges one more run into the steps."""
        self.seen.append(run)
        number = len(self.program.runs)
        self.program.runs.append(run)
        self.program.steps, _ = align(
            self.program.steps,
            run.records,
            number,
            lambda value: is_absent(self.steering.choices, value, run.decisions),
        )

    def finish(self) -> Program:
        """Learns until nothing is open and random combinations are predicted right."""
        self._learn()
        if len(self.program.runs) > 1:
            for run in list(self.program.runs):
                self._verify(run)
            self._cover()
            for decisions in self._combinations():
                if all(run.decisions != decisions for run in self.program.runs):
                    self._verify(self.runner.record(decisions))
            self._cover()
        return self.program

    def _cover(self) -> None:
        """Tries what meets in one place in all combinations."""
        cover = Cover(self.steering)
        for _ in range(_ROUNDS):
            tried = (self.steering.truths(run.decisions) for run in self.seen)
            decisions = cover.next_run(self.program, tried)
            if decisions is None:
                return
            self._verify(self.runner.record(decisions))

    def _combinations(self) -> list[dict[str, tuple[int, ...]]]:
        """What the program is verified with: every combination of a few, else a sample."""
        base = self.steering.base
        sides = [[base[key], *_others(self.steering, key, base[key])] for key in base]
        members = any(map(self.steering.members, base))
        every = not members or all(key == TRAINING_KEY or self.steering.choices[key].count <= _MANY for key in base)
        if every and math.prod(map(len, sides)) <= (_MANY if members else _FEW):
            return [dict(zip(base, sides_of, strict=True)) for sides_of in itertools.product(*sides)]
        rng = random.Random(0)
        found = [self._random(rng) for _ in range(_VERIFY_LISTS if members else _VERIFY)]
        if len(base) <= _SOME:
            nothing = {key: side[-1] for key, side in zip(base, sides, strict=True)}
            found += [{**nothing, key: base[key]} for key in base]
        return found

    def _learn(self) -> None:
        for _ in range(_ROUNDS):
            learner = Learner(self.program, self.steering)
            learner.learn()
            if not learner.wanted:
                return
            for decisions in learner.wanted:
                self.add(self.runner.record(decisions))
        raise TraceError(f"too many choices interact in Python: {', '.join(map(repr, self.steering.base))}")

    def _verify(self, run: Recording) -> None:
        self.seen.append(run)
        if self._mismatch(run) is None:
            return
        if run not in self.program.runs:
            self.add(run)
            self._learn()
        wrong = next((r for r in map(self._mismatch, self.program.runs) if r is not None), None)
        if wrong is not None:
            raise TraceError(
                f"{wrong.frame or 'forward'}: what runs here depends on choices in a way that was not understood "
                f"(choices that Python sees: {', '.join(map(repr, self.steering.base))})"
            )

    def _mismatch(self, run: Recording) -> Record | None:
        def absent(value: object, decisions: Decisions) -> bool:
            return is_absent(self.steering.choices, value, decisions)

        return self.program.mismatch(run, absent)

    def _random(self, rng: random.Random) -> dict[str, tuple[int, ...]]:
        share = rng.choice((0.25, 0.5, 0.75))
        decisions: dict[str, tuple[int, ...]] = {}
        for key, base in self.steering.base.items():
            others = _others(self.steering, key, base)
            if key == TRAINING_KEY or others == [()]:
                decisions[key] = others[0] if rng.random() < share else base
            else:
                choice = self.steering.choices[key]
                decisions[key] = choice.decision(rng.randrange(choice.count))
        return decisions
