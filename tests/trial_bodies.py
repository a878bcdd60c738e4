"""Evaluators for worker processes, which import them by name: what trials do, and what they die of."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from typing import Any

import fxnas
from fxnas.architecture import Architecture
from fxnas.evaluators import Report
from fxnas.study import Study

FLOOD = 200_000  # lines of 80 characters


def score(architecture: Architecture) -> float:
    return float(sum(sum(decision) for decision in architecture.values()))


def slow(architecture: Architecture) -> float:
    time.sleep(0.05)
    return score(architecture)


def uneven(graph: Any, architecture: Architecture, report: Report) -> float:
    """Later trials are often faster; the randomness is the trial's own."""
    time.sleep(0.03 * (report.number % 3))
    return score(architecture) + random.random()


def curve(graph: Any, architecture: Architecture, report: Report) -> float:
    """Reports a curve that ends at the score."""
    for epoch in range(1, 5):
        time.sleep(0.002 * (report.number % 4))
        report(epoch=epoch, score=score(architecture) * epoch / 4)
    return score(architecture)


class Slow:
    """An evaluator that a worker makes for itself."""

    def evaluate(self, graph: Any, architecture: Architecture, report: Report) -> float:
        return score(architecture) + 0.5


def threads(architecture: Architecture) -> dict[str, float]:
    """In how many threads torch computes here, and what programs are told that are started here."""
    import torch

    return {"score": torch.get_num_threads(), "told": float(os.environ["OMP_NUM_THREADS"])}


class KilledOnce:
    """Kills its process in the first trial; a file tells that it was."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def evaluate(self, graph: Any, architecture: Architecture, report: Report) -> float:
        if not os.path.exists(self.marker):
            open(self.marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return score(architecture)


class _KilledWhenPickled:
    def __reduce__(self) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


def killed_while_it_is_sent() -> Any:
    return _KilledWhenPickled()


def leave(*args: Any) -> None:
    """In place of what sets a worker up."""
    os._exit(3)


def visible_gpus() -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def named_by(kind: str) -> Any:
    return {"class": Slow, "function": score}[kind]()


def broken_factory() -> Any:
    raise RuntimeError("no data here")


def small_graph() -> fxnas.ChoiceGraph:
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # the second candidate doesn't fit what follows
            self.op = fxnas.LayerChoice({"narrow": nn.Linear(4, 4), "wide": nn.Linear(4, 4)})

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.op(x)

    return fxnas.trace(Net(), torch.zeros(2, 4))


def weights(graph: fxnas.ChoiceGraph, architecture: Architecture) -> float:
    """Differs between processes unless each makes the same weights."""
    child = fxnas.materialize(graph, architecture)
    return sum(float(parameter.detach().sum()) for parameter in child.parameters())


def faulty(graph: Any, architecture: Architecture, report: Report) -> Any:
    """Trial 2 meets the fault that the environment names; the others are well."""
    return FAULTS[os.environ["FAULT"]]() if report.number == 2 else 1.0


def _raise() -> None:
    raise ValueError("no such layer")


def _exit() -> None:
    sys.exit(3)


def _exit_hard() -> None:
    os._exit(0)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _segfault() -> None:
    import ctypes

    ctypes.string_at(0)


def _memory() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
    bytearray(2**33)


def _hang() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    while True:
        time.sleep(1)


def _nan() -> float:
    return float("nan")


def _wrong_type() -> Any:
    return {"score": "high"}


def _shapes() -> None:
    import torch

    torch.nn.Linear(3, 4)(torch.zeros(2, 5))


class AcceleratorError(RuntimeError):
    """What torch raises for an error of the device, by name."""


def _cuda() -> None:
    import torch  # noqa: F401 (a process that has no torch has no device)

    raise AcceleratorError("CUDA error: device-side assert triggered")


def _flood() -> float:
    for _ in range(FLOOD):
        print("x" * 80)
    return 1.0


def _fork() -> float:
    if os.fork() == 0:
        with open(os.environ["LEFT"], "w") as file:
            file.write(str(os.getpid()))
        time.sleep(600)
    return 1.0


def _bad_json() -> Any:
    return {"score": 1.0, "loss": "{broken json"}


def _clock() -> float:
    time.time = lambda: 0.0  # type: ignore[method-assign]
    return 1.0


FAULTS = {
    "exception": _raise,
    "exit": _exit,
    "exit at once": _exit_hard,
    "signal": _kill,
    "segfault": _segfault,
    "out of memory": _memory,
    "hang": _hang,
    "NaN": _nan,
    "wrong type": _wrong_type,
    "shapes": _shapes,
    "CUDA error": _cuda,
    "stdout flood": _flood,
    "fork": _fork,
    "bad JSON": _bad_json,
    "clock set back": _clock,
}


def long_third(graph: Any, architecture: Architecture, report: Report) -> float:
    """Trial 2 takes 3 seconds."""
    time.sleep(3 if report.number == 2 else 0.01)
    return score(architecture)


def notes_its_process(architecture: Architecture) -> float:
    """Writes its process id down, and stays."""
    with open("pid", "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)
    return 1.0


class SeesItself:
    """Reports, and then waits until its own row in the study has it: 1 if it has."""

    def __init__(self, study: str) -> None:
        self.study = study

    def evaluate(self, graph: Any, architecture: Architecture, report: Report) -> float:
        report(epoch=1, score=0.5, loss=float("nan"))
        for _ in range(200):
            with Study(self.study, readonly=True) as study:
                row = study.rows()[report.number]
            if row["reports"] == [{"epoch": 1, "score": 0.5, "loss": None}]:
                return float(row["state"] == "running")
            time.sleep(0.05)
        return 0.0


class ReportsAndDies:
    """Reports three times, and is killed in the first attempt of trial 1."""

    def __init__(self, marker: str, how: str = "SIGKILL") -> None:
        self.marker, self.how = marker, how

    def evaluate(self, graph: Any, architecture: Architecture, report: Report) -> float:
        first = report.number == 1 and not os.path.exists(self.marker)
        for epoch in range(1, 4):
            report(epoch=epoch, score=epoch * (1 if first else 10))
        if first:
            open(self.marker, "w").close()
            if self.how == "hang":
                time.sleep(600)
            os.kill(os.getpid(), getattr(signal, self.how))
        return 1.0


def reports_and_stays(graph: Any, architecture: Architecture, report: Report) -> float:
    """Trial 2 reports and stays, the first time."""
    report(epoch=1, score=1.0)
    if report.number == 2 and not os.path.exists("stayed"):
        open("stayed", "w").close()
        time.sleep(600)
    report(epoch=2, score=2.0)
    return 2.0
