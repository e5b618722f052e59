"""One file that stands alone, tells the truth about what is there, and lets no model's text become markup."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from repo_exp.evaluation import report as report_module
from repo_exp.evaluation import worked
from repo_exp.evaluation.numbers import duration, number, points, signed
from repo_exp.evaluation.report import render_report, report_html
from tests.evaluation.usual import NAMES

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Reads tags and visible text; fails where a tag is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" not in self._open:
            self.text += data

    def words(self) -> str:
        return " ".join(self.text.split())


def worked_steps(example, reward):
    """The steps of a worked example with the usual sources."""
    return worked.worked_steps(example, reward, NAMES)


@pytest.fixture(scope="module")
def page(report):
    return Page(report_html(report))


@pytest.fixture
def undrawn(monkeypatch):
    """Leave the figures out: they take a second, and have tests of their own."""
    monkeypatch.setattr(report_module, "_figures", lambda *_: {})


def test_the_file_needs_nothing_from_outside_and_runs_nothing(page, report, undrawn):
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    references = [value for name, value in page.attributes if name in ("src", "href", "xlink:href")]
    assert all(value.startswith("#") for value in references)
    assert "default-src 'none'" in report_html(report)
    css = re.search(r"<style>(.*?)</style>", report_html(report), re.S).group(1)
    assert "@import" not in css
    assert "url(" not in css


def test_every_part_of_the_story_is_told(page, report):
    words = page.words()
    for part in (
        report["results"]["verdict"]["text"],
        "python -m repo_exp reward=rm+rj+rf seed=0",
        "How the reward is made",
        "R = R_model + |R_model| × E / 100",
        "taken from the store",
        "Saturation",
        "forbidden_promise",
        "Does the response soothe a complaint?",
        "Baseline: word overlap",
        "mean 0.413 and standard deviation 1.871",
        "The biggest gain",
        "A rule was broken before and is kept now",
        "policy-0b1d",
        "reward: n: 100",
        "transformers 5.23.0",
    ):
        assert part in words
    assert page.tags.count("svg") == 8


def test_links_within_the_page_lead_somewhere(page):
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value[1:] for name, value in page.attributes if name == "href"} <= set(ids)


def test_a_models_text_stays_text(report, undrawn):
    hostile = copy.deepcopy(report)
    attack = "</p><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}\u202e\x00\ud800"
    for example in hostile["examples"]:
        example["prompt"] = attack
        example["messages"].append({"role": '"><script>', "content": attack})
        example["facts"] = {attack: attack}
        for response in example["responses"].values():
            response["text"] = attack
            response["sources"]["judge"].update(words=attack, reason=attack, parts={attack: -5.0})
    hostile["worked_example"]["text"] = attack
    hostile["run"]["command"] = attack
    hostile["config_yaml"] = attack
    page = Page(report_html(hostile))
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert "{{ 7 * 7 }}" in page.text


def test_it_is_written_whole_or_not_at_all(report, tmp_path, undrawn):
    path = tmp_path / "run" / "report.html"
    render_report(report, path)
    first = path.read_bytes()
    assert first.startswith(b"<!doctype html>")
    with pytest.raises(KeyError):
        render_report({"title": "no results"}, path)
    assert path.read_bytes() == first
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_a_lone_surrogate_does_not_stop_the_report(report, tmp_path, undrawn):
    render_report({**report, "title": "broken \ud800 text"}, tmp_path / "report.html")
    assert "broken ? text" in (tmp_path / "report.html").read_text("utf-8")


def test_the_same_report_gives_the_same_bytes(report):
    short = {**report, "metrics": report["metrics"][::20]}
    assert report_html(short) == report_html(copy.deepcopy(short))


@pytest.mark.parametrize(
    "missing",
    ["run", "reward", "stages", "metrics", "quality", "worked_example", "examples", "config_yaml", "title"],
)
@pytest.mark.parametrize("value", ["absent", None])
def test_what_is_not_there_is_left_out(report, missing, value, undrawn):
    rest = {key: part for key, part in report.items() if key != missing}
    page = Page(report_html(rest if value == "absent" else {**rest, missing: None}))
    assert "None" not in page.text
    assert "Undefined" not in page.text


def test_the_results_alone_are_a_report(report):
    page = Page(report_html({"results": report["results"]}))
    assert "What was run" not in page.text
    assert "Before and after" not in page.text
    assert report["results"]["verdict"]["text"] in page.words()


@pytest.mark.parametrize("sources", ["model", "rules", "judge", "model judge", "judge rules"])
def test_any_set_of_sources_makes_a_report(make, sources, undrawn):
    data = make.whole_report(sources)
    page = Page(report_html(data))
    words = page.words()
    assert ("R_model" in words) == ("model" in sources)
    assert ("E_judge" in words) == ("judge" in sources)
    assert ("E_func" in words) == ("rules" in sources)
    assert worked_steps(data["worked_example"], data["reward"])["holds"]


def test_sft_alone_makes_a_report(make):
    data = make.whole_report(last="sft")
    data["metrics"] = [record for record in data["metrics"] if record["stage"] == "sft"]
    words = Page(report_html(data)).words()
    assert "Reward diagnostics" not in words
    assert "above the base model's" in words or "differs from the base model's" in words


def test_the_worked_example_adds_up():
    example = {
        "total": 2.4,
        "sources": {
            "model": {"value": 2.0},
            "judge": {"value": 30.0, "parts": {"soothes": 30.0}},
            "rules": {"value": -10.0, "parts": {"too_long": -10.0}},
        },
    }
    steps = worked_steps(example, {"bound": 100.0})
    assert steps["holds"]
    assert [(line["symbol"], line["value"]) for line in steps["lines"]] == [
        ("R_model", "2.000"),
        ("E_judge", "+30"),
        ("E_func", "−10"),
        ("E", "+20"),
        ("R", "2.400"),
    ]
    assert steps["lines"][-1]["how"] == "2.000 + |2.000| × (+20) / 100"


def test_a_formula_that_does_not_give_the_total_is_not_shown():
    example = {"total": 7.0, "sources": {"model": {"value": 2.0}, "rules": {"value": -10.0}}}
    steps = worked_steps(example, {"bound": 100.0})
    assert not steps["holds"]
    assert [line["symbol"] for line in steps["lines"]] == ["R_model", "E_func"]


MEASURED = {"sources": ["model", "judge", "rules"], "combine": "enhancement", "bound": 100.0}
RESPONSE = {"total": 2.4, "sources": {"model": {"value": 2.0}, "judge": {"value": 30.0}, "rules": {"value": -10.0}}}


@pytest.mark.parametrize(
    ("trained", "value"),
    [
        ({"sources": ["model", "judge", "rules"], "combine": "enhancement", "bound": 100.0}, None),
        ({"sources": ["model", "judge", "rules"], "combine": "enhancement", "bound": 25.0}, "3.600"),  # 2 + 2 * 20 / 25
        ({"sources": ["model", "rules"], "combine": "enhancement", "bound": 100.0}, "1.800"),  # 2 - 2 * 10 / 100
        ({"sources": ["judge", "rules"], "combine": "enhancement", "bound": 50.0}, "0.400"),  # 20 / 50
        ({"sources": ["model"], "combine": "model_only", "bound": 25.0}, "2.000"),
        ({"sources": ["model", "judge", "rules"], "combine": "lexicographic", "bound": 100.0}, "a different value"),
    ],
)
def test_the_measured_total_is_worked_out_and_the_training_reward_is_shown_where_it_differs(trained, value):
    steps = worked_steps(RESPONSE, {**trained, "measured": MEASURED})
    assert steps["holds"] and steps["lines"][-1]["value"] == "2.400"
    assert (steps["training"] and steps["training"]["value"]) == value


def test_the_figure_of_the_measure_is_not_called_the_learners(report, undrawn):
    report = copy.deepcopy(report) | {"reward": report["reward"] | {"bound": 25.0, "measured": MEASURED}}
    words = Page(report_html(report)).words()
    assert "The training reward of the same response is different" in words


def test_what_must_be_known_stands_above_the_verdict(report, undrawn):
    report = copy.deepcopy(report)
    report["run"]["notices"] = ["The model has random weights."]
    words = Page(report_html(report)).words()
    assert words.index("random weights") < words.index(report["results"]["verdict"]["text"])


def test_each_cell_of_the_results_says_what_it_is(page):
    """On a narrow screen rows become blocks, and the head of the table is not shown."""
    labels = [value for name, value in page.attributes if name == "data-label"]
    assert {"Base", "SFT", "REPO", "REPO − SFT", "paired test"} == set(labels)


def test_a_judge_without_a_score_counts_nothing_and_says_why():
    example = {
        "total": 1.8,
        "sources": {
            "model": {"value": 2.0},
            "judge": {"value": None, "reason": "timed out"},
            "rules": {"value": -10.0, "parts": {}},
        },
    }
    steps = worked_steps(example, {"bound": 100.0})
    assert steps["holds"]
    assert "timed out" in steps["lines"][1]["how"]


def test_numbers_are_written_as_a_reader_expects():
    assert [number(value) for value in (1.234, -0.5, -0.001, None, float("nan"))] == ["1.23", "−0.50", "0.00", "–", "–"]
    assert [signed(value) for value in (0.5, -0.5, 0.0, None)] == ["+0.50", "−0.50", "0.00", "–"]
    assert [points(value) for value in (20.0, -60.0, 0.0, 12.34, None)] == ["+20", "−60", "0", "+12.3", "–"]
    assert [duration(value) for value in (0.42, 59.0, 75, 3725, None)] == [
        "0.4 s",
        "59 s",
        "1 min 15 s",
        "1 h 02 min",
        "–",
    ]


def test_every_figure_that_the_template_shows_is_drawn(report, monkeypatch):
    for name in [
        each for each in vars(report_module.figures) if each.endswith(("_curves", "_curve", "_bars", "_strip"))
    ]:
        monkeypatch.setattr(report_module.figures, name, lambda *_: "")
    template = (Path(report_module.__file__).parent / "templates" / "report.html.j2").read_text()
    assert set(re.findall(r"\bfigures\.(\w+)", template)) == set(report_module._figures(report["results"], []))
