"""The report: what its page holds, that it can only run its own script, and what that script computes."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from brute_force import random_space
from spaces import flat_space, nested_space

from fxnas.choice import Choice
from fxnas.conditions import chosen, parts_of
from fxnas.errors import FxnasError, SearchSpaceError
from fxnas.report.data import _part, report_data
from fxnas.report.page import report_page, write_report
from fxnas.results import SearchResult, Trial
from fxnas.space import SearchSpace
from fxnas.study import Study
from fxnas.wiring import Box, Wire, Wiring

WEB = Path(__file__).resolve().parent.parent / "fxnas/report/web"
HOSTILE = "</script><img src=x onerror=alert(1)> <!--<script> {{script}} &amp; \u2028 '\""


def study_of(count: int, space: SearchSpace | None = None, **options: Any) -> Study:
    """A study in memory whose trials failed, were pruned, or have a score and a latency."""
    space = space or nested_space()
    rng = random.Random(0)
    study = Study()
    study.begin(space, {"name": "RandomSearch", "seed": 0})
    with study.writing():
        for number in range(count):
            study.add(trial_of(number, space, rng, **options), told=0, repeated=True)
    return study


def trial_of(
    number: int, space: SearchSpace, rng: random.Random, error: str = "OOM", name: str = "latency_ms"
) -> Trial:
    architecture = space.sample(rng)
    if number % 10 == 3:
        return Trial(number, architecture, "failed", error=error, traceback="File /home/me/x.py", host="me")
    if number % 10 == 4:
        return Trial(number, architecture, "pruned", error="too low")
    score = rng.random()
    metrics = {"score": score, name: float("nan") if number % 10 == 5 else rng.random() / 3}
    return Trial(number, architecture, "done", score, metrics=metrics, seconds=0.25)


def keep_graph(study: Study, name: str = "op.flat") -> None:
    """The nested space's first choice as a graph."""
    space = nested_space()
    flat, deep = (chosen("outer", i, 2, 1) for i in range(2))
    boxes = (Box("x", "input"), Box(name, "module", "Identity", flat), Box("op.deep", "module", "Conv2d", deep))
    boxes += (Box("outer", "choice"), Box("output", "output"))
    wires = (Wire(0, 1, flat), Wire(0, 2, deep), Wire(1, 3, flat), Wire(2, 3, deep), Wire(3, 4))
    study.keep_wiring(Wiring(boxes, wires).to_json(space))


class Page(HTMLParser):
    """The elements of a page, and the text of its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self.inside = dict(attributes).get("id") or tag

    def handle_data(self, data: str) -> None:
        self.texts[self.inside] = self.texts.get(self.inside, "") + data

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.texts["data"])

    @property
    def policy(self) -> dict[str, str]:
        (policy,) = (a["content"] for _, a in self.tags if a.get("http-equiv") == "Content-Security-Policy")
        assert policy is not None
        return dict(part.strip().split(" ", 1) for part in policy.split(";"))


def page_of(study: Study, **options: Any) -> Page:
    return Page(report_page(report_data(study, **options)))


class TestPage:
    def test_the_policy_allows_its_own_script_and_style_and_nothing_else(self) -> None:
        page = page_of(study_of(3))
        assert page.policy["default-src"] == "'none'"
        for directive, tag in (("script-src", "script"), ("style-src", "style")):
            digest = hashlib.sha256(page.texts[tag].encode()).digest()
            assert page.policy[directive] == f"'sha256-{base64.b64encode(digest).decode()}'"

    def test_it_needs_nothing_from_elsewhere(self) -> None:
        text = report_page(report_data(study_of(3)))
        assert "://" not in text.replace('"http://www.w3.org/2000/svg"', "")  # the name of SVG, never fetched
        assert not re.search(r"@import|url\(|\b(src|href)=|\bimport\b|fetch\(|innerHTML", text)
        assert [tag for tag, _ in Page(text).tags].count("script") == 2
        assert not any(name.startswith("on") or name == "style" for _, each in Page(text).tags for name in each)

    def test_it_is_small(self) -> None:
        assert len(report_page(report_data(study_of(0))).encode()) < 100_000

    def test_a_script_can_not_end_itself(self) -> None:
        assert not re.search(r"</script|<script|<!--", (WEB / "report.js").read_text("utf-8"))

    def test_what_users_name_stays_text(self) -> None:
        space = SearchSpace([Choice(HOSTILE, "layer_choice", (HOSTILE, "\udcff"), 1)])
        study = study_of(20, space, error=HOSTILE, name=HOSTILE)
        page = page_of(study, title=HOSTILE)
        harmless = page_of(study_of(20))
        assert [tag for tag, _ in page.tags] == [tag for tag, _ in harmless.tags]
        assert page.policy == harmless.policy
        assert page.data["title"] == page.data["choices"][0]["key"] == page.data["columns"][1]["name"] == HOSTILE
        assert page.data["choices"][0]["candidates"] == [HOSTILE, "\udcff"]
        assert HOSTILE in page.data["errors"]

    def test_is_written_whole(self, tmp_path: Path) -> None:
        write_report(study_of(3), tmp_path / "r.html")
        assert Page((tmp_path / "r.html").read_text("utf-8")).data["trials"]["number"] == [0, 1, 2]
        assert [path.name for path in tmp_path.iterdir()] == ["r.html"]

    @pytest.mark.parametrize(("trials", "seconds"), [(3, 0.5), (300, 1), (10_000, 8)])
    def test_any_number_of_trials_takes_little_time_and_room(self, trials: int, seconds: float) -> None:
        study = study_of(trials, flat_space())
        start = time.process_time()
        text = report_page(report_data(study))
        assert time.process_time() - start < seconds
        assert len(text) < 100_000 + 150 * trials


class TestData:
    def test_every_number_is_the_study_s(self) -> None:
        study = study_of(100)
        data, rows = page_of(study).data, study.rows()
        columns = {column["name"]: column["values"] for column in data["columns"]}
        assert list(columns) == ["score", "latency_ms", "seconds"]
        assert columns["score"] == [row["score"] for row in rows]
        assert columns["latency_ms"] == [row["metrics"].get("latency_ms") for row in rows]
        assert columns["seconds"] == [row["seconds"] or None for row in rows]
        assert data["trials"]["number"] == [row["trial"] for row in rows]
        assert data["trials"]["state"] == [row["state"] for row in rows]
        errors = [None if e is None else data["errors"][e] for e in data["trials"]["error"]]
        assert errors == [row["error"] for row in rows]
        assert data["strategy"] == {"name": "RandomSearch", "seed": 0}

    def test_decisions_are_the_architectures(self) -> None:
        space = nested_space()
        study = study_of(100)
        data = report_data(study)
        for c, (key, choice) in enumerate(space.items()):
            assert data["choices"][c]["candidates"] == choice.candidates
            for row, decision in zip(study.rows(), data["trials"]["decisions"][c], strict=True):
                written = row["architecture"].get(key)
                chosen = (decision,) if isinstance(decision, int) else decision
                assert written is None if decision is None else choice.written(chosen) == written

    def test_says_nothing_of_the_machine(self) -> None:
        assert "/home/me" not in json.dumps(report_data(study_of(20)))

    def test_the_front_is_of_the_score_and_the_next_metric(self) -> None:
        data = report_data(study_of(20))
        assert data["front"] == [{"column": 0, "lower": False}, {"column": 1, "lower": True}]
        for front, lower in ((["seconds", "-score"], True), (["+seconds", "score"], False)):
            assert report_data(study_of(20), front=front)["front"] == [
                {"column": 2, "lower": lower},
                {"column": 0, "lower": lower},
            ]
        assert report_data(study_of(0))["front"] is None

    def test_of_objectives_it_is_of_the_first_two(self) -> None:
        space = flat_space()
        with Study() as study:
            study.begin(space, {})
            with study.writing():
                trial = Trial(0, space.default, "done", 1.0, objectives=(1.0, -2.0))
                study.add(trial, told=0, repeated=False)
            data = report_data(study)
        assert [column["name"] for column in data["columns"]] == ["score", "objective 1", "seconds"]
        assert data["columns"][1]["values"] == [-2.0]
        assert data["front"] == [{"column": 0, "lower": False}, {"column": 1, "lower": False}]

    def test_objectives_that_are_metrics_have_one_column(self) -> None:
        space = flat_space()
        with Study() as study:
            study.begin(space, {})
            with study.writing():
                for i in range(3):
                    metrics = {"score": float(i), "latency_ms": i + 1.0}
                    trial = Trial(i, space.architecture(i), "done", float(i), (float(i), -i - 1.0), metrics)
                    study.add(trial, told=0, repeated=False)
            data = report_data(study)
        assert [column["name"] for column in data["columns"]] == ["score", "latency_ms", "seconds"]
        assert data["front"] == [{"column": 0, "lower": False}, {"column": 1, "lower": True}]

    @pytest.mark.parametrize("sign", [1, -1])
    def test_the_score_goes_by_the_name_of_its_metric_too(self, sign: int) -> None:
        space = flat_space()
        with Study() as study:
            study.begin(space, {})
            with study.writing():
                for i in range(1, 4):  # as with objectives=("speed", "flops") and ("-speed", "flops")
                    metrics = {"speed": sign * float(i), "flops": i + 1.0}
                    trial = Trial(i, space.architecture(i), "done", float(i), (float(i), -i - 1.0), metrics)
                    study.add(trial, told=0, repeated=False)
            data, named = report_data(study), report_data(study, front=["speed", "flops"])
        flops = {"column": [column["name"] for column in data["columns"]].index("flops"), "lower": True}
        assert data["front"] == [{"column": 0, "lower": False}, flops]
        assert named["front"] == [{"column": 0 if sign == 1 else 1, "lower": False}, flops]

    def test_wrong_columns_are_told(self) -> None:
        with pytest.raises(FxnasError, match="no column 'latency'; known: score, latency_ms, seconds, did you mean"):
            report_data(study_of(20), front=["score", "-latency"])
        with pytest.raises(FxnasError, match="over two columns, got 1"):
            report_data(study_of(20), front=["score"])

    def test_a_study_without_a_search_is_refused(self) -> None:
        with Study() as study, pytest.raises(FxnasError, match="has not begun"):
            report_data(study)

    def test_a_damaged_study_is_refused(self) -> None:
        with Study() as study:
            study.begin(flat_space(), {})
            with study.writing():
                study.add(Trial(0, nested_space().default, "waiting"), told=0, repeated=False)
                study.add(Trial(1, flat_space(candidates=9).architecture(8), "waiting"), told=0, repeated=False)
            with pytest.raises(SearchSpaceError, match=r"trial 1: choice 'c5' has candidates 0\.\.3 .*, got 'op8'"):
                report_data(study)


@pytest.fixture
def browser(tmp_path: Path) -> Callable[[str], str]:
    """The document that a page has made of itself, as a real browser writes it."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")

    def run(page: str) -> str:
        (tmp_path / "page.html").write_text(page, "utf-8")
        options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile")
        command = [chromium, *options, "--virtual-time-budget=2000", "--dump-dom", f"file://{tmp_path}/page.html"]
        return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120).stdout

    return run


# Goes through the points of the best score so far, and tells what the page says of the one it is at.
USE = """
const at = (selector) => document.querySelector(selector);
const seen = [];
const tell = () => seen.push(at(".sofar .tip").hidden ? null : at(".sofar .tip").textContent);
const key = (key) => at(".sofar svg").dispatchEvent(new KeyboardEvent("keydown", { key }));
const selected = () => seen.push(at(".architecture dd").textContent);
const pointer = (type, x, y) => {
  const { left, top } = at(".sofar svg").getBoundingClientRect();
  at(".sofar .plot").dispatchEvent(new MouseEvent(type, { clientX: left + x, clientY: top + y }));
};
const place = () => ["cx", "cy"].map((name) => Number(at(".sofar .focus").getAttribute(name)));
tell();
for (const way of ["Right", "Right", "Left"]) { key(`Arrow${way}`); tell(); }
for (const name of ["End", "ArrowRight", "Escape", "Home", "ArrowRight"]) { key(name); tell(); }
const one = place();
key("Enter");
selected();
key("ArrowRight");
const other = place();
pointer("pointermove", one[0] + 3, one[1] - 3); tell();
pointer("pointermove", one[0] + 25, one[1] + 25); tell();
pointer("pointermove", other[0] - 2, other[1] + 2); tell();
pointer("click", other[0] - 2, other[1] + 2);
pointer("pointerleave", 0, 0); tell();
selected();
at("#seen").textContent = JSON.stringify(seen);
"""


class TestInABrowser:
    def test_names_are_shown_as_they_are(self, browser: Callable[[str], str]) -> None:
        space = SearchSpace([Choice(HOSTILE, "layer_choice", (HOSTILE, "b"), 1)])
        dom = Page(browser(report_page(report_data(study_of(60, space, error=HOSTILE, name=HOSTILE), title=HOSTILE))))
        tags = [tag for tag, _ in dom.tags]
        assert "img" not in tags
        assert dom.texts["h1"] == HOSTILE
        assert tags.count("svg") == 2
        assert "page 1 of 3, 60 of 60 trials" in dom.texts["span"]

    def test_the_graph_shows_what_the_best_trial_chose(self, browser: Callable[[str], str]) -> None:
        study = study_of(30)
        keep_graph(study, name=HOSTILE[:60])
        data = report_data(study)
        dom = Page(browser(report_page(data)))
        scores = data["columns"][0]["values"]
        best = scores.index(max(score for score in scores if score is not None))
        boxes = [a["class"] for tag, a in dom.tags if tag == "g" and str(a.get("class")).startswith("box ")]
        picked = ["out", "out"]
        picked[data["trials"]["decisions"][0][best]] = "picked"
        assert boxes == [
            "box input always",
            *(f"box module {each}" for each in picked),
            "box choice always",
            "box output always",
        ]
        assert "img" not in [tag for tag, _ in dom.tags]

    def test_points_are_reached_by_keyboard_and_by_pointer(self, browser: Callable[[str], str]) -> None:
        page = re.sub(r"<meta http-equiv[^>]*>", "", report_page(report_data(study_of(6))))
        dom = Page(browser(page.replace("</body>", f'<output id="seen"></output><script>{USE}</script></body>')))
        told = [f"trial {number}: {text}" for number, text in enumerate(("0.75795", "0.96546", "0.9678"))]
        told.append("trial 5: 0.28184")
        by_keyboard = [None, told[0], told[1], told[0], told[3], told[3], None, told[0], told[1]]
        by_pointer = [told[1], None, told[2], None]
        assert json.loads(dom.texts["seen"]) == [*by_keyboard, "1", *by_pointer, "2"]

    def test_a_study_without_a_graph_has_no_such_pane(self, browser: Callable[[str], str]) -> None:
        dom = Page(browser(report_page(report_data(study_of(3)))))
        assert "title-graph" not in {a.get("id") for _, a in dom.tags}

    def test_any_scores_can_be_drawn(self, browser: Callable[[str], str]) -> None:
        space = flat_space()
        with Study() as study:
            study.begin(space, {})
            with study.writing():
                for i, score in enumerate((-1.7e308, 1.7e308, 0.0, 1e-300, 0.0)):
                    trial = Trial(i, space.architecture(i), "done", score, metrics={"cost": -score})
                    study.add(trial, told=0, repeated=False)
            dom = browser(report_page(report_data(study)))
        shown = dom.partition('<div id="page">')[2].partition("</main>")[0]
        assert shown.count('class="line" d="M') == 2
        assert not re.search("NaN|undefined", shown)

    def test_a_study_without_trials_has_a_page(self, browser: Callable[[str], str]) -> None:
        dom = Page(browser(report_page(report_data(study_of(0)))))
        assert "no trial has a score yet" in dom.texts["p"]
        assert "page 1 of 1, 0 of 0 trials" in dom.texts["span"]


@pytest.fixture
def javascript() -> Callable[[str], Any]:
    """The value of an expression in the page's own language, with what its script defines."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")

    def run(expression: str) -> Any:
        code = (WEB / "report.js").read_text("utf-8") + "\nObject.assign(globalThis, fxnasReport);"
        code += f"\nconsole.log(JSON.stringify({expression}));"
        done = subprocess.run([node, "-"], input=code, capture_output=True, text=True, encoding="utf-8", timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


class TestScript:
    def test_conditions_are_those_of_the_graph(self, javascript: Callable[[str], Any]) -> None:
        rng = random.Random(2)
        spaces = [random_space(rng) for _ in range(40)]
        for space in spaces:
            keys = list(space)
            conditions = [choice.active for choice in space.values()]
            parts, places = parts_of(conditions)
            architecture = space.sample(rng)
            decisions = [list(architecture[key]) if key in architecture else None for key in keys]
            given = json.dumps([_part(part, {key: i for i, key in enumerate(keys)}) for part in parts])
            values = javascript(f"partValues({given}, {json.dumps(decisions)})")
            for choice, place in zip(space.values(), places, strict=True):
                if values[place] is not None:  # else it depends on choices that play no role
                    assert values[place] is (choice.key in architecture)

    def test_the_front_is_that_of_the_results(self, javascript: Callable[[str], Any]) -> None:
        space = flat_space()
        rng = random.Random(1)
        metrics: list[Mapping[str, float]] = [
            {"score": float(rng.randrange(30)), "cost": float(rng.randrange(30))} for _ in range(200)
        ]
        trials = [Trial(i, space.architecture(i), "done", m["score"], metrics=m) for i, m in enumerate(metrics)]
        xs, ys = json.dumps([m["score"] for m in metrics]), json.dumps([m["cost"] for m in metrics])
        for sign in ("+", "-"):
            found = javascript(f"paretoFront({xs}, {ys}, [false, {'true' if sign == '-' else 'false'}])")
            assert sorted(found) == [t.number for t in SearchResult(trials).pareto("score", f"{sign}cost")]

    def test_the_best_is_that_of_the_results(self, javascript: Callable[[str], Any]) -> None:
        assert javascript("improvements([null, 1, 0, 1, 3, null, 3])") == [1, 4]

    def test_candidates_are_scored_by_the_trials_that_took_them(self, javascript: Callable[[str], Any]) -> None:
        taken, scores = "[0, 1, [0, 1], [], null, 0]", "[1, 2, 4, 8, 16, null]"
        call = f"candidateScores({{candidates: ['a', 'b']}}, {taken}, {scores}, new Set([2]))"
        a, b, none = javascript(call)
        assert (a["n"], a["mean"], a["best"], a["share"]) == (2, 2.5, 4, 1)
        assert (b["n"], b["mean"], b["best"], b["share"]) == (2, 3, 4, 1)
        assert (none["n"], none["mean"], none["best"], none["share"]) == (1, 8, 8, 0)

    def test_numbers_are_readable(self, javascript: Callable[[str], Any]) -> None:
        assert javascript("[null, 0, -0.12345678, 12345, 5500000, 1e-9, 1e300].map(readable)") == [
            *("–", "0", "−0.12346", "12345", "5.5M", "1.00e-9", "1.00e+300"),
        ]

    @pytest.mark.parametrize(
        ("ends", "ticks"),
        [
            ([0, 0.2], ["0.0", "0.1", "0.2"]),
            ([-1, 1], ["−1", "0", "1"]),
            ([20_000, 25_000], ["20k", "22k", "24k"]),
            ([0, 5_000], ["0", "2000", "4000"]),
            ([0, 5_000_000], ["0M", "2M", "4M"]),
            ([0, 5e-5], ["0e+0", "2e-5", "4e-5"]),
        ],
    )
    def test_ticks_are_readable(self, javascript: Callable[[str], Any], ends: list[float], ticks: list[str]) -> None:
        call = f"(() => {{ const s = scaleLinear({ends}, [0, 1]); return s.ticks(2).map(tickFormat(s, 2)); }})()"
        assert javascript(call) == ticks

    def test_any_range_has_ticks(self, javascript: Callable[[str], Any]) -> None:
        for values in ("[]", "[null]", "[0]", "[5, 5]", "[-1e308, 1e308]", "[1e-300, 2e-300]", "[0, 1, 2, 1e9]"):
            low, high = javascript(f"domain({values})")
            assert low < high
            assert 3 <= len(javascript(f"scaleLinear([{low}, {high}], [0, 1]).ticks(5)")) <= 11

    def test_what_is_far_off_is_left_out_unless_kept(self, javascript: Callable[[str], Any]) -> None:
        values = json.dumps([*range(100), -5000])
        assert javascript(f"domain({values})") == [0, 100]
        assert javascript(f"domain({values}, [-5000])") == [-5000, 1000]
