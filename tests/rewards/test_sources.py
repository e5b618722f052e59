"""Kinds of sources: found by file name, typed by their options, and named for readers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from repo_exp.errors import RewardError
from repo_exp.rewards import sources
from repo_exp.rewards.interface import RewardSource, SourceOptions
from repo_exp.rewards.rules import Rule, RuleSet
from repo_exp.rewards.sources import length, rules
from repo_exp.types import Prompt, Trajectory


def test_every_file_is_a_kind_with_options_and_a_source():
    assert sources.kinds() == ["length", "local_judge", "openai_judge", "reward_model", "rules"]
    for kind in sources.kinds():
        module = sources.find(kind)
        assert issubclass(module.Source, RewardSource) and issubclass(module.Options, SourceOptions)
        assert module.Options(kind=kind).kind == kind
        assert all(field.description for field in module.Options.model_fields.values() if field.annotation is not str
                   and "Literal" not in str(field.annotation))  # fmt: skip


def test_a_kind_that_does_not_exist_is_refused_with_the_nearest():
    with pytest.raises(RewardError, match="did you mean 'length'"):
        sources.find("lenght")


def test_sources_have_the_names_of_the_paper_or_their_own():
    named = {
        name: sources.info_of(name, {"kind": kind})
        for name, kind in {"model": "reward_model", "judge": "local_judge", "rules": "rules", "rm2": "reward_model",
                           "style": "rules", "far": "openai_judge", "length": "length", "short": "length"}.items()
    }  # fmt: skip
    assert {name: (each.symbol, each.label) for name, each in named.items()} == {
        "model": ("R_model", "reward model"),
        "judge": ("E_judge", "judge"),
        "rules": ("E_func", "rules"),
        "rm2": ("R_rm2", "reward model rm2"),
        "style": ("E_style", "rules style"),
        "far": ("E_far", "judge far"),
        "length": ("E_length", "length"),
        "short": ("E_short", "length short"),
    }
    assert named["rules"].part("rude") == "rude" and named["style"].part("rude") == "style/rude"
    assert named["judge"].part("kind") == "kind" and named["far"].part("kind") == "far/kind"


def score(words: int, **options) -> float:
    source = length.Source("length", length.Options(kind="length", **options))
    (found,) = source.score([Trajectory.single(Prompt("p", ()), " ".join(["word"] * words))])
    return found.value


def test_the_length_penalty_by_hand():
    """0 up to 10 words, then 30 points over 20 words: 6 words beyond are 9 points."""
    options = {"start": 10, "end": 30, "points": 30.0}
    assert [score(words, **options) for words in (0, 10, 16, 30, 99)] == [0, 0, -9, -30, -30]


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 20))
def test_more_words_never_cost_less(words, start, room):
    options = {"start": start, "end": start + room}
    assert -50 <= score(words + 1, **options) <= score(words, **options) <= 0


def test_an_end_before_the_start_is_refused():
    with pytest.raises(ValidationError, match="an end above start = 80"):
        length.Options(kind="length", end=80)


def test_the_fingerprint_changes_with_whatever_can_change_a_score():
    first, second = (length.Source("a", length.Options(kind="length", points=points)) for points in (1.0, 2.0))
    assert first.fingerprint != second.fingerprint
    assert first.fingerprint == length.Source("b", length.Options(kind="length", points=1.0)).fingerprint
    options = rules.Options(kind="rules")
    kept, changed = (RuleSet((Rule("short", "", "empty", points, lambda response: False),)) for points in (-1.0, -2.0))
    assert rules.Source("r", options, kept).fingerprint != rules.Source("r", options, changed).fingerprint
    assert rules.Source("r", options, kept).part_names == ("short",)
