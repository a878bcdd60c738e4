"""Compiles the choices of a space into the diagram that `fxnas.counting.numbering` counts.

A *state* is what is left to decide: pieces of active choices, and pending choices whose conditions are still open. A
state is settled (what is certain is taken over), cut into groups that share no condition, and each group is decided one
candidate at a time.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping

from fxnas.choice import Choice
from fxnas.conditions import ALWAYS, NEVER, Atom, Condition
from fxnas.counting.numbering import Branch, Leaf, Node, Product
from fxnas.counting.pieces import Piece, merged
from fxnas.counting.tautology import always_true
from fxnas.errors import SearchSpaceError, shown

Pending = tuple[str, Condition]
State = tuple[tuple[Piece, ...], tuple[Pending, ...]]
Mentioned = dict[str, set[int | None]]  # candidates that pending conditions speak of; None: "something is chosen"
Work = Generator[State, Node, Node]

MOST_PARTS = 2_000_000  # parts of conditions that are looked at, about 20 seconds; ordinary spaces need thousands


def compile_diagram(choices: Mapping[str, Choice]) -> Node:
    """The diagram of all canonical architectures of `choices`.

    Raises:
        SearchSpaceError: the conditions are too entangled. To count what a condition allows is as hard as to solve it,
            and a file may hold any.
    """
    return _Compiler(choices).run(((), tuple((key, choice.active) for key, choice in choices.items())))


class _Compiler:
    def __init__(self, choices: Mapping[str, Choice]) -> None:
        self._sizes = {key: (len(choice.candidates), choice.n_chosen) for key, choice in choices.items()}
        self._order = {key: number for number, key in enumerate(choices)}
        self._left = MOST_PARTS

    def run(self, state: State) -> Node:
        """Compiles a state, each one once. A stack of its own replaces recursion, which Python limits."""
        done: dict[State, Node] = {}
        stack: list[tuple[State, Work]] = [(state, self._compile(state))]
        answer: Node | None = None
        while stack:
            current, work = stack[-1]
            try:
                wanted = next(work) if answer is None else work.send(answer)
            except StopIteration as finished:
                answer = done[current] = finished.value
                stack.pop()
                continue
            answer = done.get(wanted)
            if answer is None:
                stack.append((wanted, self._compile(wanted)))
        assert answer is not None
        return answer

    def _compile(self, state: State) -> Work:
        """Compiles one state; yields the states it needs compiled and is sent their nodes."""
        pieces, pending = self._settle(*state)
        conditions = _parts(condition for _, condition in pending)
        self._left -= len(conditions)
        if self._left < 0:
            keys = ", ".join(shown(key) for key, _ in pending[:3])
            raise SearchSpaceError(f"the conditions of {keys} depend on other choices in too many ways to be counted")
        mentioned = _mentioned(conditions)
        free, bound = _separate(pieces, mentioned)
        groups = self._groups(bound, pending, conditions)
        if groups == [state]:
            return (yield from self._decide(pieces, pending, mentioned))
        parts: list[tuple[int, Node]] = [(self._order[leaf.key], leaf) for leaf in free]
        for group in groups:
            parts.append((self._first(group), (yield group)))
        parts.sort(key=lambda part: part[0])
        return parts[0][1] if len(parts) == 1 else Product(tuple(node for _, node in parts))

    def _decide(self, pieces: tuple[Piece, ...], pending: tuple[Pending, ...], mentioned: Mentioned) -> Work:
        """Compiles a state that can't be cut, by deciding one candidate."""
        if not pieces:
            certain = tuple((key, ALWAYS) for key, c in pending if always_true(c, self._sizes))
            if not certain:
                return Product(())  # the conditions of these depend on inactive choices only, so they are inactive too
            keys = {key for key, _ in certain}
            return (yield ((), certain + tuple(item for item in pending if item[0] not in keys)))
        piece, others = pieces[0], pieces[1:]
        candidate = _relevant(piece, mentioned)[0]
        sides: list[Node | None] = []
        for taken in (False, True):
            rest = piece.decide(candidate, taken)
            sides.append(
                None if rest is None else (yield ((rest, *others), self._after(pending, rest, candidate, taken)))
            )
        return Branch(piece.key, candidate, *sides)

    def _after(self, pending: tuple[Pending, ...], piece: Piece, candidate: int, taken: bool) -> tuple[Pending, ...]:
        memo: dict[Condition, Condition] = {}

        def value_of(atom: Atom) -> bool | None:
            return piece.value_after(atom, candidate, taken)

        return tuple((key, condition.substitute(value_of, memo)) for key, condition in pending)

    def _settle(self, pieces: tuple[Piece, ...], pending: tuple[Pending, ...]) -> State:
        new = tuple(Piece.whole(key, *self._sizes[key]) for key, condition in pending if condition is ALWAYS)
        waiting = tuple(item for item in pending if item[1] is not ALWAYS and item[1] is not NEVER)
        return merged(pieces + new), waiting

    def _groups(self, pieces: list[Piece], pending: tuple[Pending, ...], conditions: list[Condition]) -> list[State]:
        """The parts of a state that share no condition, in the order of the choices."""
        items: list[Piece | Pending] = [*pieces, *pending]
        number = {condition: len(items) + i for i, condition in enumerate(conditions)}
        owner = {(piece.key, i): n for n, piece in enumerate(pieces) for i in (*piece.left, None)}
        waiting = {key: len(pieces) + n for n, (key, _) in enumerate(pending)}
        joined = _Joined(len(items) + len(conditions))
        for key, condition in pending:
            joined.join(waiting[key], number[condition])
        for condition in conditions:
            for term in condition.terms:
                joined.join(number[condition], number[term])
            if (atom := condition.atom) is not None:
                joined.join(number[condition], owner.get((atom.key, atom.candidate), waiting.get(atom.key)))
        members = [[items[n] for n in numbers if n < len(items)] for numbers in joined.groups()]
        return sorted((self._group(group) for group in members if group), key=self._first)

    def _group(self, items: list[Piece | Pending]) -> State:
        pieces = sorted((item for item in items if isinstance(item, Piece)), key=lambda p: (self._order[p.key], p.left))
        return tuple(pieces), tuple(item for item in items if not isinstance(item, Piece))

    def _first(self, group: State) -> int:
        return min(self._order[item[0]] for items in group for item in items)


def _parts(conditions: Iterable[Condition]) -> list[Condition]:
    """The conditions and everything they are built from, each once."""
    parts: dict[Condition, None] = {}
    stack = list(conditions)
    while stack:
        condition = stack.pop()
        if condition not in parts:
            parts[condition] = None
            stack.extend(condition.terms)
    return list(parts)


def _mentioned(conditions: Iterable[Condition]) -> Mentioned:
    mentioned: Mentioned = {}
    for atom in (condition.atom for condition in conditions):
        if atom is not None:
            mentioned.setdefault(atom.key, set()).add(atom.candidate)
    return mentioned


def _relevant(piece: Piece, mentioned: Mentioned) -> tuple[int, ...]:
    """The candidates of a piece that pending conditions depend on."""
    speaks_of = mentioned.get(piece.key, set())
    return piece.left if None in speaks_of else tuple(i for i in piece.left if i in speaks_of)


def _separate(pieces: Iterable[Piece], mentioned: Mentioned) -> tuple[list[Leaf], list[Piece]]:
    """Cuts pieces into leaves, which no condition depends on, and what has to be decided first."""
    free: list[Leaf] = []
    bound: list[Piece] = []
    for piece in pieces:
        relevant = _relevant(piece, mentioned)
        if not relevant:
            free.append(Leaf(piece.key, piece.left, piece.need))
        elif piece.need is not None or None in mentioned[piece.key]:
            bound.append(piece)
        else:  # any number may be chosen: each candidate is a decision of its own
            bound.extend(Piece(piece.key, (i,), None) for i in relevant)
            rest = tuple(i for i in piece.left if i not in relevant)
            free.extend([Leaf(piece.key, rest, None)] if rest else [])
    return free, bound


class _Joined:
    """Which of `count` numbered things belong together (union-find)."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def join(self, one: int, other: int | None) -> None:
        if other is None:
            return
        one, other = self._root(one), self._root(other)
        self._parent[max(one, other)] = min(one, other)

    def groups(self) -> list[list[int]]:
        found: dict[int, list[int]] = {}
        for number in range(len(self._parent)):
            found.setdefault(self._root(number), []).append(number)
        return list(found.values())

    def _root(self, number: int) -> int:
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number
