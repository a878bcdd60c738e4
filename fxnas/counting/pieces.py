"""A decision that is partly made: candidates of one choice, taken or refused one at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fxnas.conditions import Atom


class Piece(NamedTuple):
    """What is left to decide at one choice.

    Attributes:
        key: key of the choice.
        left: candidates not yet decided, in order.
        need: how many of them are still to be chosen; None: any number.
        some: whether one has been chosen already (kept only where any number is legal).
    """

    key: str
    left: tuple[int, ...]
    need: int | None
    some: bool = False

    @classmethod
    def whole(cls, key: str, count: int, n_chosen: int | None) -> Piece:
        """The piece of a choice of which nothing is decided."""
        return cls(key, tuple(range(count)), n_chosen)

    def decide(self, candidate: int, taken: bool) -> Piece | None:
        """What is left once one candidate is taken or refused; None where that is impossible."""
        left = tuple(i for i in self.left if i != candidate)
        if self.need is None:
            return Piece(self.key, left, None, self.some or taken)
        need = self.need - taken
        return Piece(self.key, left, need) if 0 <= need <= len(left) else None

    def value(self, atom: Atom) -> bool | None:
        """The value of an atom over the candidates left, where it is settled already."""
        if atom.key != self.key:
            return None
        if self.need is None:
            return (True if self.some else None if self.left else False) if atom.candidate is None else None
        if self.need == 0:
            return False
        return True if self.need == len(self.left) else None

    def value_after(self, atom: Atom, candidate: int, taken: bool) -> bool | None:
        """As `value`, with the candidate that was just decided."""
        return taken if atom.key == self.key and atom.candidate == candidate else self.value(atom)


def merged(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """The pieces with those of one choice joined again, since a condition may come to speak of all of them at once."""
    whole: dict[str, Piece] = {}
    for piece in pieces:
        other = whole.setdefault(piece.key, piece)
        if other is not piece:
            left = tuple(sorted(other.left + piece.left))
            whole[piece.key] = Piece(piece.key, left, None, other.some or piece.some)
    return tuple(whole.values())
