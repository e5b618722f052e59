"""What is written is read back; what a killed run left behind harms nothing."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repo_exp.errors import DataError
from repo_exp.tracking.jsonl import JsonlTracker, _json, read_metrics


def test_what_was_logged_is_read_back_in_order(tmp_path):
    tracker = JsonlTracker(tmp_path)
    tracker.log("sft", 0, {"loss/train": 2.5})
    tracker.log("policy", 3, {"reward/total": 0.25, "reward/judge": math.nan, "grad/policy_norm": math.inf})
    first, second = read_metrics(tmp_path / "metrics.jsonl")  # before finish: each line is flushed
    tracker.finish(True)
    assert (first["stage"], first["step"], first["metrics"]) == ("sft", 0, {"loss/train": 2.5})
    assert second["metrics"] == {"reward/total": 0.25, "reward/judge": None, "grad/policy_norm": None}
    assert second["time"] >= first["time"] > 1e9


def test_half_a_last_line_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    whole = '{"stage": "sft", "step": 0, "metrics": {}}\n'
    path.write_text(whole + '{"stage": "sft", "st')
    assert len(read_metrics(path)) == 1


def test_a_run_that_goes_on_cuts_half_a_line_off_and_appends(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"stage": "sft", "step": 0, "metrics": {}}\n{"stage": "sft", "st')
    tracker = JsonlTracker(tmp_path)
    tracker.log("sft", 1, {})
    tracker.finish(True)
    assert [record["step"] for record in read_metrics(path)] == [0, 1]


def test_every_broken_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('nonsense\n{"stage": "sft", "step": 0, "metrics": {}}\n[1]\n\n{"stage": "a", "step": 1}\n')
    with pytest.raises(DataError) as caught:
        read_metrics(path)
    assert [problem.where.rsplit(":", 1)[1] for problem in caught.value.problems] == ["1", "3", "5"]


def test_no_file_is_no_records(tmp_path):
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_summaries_add_up_and_tables_stay_in_the_folder(tmp_path):
    tracker = JsonlTracker(tmp_path)
    tracker.summary({"p": 0.5, "n": 3})
    tracker.summary({"p": math.nan})
    tracker.table("../responses/best of", ["text", "score"], [["caf\u00e9 \ud800", 1.0]])
    tracker.finish(True)
    assert json.loads((tmp_path / "summary.json").read_text()) == {"p": None, "n": 3}
    (table,) = (tmp_path / "tables").iterdir()
    assert json.loads(table.read_text()) == {"columns": ["text", "score"], "rows": [["caf\u00e9 \ud800", 1.0]]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "summary.json", "tables"]


@given(st.dictionaries(st.text(), st.floats() | st.text() | st.lists(st.floats())))
def test_anything_becomes_one_line_of_strict_json(value):
    line = _json(value)
    assert "\n" not in line

    def refuse(name):
        raise AssertionError(name)

    json.loads(line, parse_constant=refuse)


def reported(tmp_path, *rows, ok=True):
    tracker = JsonlTracker(tmp_path)
    for stage, step, loss in rows:
        tracker.log(stage, step, {"loss": loss})
    tracker.finish(ok)
    return [(row["stage"], row["step"], row["metrics"]["loss"]) for row in read_metrics(tmp_path / "metrics.jsonl")]


FIRST = [("sft", 1, 1.0), ("sft", 2, math.nan), ("policy", 1, 3.0), ("policy", 2, 4.0), ("policy", 3, 5.0)]
READ = [(stage, step, None if math.isnan(loss) else loss) for stage, step, loss in FIRST]


def test_a_run_that_goes_on_in_its_folder_leaves_each_step_once(tmp_path):
    """Killed after step 3 of a stage whose checkpoint has 2: they are reported again, and then the rest."""
    reported(tmp_path, *FIRST, ok=False)
    before = (tmp_path / "metrics.jsonl").read_text()
    assert reported(tmp_path, *FIRST, ("policy", 4, 6.0)) == [*READ, ("policy", 4, 6.0)]
    assert (tmp_path / "metrics.jsonl").read_text().startswith(before)


def test_steps_that_come_out_otherwise_replace_those_of_the_run_before(tmp_path):
    reported(tmp_path, *FIRST)
    other = [("sft", 1, 1.0), ("policy", 1, 3.0), ("policy", 2, 40.0)]
    assert sorted(reported(tmp_path, *other)) == sorted(other)


def test_lines_that_are_damaged_or_there_twice_are_removed_with_a_word(tmp_path, caplog):
    reported(tmp_path, *FIRST)
    path = tmp_path / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], "\0\0\0\n", *lines[1:], lines[1], lines[2][:20]]))
    assert sorted(reported(tmp_path, *FIRST), key=str) == sorted(READ, key=str)
    assert "damaged or there twice" in caplog.text


def test_a_run_folder_that_is_full_is_an_error_and_not_a_tracker_less(tmp_path, monkeypatch):
    from repo_exp.errors import WriteError
    from repo_exp.tracking.tracker import Trackers

    trackers = Trackers([JsonlTracker(tmp_path)])
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(WriteError, match="the disk is full"):
        trackers.log("sft", 1, {"loss": 1.0})
