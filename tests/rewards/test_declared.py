"""Folders of YAML declarations: names, purposes, lines, and what is refused."""

from __future__ import annotations

import time

import pytest

from repo_exp.rewards.declared import fingerprint, read_folder
from repo_exp.rewards.facts import is_number, numbers_at, values_at


def test_the_words_yes_and_no_stay_words(declare):
    (found,), problems = read_folder(declare(a="yes: [No, on, 12:30, 2024-01-01]\nreally: true\nnumber: 1e-3"))
    assert not problems
    assert found.data == {"yes": ["No", "on", "12:30", "2024-01-01"], "really": True, "number": 0.001}


def test_the_first_comment_is_the_purpose_and_every_key_has_its_line(declare):
    (found,), _ = read_folder(declare(a="# What it is for.\nkind: x\noptions:\n  patterns:\n    - one\n    - two"))
    assert found.purpose == "What it is for."
    assert found.where("options", "patterns", 1).endswith("a.yaml:6")
    assert found.where("nowhere").endswith("a.yaml:1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1\nb: 2", "not YAML"),
        ("a: 1\na: 2", "'a' occurs twice"),
        ("- 1", "holds no keys"),
        ("", "holds no keys"),
        ("a: !!python/object/apply:os.system [ls]", "not YAML"),
        ("a: 1\x07", "cannot be read"),
    ],
)
def test_what_is_no_declaration_is_reported_with_its_file(declare, text, said):
    declarations, problems = read_folder(declare(bad=text))
    assert not declarations
    assert said in str(problems[0])
    assert "bad.yaml" in problems[0].where


def test_a_file_must_say_what_it_is_for(tmp_path):
    (tmp_path / "a.yaml").write_text("kind: x")
    assert "begin with a comment" in str(read_folder(tmp_path)[1][0])


def test_a_file_that_is_not_utf8_a_wrong_suffix_and_a_bad_name_are_all_reported(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"# x\na: \xff\xfe")
    (tmp_path / "b.yml").write_text("# x\na: 1")
    (tmp_path / "My Rule.yaml").write_text("# x\na: 1")
    _, problems = read_folder(tmp_path)
    assert len(problems) == 3


def test_a_folder_that_is_not_there_names_the_nearest(tmp_path):
    (tmp_path / "hotel").mkdir()
    assert "did you mean 'hotel'" in str(read_folder(tmp_path / "hotle")[1][0])
    assert "no .yaml file" in str(read_folder(tmp_path / "hotel")[1][0])


def test_an_alias_that_contains_itself_ends(declare):
    read_folder(declare(a="a: &x [*x]"))


def test_paths_reach_into_lists_and_mappings_and_stay_side_by_side():
    facts = {"tickets": [{"low": 1, "high": 2}, {"high": 4}, {"low": "x", "high": float("nan")}], "flag": True}
    assert values_at(facts, "tickets.*.low") == [1, None, "x"]
    assert numbers_at(facts, "tickets.*.high") == [2.0, 4.0]
    assert values_at(facts, "tickets.1.high") == [4]
    assert numbers_at(facts, "flag") == []
    assert values_at(facts, "no.such.path") == [None]


def test_a_fingerprint_does_not_depend_on_the_order_of_keys():
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1}) != fingerprint({"a": 1, "b": [3]})


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGE = "a: &a {x: 1}\n" + "".join(
    f"k{i}: &k{i} {{<<: [{', '.join(['*a' if i == 0 else f'*k{i - 1}'] * 4)}]}}\n" for i in range(12)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "more than 20,000 values, with its aliases"),
        (MERGE, "more than 20,000 values, with its aliases"),
        ("a: &a [1, *a]", "an alias (*name) of a value that contains it"),
        ("a: " + "[" * 60 + "]" * 60, "nested more than 40 deep"),
        ("a: " + "[" * 50_000, "bad.yaml"),
        ("a: " + "x" * 2**20, "more than 1,048,576 bytes"),
    ],
    ids=["aliases", "merges", "itself", "deep", "deeper", "large"],
)
def test_a_file_that_is_too_much_to_read_is_refused_at_once(declare, text, said):
    start = time.monotonic()
    declarations, problems = read_folder(declare(bad=text))
    assert not declarations and said in str(problems[0])
    assert time.monotonic() - start < 30, "it hangs"


def test_a_few_aliases_are_what_they_always_were(declare):
    (found,), problems = read_folder(declare(a="k: &k {x: 1}\nl: [{<<: *k, y: 2}, *k]"))
    assert not problems and found.data["l"] == [{"x": 1, "y": 2}, {"x": 1}]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400, True, "1", None])
def test_what_no_finite_number_is_is_none(value):
    """A whole number of 401 digits is an int, and no float can hold it."""
    assert not is_number(value)
    assert numbers_at({"price": value}, "price") == []
