"""The rubric: what may stand in a file, which questions are asked, and what the answers are worth."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repo_exp.errors import RewardError
from repo_exp.rewards.interface import RewardSource
from repo_exp.rewards.rubric import Item, Rubric, load_rubric, require_facts
from repo_exp.rewards.sources import local_judge
from repo_exp.types import Prompt

HOTEL = {
    "soothes": 20,
    "gives_reason": 20,
    "right_step": 30,
    "over_promises": -60,
    "rude": -40,
    "assumes_consent": -50,
    "misses_acceptance": -50,
    "repeats": -20,
}


def local(rubric, ask) -> local_judge.Source:
    """Return a local judge."""
    return local_judge.Source("judge", local_judge.Options(kind="local_judge"), rubric, ask)


def test_the_hotel_rubric_has_its_items_and_points(conf):
    rubric = load_rubric(conf / "rubric" / "hotel")
    assert {item.name: item.points for item in rubric.items} == HOTEL
    assert all(len(item.question.split()) <= 14 and item.yes and item.no for item in rubric.items)


def test_a_question_with_a_condition_is_asked_only_where_it_is_true(conf):
    rubric = load_rubric(conf / "rubric" / "hotel")
    names = [
        {item.name for item in rubric.applicable(Prompt("c", (), {"hotel_complains": yes}))} for yes in (True, False)
    ]
    assert names[0] - names[1] == {"soothes"}
    assert rubric.applicable(Prompt("c", ())) == rubric.applicable(Prompt("c", (), {"hotel_complains": None}))


def test_the_general_rubric_needs_no_facts(conf):
    rubric = load_rubric(conf / "rubric" / "general")
    assert rubric.applicable(Prompt("c", ())) == rubric.items
    assert {"polite", "on_topic", "over_promises", "repeats"} <= set(rubric.names)


def test_all_problems_come_at_once(declare):
    folder = declare(
        a="question: Is it good\npoints: 1",
        b="question: " + "really " * 15 + "?\npoints: many",
        c="questions: Is it good?\npoints: .inf\nexamples: {maybe: [x], yes: [No, 3]}",
    )
    with pytest.raises(RewardError) as caught:
        load_rubric(folder, drop=["aa"], points={"bb": 1.0})
    said = str(caught.value)
    for part in (
        "ends with a question mark",
        "at most 14",
        "points: 'many'",
        "did you mean 'question'",
        "points: inf",
        "unknown key 'maybe'",
        "is not a list of texts",
        "rubric.drop: 'aa'",
        "rubric.points.bb",
    ):
        assert part in said


def test_overrides_replace_points_and_drop_items(declare):
    folder = declare(a="question: Is it good?\npoints: 10", b="question: Is it bad?\npoints: -10")
    rubric = load_rubric(folder, drop=["b"], points={"a": 25})
    assert [(item.name, item.points) for item in rubric.items] == [("a", 25.0)]


RUBRIC = Rubric((Item("good", "", "Good?", 30.0), Item("bad", "", "Bad?", -60.0), Item("worse", "", "Worse?", -80.0)))


def test_a_score_is_points_times_probability():
    # 30 * 0.5 - 60 * 0.25 = 0; -80 * 0.1 = -8
    score = RUBRIC.score({"good": 0.5, "bad": 0.25, "worse": 0.1})
    assert score.value == pytest.approx(-8.0)
    assert score.parts == pytest.approx({"good": 15.0, "bad": -15.0, "worse": -8.0})
    assert RUBRIC.score({"good": 0.5, "bad": 0.25, "worse": 0.1}, hard=True).value == 30.0


def test_a_score_is_clipped_to_a_hundred():
    assert RUBRIC.score({"good": 0.0, "bad": 1.0, "worse": 1.0}).value == -100.0


def test_a_missing_answer_is_not_a_no():
    given_answers = {"good": 1.0, "bad": math.nan, "worse": 1.5}
    assert RUBRIC.score(given_answers).failed
    assert RUBRIC.score(given_answers).reason == "no answer to bad, worse"
    assert RUBRIC.unanswered(given_answers) == ("bad", "worse")
    assert RUBRIC.score({"good": math.nan}).reason == "no question was answered"
    assert RUBRIC.score({}).reason == "no question applies" and not RUBRIC.score({}).failed


@given(st.dictionaries(st.sampled_from(RUBRIC.names), st.floats(allow_nan=True), max_size=3), st.booleans())
def test_whatever_the_probabilities_the_score_is_missing_or_inside_the_scale(probabilities, hard):
    score = RUBRIC.score(probabilities, hard=hard)
    assert score.missing == (not score.parts)
    if not score.missing:
        assert score.value == pytest.approx(max(-100.0, min(100.0, sum(score.parts.values()))))


def test_the_local_judge_asks_what_applies_in_one_call(conf, make_response):
    calls = []

    def ask(pairs):
        calls.append(pairs)
        return [[0.5 for _ in questions] for _, questions in pairs]

    judge = local(load_rubric(conf / "rubric" / "hotel"), ask)
    assert isinstance(judge, RewardSource) and not judge.remote
    scores = judge.score([make_response("a", {"hotel_complains": True}), make_response("b")])
    # all eight: (20 + 20 + 30 - 60 - 40 - 50 - 50 - 20) / 2 = -75; without soothes -85
    assert [score.value for score in scores] == [-75.0, -85.0]
    assert len(calls) == 1
    assert [len(questions) for _, questions in calls[0]] == [8, 7]


def test_a_question_that_hangs_on_no_fact_of_any_prompt_is_refused() -> None:
    asked = [Item("soothes", "", "Sorry?", 20.0, when="hotel_complain"), Item("kind", "", "Kind?", 5.0)]
    there = [Prompt("a", (), {"mood": "calm"}), Prompt("b", (), {"hotel_complains": None, "tickets": [{"price": 1}]})]
    with pytest.raises(RewardError) as refused:
        require_facts(Rubric(tuple(asked)), there)
    text = str(refused.value)
    assert all(part in text for part in ("soothes: when", "'hotel_complain'", "did you mean 'hotel_complains'?"))
    assert "reward.drop_items=[soothes]" in text and "kind" not in text
    with pytest.raises(RewardError, match="prompts have no facts; without the question"):
        require_facts(Rubric(tuple(asked)), [Prompt("a", ())])
    for path in ("hotel_complains", "tickets.*.price"):  # a fact may be unknown everywhere and still be one
        require_facts(Rubric((Item("soothes", "", "Sorry?", 20.0, when=path),)), there)


def test_the_local_judge_counts_what_was_not_answered(make_response):
    judge = local(RUBRIC, lambda pairs: [[0.5, math.nan, 0.5], [math.nan] * 3])
    scores = judge.score([make_response("a"), make_response("b")])
    assert scores[0].reason == "no answer to bad"
    assert scores[1].missing
    assert judge.counts["unanswered/bad"] == 2


def test_a_local_judge_that_answers_the_wrong_number_of_questions_is_a_programming_error(make_response):
    with pytest.raises(ValueError, match="one answer for each question"):
        local(RUBRIC, lambda pairs: [[0.5]]).score([make_response("a")])


def test_a_response_to_which_no_question_applies_is_not_sent_to_the_model(make_response):
    rubric = Rubric((Item("soothes", "", "Sorry?", 20.0, when="hotel_complains"),))
    (score,) = local(rubric, lambda pairs: pytest.fail("asked")).score([make_response("a")])
    assert score.reason == "no question applies"
