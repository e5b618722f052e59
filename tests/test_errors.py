"""Errors that a user meets: where, what and what would work; across processes; and the nearest name."""

from __future__ import annotations

import errno
import pickle

import pytest

from repo_exp.errors import (
    ConfigError,
    NotFiniteError,
    Problem,
    RepoExpError,
    StoreError,
    did_you_mean,
    from_system,
)


def test_a_message_has_a_line_for_each_problem_and_its_remedy_below() -> None:
    error = ConfigError("two things are wrong", [Problem("model", "is gone", "another"), Problem("seed", "is odd")])
    assert str(error) == "two things are wrong\n  model: is gone\n    another\n  seed: is odd"
    assert str(StoreError("damaged")) == "damaged" and StoreError("damaged").problems == ()


@pytest.mark.parametrize("kind", [ConfigError, NotFiniteError, StoreError, RepoExpError])
def test_an_error_comes_whole_out_of_another_process(kind) -> None:
    """Launchers pickle it; the default would make a headline of the joined text."""
    error = kind("headline", iter([Problem("a", "b", "c")]))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and str(again) == str(error)
    assert (again.headline, again.problems) == ("headline", (Problem("a", "b", "c"),))


def test_what_was_being_done_comes_in_front_and_the_problems_stay() -> None:
    inner = NotFiniteError("a loss is NaN", [Problem("step 3", "nan")])
    outer = inner.during("step 3 of 9").during("the stage sft stops")
    assert outer.headline == "the stage sft stops: step 3 of 9: a loss is NaN" and outer.problems == inner.problems


@pytest.mark.parametrize(
    ("word", "known", "said"),
    [
        ("pop", ["ppo", "grpo"], "did you mean 'ppo'?"),
        ("REPO", ["repo", "ppo"], "did you mean 'repo'?"),
        ("dr-grpo", ["dr_grpo", "grpo"], "did you mean 'dr_grpo'?"),
        ("rf+rm", ["rm+rf", "rm", "rf"], "did you mean 'rm+rf'?"),
        (" Weighted-Sum ", ["weighted_sum", "gated"], "did you mean 'weighted_sum'?"),
        ("WEIGTED-SUM", ["weighted_sum", "gated"], "did you mean 'weighted_sum'?"),
        ("x-1", ["x_1", "x-12"], "did you mean 'x_1'?"),  # the same name comes before one with more letters in common
        ("REPO", ["repo", "REPOS"], "did you mean 'repo'?"),
        ("xyz", ["ppo", "grpo"], "valid: grpo, ppo"),
        ("xyz", [], "there are no valid names"),
    ],
)
def test_the_nearest_name_is_offered_and_all_of_them_where_none_is_near(word, known, said) -> None:
    assert did_you_mean(word, known) == said


def test_what_the_system_refuses_names_its_file_and_a_long_name_is_cut() -> None:
    found = from_system(PermissionError(errno.EACCES, "Permission denied", "/a/b"))
    assert (found.where, found.found) == ("/a/b", "permission denied")
    assert from_system(OSError("Odd")) == Problem("the operating system", "odd")
    assert from_system(OSError()).found == "oserror"
    kept, cut = (from_system(OSError(1, "no", "x" * length)).where for length in (120, 121))
    assert (len(kept), cut) == (120, "x" * 117 + "...")
