"""Randomness that belongs to one trial."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds Python, NumPy and torch (every CUDA device too) for a block, and restores their states after it.

    NumPy and torch are left alone where the process hasn't imported them.

    Args:
        seed: 0 to 2³² - 1, NumPy's range.
    """
    with ExitStack() as stack:
        stack.callback(random.setstate, random.getstate())
        if (numpy := sys.modules.get("numpy")) is not None:
            stack.callback(numpy.random.set_state, numpy.random.get_state())
        seed_python_and_numpy(seed)
        if (torch := sys.modules.get("torch")) is not None:
            stack.enter_context(_fork(torch))
            torch.manual_seed(seed)
        yield


def seed_python_and_numpy(seed: int) -> None:
    """Seeds both, NumPy where the process has imported it.

    Args:
        seed: 0 to 2³² - 1, NumPy's range.
    """
    random.seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed)


def _fork(torch: Any) -> Any:
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    return torch.random.fork_rng(devices)
