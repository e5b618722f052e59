"""A file is the old one or the new one, and a failed write is a plain error."""

from __future__ import annotations

import errno
import os
import resource
import signal

import pytest

from repo_exp import durable
from repo_exp.errors import WriteError


def test_a_file_is_synced_renamed_and_its_folder_synced_in_this_order(tmp_path, monkeypatch) -> None:
    seen = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: (seen.append(os.readlink(f"/proc/self/fd/{handle}")), fsync(handle))
    )
    monkeypatch.setattr(os, "replace", lambda a, b: (seen.append("rename"), replace(a, b)))
    durable.write_text(tmp_path / "a.json", "{}")
    assert seen == [str(tmp_path / "a.json.tmp"), "rename", str(tmp_path)]
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(TypeError), durable.writing(path) as unfinished:
        unfinished.write_bytes(b"new" + "not bytes")
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("number", "headline", "remedy"),
    [
        (errno.ENOSPC, "the disk is full", "free some space"),
        (errno.EDQUOT, "the disk is full", "free some space"),
        (errno.EROFS, "a file cannot be written", "that can be written"),
        (errno.EACCES, "a file cannot be written", "that can be written"),
        (errno.ENOTDIR, "a file cannot be written", "something else at this path"),
    ],
)
def test_what_the_disk_refuses_names_the_file_and_what_would_work(tmp_path, number, headline, remedy) -> None:
    with pytest.raises(WriteError) as caught, durable.writing(tmp_path / "a.json"):
        raise OSError(number, "no")
    (problem,) = caught.value.problems
    assert caught.value.headline == headline and problem.where == str(tmp_path / "a.json")
    assert problem.found.startswith(os.strerror(number)) and remedy in problem.remedy
    assert "store=FOLDER" in problem.remedy and "hydra.run.dir=FOLDER" in problem.remedy


def test_a_library_that_says_it_in_its_own_words_is_understood(tmp_path) -> None:
    class SafetensorError(Exception):
        pass

    text = "Error while serializing: I/O error: No space left on device (os error 28)"
    assert durable.refusal(SafetensorError(text), tmp_path).headline == "the disk is full"
    assert durable.refusal(SafetensorError("IoError(Os { code: 30, kind: ReadOnlyFilesystem })"), tmp_path) is not None
    assert durable.refusal(SafetensorError("invalid header"), tmp_path) is None
    assert durable.refusal(FileNotFoundError(errno.ENOENT, "no"), tmp_path) is None
    logged = ValueError("Unable to configure handler 'file'")
    logged.__cause__ = PermissionError(errno.EACCES, "no", "run/x.log")
    assert durable.refusal(logged).problems[0].where == "run/x.log"


def test_lines_that_do_not_fit_leave_no_half_line(tmp_path) -> None:
    """A real limit of the system on a file's size, in a child."""
    path = tmp_path / "rows.jsonl"
    durable.append(path, b'{"row": 1}\n')
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
            durable.append(path, b'{"row": 2}\n' * 5)
        except WriteError as error:
            code = 0 if error.headline == "the disk is full" else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert path.read_bytes() == b'{"row": 1}\n'


def test_half_a_line_is_cut_off_before_lines_are_added(tmp_path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"row": 1}\n{"ro')
    durable.append(path, b'{"row": 2}\n')
    assert path.read_bytes() == b'{"row": 1}\n{"row": 2}\n'
