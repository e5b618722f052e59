"""Which files are read as they are, and what is said of those that are not."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import socket
import zipfile
from pathlib import Path

import pytest

from repo_exp.domains import own_data
from repo_exp.domains.own_data import opening
from repo_exp.domains.own_data import rows as reading_rows
from repo_exp.errors import DataError
from repo_exp.types import SPLITS

ROWS = [{"prompt": f"Question {n}?", "chosen": f"Yes, {n}.", "rejected": f"No, {n}."} for n in range(12)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def load(path: Path, **options):
    return own_data.load(path, seed=0, development=0.2, test=0.2, **options)


def responses(path: Path, **options) -> set[str]:
    corpus = load(path, **options).corpus
    return {pair.chosen for split in SPLITS for pair in corpus.preferences[split]}


ALL = {row["chosen"] for row in ROWS}


def table(delimiter: str = ",") -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, ["prompt", "chosen", "rejected"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    return out.getvalue()


READ = {
    "lines.jsonl": LINES.encode(),
    "no_end.jsonl": LINES.rstrip("\n").encode(),
    "windows.jsonl": LINES.replace("\n", "\r\n").encode(),
    "old_mac.jsonl": LINES.replace("\n", "\r").encode(),
    "bom.jsonl": b"\xef\xbb\xbf" + LINES.encode(),
    "utf16.jsonl": LINES.encode("utf-16"),
    "utf16be.jsonl": b"\xfe\xff" + LINES.encode("utf-16-be"),
    "utf32.jsonl": LINES.encode("utf-32"),
    "no_suffix": LINES.encode(),
    "lines.txt": LINES.encode(),
    "lines.json": LINES.encode(),
    "array.json": json.dumps(ROWS).encode(),
    "array.jsonl": json.dumps(ROWS, indent=2).encode(),
    "array_bom.json": b"\xef\xbb\xbf" + json.dumps(ROWS).encode(),
    "pretty.json": "\n".join(json.dumps(row, indent=2) for row in ROWS).encode(),
    "lines.jsonl.gz": gzip.compress(LINES.encode()),
    "misnamed.jsonl": gzip.compress(LINES.encode()),
    "array.json.gz": gzip.compress(json.dumps(ROWS).encode()),
    "two_members.gz": gzip.compress(LINES[: len(LINES) // 2].encode())
    + gzip.compress(LINES[len(LINES) // 2 :].encode()),
    "table.csv": table().encode(),
    "bom.csv": b"\xef\xbb\xbf" + table().encode(),
    "utf16.csv": table().encode("utf-16"),
    "semicolons.csv": table(";").encode(),
    "tabs.tsv": table("\t").encode(),
    "table.csv.gz": gzip.compress(table().encode()),
    "table_without_suffix": table().encode(),
}


@pytest.mark.parametrize("name", READ)
def test_a_file_is_read_by_what_it_holds(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(READ[name])
    assert responses(path) == ALL


def pickled() -> bytes:
    import pickle

    return pickle.dumps(ROWS)


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("xl/workbook.xml", "x")
    return out.getvalue()


REFUSED = {
    "a.xlsx": (zipped(), "zip archive"),
    "a.pdf": (b"%PDF-1.7\n", "PDF"),
    "a.pkl": (pickled(), "pickle"),
    "a.png": (b"\x89PNG\r\n\x1a\n" + bytes(50), "PNG"),
    "a.bz2": (b"BZh91AY&SY", "bzip2"),
    "a.zst": (b"\x28\xb5\x2f\xfd\x00\x01", "Zstandard"),
    "a.sqlite": (b"SQLite format 3\x00" + bytes(90), "SQLite"),
    "a.tar": (b"a.jsonl" + bytes(250) + b"ustar" + bytes(250), "tar archive"),
    "a.tar.gz": (gzip.compress(b"a.jsonl" + bytes(250) + b"ustar" + bytes(250)), "tar archive"),
    "a.jsonl.gz.gz": (gzip.compress(gzip.compress(LINES.encode())), "gzip inside gzip"),
    "a.html": (b"<!DOCTYPE html><html>404</html>", "web page"),
    "a.xml": (b"<?xml version='1.0'?><a/>", "XML"),
    "a.yaml": (b"- prompt: x\n  chosen: y\n  rejected: z\n", "YAML"),
    "lfs.jsonl": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
    "a.md": (b"# My pairs\n\nThey are good.\n", "neither JSON nor the header of a CSV"),
    "bare16.jsonl": (LINES.encode("utf-16-le"), "UTF-16 without a byte order mark"),
    "noise.jsonl": (bytes(range(1, 32)) * 30, "binary data"),
    "empty.jsonl": (b"", "empty"),
    "blank.jsonl": (b"\n \n\t\n", "no row"),
    "bom_only.jsonl": (b"\xef\xbb\xbf", "no row"),
    "empty_array.json": (b"[]", "no row"),
    "packed_nothing.jsonl.gz": (gzip.compress(b""), "no row"),
    "header_only.csv": (b"prompt,chosen,rejected\n", "no row"),
    "cut.jsonl.gz": (gzip.compress(LINES.encode())[:-20], "gzip file is damaged"),
    "broken.jsonl.gz": (gzip.compress(os.urandom(5000))[:400] + b"x" * 2000, "gzip file is damaged"),
    "open.json": (json.dumps(ROWS)[:-1].encode(), "ends early, after row 12"),
    "more.json": (json.dumps(ROWS).encode() + b"\n[1]", "after the array"),
    "missing_comma.json": (json.dumps(ROWS[:2], indent=1).replace("},", "}").encode(), "a.json" and ":7: "),
    "wrapped.json": (json.dumps({"data": ROWS}).encode(), "holds the rows in 'data'"),
    "columns.json": (json.dumps({"chosen": ["a", "b"], "rejected": ["c", "d"]}).encode(), "column by column"),
    "pandas.json": (json.dumps({"chosen": {"0": "a"}, "rejected": {"0": "b"}}).encode(), "column by column"),
    "other_columns.csv": (b"question,answer\na,b\n", "names the columns 'question, answer'"),
    "twice.csv": (b"prompt,chosen,chosen,rejected\na,b,c,d\n", "'chosen' occurs twice"),
    "fake.parquet": (LINES.encode(), "the content has another format"),
    "latin.csv": ("prompt,chosen,rejected\nWo?,schön,no\n".encode("latin-1"), "latin.csv:2: not UTF-8"),
    "truncated.parquet": (b"PAR1" + bytes(100), "parquet file is damaged"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_file_is_that_cannot_be_read_is_said_in_a_sentence(tmp_path, name):
    content, sentence = REFUSED[name]
    if name.endswith(".parquet") and content.startswith(b"PAR1"):
        pytest.importorskip("pyarrow", reason="comes with the extra 'data'")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load(path, skip_bad_lines=True)
    assert sentence in str(caught.value)
    assert len(caught.value.problems) == 1 and str(path) in caught.value.problems[0].where
    assert caught.value.problems[0].remedy


def test_pipes_devices_sockets_and_loops_do_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    os.symlink(tmp_path / "loop", tmp_path / "loop")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        for path, word in (
            (tmp_path / "pipe", "pipe"),
            (Path("/dev/zero"), "device"),
            (tmp_path / "s", "socket"),
            (tmp_path / "loop", "symbolic links"),
            (tmp_path / "none", "No such file"),
            (tmp_path / ("x" * 300), "name too long"),
            ("a\0b", "null byte"),
            ("~nobody_here/x", "home"),
        ):
            with pytest.raises(DataError, match=f"(?i){word}"):
                load(path)


def test_a_link_to_a_file_is_the_file_and_a_home_is_a_home(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_text(LINES)
    os.symlink(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert responses(tmp_path / "b.jsonl") == responses("~/a.jsonl") == ALL


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(LINES)
    path.chmod(0)
    with pytest.raises(DataError, match="Permission"):
        load(path)


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "SUSPICIOUS", (2**20, 20))
    path = tmp_path / "bomb.jsonl.gz"
    path.write_bytes(gzip.compress(b"{\n" + b" " * 2**22))
    with pytest.raises(DataError, match="once it is unpacked"):
        load(path)
    monkeypatch.setattr(opening, "MOST_BYTES", 100)
    (tmp_path / "large.jsonl").write_text(LINES)
    with pytest.raises(DataError, match="smaller file"):
        load(tmp_path / "large.jsonl")


def test_a_line_without_an_end_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(reading_rows, "LONGEST_LINE", 1000)
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n" + json.dumps(ROWS[1] | {"chosen": "x" * 2000}) + "\n")
    with pytest.raises(DataError, match=r"a\.jsonl:2: a line of more than"):
        load(path)


class TestFolders:
    def test_a_folder_is_all_of_its_files_whatever_they_are(self, tmp_path):
        (tmp_path / "deep" / "er").mkdir(parents=True)
        (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[:4]))
        (tmp_path / "deep" / "b.csv.gz").write_bytes(gzip.compress(table().encode()))
        (tmp_path / "deep" / "er" / "c.json").write_text(json.dumps(ROWS[4:6]))
        (tmp_path / "README.md").write_text("# Pairs")
        (tmp_path / ".hidden.jsonl").write_text("{")
        (tmp_path / "zero.jsonl").touch()
        os.mkfifo(tmp_path / "pipe.jsonl")
        own = load(tmp_path)
        assert own.good == 4 + 12 + 2
        (note,) = [note for note in own.notes if "not read" in note]
        assert "3 files" in note and "'README.md'" in note and "empty" in note and "not a file" in note
        ids = [prompt.id for split in SPLITS for prompt in own.corpus.prompts[split]]
        assert len(set(ids)) == len(ids) == 12

    def test_a_folder_with_nothing_to_read_says_what_it_holds(self, tmp_path):
        (tmp_path / "notes.md").write_text("x")
        with pytest.raises(DataError, match=r"no file that can be read; it holds notes\.md"):
            load(tmp_path)

    def test_splits_that_files_name_are_kept_and_a_prompt_is_in_one_of_them(self, tmp_path):
        def save(name, rows):
            (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

        save("train-00000-of-00001.jsonl", ROWS[:9])
        save("test-00000-of-00001.jsonl", ROWS[8:])
        own = load(tmp_path)
        prompts = {split: {c.messages[0].content for c in own.corpus.prompts[split]} for split in SPLITS}
        assert prompts["test"] == {row["prompt"] for row in ROWS[8:]}
        assert prompts["development"] and prompts["train"]  # development is drawn from what is left
        assert not prompts["train"] & prompts["test"]
        assert any("held out" in note and "1 of 13 rows" in note for note in own.notes)

    def test_a_file_whose_name_is_no_text_is_read_and_can_be_named(self, tmp_path):
        try:
            (tmp_path / os.fsdecode(b"a\xff.jsonl")).write_text(LINES + json.dumps(ROWS[0]) + "\n")
        except OSError:
            pytest.skip("this file system wants names that are text")
        own = load(tmp_path)
        assert "\n".join([*own.notes, own.corpus.prompts["train"][0].id]).encode("utf-8")

    def test_a_file_by_itself_is_no_split_whatever_it_is_called(self, tmp_path):
        (tmp_path / "test.jsonl").write_text(LINES)
        assert load(tmp_path / "test.jsonl").corpus.prompts["train"]


class TestTables:
    @pytest.fixture(autouse=True)
    def _arrow(self):
        pytest.importorskip("pyarrow", reason="comes with the extra 'data'")

    TALKS = [  # noqa: RUF012
        {
            "prompt": f"Q {n}?",
            "chosen": [{"role": "user", "content": f"Q {n}?"}, {"role": "assistant", "content": f"Yes, {n}."}],
            "rejected": [{"role": "user", "content": f"Q {n}?"}, {"role": "assistant", "content": f"No, {n}."}],
            "facts": {"n": n} if n % 2 else {"m": "x"},
            "score_chosen": float("nan"),
        }
        for n in range(12)
    ]

    def test_parquet_is_read_with_nested_messages(self, tmp_path):
        import pyarrow as pa
        import pyarrow.parquet

        path = tmp_path / "a.parquet"
        pa.parquet.write_table(pa.Table.from_pylist(self.TALKS), path)
        own = load(path)
        assert own.good == 12 and any("'score_chosen' is not used: 12 of 12" in note for note in own.notes)
        assert {c.facts["n"] for split in SPLITS for c in own.corpus.prompts[split]} == {None, 1, 3, 5, 7, 9, 11}

    def test_a_bad_row_of_a_table_is_called_by_its_number(self, tmp_path):
        import pyarrow as pa
        import pyarrow.parquet

        path = tmp_path / "a.parquet"
        rows = [{**row, "chosen": None} if n == 3 else row for n, row in enumerate(ROWS)]
        pa.parquet.write_table(pa.Table.from_pylist(rows), path)
        with pytest.raises(DataError) as caught:
            load(path)
        assert [p.where for p in caught.value.problems] == [f"{path}, row 4"]

    def saved(self, folder: Path, rows: list) -> None:
        """Write a folder as ``Dataset.save_to_disk`` does."""
        import pyarrow as pa

        data = pa.Table.from_pylist(rows)
        folder.mkdir(parents=True)
        with (
            pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as out,
            pa.ipc.new_stream(out, data.schema) as to,
        ):
            to.write_table(data)
        (folder / "dataset_info.json").write_text("{}")
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))

    def test_a_saved_dataset_is_read_without_its_caches(self, tmp_path):
        self.saved(tmp_path / "set", self.TALKS)
        (tmp_path / "set" / "cache-0123.arrow").write_bytes(
            (tmp_path / "set" / "data-00000-of-00001.arrow").read_bytes()
        )
        assert load(tmp_path / "set").good == 12

    def test_a_saved_dictionary_keeps_its_splits(self, tmp_path):
        self.saved(tmp_path / "dict" / "train", self.TALKS[:9])
        self.saved(tmp_path / "dict" / "test", self.TALKS[9:])
        (tmp_path / "dict" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
        own = load(tmp_path / "dict")
        assert len(own.corpus.prompts["test"]) == 3 and own.good == 12
        (tmp_path / "dict" / "dataset_dict.json").write_text('{"splits": ["../elsewhere"]}')
        with pytest.raises(DataError, match="splits"):
            load(tmp_path / "dict")

    def test_a_dataset_that_has_lost_a_file_or_half_of_it_says_so(self, tmp_path):
        self.saved(tmp_path / "set", self.TALKS)
        file = tmp_path / "set" / "data-00000-of-00001.arrow"
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match="damaged"):
            load(tmp_path / "set")
        file.unlink()
        with pytest.raises(DataError, match="No such file"):
            load(tmp_path / "set")

    def test_without_pyarrow_the_extra_is_named(self, tmp_path, monkeypatch):
        import sys

        monkeypatch.setitem(sys.modules, "pyarrow", None)
        (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes(20))
        with pytest.raises(DataError, match=r"repo-exp\[data\]"):
            load(tmp_path / "a.parquet")
