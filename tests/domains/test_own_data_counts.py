"""What can be read and may not be what was meant is counted; too few prompts are refused; bad rows are summed up."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from repo_exp.domains import own_data
from repo_exp.domains.own_data.checking import label_notes
from repo_exp.domains.own_data.faults import SHOWN
from repo_exp.domains.own_data.splitting import require_every_split
from repo_exp.errors import DataError
from repo_exp.types import SPLITS


def rows(count: int, **more) -> list[dict]:
    return [{"prompt": f"Question {n}?", "chosen": f"Yes, {n}.", "rejected": f"No, {n}.", **more} for n in range(count)]


def save(path: Path, lines: list) -> Path:
    path.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in lines))
    return path


def load(path: Path, seed: int = 0, **options):
    return own_data.load(path, seed=seed, development=0.2, test=0.2, **options)


@pytest.fixture
def noted(tmp_path):
    """Return a function: rows -> what is said of them."""
    return lambda lines: load(save(tmp_path / "a.jsonl", lines)).notes


def test_ordinary_data_are_not_remarked_upon(noted):
    assert noted(rows(40, facts={"n": 1}, labels={"chosen": {"polite": True}}, margin=1, kind="a", fault="b")) == ()


def test_fields_that_nothing_uses_are_counted_with_the_nearest_name(noted):
    lines = [row | {"lables": {}, "score": 3, "prompt_id": 7} for row in rows(12)]
    lines[0]["weird\ud800"] = 1
    notes = "\n".join(noted([*lines[:5], *rows(20)[5:]]))
    assert "the field 'lables' is not used: 5 of 20 rows (a.jsonl:1, a.jsonl:2, ...): did you mean 'labels'?" in notes
    assert "the field 'score' is not used: 5 of 20 rows" in notes
    assert "'prompt_id'" in notes and "did you mean 'prompt'" not in notes  # there is a prompt already
    assert notes.encode("utf-8") and "weird" in notes


def test_duplicates_contradictions_and_labels_both_ways_are_counted(noted):
    lines = rows(12)
    lines += [lines[3], lines[3], {**lines[4], "chosen": lines[4]["rejected"], "rejected": lines[4]["chosen"]}]
    lines[5] |= {"labels": {"chosen": {"polite": True}}}
    lines += [lines[5] | {"rejected": "Never.", "labels": {"chosen": {"polite": False}}}]
    notes = "\n".join(noted(lines))
    assert "the same prompt and responses as in a row before: 2 of 16 rows (a.jsonl:13, a.jsonl:14)" in notes
    assert "ranked both ways: 2 of 16 rows (a.jsonl:5, a.jsonl:15)" in notes
    assert "a label that is both true and false: 1 of 16 rows (a.jsonl:16)" in notes


def test_prompts_that_are_made_or_repeated_are_counted(noted):
    lines = rows(12)
    lines[0] = {"chosen": "The sky is blue.", "rejected": "The sky is green."}
    question = "What is the tallest house?"
    lines[1] = {"prompt": question, "chosen": f"{question} A.", "rejected": f"{question} B."}
    notes = "\n".join(noted(lines))
    assert "is taken as the prompt: 1 of 12 rows (a.jsonl:1)" in notes
    assert "begin with the text of the prompt" in notes and "1 of 12 rows (a.jsonl:2)" in notes


def test_labels_of_no_rubric_item_are_counted_and_so_is_their_absence(tmp_path):
    labels = {"chosen": {"polite": True, "on_topik": True}, "rejected": {"on_topik": False}}
    corpus = load(save(tmp_path / "a.jsonl", rows(12, labels=labels))).corpus
    (note,) = label_notes(corpus, ["polite", "on_topic"], trained=True)
    assert "'on_topik'" in note and "24 responses" in note and "did you mean 'on_topic'?" in note
    assert "without training" in label_notes(corpus, ["clear"], trained=True)[-1]
    assert label_notes(corpus, ["polite", "on_topik"], trained=False) == []


def test_too_few_prompts_are_refused(tmp_path):
    for lines in (rows(1), rows(1) * 40, rows(2)):
        with pytest.raises(DataError, match="too few prompts") as caught:
            require_every_split(load(save(tmp_path / "a.jsonl", lines)).corpus, "a.jsonl")
        assert "more prompts" in caught.value.problems[0].remedy
    corpus = own_data.load(save(tmp_path / "b.jsonl", rows(5)), seed=0, development=0.01, test=0.01).corpus
    assert len(corpus.prompts["train"]) == 5
    with pytest.raises(DataError, match=r"5 different prompts in all \(train 5, development 0, test 0\)"):
        require_every_split(corpus, "b.jsonl")
    require_every_split(load(save(tmp_path / "c.jsonl", rows(40))).corpus, "c.jsonl")


class TestManyBadLines:
    @pytest.fixture
    def path(self, tmp_path, monkeypatch):
        """A file of 3,000 bad lines and 40 good ones."""
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        bad = ["{oops"] * 1000 + [{"prompt": f"x{n}", "chosen": "y"} for n in range(1500)]
        bad += [
            {"prompt": [{"role": "user", "content": [{"type": "image_url"}]}], "chosen": "a", "rejected": "b"}
        ] * 500
        return save(tmp_path / "bad.jsonl", [*rows(40), *bad])

    def test_they_are_counted_by_kind_and_twenty_are_shown(self, path, tmp_path):
        with pytest.raises(DataError) as caught:
            load(path)
        error = caught.value
        assert "3,000 bad and 40 good lines" in error.headline and "data.skip_bad_lines=true" in error.headline
        for kind in ("1,500 x no 'rejected'", "1,000 x not JSON", "500 x 'prompt[].content[]' is a part of type"):
            assert kind in error.headline
        assert len(error.problems) == SHOWN + 1
        assert [p.where for p in error.problems[:SHOWN]] == [f"{path}:{n}" for n in range(41, 41 + SHOWN)]
        (listed,) = tmp_path.glob("repo_exp-bad-lines-*.txt")
        assert str(listed) in error.problems[-1].remedy
        assert len(listed.read_text().splitlines()) == 3000
        with pytest.raises(DataError):
            load(path)  # a sweep looks again
        assert len([*tmp_path.glob("repo_exp-bad-lines-*.txt")]) == 1

    def test_left_out_they_are_listed_where_one_wants_them(self, path, tmp_path):
        own = load(path, skip_bad_lines=True)
        assert own.good == 40 and len(own.bad) == 3000
        warning = own.bad_lines(tmp_path / "rest.txt")
        assert "3,000 bad and 40 good lines" in warning and len(warning) < 6000
        assert (tmp_path / "rest.txt").read_text().count("\n") == 3000


BAD_TEXTS = {
    "twice": ('{"prompt": "x", "chosen": "a", "chosen": "c", "rejected": "b"}', "'chosen' occurs twice"),
    "NaN": ('{"prompt": "x", "chosen": "a", "rejected": "b", "margin": NaN}', "NaN is not a number"),
    "-Infinity": ('{"prompt": "x", "chosen": "a", "rejected": "b", "margin": -Infinity}', "-Infinity is not a number"),
    "too large": ('{"prompt": "x", "chosen": "a", "rejected": "b", "facts": {"n": 1e999}}', "too large for a number"),
    "digits": ('{"prompt": "x", "chosen": "a", "rejected": "b", "facts": {"n": ' + "9" * 5000 + "}}", "5,000 digits"),
    "deep": (
        '{"prompt": "x", "chosen": "a", "rejected": "b", "facts": ' + '{"a":' * 9000 + "1" + "}" * 9001,
        "too deeply",
    ),
    "python": ("{'prompt': 'x', 'chosen': 'a', 'rejected': 'b'}", "not JSON"),
    "raw null": ('{"prompt": "x\0", "chosen": "a", "rejected": "b"}', "not JSON"),
    "escaped null": ('{"prompt": "x\\u0000", "chosen": "a", "rejected": "b"}', "null character"),
    "surrogate": ('{"prompt": "\\udc00", "chosen": "a", "rejected": "b"}', "surrogate"),
    "comma": ('{"prompt": "x", "chosen": "a", "rejected": "b",}', "not JSON"),
    "array": ("[1, 2]", "a JSON list"),
    "text": ('"x"', "a JSON text"),
    "null": ("null", "a JSON null"),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
@pytest.mark.parametrize("at", [0, 6])
def test_a_bad_line_is_reported_wherever_it_stands(tmp_path, name, at):
    text, found = BAD_TEXTS[name]
    lines: list = rows(12)
    lines.insert(at, text)
    path = save(tmp_path / "a.jsonl", lines)
    with pytest.raises(DataError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert problem.where == f"{path}:{at + 1}" and found in problem.found and problem.remedy
    assert load(path, skip_bad_lines=True).good == 12


def test_a_bad_object_of_an_array_is_one_bad_row(tmp_path):
    items = [json.dumps(row) for row in rows(12)]
    items[4] = BAD_TEXTS["NaN"][0]
    path = tmp_path / "a.json"
    path.write_text("[" + ",\n".join(items) + "]")
    assert load(path, skip_bad_lines=True).good == 11
    with pytest.raises(DataError) as caught:
        load(path)
    assert [p.where for p in caught.value.problems] == [f"{path}:5, row 5"]


def test_the_same_file_is_read_once_and_a_changed_one_again(tmp_path, monkeypatch):
    path = save(tmp_path / "a.jsonl", rows(12))
    read = []
    real = own_data.rows_of
    monkeypatch.setattr(own_data, "rows_of", lambda source: read.append(source) or real(source))
    assert load(path, seed=1).good == load(path, seed=2).good == 12
    assert len(read) == 1
    save(path, rows(13))
    assert load(path).good == 13 and len(read) == 2


def test_every_split_is_the_same_from_any_format(tmp_path):
    lines = save(tmp_path / "a.jsonl", rows(30))
    array = tmp_path / "a.json"
    array.write_text(json.dumps(rows(30)[::-1]))
    found = [{s: {c.messages for c in load(p).corpus.prompts[s]} for s in SPLITS} for p in (lines, array)]
    assert found[0] == found[1]
