"""Your own data on the command line: what task=check says, what is refused, and how paths are read."""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path

import pytest

from repo_exp import __main__ as entry
from repo_exp.config.places import with_home


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Return a function: arguments -> (exit code, what was printed, the configurations that ran)."""
    calls: list = []
    module = types.ModuleType("repo_exp.stages.pipeline")
    module.run = lambda config, **named: calls.append(config)
    monkeypatch.setitem(sys.modules, "repo_exp.stages.pipeline", module)
    monkeypatch.setattr("repo_exp.stages.pipeline", module, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)

    def start(*arguments: str):
        monkeypatch.setattr(sys, "argv", ["repo_exp", "hydra.run.dir=out", *arguments])
        return entry.main(), capsys.readouterr(), calls

    return start


def save(path: Path, count: int = 40, **more) -> Path:
    rows = [{"prompt": f"Floor {n}?", "chosen": "Yes, it is.", "rejected": "No.", **more} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_check_reads_the_data_and_says_what_was_counted(run, tmp_path):
    save(tmp_path / "a.jsonl", lables=1, labels={"chosen": {"no_such": True}})
    code, printed, calls = run(
        "task=check", "experiment=smoke", "data=jsonl", "data.path=a.jsonl", "model.max_prompt_tokens=64"
    )
    assert (code, calls) == (0, [])
    for said in (
        "Data: 40 pairs",
        "'lables' is not used: 40 of 40",
        "'no_such' answers no question",
        " notes:",
    ):
        assert said in printed.out


def test_the_check_counts_what_is_cut_and_refuses_where_nothing_is_left(run, tmp_path):
    save(tmp_path / "a.jsonl", chosen="x" * 50, rejected="x" * 49)
    check = ("task=check", "experiment=smoke", "data=jsonl", "data.path=a.jsonl")
    code, printed, _ = run(*check, "rollout.max_new_tokens=30")
    assert code == 0 and "no demonstration shows the policy how to end" in printed.out
    code, printed, _ = run(*check, "rollout.max_new_tokens=20")
    assert code == 2 and "no pair is left to train on" in printed.err
    assert "Traceback" not in printed.err


@pytest.mark.parametrize("lines", [1, 0])
def test_too_few_prompts_and_empty_files_end_before_anything_runs(run, tmp_path, lines):
    save(tmp_path / "a.jsonl", lines)
    code, printed, calls = run("experiment=smoke", "data=jsonl", "data.path=a.jsonl")
    assert (code, calls) == (2, [])
    assert ("too few prompts" if lines else "the file is empty") in printed.err


def test_a_home_is_a_home_in_every_path(run, tmp_path):
    save(tmp_path / "a.jsonl")
    code, printed, [config] = run(
        "experiment=smoke", "data=jsonl", "data.path=~/a.jsonl", "store='~/s'", "hydra.run.dir=~/r"
    )
    assert code == 0, printed.err
    assert (config.data.path, config.store) == (str(tmp_path / "a.jsonl"), str(tmp_path / "s"))
    assert (tmp_path / "r").is_dir() and not (tmp_path / "~").exists()


def test_where_a_home_begins_on_a_command_line(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    given = [
        "store=~/s",
        "store=~/a,~/b",
        "x='~/y'",
        "--config-dir=~/c",
        "~/c",
        "~reward",
        "a=b~c",
        "data.path=~",
        "n=[~/x]",
    ]
    wanted = ["store=/home/me/s", "store=/home/me/a,/home/me/b", "x='~/y'", "--config-dir=/home/me/c", "/home/me/c",
              "~reward", "a=b~c", "data.path=/home/me", "n=[/home/me/x]"]  # fmt: skip
    assert with_home(given) == wanted
    monkeypatch.setenv("HOME", "/home/me (old)")
    assert with_home(["store=~/s"]) == ["store='/home/me (old)/s'"]


def test_what_is_not_there_is_said_with_its_whole_path(run, tmp_path):
    code, printed, _ = run("experiment=smoke", "data=jsonl", "data.path=~/none.jsonl")
    assert code == 2 and f"there is no such file or folder: {tmp_path / 'none.jsonl'}" in printed.err


def test_a_pipe_ends_at_once(run, tmp_path):
    os.mkfifo(tmp_path / "p")
    code, printed, _ = run("experiment=smoke", "data=jsonl", "data.path=p")
    assert code == 2 and "a pipe" in printed.err
