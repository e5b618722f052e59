"""The baselines that a reward model has to beat, and how names and numbers are written."""

from __future__ import annotations

import pytest

from repo_exp.evaluation.baselines import longer_is_better, more_overlap_is_better
from repo_exp.evaluation.names import SourceNames, capital, in_text, variant_name
from repo_exp.evaluation.numbers import duration, number, p_value, percent, points, signed
from repo_exp.types import Message, Preference, Prompt

PROMPT = Prompt("p", (Message("system", "Sell the Room."), Message("user", "What does it cost?")))


def pair(chosen: str, rejected: str) -> Preference:
    return Preference(PROMPT, chosen, rejected)


def test_the_longer_response_wins_by_words_and_a_tie_is_half_a_point() -> None:
    """Right, wrong, tie, and right though it has fewer letters: 2.5 of 4."""
    pairs = [pair("a b c", "a"), pair("a", "a b"), pair("a b", "c d"), pair("a b c", "incomprehensibilities twice")]
    assert longer_is_better(pairs) == 2.5
    turned = [pair(each.rejected, each.chosen) for each in pairs]
    assert longer_is_better(turned) == 2.5  # 1.5 of 4: the opposite rule is as cheap


def test_overlap_is_a_share_of_the_replys_own_words_whatever_their_capitals() -> None:
    """2 of 2 against 3 of 6; words of every message count, and signs do not."""
    assert more_overlap_is_better([pair("ROOM, cost!", "the room cost a b c")]) == 1
    assert more_overlap_is_better([pair("sell", "x"), pair("sell", "x"), pair("x", "cost")]) == 2


def test_an_empty_response_shares_nothing_and_no_pairs_are_no_error() -> None:
    assert more_overlap_is_better([pair("", "x")]) == 0.5
    assert more_overlap_is_better([]) == longer_is_better([]) == 0


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("sft", "SFT"),
        ("repo", "REPO"),
        ("base", "Base"),
        ("dr_grpo", "Dr. GRPO"),
        ("cdpo", "cDPO"),
        ("my_run", "my_run"),
    ],
)
def test_an_variant_is_called_as_its_field_calls_it(name, shown) -> None:
    assert variant_name(name) == shown
    assert in_text(name) == ("the base model" if name == "base" else shown)


def test_only_the_first_letter_becomes_a_capital() -> None:
    assert [capital(text) for text in ("reward model RM2", "", "É")] == ["Reward model RM2", "", "É"]


def test_sources_are_named_by_the_results_and_by_their_own_name_where_these_are_old() -> None:
    info = {"model": {"label": "reward model", "symbol": "R_model", "unit": "score"},
            "rules": {"label": "rules", "symbol": "E_func", "unit": "points", "parts": "violations"}}  # fmt: skip
    names = SourceNames({"source_info": info})
    assert (names.label("model"), names.symbol("rules"), names.parts("rules")) == (
        "reward model",
        "E_func",
        "violations",
    )
    assert names.scores(["rules", "model"]) == ["model"] and names.points(["rules", "model", "x"]) == ["rules", "x"]
    for old in (SourceNames({}), SourceNames({"source_info": None})):
        assert (old.label("model"), old.symbol("model"), old.parts("model"), old.is_score("model")) == (
            "model", "model", "", False,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("write", "values", "shown"),
    [
        (percent, (0, 0.004, 0.0999, 0.1, 0.996, 1, None), ["0 %", "0.4 %", "10.0 %", "10 %", "100 %", "100 %", "-"]),
        (p_value, (0.0009, 0.001, 0.0999, 0.1, 1, None),
         ["p < 0.001", "p = 0.001", "p = 0.100", "p = 0.10", "p = 1.00", "p not defined"]),
        (duration, (9.94, 10.0, 59.9, 60, 119.6), ["9.9 s", "10 s", "60 s", "1 min 00 s", "2 min 00 s"]),
        (duration, (3599.6, 7260), ["1 h 00 min", "2 h 01 min"]),
        (points, (-0.0, 1.0, -1.26, float("inf")), ["0", "+1", "−1.3", "–"]),
        (signed, (-0.004, 0.004, float("-inf")), ["0.00", "0.00", "–"]),
        (lambda value: number(value, 0), (0.5, 1.5, -0.4, 1e6), ["0", "2", "0", "1000000"]),
    ],
)  # fmt: skip
def test_numbers_turn_over_where_a_reader_expects(write, values, shown) -> None:
    assert [write(value) for value in values] == shown
