"""What every search strategy has to keep, as a test class that its author subclasses; free of torch."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from statistics import fmean
from typing import Any

from fxnas.architecture import Architecture
from fxnas.choice import Choice
from fxnas.conditions import ALWAYS, any_of, chosen
from fxnas.errors import ArchitectureError, SearchSpaceError
from fxnas.space import SearchSpace
from fxnas.strategies.base import Strategy

HASH_SEEDS = ("0", "1", "77")

# What a fresh process runs: the class is loaded from its file, whatever name the tests import it under.
_SCRIPT = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
sys.path[:] = {path!r}
spec = spec_from_file_location("contract_under_test", {file!r})
module = module_from_spec(spec)
sys.modules[spec.name] = module
spec.loader.exec_module(module)
print(getattr(module, {name!r})().fingerprint())
"""


class StrategyContract:
    """Tests that every strategy has to pass; `pytest` runs them in a subclass, and so can any other program.

    A subclass stands at the top level of its file, gives `make`, and says what its strategy is by the attributes:

        class TestMine(StrategyContract):
            def make(self, space, seed):
                return Mine(space, seed=seed)

    Attributes:
        learns: the strategy finds more than random search where each decision adds its own part to the reward.
        trials: how many trials it may take for that.
        randomized: other seeds give other proposals.
        exhaustive: nothing is proposed twice before the space is exhausted.
        objectives: how many numbers a reward is; with more than one they are told as a tuple.
        rounds: how many trials the other tests take.
    """

    learns = True
    trials = 150
    randomized = True
    exhaustive = False
    objectives = 1
    rounds = 25

    def make(self, space: SearchSpace, seed: int) -> Strategy:
        """A new strategy for `space`."""
        raise NotImplementedError("a subclass of StrategyContract defines make(self, space, seed)")

    def test_proposes_canonical_architectures_of_every_kind_of_space(self) -> None:
        """Nested and shared choices, subsets, choices without an alternative, and a space of one architecture."""
        for space in example_spaces():
            for architecture in self.run(self.make(space, 0), self.rounds):
                assert isinstance(architecture, Architecture), f"{architecture!r} is not an Architecture"
                assert space.check(architecture) == space.canonical(architecture) == architecture

    def test_the_same_seed_gives_the_same_proposals(self) -> None:
        """And another seed gives others, where chance plays a part."""
        for space in (flat_space(), nested_space()):
            proposals = self.run(self.make(space, 3), self.rounds)
            assert proposals == self.run(self.make(space, 3), self.rounds)
            if self.randomized:
                assert proposals != self.run(self.make(space, 4), self.rounds), "seeds 3 and 4 propose alike"

    def test_other_processes_propose_the_same(self) -> None:
        """Whatever the seed of Python's hashes is there."""
        script = _SCRIPT.format(
            path=[entry or os.getcwd() for entry in sys.path],
            file=inspect.getfile(type(self)),
            name=type(self).__name__,
        )
        for seed in HASH_SEEDS:
            done = subprocess.run(
                [sys.executable, "-c", script],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip() == self.fingerprint(), f"other proposals with PYTHONHASHSEED={seed}"

    def test_a_replay_goes_on_like_the_search_itself(self) -> None:
        """After `replay` or `ask` for each recorded trial, each followed by its `tell`."""
        for space in (flat_space(), nested_space()):
            whole = self.run(self.make(space, 0), self.rounds)
            for stop in (1, self.rounds // 2, self.rounds - 2):
                replayed, asked = self.make(space, 0), self.make(space, 0)
                for number, architecture in enumerate(whole[:stop]):
                    replayed.replay(architecture)
                    assert asked.ask() == architecture
                    for strategy in (replayed, asked):
                        strategy.tell(architecture, self.reward(architecture, number))
                for strategy in (replayed, asked):
                    assert self.run(strategy, self.rounds - stop, start=stop) == whole[stop:]

    def test_takes_answers_in_any_order(self) -> None:
        """Many asks before the first tell, tells in another order, and some that never come."""
        for space in (flat_space(), nested_space()):
            strategy = self.make(space, 0)
            for _ in range(3):
                asked = [strategy.ask() for _ in range(7)]
                random.Random(0).shuffle(asked)
                for number, architecture in enumerate(asked[1:]):
                    strategy.tell(architecture, self.reward(architecture, number))
            assert space.check(strategy.ask())

    def test_takes_what_it_never_asked_for(self) -> None:
        """Before the first ask, again and again, and with decisions that play no role."""
        for space in (flat_space(), nested_space()):
            strategy = self.make(space, 0)
            drawn = [space.sample(random.Random(i)) for i in range(12)]
            for number, architecture in enumerate([*drawn, *drawn]):
                strategy.tell(space.complete(architecture), self.reward(architecture, number))
            for architecture in self.run(strategy, 5):
                assert space.check(architecture)
            assert [told for told, _ in strategy.told[:24]] == [*drawn, *drawn]

    def test_survives_failed_trials(self) -> None:
        """None and NaN, mixed with successes and alone."""
        for failed in (None, self.as_reward(math.nan)):
            for some in (False, True):
                space = nested_space()
                strategy = self.make(space, 0)
                for number in range(self.rounds):
                    architecture = strategy.ask()
                    success = some and number % 3 == 0
                    strategy.tell(architecture, self.reward(architecture, number) if success else failed)
                assert space.check(strategy.ask())

    def test_survives_infinite_and_extreme_rewards(self) -> None:
        """Infinities of both signs, the largest floats, and rewards that are all the same."""
        for values in ([math.inf, 1.0, -math.inf, 0.5], [1e308, -1e308, 5e-324, 0.0], [math.inf], [-math.inf], [0.0]):
            space = nested_space()
            strategy = self.make(space, 0)
            for number in range(self.rounds):
                strategy.tell(strategy.ask(), self.as_reward(values[number % len(values)]))
            assert space.check(strategy.ask())

    def test_refuses_what_it_cannot_use(self) -> None:
        """Unknown architectures, rewards that are no numbers, more objectives than it knows, seeds that are no ints."""
        space = nested_space()
        refused: list[tuple[Any, Any, type[Exception]]] = [
            ({"nowhere": (0,)}, self.as_reward(1.0), ArchitectureError),
            ({}, self.as_reward(1.0), ArchitectureError),
            (space.default, "good", SearchSpaceError),
            (space.default, [[]], SearchSpaceError),
        ]
        if self.objectives == 1:
            refused.append((space.default, (0.5, 0.2), SearchSpaceError))
        for architecture, reward, error in refused:
            strategy = self.make(space, 0)
            try:
                strategy.tell(architecture, reward)
            except error as problem:
                assert str(problem), "an error without a message"
                assert not strategy.told, "what was refused is remembered"
            else:
                raise AssertionError(f"took {architecture!r} with the reward {reward!r}")

    def test_goes_on_when_the_space_is_exhausted(self) -> None:
        """Asked more often than there are architectures, it ends with `done` or proposes again."""
        space = SearchSpace(
            [Choice("a", "layer_choice", ("x", "y", "z"), 1), Choice("b", "input_choice", ("", ""), None)]
        )
        strategy = self.make(space, 0)
        seen: list[Architecture] = []
        for number in range(3 * space.size):
            if strategy.done:
                break
            seen.append(strategy.ask())
            assert space.check(seen[-1])
            strategy.tell(seen[-1], self.reward(seen[-1], number))
        if self.exhaustive:
            assert len(set(seen[: space.size])) == space.size, f"{seen[: space.size]} has repeats"

    def test_finds_more_than_random_search(self) -> None:
        """Where each decision adds its own part to the reward, on the average of five seeds."""
        if not self.learns:
            return
        space = flat_space(choices=10)
        found, drawn = [], []
        for seed in range(5):
            strategy = self.make(space, seed)
            found.append(max(separable(a) for a in self.run(strategy, self.trials)))
            rng = random.Random(seed)
            drawn.append(max(separable(space.sample(rng)) for _ in range(self.trials)))
        assert fmean(found) > fmean(drawn), f"found {fmean(found):.4g}, random search {fmean(drawn):.4g}"

    # What the tests above are made of

    def fingerprint(self) -> str:
        """A hash of everything proposed in two searches."""
        asked = [
            a.to_json() for space in (flat_space(), nested_space()) for a in self.run(self.make(space, 5), self.rounds)
        ]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def run(self, strategy: Strategy, trials: int, start: int = 0) -> list[Architecture]:
        """Asks and tells; returns what was proposed."""
        asked = []
        for number in range(start, start + trials):
            if strategy.done:
                break
            asked.append(strategy.ask())
            strategy.tell(asked[-1], self.reward(asked[-1], number))
        return asked

    def reward(self, architecture: Architecture, number: int) -> Any:
        """The reward of trial `number`; every tenth trial fails."""
        return None if number % 10 == 9 else self.as_reward(separable(architecture))

    def as_reward(self, value: float) -> Any:
        """One number, or a tuple in which every second objective is the opposite."""
        if self.objectives == 1:
            return value
        return tuple(value if i % 2 == 0 else -value for i in range(self.objectives))


def separable(architecture: Architecture) -> float:
    """A reward to which each decision adds its own part, the same in every process."""
    return sum(_part(key, i) for key, decision in architecture.items() for i in decision)


def _part(key: str, candidate: int) -> float:
    return hashlib.sha256(f"{key}/{candidate}".encode()).digest()[0] / 255


def flat_space(choices: int = 6, candidates: int = 4) -> SearchSpace:
    """Single choices with the same candidates, all independent."""
    names = tuple(f"op{i}" for i in range(candidates))
    return SearchSpace(Choice(f"c{i}", "layer_choice", names, 1) for i in range(choices))


def nested_space() -> SearchSpace:
    """Choices inside of candidates, two levels deep; subsets of fixed and of any size; one key in two places."""
    deep, deeper = chosen("outer", 1, 3, 1), chosen("inner", 2, 3, 1)
    return SearchSpace(
        [
            Choice("outer", "layer_choice", ("flat", "deep", "other"), 1),
            Choice("inner", "layer_choice", ("a", "b", "c"), 1, deep),
            Choice("innermost", "layer_choice", ("a", "b"), 1, deeper),
            Choice("shared", "layer_choice", ("a", "b", "c"), 1, any_of([deep, chosen("outer", 2, 3, 1)])),
            Choice("pair", "input_choice", ("", "", "", ""), 2, deep),
            Choice("skips", "input_choice", ("x", "y", ""), None),
        ]
    )


def example_spaces() -> Iterator[SearchSpace]:
    """Spaces of every kind, and some put together at random."""
    yield flat_space()
    yield nested_space()
    yield SearchSpace([])
    yield SearchSpace([Choice("one", "layer_choice", ("only",), 1), Choice("none", "input_choice", ("a", "b"), 0)])
    yield SearchSpace([Choice("wide", "input_choice", ("",) * 12, None), Choice("some", "input_choice", ("",) * 12, 5)])
    for seed in range(6):
        yield random_space(random.Random(seed))


def random_space(rng: random.Random) -> SearchSpace:
    """Up to eight choices of any kind, some of them active only where candidates of earlier ones are chosen."""
    choices: list[Choice] = []
    for number in range(rng.randint(1, 8)):
        count = rng.randint(1, 4)
        hosts = rng.sample(choices, min(len(choices), rng.randint(0, 2)))
        places = [chosen(h.key, rng.randrange(len(h.candidates)), len(h.candidates), h.n_chosen) for h in hosts]
        n_chosen = rng.choice([1, 1, 1, None, rng.randint(0, count)])
        kind: Any = rng.choice(["layer_choice", "input_choice"])
        names = tuple(f"op{i}" for i in range(count))
        choices.append(Choice(f"k{number}", kind, names, n_chosen, any_of(places) if places else ALWAYS))
    return SearchSpace(choices)
