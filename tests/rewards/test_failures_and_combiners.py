"""Why an endpoint gave no verdict, whether asking again may help, and what holds for every combiner."""

from __future__ import annotations

import math
import ssl

import httpx
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repo_exp.errors import RewardError
from repo_exp.rewards.combine import find
from repo_exp.rewards.judge import reasons
from repo_exp.rewards.judge.reasons import (
    ElsewhereError,
    NoVerdictError,
    TooLongError,
    may_pass,
    reached,
    reason_of,
    worth_asking_again,
)
from repo_exp.types import Score
from tests.rewards.combining import combine

SECRET = "sk-abcdef123456 said the response"
REQUEST = httpx.Request("POST", "https://example.org/v1")


def status(code: int) -> openai.APIStatusError:
    return openai.APIStatusError(SECRET, response=httpx.Response(code, request=REQUEST), body=None)


def caused(error: BaseException, *, prompt: bool = False) -> BaseException:
    outer = openai.APIConnectionError(message=SECRET, request=REQUEST)
    if prompt:
        outer.__context__ = error
    else:
        outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NoVerdictError("missing item: rude"), "missing item: rude"),
        (TooLongError(SECRET), "answer too long"),
        (caused(ElsewhereError(SECRET)), "redirected to another host"),
        (caused(TimeoutError(SECRET), prompt=True), "timeout"),
        (openai.APITimeoutError(REQUEST), "timeout"),
        (caused(ssl.SSLError(SECRET)), "TLS failed"),
        (caused(OSError(SECRET)), "no connection"),
        (ConnectionResetError(SECRET), "no connection"),
        (status(429), "http 429"),
        (status(503), "http 503"),
        (ValueError(SECRET), "unreadable"),
        (IndexError(SECRET), "unreadable"),
        (AttributeError(SECRET), "unreadable"),
        (KeyError(SECRET), "KeyError"),
    ],
)
def test_a_failure_is_a_few_words_and_never_the_errors_own(error, reason) -> None:
    assert reason_of(error) == reason
    assert "sk-" not in reason_of(error)


def test_errors_that_cause_one_another_come_to_an_end() -> None:
    one, other = ValueError("a"), ValueError("b")
    one.__cause__, other.__cause__ = other, one
    assert reason_of(one) == "unreadable"


@pytest.mark.parametrize(
    ("outcome", "there"),
    [({"polite": True}, True), ("http 401", True), ("unreadable", True), ("timeout", False), ("no connection", False),
     ("http 502", False), ("http 503", False), ("http 504", False), ("http 500", True), ("TLS failed", False)],
)  # fmt: skip
def test_only_what_never_got_there_counts_against_an_endpoint(outcome, there) -> None:
    assert reached(outcome) == there


@pytest.mark.parametrize(
    ("reason", "passes"),
    [("http 404", True), ("no client for it", True), ("unusable key", True), ("answer too long", True),
     ("certificate expired", True), ("redirected to another host", True), ("not http 500", False),
     ("http 500 x", False), ("missing item: rude", False), ("", False)],
)  # fmt: skip
def test_what_a_person_or_time_can_mend_may_pass(reason, passes) -> None:
    assert may_pass(reason) == passes


def test_an_artifact_is_made_again_for_one_reason_that_may_have_passed() -> None:
    lasting = {"judge": {"reasons": {"unreadable": 9}}, "model": {"reasons": {"contradictory": 1}}}
    assert not worth_asking_again({}) and not worth_asking_again(lasting)
    assert worth_asking_again(lasting | {"far": {"reasons": {"unreadable": 3, "timeout": 1}}})


def test_every_remedy_is_for_a_reason_that_can_occur() -> None:
    fixed = {value for name, value in vars(reasons).items() if name.isupper() and isinstance(value, str)}
    assert {key for key in reasons.REMEDIES if not key.startswith("http ")} <= fixed


# -- combiners ---------------------------------------------------------------------------------------------------------

GATE = {"source": "rules", "threshold": 0.0, "otherwise": -3.0}
EVERY = {
    "enhancement": combine("enhancement"),
    "model_only": combine("model_only"),
    "weighted_sum": combine("weighted_sum", weights={"judge": 0.5}),
    "gated": combine("gated", gate=GATE),
    "lexicographic": combine("lexicographic", order=["rules", "model", "judge"], tolerance={}),
    "decoupled": combine("decoupled"),
}
BY_RESPONSE = ["enhancement", "model_only", "weighted_sum", "gated"]
scores = st.one_of(st.just(math.nan), st.integers(-200, 200).map(float))
batches = st.lists(st.tuples(scores, scores, scores), min_size=1, max_size=6)


def by_name(worth, rows, names=("model", "judge", "rules")):
    return [{name: worth(*row)[name] for name in names} for row in rows]


@settings(max_examples=30)
@given(batches, st.sampled_from(sorted(EVERY)))
def test_a_total_without_a_score_says_so_or_is_missing_and_none_is_infinite(worth, rows, name) -> None:
    """Of a source that counts: either the total is NaN, or the source is among those that it does without."""
    for row, found in zip(rows, EVERY[name](by_name(worth, rows), [0] * len(rows)), strict=True):
        silent = {source for source, value in zip(("model", "judge", "rules"), row, strict=True) if math.isnan(value)}
        assert not math.isinf(found.total) and set(found.missing_sources) <= silent
        if all(map(math.isnan, row)):
            assert math.isnan(found.total)
        behind_a_gate = name == "gated" and row[2] < 0
        counted = {"model"} if name == "model_only" else {"model", "judge", "rules"}
        if not behind_a_gate:
            assert set(found.missing_sources) == silent & counted
        if behind_a_gate:
            assert (found.total, found.missing_sources) == (-3.0, ())


@settings(max_examples=30)
@given(batches, st.sampled_from(sorted(EVERY)), st.permutations(["model", "judge", "rules"]))
def test_the_order_in_which_sources_are_configured_changes_no_total(worth, rows, name, order) -> None:
    groups = [i % 2 for i in range(len(rows))]
    first = EVERY[name](by_name(worth, rows), groups)
    second = EVERY[name](by_name(worth, rows, order), groups)
    assert [each.total for each in second] == pytest.approx([each.total for each in first], nan_ok=True)
    assert [each[1:] for each in second] == [each[1:] for each in first]


@settings(max_examples=30)
@given(batches, st.sampled_from(BY_RESPONSE))
def test_a_combiner_of_single_responses_knows_nothing_of_the_others(worth, rows, name) -> None:
    together = EVERY[name](by_name(worth, rows), range(len(rows)))
    alone = [EVERY[name](by_name(worth, [row]), ["x"])[0] for row in rows]
    assert [each.total for each in alone] == pytest.approx([each.total for each in together], nan_ok=True)


@settings(max_examples=30)
@given(batches)
def test_the_clip_and_the_enhancement_add_up_to_the_points(worth, rows) -> None:
    for row, found in zip(rows, EVERY["model_only"](by_name(worth, rows), range(len(rows))), strict=True):
        points = sum(value for value in row[1:] if not math.isnan(value))
        assert abs(found.enhancement) <= 100
        assert found.enhancement + math.copysign(found.clipped, points) == pytest.approx(points)


def test_a_gate_opens_at_its_threshold_and_a_source_that_is_not_asked_leaves_no_total(worth) -> None:
    open_at = combine("gated", gate=GATE | {"threshold": -5.0})
    assert [each.total for each in open_at([worth(1.0, None, -5.0), worth(1.0, None, -5.1)], "ab")] == [0.95, -3.0]
    (unknown,) = open_at([{"model": Score(1.0)}], "a")
    assert math.isnan(unknown.total)


def test_a_combiner_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(RewardError, match=r"reward\.combine: there is no combiner 'weighted'\n.*weighted_sum"):
        find("weighted")
    with pytest.raises(RewardError, match="there is no combiner 'interface'"):
        find("interface")
