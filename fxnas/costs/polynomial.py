"""How likely conditions hold, as a diagram: each node decides one choice, or one candidate, and leads to what is left.

The nodes of one level are independent of each other, so that a level is evaluated at once. Conditions are interned, so
that equal ones, met on different ways, are one node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fxnas.choice import Choice
from fxnas.conditions import ALWAYS, NEVER, Condition
from fxnas.counting.pieces import Piece
from fxnas.errors import SearchSpaceError, shown
from fxnas.space import SearchSpace

MOST_NODES = 200_000
_MOST_DECISIONS = 4096  # at one choice of which several candidates are taken

State = tuple[Condition, Piece | None]


class Weight(NamedTuple):
    """How likely one branch is: the sum of some probabilities of a choice, or one minus it.

    Attributes:
        key: of the choice.
        of_decisions: the numbers are those of decisions; else of candidates.
        numbers: whose probabilities are added.
        inverted: one minus the sum.
    """

    key: str
    of_decisions: bool
    numbers: tuple[int, ...]
    inverted: bool = False


class Diagram:
    """The diagram of some conditions.

    Attributes:
        roots: the number of each condition's node. Node 0 is never, node 1 always.
        levels: for each level its branches (node, weight, node it leads to); the nodes of a level follow those of the
            level before.
        weights: the weights that branches refer to by number.
    """

    def __init__(self, conditions: Iterable[Condition], space: SearchSpace) -> None:
        self._space = space
        self._order = {key: number for number, key in enumerate(space)}
        self._weights: dict[Weight, int] = {}
        self._branches: dict[State, list[tuple[int, State]]] = {}
        self._level: dict[State, int] = {(NEVER, None): 0, (ALWAYS, None): 0}
        starts: list[State] = [(condition, None) for condition in conditions]
        for start in starts:
            self._compile(start)
        self._number(starts)
        self.weights = list(self._weights)

    def _compile(self, start: State) -> None:
        stack = [start]
        while stack:
            state = stack[-1]
            if state in self._level:
                stack.pop()
                continue
            if state not in self._branches:
                self._branches[state] = self._branch(state)
                if len(self._branches) > MOST_NODES:
                    raise SearchSpaceError(f"the condition {state[0]} is too entangled for an expected cost")
            missing = [after for _, after in self._branches[state] if after not in self._level]
            if missing:
                stack.extend(missing)
            else:
                self._level[state] = 1 + max(self._level[after] for _, after in self._branches[state])

    def _number(self, starts: Sequence[State]) -> None:
        by_level = sorted(self._branches, key=lambda state: self._level[state])
        numbers: dict[State, int] = {(NEVER, None): 0, (ALWAYS, None): 1}
        for state in by_level:
            numbers[state] = len(numbers)
        self.roots = [numbers[start] for start in starts]
        self.levels: list[list[tuple[int, int, int]]] = [
            [] for _ in range(max(self._level[state] for state in numbers))
        ]
        for state in by_level:
            branches = [(numbers[state], weight, numbers[after]) for weight, after in self._branches[state]]
            self.levels[self._level[state] - 1] += branches

    def _branch(self, state: State) -> list[tuple[int, State]]:
        condition, piece = state
        if piece is not None:
            return self._take_or_leave(condition, piece)
        choice = self._space[min(condition.keys, key=self._order.__getitem__)]
        if choice.n_chosen is None:
            return self._take_or_leave(condition, Piece.whole(choice.key, len(choice.candidates), None))
        mentioned = [atom.candidate for atom in condition.atoms() if atom.key == choice.key]
        if choice.n_chosen > 1 and len(mentioned) == 1:
            assert mentioned[0] is not None
            return self._one_candidate(condition, choice, mentioned[0])
        return self._all_decisions(condition, choice)

    def _all_decisions(self, condition: Condition, choice: Choice) -> list[tuple[int, State]]:
        several = choice.n_chosen != 1
        if several and choice.count > _MOST_DECISIONS:
            raise SearchSpaceError(
                f"choice {shown(choice.key)} has {choice.count} decisions, too many for an expected cost that depends "
                "on them together"
            )
        after: dict[Condition, list[int]] = {}
        for number, decision in enumerate(choice.decisions()):
            after.setdefault(condition.under(choice.key, decision), []).append(number)
        if len(after) == 1:  # what looks like a dependence is none
            return [(self._weight(Weight(choice.key, False, (), True)), (next(iter(after)), None))]
        return [
            (self._weight(Weight(choice.key, several, tuple(numbers))), (left, None)) for left, numbers in after.items()
        ]

    def _one_candidate(self, condition: Condition, choice: Choice, candidate: int) -> list[tuple[int, State]]:
        found: list[tuple[int, State]] = []
        for taken in (True, False):
            left = condition.substitute(lambda atom, t=taken: t if atom.key == choice.key else None)  # type: ignore[misc]
            found.append((self._weight(Weight(choice.key, False, (candidate,), not taken)), (left, None)))
        return found

    def _take_or_leave(self, condition: Condition, piece: Piece) -> list[tuple[int, State]]:
        """Decides one candidate of a choice that takes any number of them."""
        mentioned = {atom.candidate for atom in condition.atoms() if atom.key == piece.key}
        candidate = next(i for i in piece.left if i in mentioned or None in mentioned)
        found = []
        for taken in (True, False):
            rest = piece.decide(candidate, taken)
            assert rest is not None
            left = condition.substitute(lambda atom, r=rest, t=taken: r.value_after(atom, candidate, t))  # type: ignore[misc]
            whole = any(atom.key == piece.key and atom.candidate is None for atom in left.atoms())
            weight = Weight(piece.key, False, (candidate,), not taken)
            found.append((self._weight(weight), (left, rest if whole else None)))
        return found

    def _weight(self, weight: Weight) -> int:
        return self._weights.setdefault(weight, len(self._weights))
