"""Every response is kept with its scores as a line of JSON, whatever it holds."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repo_exp.rewards.record import record
from repo_exp.stages.store import write_lines
from repo_exp.types import RewardBreakdown, Score


def breakdown() -> RewardBreakdown:
    return RewardBreakdown(
        {"model": Score(1.5), "judge": Score.none("timeout", "hm"), "rules": Score(-20.0, {"too_long": -20.0})},
        -20.0,
        math.nan,
        missing_sources=("judge",),
    )


def test_a_record_says_everything_and_nan_is_null(make_response):
    response = make_response("Good morning", {}, ("user", "hi"), finished=False)
    row = json.loads(json.dumps(record(response, breakdown(), step=3), allow_nan=False))
    assert row["step"] == 3
    assert row["messages"] == [{"role": "user", "content": "hi"}]
    assert (row["response"], row["finished"], row["tokens"]) == ("Good morning", False, 2)
    assert row["total"] is None and row["missing_sources"] == ["judge"]
    silent = {"value": None, "parts": {}, "reason": "timeout", "words": "hm", "applies": True}
    assert row["sources"]["judge"] == silent
    assert row["sources"]["rules"]["parts"] == {"too_long": -20.0}


def test_extra_keys_do_not_overwrite_the_records_own(make_response):
    with pytest.raises(ValueError, match="'total'"):
        record(make_response("a"), breakdown(), total=3)


@given(text=st.text(st.characters(exclude_categories=[]), max_size=50))
def test_any_text_comes_back_as_it_was(make_response, tmp_path_factory, text):
    path = tmp_path_factory.mktemp("r") / "rollouts.jsonl"
    write_lines(path, [record(make_response(text), breakdown())] * 2)
    with path.open(encoding="utf-8", newline="\n") as file:
        assert [json.loads(line)["response"] for line in file] == [text, text]
