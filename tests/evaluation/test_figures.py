"""Figures are SVG that a page can hold: one element, no date, no address, names as text."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import matplotlib
import pytest

from repo_exp.evaluation import figures
from repo_exp.evaluation.drawing import series, smooth
from tests.evaluation.usual import NAMES, summarise

OF_METRICS = ("reward_curves", "composition_curves", "validation_curve", "health_curves", "pair_curves",
              "loss_curves")  # fmt: skip


def draw(name, metrics):
    """Draw a figure of metrics; those of sources are told which there are."""
    of_sources = ("reward_curves", "validation_curve")
    return getattr(figures, name)(metrics, *([NAMES._infos] if name in of_sources else []))


@pytest.fixture(scope="module")
def drawn(make):
    results = summarise({"sft": make.variant(0.2, n=20), "repo": make.variant(0.9, n=20)}, resamples=100)
    svgs = {name: draw(name, make.metrics()) for name in OF_METRICS}
    svgs["violation_bars"] = figures.violation_bars(results)
    svgs["difference_strip"] = figures.difference_strip(results["comparisons"][0])
    return svgs


@pytest.mark.parametrize("name", [*OF_METRICS, "violation_bars", "difference_strip"])
def test_a_figure_is_one_labelled_element_that_asks_for_nothing_outside(drawn, name):
    svg = drawn[name]
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert root.get("width") is None
    assert "viewBox" in root.attrib
    assert "<style" not in svg
    assert "<metadata" not in svg
    addresses = set(re.findall(r"https?://[^\"'\s<]+", svg))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # names, not links


def test_the_same_data_gives_the_same_bytes(make, drawn):
    for name in OF_METRICS:
        assert draw(name, make.metrics()) == drawn[name]


def test_ids_of_different_figures_do_not_meet_and_every_reference_has_its_target(drawn):
    ids = {name: set(re.findall(r'\bid="([^"]+)"', svg)) for name, svg in drawn.items()}
    names = list(ids)
    assert all(not ids[a] & ids[b] for i, a in enumerate(names) for b in names[i + 1 :])
    for name, svg in drawn.items():
        assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)) != set()
        referred = {one or other for one, other in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)}
        assert referred <= ids[name]


def test_without_data_there_is_no_figure():
    for name in OF_METRICS:
        assert draw(name, []) == ""
        assert draw(name, [{"stage": "policy", "step": 0, "metrics": {"reward/total": None}}]) == ""
    assert figures.violation_bars({"order": ["sft"], "variants": {"sft": {"rules": {}}}}) == ""
    assert figures.difference_strip({"before": "sft", "after": "repo", "differences": [1.0, None]}) == ""


def test_panels_without_points_are_left_out():
    svg = draw("reward_curves", [{"stage": "policy", "step": 0, "metrics": {"reward/total": 1.0}}])
    assert "Reward" in svg
    assert "Points" not in svg


def test_names_from_the_users_files_are_text_and_not_markup_or_formulas(make):
    bad = {"<script>alert(1)</script>": -60.0, "costs $x^2$": -10.0, "a\nb\x00c": -5.0}
    answers = [(response, make.breakdown(1.0, None, bad)) for response, _ in make.variant(0.5, n=3)]
    svg = figures.violation_bars(summarise({"sft": answers}, resamples=50))
    texts = "".join(ElementTree.fromstring(svg).itertext())
    assert "<script" not in svg
    assert "costs $x^2$" in texts


def test_a_callers_matplotlib_is_as_it_was(make):
    before = dict(matplotlib.rcParams)
    draw("reward_curves", make.metrics())
    assert dict(matplotlib.rcParams) == before


def test_a_step_that_was_logged_twice_counts_once_with_its_last_value():
    records = [{"stage": "policy", "step": step, "metrics": {"x": value}} for step, value in ((0, 1), (2, 2), (0, 5))]
    records += [{"stage": "sft", "step": 1, "metrics": {"x": 9}}, {"stage": "policy", "step": 3, "metrics": {}}]
    assert series(records, "policy", "x") == ([0, 2], [5.0, 2.0])


def test_smoothing_keeps_the_length_and_a_constant():
    assert smooth([2.0] * 40) == [2.0] * 40
    assert smooth([1.0, 5.0]) == [1.0, 5.0]
    # 12 points: windows of three in the middle, two at the ends
    assert smooth([float(i) for i in range(12)])[:2] == [0.5, 1.0]
