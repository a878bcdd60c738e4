"""What a search has found: the best, the front, the data frame; from the search itself and from its study."""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from search_help import SPACE, score, search
from spaces import flat_space

from fxnas.architecture import Architecture
from fxnas.errors import FxnasError, SearchSpaceError
from fxnas.results import SearchResult, Trial
from fxnas.strategies import RandomSearch
from fxnas.strategies.pareto import first_front, fronts
from fxnas.study import Study
from fxnas.study.export import comma_separated

FLAT = flat_space(choices=2, candidates=4)


def done(*metrics: Mapping[str, float]) -> SearchResult:
    """One trial for each of the metrics, each of another architecture."""
    return SearchResult(
        [Trial(i, FLAT.architecture(i), "done", values["score"], metrics=values) for i, values in enumerate(metrics)]
    )


def numbers(trials: list[Trial]) -> list[int]:
    return [trial.number for trial in trials]


def fast(architecture: Architecture) -> dict[str, float]:
    if architecture["outer"] == (0,):
        return {"score": score(architecture), "latency_ms": float(len(architecture))}
    return {"score": score(architecture), "latency_ms": float("inf")}


class TestPareto:
    def test_lower_is_better_for_a_cost_unless_a_sign_says_otherwise(self) -> None:
        result = done(
            {"score": 0.9, "latency_ms": 5.0},
            {"score": 0.8, "latency_ms": 3.0},
            {"score": 0.7, "latency_ms": 4.0},
            {"score": 0.9, "latency_ms": 6.0},
        )
        assert numbers(result.pareto("score", "-latency_ms")) == [0, 1]
        assert numbers(result.pareto("score", "latency_ms")) == [0, 1]
        assert numbers(result.pareto("score", "+latency_ms")) == [3]
        assert numbers(result.pareto("+score", "latency_ms")) == [0, 1]
        assert numbers(result.pareto("-score", "+latency_ms")) == [2, 3]
        assert numbers(result.pareto("-latency_ms")) == [1]
        assert numbers(result.pareto("score")) == [0, 3]

    def test_trials_without_the_metric_are_left_out(self) -> None:
        result = done({"score": 1.0, "m": 1.0}, {"score": 2.0}, {"score": 3.0, "m": float("nan")})
        assert numbers(result.pareto("score", "m")) == [0]
        assert SearchResult([]).pareto("score", "m") == []

    def test_an_architecture_stands_in_it_once(self) -> None:
        result = done({"score": 1.0}, {"score": 1.0})
        twice = [*result.trials, Trial(2, FLAT.architecture(1), "done", 1.0, source=1)]
        assert numbers(SearchResult(twice).pareto("score")) == [0, 1]

    def test_unknown_names_are_told(self) -> None:
        result = done({"score": 1.0, "latency_ms": 2.0})
        with pytest.raises(FxnasError, match="no trial has a metric 'latency'; known: score, latency_ms, did you mean"):
            result.pareto("score", "-latency")
        with pytest.raises(FxnasError, match=r"a front needs names of metrics, .*, got none"):
            result.pareto()

    def test_what_is_no_name_and_no_number_is_refused(self) -> None:
        result = SearchResult([])
        with pytest.raises(FxnasError, match=r"a front needs names of metrics, .*, got 'score', 3"):
            result.pareto("score", 3)  # type: ignore[arg-type]
        for number in (-1, 1.5, True):
            with pytest.raises(FxnasError, match=f"n is a whole number from 0, got {number}"):
                result.top(number)  # type: ignore[arg-type]
        assert result.top(0) == []

    def test_the_front_is_the_first_of_all_fronts(self) -> None:
        rng = random.Random(0)
        for size in (0, 1, 2, 30, 100):
            for width in (1, 2, 3):
                points = [tuple(float(rng.randrange(8)) for _ in range(width)) for _ in range(size)]
                assert first_front(points) == (fronts(points)[0] if points else [])


class TestFrame:
    def test_says_what_it_needs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(FxnasError, match=r"a data frame needs pandas: pip install 'fxnas\[pandas\]'"):
            search(trials=1).to_frame()

    def test_is_the_table_that_is_exported(self, tmp_path: Path) -> None:
        pandas = pytest.importorskip("pandas")
        frame = search(RandomSearch(SPACE), fast, study=tmp_path / "s").to_frame()
        with Study(tmp_path / "s", readonly=True) as study:
            rows = list(csv.DictReader(comma_separated(study).splitlines()))
        assert list(frame.columns) == list(rows[0])
        assert list(frame["score"]) == [float(row["score"]) for row in rows]
        assert list(frame["choice.outer"]) == [row["choice.outer"] for row in rows]
        latencies = [float(row["metric.latency_ms"] or "nan") for row in rows]
        assert frame["metric.latency_ms"].equals(pandas.Series(latencies))
        assert frame["metric.latency_ms"].isna().any()
        assert frame.loc[frame["choice.outer"] == "flat", "choice.inner"].isna().all()

    def test_of_no_trials_has_no_rows(self) -> None:
        pytest.importorskip("pandas")
        assert len(SearchResult([]).to_frame()) == 0


class TestOfAStudy:
    def test_is_the_result_of_the_search(self, tmp_path: Path) -> None:
        result = search(RandomSearch(SPACE), fast, study=tmp_path / "s")
        with Study(tmp_path / "s", readonly=True) as study:
            read = study.result(SPACE)
            assert read.fingerprint == result.fingerprint
            assert numbers(read.pareto("score", "-latency_ms")) == numbers(result.pareto("score", "-latency_ms")) != []
            with pytest.raises(SearchSpaceError, match="another space: choice 'c0' is new"):
                study.result(FLAT)

    def test_leaves_out_what_is_not_finished(self) -> None:
        with Study() as study:
            assert study.result(SPACE).trials == []
            study.begin(SPACE, {})
            with study.writing():
                study.add(Trial(0, SPACE.default, "waiting"), told=0, repeated=False)
            assert study.result(SPACE).trials == []
