"""Rows of the report's tables from figures by hand: signs, tones, intervals, dashes and counts."""

from __future__ import annotations

import pytest

from repo_exp.evaluation.report_view import (
    accuracy_rows,
    agreement_rows,
    composition_rows,
    tiles,
    unscored_rows,
    variant_rows,
)

INFO = {
    "model": {"label": "reward model", "symbol": "R_model", "unit": "score", "parts": ""},
    "judge": {"label": "judge", "symbol": "E_judge", "unit": "points", "parts": "items"},
}


def mean(value, low=None, high=None, *, missing=0, withheld=False):
    return {"n": 20, "missing": missing, "mean": value, "low": low, "high": high, "withheld": withheld}


def compared(difference, low=None, high=None, p=0.5, *, n=20, unscored=0, withheld=False):
    return {"n": n, "difference": difference, "low": low, "high": high, "p": p, "unscored": unscored,
            "withheld": withheld}  # fmt: skip


def variant(total, judge, *, violations=None):
    return {
        "total": total,
        "sources": {"model": mean(0.5), "judge": judge},
        "violations": violations,
        "tokens": {"mean": 12.34, "p95": 31.0},
        "words": {"mean": 8.0, "p95": 20.0},
        "unfinished": 0.05,
        "distinct": 0.75,
    }


def results(total=None, violations=None, **changes):
    broken = {"share": 0.25, "low": 0.1, "high": 0.46}
    variants = {
        "sft": variant(mean(1.0, 0.5, 1.5), mean(-12.0, -20.0, -4.0, missing=2), violations=broken),
        "repo": variant(mean(1.25), mean(None, missing=9, withheld=True), violations=None),
    }
    comparison = {
        "before": "sft",
        "after": "repo",
        "total": total or compared(0.25, 0.1, 0.4, 0.004),
        "sources": {"model": compared(-0.5, -1.0, -0.1, 0.03), "judge": compared(None, withheld=True, unscored=9)},
        "tokens": compared(3.0, 1.0, 5.0, 0.001),
        "words": compared(None),
        "violations": violations,
    }
    found = {"order": ["sft", "repo"], "variants": variants, "sources": ["model", "judge"], "source_info": INFO,
             "comparisons": [comparison], "unscored": {}}  # fmt: skip
    return found | changes


def row(label, found):
    return next(each for each in variant_rows(found) if each["label"] == label)


def test_every_figure_has_a_row_in_the_order_of_the_sources() -> None:
    assert [each["label"] for each in variant_rows(results())] == [
        "Total reward R", "Reward model", "Judge", "Responses that break a rule", "Tokens in a response",
        "Words in a response", "Responses cut off by the token budget", "Different responses",
    ]  # fmt: skip


def test_a_significant_gain_is_good_a_loss_bad_and_a_length_neither() -> None:
    total = row("Total reward R", results())
    assert (total["difference"], total["interval"], total["p"], total["tone"]) == (
        "+0.25", "+0.10 to +0.40", "p = 0.004", "good",
    )  # fmt: skip
    assert total["cells"] == [{"main": "1.00", "sub": "0.50 to 1.50"}, {"main": "1.25", "sub": ""}]
    model = row("Reward model", results())
    assert (model["difference"], model["tone"], model["symbol"]) == ("−0.50", "bad", "R_model")
    tokens = row("Tokens in a response", results())
    assert (tokens["difference"], tokens["tone"]) == ("+3.0", "")
    assert tokens["cells"][0] == {"main": "12.3", "sub": "95 % at most 31"}


@pytest.mark.parametrize("p", [0.05, 0.9, None])
def test_a_difference_that_may_be_chance_has_no_tone(p) -> None:
    assert row("Total reward R", results(compared(0.25, 0.1, 0.4, p)))["tone"] == ""


def test_what_is_withheld_or_missing_is_said_and_is_no_number() -> None:
    judge = row("Judge", results())
    assert judge["cells"] == [
        {"main": "−12.0", "sub": "−20.0 to −4.0 · 2 unscored"},
        {"main": "withheld", "sub": "9 unscored"},
    ]
    assert (judge["difference"], judge["interval"]) == ("withheld", "9 prompts unscored")
    words = row("Words in a response", results())
    assert (words["difference"], words["p"]) == ("–", "")
    partly = row("Total reward R", results(compared(0.25, 0.1, 0.4, n=17, unscored=3)))
    assert partly["interval"] == "+0.10 to +0.40 · n = 17, 3 unscored"
    assert row("Total reward R", results(compared(0.25, n=1, unscored=3)))["interval"] == "n = 1, 3 unscored"


@pytest.mark.parametrize(
    ("fell", "rose", "p", "difference", "tone"),
    [
        (6, 1, 0.01, "−25 pp", "good"),
        (1, 6, 0.01, "+25 pp", "bad"),
        (6, 1, 0.05, "−25 pp", ""),
        (2, 2, 1.0, "0 pp", ""),
    ],
)
def test_fewer_broken_rules_are_good_in_points_of_percent(fell, rose, p, difference, tone) -> None:
    """Of 20 prompts: (rose - fell) / 20."""
    found = row("Responses that break a rule", results(violations={"n": 20, "fell": fell, "rose": rose, "p": p}))
    assert (found["difference"], found["tone"]) == (difference, tone)
    assert found["interval"] == f"{fell} fixed, {rose} new"
    assert found["cells"] == [{"main": "25 %", "sub": "10 % to 46 %"}, {"main": "–", "sub": ""}]


def test_without_a_comparison_there_are_cells_and_no_differences() -> None:
    alone = variant_rows(results(comparisons=[]))
    assert all(each["difference"] in ("", "–") and each["p"] == "" for each in alone)
    assert [cell["main"] for cell in alone[0]["cells"]] == ["1.00", "1.25"]


def test_tiles_show_what_a_reader_looks_for_first() -> None:
    found = {each["label"]: [value["text"] for value in each["values"]] for each in tiles(results())}
    assert found == {
        "Mean total reward": ["1.00", "1.25"],
        "Responses that break a rule": ["25 %", "–"],
        "Mean points of the judge": ["−12.0 (2 unscored)", "withheld (9 unscored)"],
        "Mean tokens in a response": ["12", "12"],
    }
    without = results()
    without["variants"]["sft"]["violations"] = None
    assert "Responses that break a rule" not in {each["label"] for each in tiles(without)}


def test_a_source_that_failed_is_listed_with_its_reasons() -> None:
    failed = {"judge": {"responses": 9, "of": 40, "reasons": {"timeout": 9}}}
    assert unscored_rows(results(unscored=failed)) == [{"source": "Judge", "count": "9 of 40", "why": "9 timeout"}]


def test_diagnostics_compare_the_first_fifth_of_the_training_with_the_last() -> None:
    """Ten steps: the first two have 0 and 0.2, the last two 0.8 and 1. Another stage's figures do not count."""
    shares = [0.0, 0.2, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.8, 1.0]
    metrics = [{"stage": "policy", "step": i, "metrics": {"composition/saturated": x}} for i, x in enumerate(shares)]
    metrics += [{"stage": "capability", "step": 0, "metrics": {"composition/dead_zone": 0.5}}]
    (found,) = composition_rows(metrics)
    assert (found["title"], found["first"], found["last"]) == ("Saturation", "10 %", "90 %")
    (single,) = composition_rows(metrics[:1])
    assert (single["first"], single["last"]) == ("0 %", "0 %")


def test_reward_models_stand_above_the_baselines_and_these_above_the_kinds_of_pairs() -> None:
    quality = {
        "reward_models": {
            "reward model": {"pairs": 50, "correct": 40, "baselines": {"length": 25.0, "word overlap": None},
                             "kinds": {"online": {"pairs": 10, "correct": 9}, "none": {"pairs": 0, "correct": 0}}},
            "reward model rm2": {"pairs": 50, "correct": 30},
            "untested": {"pairs": 0, "correct": 0},
        }
    }  # fmt: skip
    found = accuracy_rows(quality)
    assert [(each["label"], each["role"], each["n"], each["text"]) for each in found] == [
        ("Reward model", "own", 50, "80 %"),
        ("Reward model rm2", "own", 50, "60 %"),
        ("Baseline: length", "baseline", 50, "50 %"),
        ("Reward model on: online", "kind", 10, "90 %"),
    ]
    assert found[2]["interval"] == "37 % to 63 %"  # 25 of 50: z = 1.96, half-width 1.96 sqrt(.25 / 50 + ...) / 1.077
    assert accuracy_rows({}) == []


def test_a_judges_agreement_stands_beside_always_giving_the_commoner_answer() -> None:
    judge = [
        {"item": "soothes", "n": 40, "agreed": 36, "positives": 10, "ranked": 0.875},
        {"item": "rude", "n": 40, "agreed": 20, "positives": 30},
        {"item": "old", "n": 10, "agreed": 10},
        {"item": "never", "n": 0, "agreed": 0},
    ]
    found = agreement_rows({"judge": judge}, {"soothes": "Does it soothe?"})
    assert [(each["label"], each["question"], each["text"], each["commoner"], each["ranked"]) for each in found] == [
        ("soothes", "Does it soothe?", "90 %", "75 %", "88 %"),
        ("rude", "", "50 %", "75 %", "–"),
        ("old", "", "100 %", "–", "–"),
    ]
