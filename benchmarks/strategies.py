"""Strategies on tabular benchmarks: query regret after 50, 100, 200 and 500 trials, beside published baselines.

python benchmarks/strategies.py --first-seed 1000 --seeds 100 --tables macro nb201-cifar10 --strategies predictor

The tables lie in the folder FXNAS_DATA, or in ../shared/data. A strategy sees the query metric only; an architecture
that can't be trained is told as failed. A run ends early once it has found the best of the table: from there on its
regret is 0. Nothing is written.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("FXNAS_DATA", ROOT.parent / "shared" / "data"))
STOPS = (50, 100, 200, 500)
DEFAULT_TABLES = ("macro", "nb201-cifar10", "nb201-cifar100", "graph-arxiv", "graph-cs")

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported
sys.path.insert(0, str(ROOT))

from benchmarks import nets  # noqa: E402 (after the path)
from fxnas import strategies as s  # noqa: E402 (after the path)
from fxnas.space import SearchSpace  # noqa: E402

# The names of the published baselines where there is one; what they say about their settings is kept.
STRATEGIES: dict[str, Callable[[SearchSpace, int], s.Strategy]] = {
    "random": lambda space, seed: s.RandomSearch(space, seed=seed),
    "evolution P20 S5": lambda space, seed: s.RegularizedEvolution(space, seed=seed, population=20, sample_size=5),
    "evolution P20 S5 no repeats": lambda space, seed: s.Deduped(
        s.RegularizedEvolution(space, seed=seed, population=20, sample_size=5)
    ),
    "local search": lambda space, seed: s.LocalSearch(space, seed=seed),
    "ppo lr .1 batch 10": lambda space, seed: s.PPO(space, seed=seed),
    "predictor": lambda space, seed: s.PredictorSearch(space, seed=seed),
    "predictor, not wired": lambda space, seed: s.PredictorSearch(SearchSpace(space.values()), seed=seed),
    "tpe (optuna)": lambda space, seed: s.OptunaSampler(space, seed=seed),
}


@dataclass(frozen=True)
class Run:
    """One search: query and final regret of the incumbent after each stop, and what asking and telling took."""

    query: dict[int, float]
    final: dict[int, float]
    milliseconds: float


@lru_cache(maxsize=1)
def loader() -> Any:
    """The module load.py of the data folder."""
    spec = importlib.util.spec_from_file_location("tables", DATA / "load.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@lru_cache(maxsize=1)
def table(name: str) -> tuple[Any, SearchSpace]:
    """A table, and its space as that of a graph."""
    found = loader().benchmark(name)
    kinds = {"LayerChoice": "layer_choice", "InputChoice": "input_choice"}
    entries = {
        c["key"]: {"_type": kinds[c["kind"]], "_value": {"candidates": list(c["candidates"]), "n_chosen": 1}}
        for c in found.choices
    }
    choices = SearchSpace.from_json(entries)
    return found, SearchSpace(choices.values(), wiring=nets.wiring(choices))


def run(strategy: str, name: str, seed: int, trials: int) -> Run:
    """One search on a table."""
    found, space = table(name)
    searcher = STRATEGIES[strategy](space, seed)
    best, regret, spent, asked = -float("inf"), (float("nan"), float("nan")), 0.0, 0
    query, final = {}, {}
    for trial in range(1, trials + 1):
        if regret[0] != 0:  # else the best is found, and the rest of the run known
            start = time.perf_counter()
            architecture = searcher.ask()
            spent += time.perf_counter() - start
            indices = tuple(architecture[key][0] for key in space)
            try:
                reward = found.evaluate(indices)
            except loader().InvalidArchitecture:
                reward = None
            start = time.perf_counter()
            searcher.tell(architecture, reward)
            spent += time.perf_counter() - start
            asked += 1
            if reward is not None and reward > best:
                best, regret = reward, found.regret(indices)
        if trial in STOPS:
            query[trial], final[trial] = regret
    return Run(query, final, 1e3 * spent / asked)


def cell(values: list[float], final: list[float]) -> str:
    error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{fmean(values):.3f} ± {error:.3f} / {fmean(final):.3f}"


def baselines(name: str) -> dict[str, dict[str, Any]]:
    path = DATA / "baselines.json"
    found: dict[str, dict[str, Any]] = json.loads(path.read_text())[name] if path.exists() else {}
    return found


def ratio(ours: list[list[Run]], baselines: list[dict[str, Any]], stop: int) -> str:
    """Our lowest mean regret over that of the baselines, and the standard error of the quotient."""
    regrets = min(([r.query[stop] for r in runs] for runs in ours), key=fmean)
    best = min((row[str(stop)] for row in baselines if str(stop) in row), key=lambda cell: cell["query_regret"])
    if not best["query_regret"]:
        return "-"
    quotient = fmean(regrets) / best["query_regret"]
    error = stdev(regrets) / len(regrets) ** 0.5 if len(regrets) > 1 else float("nan")
    return f"{quotient:.2f} ± {math.hypot(error, quotient * best['query_se']) / best['query_regret']:.2f}"


def report(name: str, results: dict[str, list[Run]], trials: int) -> str:
    """A table in Markdown: ours first, then the baselines; and how the best of ours compares with half the best."""
    stops = [stop for stop in STOPS if stop <= trials]
    known = baselines(name)
    lines = [f"\n**{name}**: query regret ± standard error / final regret, in points\n"]
    lines.append("| strategy | seeds | " + " | ".join(map(str, stops)) + " | ms a trial |")
    lines.append("|---" * (len(stops) + 3) + "|")
    for strategy, runs in results.items():
        cells = [cell([r.query[n] for r in runs], [r.final[n] for r in runs]) for n in stops]
        cost = fmean(r.milliseconds for r in runs)
        lines.append(f"| **{strategy}** | {len(runs)} | " + " | ".join(cells) + f" | {cost:.2f} |")
    for strategy, row in known.items():
        cells = [
            f"{row[str(n)]['query_regret']:.3f} ± {row[str(n)]['query_se']:.3f} / {row[str(n)]['final_regret']:.3f}"
            if str(n) in row else "-"
            for n in stops
        ]  # fmt: skip
        lines.append(f"| {strategy} | {row['seeds']} | " + " | ".join(cells) + " | |")
    if known:
        cells = [ratio(list(results.values()), list(known.values()), n) for n in stops]
        lines.append("| our best / best baseline | | " + " | ".join(cells) + " | |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--tables", nargs="+", default=list(DEFAULT_TABLES))
    parser.add_argument("--strategies", nargs="+", default=["predictor"], choices=list(STRATEGIES), metavar="NAME")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    if not (DATA / "load.py").exists():
        print(f"skipped: no tables in {DATA}; set FXNAS_DATA to the folder of load.py")
        return 0
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    with ProcessPoolExecutor(options.jobs) as pool:
        for name in options.tables:
            results = {}
            for strategy in options.strategies:
                tasks = [pool.submit(run, strategy, name, seed, options.trials) for seed in seeds]
                results[strategy] = [task.result() for task in tasks]
            print(report(name, results, options.trials), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
