"""The suite bites: faults planted in our own code are caught by the law. All of them: `python benchmarks/faults.py`."""

from __future__ import annotations

import pytest

from benchmarks.faults import FAULTS, caught, healthy, main
from tests.random_source import Sketch

QUICK = [
    "off by one in choose", "training mode ignored", "mask inverted", "switch sides swapped",
    "unchosen candidates run too", "in place write dropped as dead", "batch size baked in", "alias forgotten",
    "buffers dropped", "tied weights untied", "supernet mutated by materialize", "wrong default",
]  # fmt: skip


@pytest.fixture(scope="module")
def pool() -> list[Sketch]:
    """Models that pass as long as nothing is planted."""
    found = healthy(10)
    assert len(found) >= 9
    return found


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_fault_is_caught(name: str, pool: list[Sketch]) -> None:
    assert caught(FAULTS[name], pool).models


def test_nothing_stays_planted(pool: list[Sketch]) -> None:
    assert len(healthy(10)) == len(pool)


def test_the_exit_code_tells_of_survivors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--models", "0", "mask inverted"]) == 1
    assert "0 caught, 1 survived" in capsys.readouterr().out
    assert main(["--models", "4", "mask inverted"]) == 0
    assert len(FAULTS) >= 12
