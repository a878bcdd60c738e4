"""All candidates of a space, one after the other: how a network that reads or writes architectures numbers them."""

from __future__ import annotations

from fxnas.space import SearchSpace


def candidate_rows(space: SearchSpace) -> dict[str, range]:
    """Which of all candidates are those of each choice."""
    rows, end = {}, 0
    for key, choice in space.items():
        rows[key] = range(end, end + len(choice.candidates))
        end += len(choice.candidates)
    return rows
