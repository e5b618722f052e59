"""How much of a YAML file is read, to the last value; and files that are appended to, byte by byte."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repo_exp import bounds, durable
from repo_exp.bounds import DEEPEST, MOST_BYTES, MOST_NODES, unreasonable
from repo_exp.errors import WriteError


@pytest.fixture
def said(tmp_path):
    """Return a function: what a file of this text is too much of."""
    path = tmp_path / "a.yaml"

    def check(text: str) -> str:
        path.write_text(text, encoding="utf-8")
        return unreasonable(path)

    return check


def test_bytes_are_counted_before_anything_is_read(said) -> None:
    assert said("#" * MOST_BYTES) == ""
    assert said("#" * (MOST_BYTES + 1)) == "has more than 1,048,576 bytes"


def test_values_are_counted_with_every_alias_written_out(said, monkeypatch) -> None:
    """a: a mapping, its two keys, a list of 3, and the list again: 1 + 2 + 4 + 4 = 11."""
    text = "a: &a [1, 2, 3]\nb: *a\n"
    monkeypatch.setattr(bounds, "MOST_NODES", 11)
    assert said(text) == ""
    monkeypatch.setattr(bounds, "MOST_NODES", 10)
    assert said(text) == "has more than 10 values, with its aliases (*name) expanded"


def test_aliases_of_aliases_are_counted_without_writing_them_out(said) -> None:
    """Thirty lines of ten aliases each would be 10^30 values."""
    lines = ["a0: &a0 [1]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    assert f"more than {MOST_NODES:,} values" in said("\n".join(lines))


@pytest.mark.parametrize(("depth", "found"), [(DEEPEST - 1, ""), (DEEPEST, f"is nested more than {DEEPEST} deep")])
def test_nesting_is_counted_to_the_last_value(said, depth, found) -> None:
    """A list of no list is two deep: itself and its value."""
    assert said("[" * depth + "1" + "]" * depth) == found


@pytest.mark.parametrize("text", ["a: &a [*a]", "&a {b: {c: *a}}", "x: [1, &b {y: [*b]}]"])
def test_an_alias_of_what_it_is_part_of_is_refused(said, text) -> None:
    assert said(text) == "has an alias (*name) of a value that contains it"


@pytest.mark.parametrize("text", ["", "a: [", "\x00", "a: &a 1\nb: *a", "- &x {a: 1}\n- *x\n- *x"])
def test_what_is_no_yaml_or_holds_ordinary_aliases_is_somebody_elses_problem(said, text) -> None:
    assert said(text) == ""


def test_a_file_that_cannot_be_read_is_not_called_too_large(tmp_path) -> None:
    assert unreasonable(tmp_path / "none.yaml") == ""
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff")
    assert unreasonable(tmp_path / "latin.yaml") == ""


# -- files -------------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    st.lists(st.binary(max_size=9).map(lambda line: line.replace(b"\n", b"") + b"\n"), max_size=5),
    st.binary(max_size=9),
)
def test_whole_lines_stay_and_half_a_line_goes_whatever_bytes_they_are(tmp_path_factory, lines, rest) -> None:
    path, rest = tmp_path_factory.mktemp("append") / "rows", rest.replace(b"\n", b"")
    path.write_bytes(b"".join(lines) + rest)
    assert durable.end_of_lines(path) == sum(map(len, lines))
    durable.append(path, b"new\n")
    assert path.read_bytes() == b"".join(lines) + b"new\n"


@pytest.mark.parametrize("length", [65_535, 65_536, 65_537, 200_000])
def test_the_last_line_end_is_found_however_long_the_half_line_is(tmp_path, length) -> None:
    path = tmp_path / "rows"
    path.write_bytes(b"one\ntwo\n" + b"x" * length)
    assert durable.end_of_lines(path) == 8
    path.write_bytes(b"x" * length)
    assert durable.end_of_lines(path) == 0


def test_folders_that_are_made_are_synced_into_those_above_them(tmp_path, monkeypatch) -> None:
    synced = []
    monkeypatch.setattr(durable, "sync", lambda path: synced.append(path))
    durable.make_folder(tmp_path / "a" / "b")
    assert sorted(synced) == [tmp_path, tmp_path / "a"]
    synced.clear()
    durable.make_folder(tmp_path / "a" / "b")
    assert synced == []


def test_a_file_where_a_folder_has_to_be_is_said(tmp_path) -> None:
    (tmp_path / "a").write_text("a file")
    with pytest.raises(WriteError, match="there is something else at this path") as caught:
        durable.write_text(tmp_path / "a" / "b.json", "{}")
    assert caught.value.problems[0].where == str(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "a file"


def test_an_append_that_is_cut_off_takes_its_own_bytes_back(tmp_path, monkeypatch) -> None:
    path = tmp_path / "rows"
    durable.append(path, b"old\n")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match="the disk is full"):
        durable.append(path, b"new\n")
    assert path.read_bytes() == b"old\n"
    durable.append(path, b"new\n", synced=False)
    assert Path(path).read_bytes() == b"old\nnew\n"


def test_only_a_full_disk_is_said_of_a_block_that_reads_as_well(tmp_path) -> None:
    with pytest.raises(PermissionError), durable.refusals(tmp_path, only_full=True):
        raise PermissionError(13, "no")
    with pytest.raises(WriteError, match="the disk is full"), durable.refusals(tmp_path, only_full=True):
        raise OSError(28, "no")
    inner = WriteError("the inner one")
    with pytest.raises(WriteError) as caught, durable.refusals(tmp_path):
        raise inner
    assert caught.value is inner
