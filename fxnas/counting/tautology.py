"""Is a condition true whatever is decided? Simplification finds most cases; this one finds all, by trying."""

from __future__ import annotations

from collections.abc import Mapping

from fxnas.conditions import ALWAYS, NEVER, Condition
from fxnas.counting.pieces import Piece
from fxnas.errors import SearchSpaceError

MOST_STATES = 200_000  # of a condition under some decisions; ordinary ones need tens

Sizes = Mapping[str, tuple[int, int | None]]


def always_true(condition: Condition, sizes: Sizes) -> bool:
    """Whether a condition holds under every legal decision.

    Args:
        condition: the condition.
        sizes: number of candidates and `n_chosen` of every key in it, in a fixed order.

    Raises:
        SearchSpaceError: the condition is too entangled to tell.
    """
    return _Trial(sizes).always(condition, None)


class _Trial:
    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        self._known: dict[tuple[Condition, Piece | None], bool] = {}

    def always(self, condition: Condition, piece: Piece | None) -> bool:
        """Whether the condition holds, `piece` being what is left of the choice that is decided at the moment."""
        if condition is ALWAYS or condition is NEVER:
            return condition is ALWAYS
        if piece is None or piece.key not in condition.keys:
            key = next(key for key in self._sizes if key in condition.keys)
            piece = Piece.whole(key, *self._sizes[key])
        known = self._known.get((condition, piece))
        if known is None:
            if len(self._known) >= MOST_STATES:
                raise SearchSpaceError(
                    f"a condition depends on {len(self._sizes)} choices in too many ways to be decided"
                )
            known = self._known[condition, piece] = all(self._after(condition, piece, taken) for taken in (True, False))
        return known

    def _after(self, condition: Condition, piece: Piece, taken: bool) -> bool:
        candidate = piece.left[0]
        rest = piece.decide(candidate, taken)
        if rest is None:
            return True
        return self.always(condition.substitute(lambda atom: rest.value_after(atom, candidate, taken)), rest)
