"""Verdicts on disk: what was kept is there, whoever else writes, and whenever a process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from repo_exp.rewards.judge.cache import VerdictCache

WRITER = """
import sys
from repo_exp.rewards.judge.cache import VerdictCache
cache, name, count = VerdictCache(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for i in range(count):
    cache.put(f"{name}-{i}", {"answers": {"polite": True}, "words": "x" * 500, "by": name})
    print(i, flush=True)
"""


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    """Start a process that keeps so many verdicts, and says of each when it is kept."""
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": os.getcwd()})


def test_four_processes_write_and_one_is_killed_and_no_kept_verdict_is_lost(tmp_path) -> None:
    path = tmp_path / "judge_cache.sqlite"
    doomed, *others = [writer(path, name, 100_000 if name == "a" else 25) for name in "abcd"]
    kept = [int(doomed.stdout.readline()) for _ in range(10)]
    doomed.send_signal(signal.SIGKILL)
    kept += [int(line) for line in doomed.stdout.read().split("\n")[:-1]]  # half a line was not kept for sure
    for each in others:
        assert each.communicate(timeout=60)[0].split() == [str(i) for i in range(25)] and each.returncode == 0
    doomed.wait()
    cache = VerdictCache(path)
    wanted = [f"a-{i}" for i in kept] + [f"{name}-{i}" for name in "bcd" for i in range(25)]
    found = cache.get(wanted)
    assert set(found) == set(wanted) and all(found[key]["by"] == key[0] for key in wanted)
    cache.put("after", 1)
    assert cache.get(["after"]) == {"after": 1}


def test_a_file_that_is_damaged_is_reported_once_and_read_as_empty(tmp_path) -> None:
    path = tmp_path / "judge_cache.sqlite"
    path.write_bytes(b"no database at all, but long enough to be taken for one" * 20)
    cache = VerdictCache(path)
    with pytest.warns(UserWarning, match="is not used"):
        assert cache.get(["a"]) == {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put("a", 1)


def test_reading_makes_no_file_and_no_path_keeps_nothing(tmp_path) -> None:
    assert VerdictCache(tmp_path / "none.sqlite").get(["a"]) == {}
    assert not list(tmp_path.iterdir())
    VerdictCache(None).put("a", 1)
    assert VerdictCache(None).get(["a"]) == {}
