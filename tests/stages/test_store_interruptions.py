"""A store whose builders are killed, race, lack a right to write, or find what others left: artifacts stay whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from repo_exp.errors import StoreError, WriteError
from repo_exp.stages import store as store_module
from repo_exp.stages.store import RECORD, Store, write_json

BUILDER = """
import sys, time
from pathlib import Path
from repo_exp.stages.store import Store

def build(folder):
    with (folder / "steps.ckpt").open("a") as steps:
        for step in range(len((folder / "steps.ckpt").read_text()), int(sys.argv[2])):
            steps.write("x"), steps.flush()
            print(step, flush=True)
            time.sleep(float(sys.argv[3]))
    (folder / "out.txt").write_text("done")

found = Store(sys.argv[1]).make("sft", version=1, inputs={"lr": 1}, parents={}, build=build)
print("reused" if found.reused else "built", flush=True)
"""


def builder(root: Path, steps: int, pause: float) -> subprocess.Popen[str]:
    """Start a process that makes the artifact, and says of each step when it is done."""
    command = [sys.executable, "-c", BUILDER, str(root), str(steps), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": os.getcwd()})


def make(root: Path, build=lambda folder: None, **more):
    return Store(root).make("sft", version=1, inputs={"lr": 1}, parents={}, build=build, **more)


def writes(text: str, calls: list | None = None):
    def build(folder: Path) -> None:
        (folder / "out.txt").write_text(text)
        if calls is not None:
            calls.append(text)

    return build


def test_a_killed_build_leaves_no_artifact_and_two_at_once_finish_its_work_once(tmp_path) -> None:
    """One of ten steps is done when the first is killed; of the next two, one goes on and the other waits."""
    doomed = builder(tmp_path, 10, 5.0)
    assert doomed.stdout.readline() == "0\n"
    doomed.send_signal(signal.SIGKILL)
    doomed.wait()
    assert list(Store(tmp_path).all()) == [] and not list(tmp_path.glob("sft/*/*"))
    both = [builder(tmp_path, 10, 0.01) for _ in range(2)]
    said = sorted((each.communicate(timeout=60)[0].split() for each in both), key=len)
    assert said == [["reused"], [*map(str, range(1, 10)), "built"]]
    (artifact,) = Store(tmp_path).all()
    assert sorted(path.name for path in artifact.folder.iterdir()) == [RECORD, "out.txt"]


@pytest.fixture
def died_before_the_rename(tmp_path, monkeypatch):
    """A store whose only build was complete when the power went, just before its folder was renamed."""
    replace = os.replace

    def power_cut(source, target):
        if Path(target).parent.name == "sft":
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(store_module.os, "replace", power_cut)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, writes("whole"))
    monkeypatch.setattr(store_module.os, "replace", replace)
    return tmp_path


def test_a_run_that_died_just_before_the_rename_is_not_built_again(died_before_the_rename) -> None:
    calls = []
    found = make(died_before_the_rename, writes("again", calls))
    assert calls == [] and found.reused and (found.folder / "out.txt").read_text() == "whole"


def test_work_whose_files_changed_after_its_record_is_built_again(died_before_the_rename) -> None:
    (work,) = (path for path in (died_before_the_rename / ".work").iterdir() if path.is_dir())
    (work / "out.txt").write_text("other")
    calls = []
    found = make(died_before_the_rename, writes("new", calls))
    assert calls == ["new"] and not found.reused and (found.folder / "out.txt").read_text() == "new"


def test_helpers_that_a_cut_off_run_left_in_a_finished_artifact_go_and_are_in_no_record(tmp_path) -> None:
    def build(folder: Path) -> None:
        writes("x")(folder)
        (folder / "last.ckpt").write_text("helper")
        (folder / "rows.parts").mkdir()
        (folder / "rows.parts" / "1.jsonl").write_text("{}")
        (folder / "after").mkdir()
        (folder / "after" / "half.tmp").write_text("")

    found = make(tmp_path, build)
    assert set(found.record["files"]) == {"out.txt"}
    assert {path.name for path in found.folder.iterdir()} == {RECORD, "after", "out.txt"}
    (found.folder / "previous.ckpt").write_text("left by a run that was cut off right after the rename")
    again = make(tmp_path, build)
    assert again.reused and not (again.folder / "previous.ckpt").exists()


def test_an_artifact_is_made_again_where_its_stage_says_so_and_the_old_one_stays_until_then(tmp_path) -> None:
    first = make(tmp_path, writes("half"))

    def dies(folder: Path) -> None:
        assert (first.folder / "out.txt").read_text() == "half"
        raise RuntimeError("the endpoint is still down")

    with pytest.raises(RuntimeError):
        make(tmp_path, dies, again=lambda artifact: True)
    assert make(tmp_path).reused and (first.folder / "out.txt").read_text() == "half"
    asked = []
    second = make(tmp_path, writes("whole"), again=lambda artifact: asked.append(artifact.address) or True)
    assert not second.reused and second.folder == first.folder and (second.folder / "out.txt").read_text() == "whole"
    assert asked[0] == first.address and [path.name for path in (tmp_path / "sft").iterdir()] == [first.address]
    assert not list((tmp_path / ".work").glob("*.old-*"))
    assert make(tmp_path, again=lambda artifact: False).reused


def test_a_store_that_cannot_be_written_still_gives_what_it_has(tmp_path, monkeypatch) -> None:
    made = make(tmp_path, writes("x"))

    def refuse(*args, **how):
        raise PermissionError(13, "no")

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert make(tmp_path).folder == made.folder
    with pytest.raises(WriteError) as caught:
        Store(tmp_path).make("sft", version=2, inputs={}, parents={}, build=writes("y"))
    (problem,) = caught.value.problems
    assert (
        problem.where == str(tmp_path) and "is not in this store" in problem.remedy and "store=FOLDER" in problem.remedy
    )
    with pytest.raises(WriteError, match="has missing scores and would be built again"):
        make(tmp_path, again=lambda artifact: True)


def test_a_damaged_artifact_that_cannot_be_moved_says_to_remove_it_by_hand(tmp_path, monkeypatch) -> None:
    made = make(tmp_path, writes("x"))
    (made.folder / "out.txt").write_text("changed")

    def refuse(source, target):
        raise PermissionError(13, "no")

    monkeypatch.setattr(store_module.os, "replace", refuse)
    with pytest.raises(StoreError, match="cannot be moved aside") as caught:
        make(tmp_path, writes("y"))
    assert (caught.value.problems[0].where, caught.value.problems[0].remedy) == (str(made.folder), "remove it by hand")


def test_artifacts_are_listed_from_the_oldest_and_unreadable_ones_are_named(tmp_path, caplog) -> None:
    for stage, name, day in (("sft", "b", 2), ("data", "a", 3), ("judge", "c", 1)):
        (tmp_path / stage / name).mkdir(parents=True)
        write_json(tmp_path / stage / name / RECORD, {"stage": stage, "address": name, "made": f"2026-01-0{day}"})
    for name, content in (("d", "{"), ("e", "{}")):
        (tmp_path / "sft" / name).mkdir()
        (tmp_path / "sft" / name / RECORD).write_text(content)
    assert [artifact.address for artifact in Store(tmp_path).all()] == ["c", "b", "a"]
    assert f"{tmp_path / 'sft' / 'd' / RECORD}: cannot be read" in caplog.text and "/e/" in caplog.text


def test_the_record_has_what_the_build_cost_and_when_it_was_made(tmp_path) -> None:
    started = time.time()

    def build(folder: Path) -> dict[str, int]:
        time.sleep(0.06)
        return {"tokens": 7}

    record = json.loads((make(tmp_path, build).folder / RECORD).read_text())
    assert (
        record["cost"] == {"tokens": 7} and record["seconds"] == pytest.approx(0.1, abs=0.5) and record["seconds"] > 0
    )
    assert record["made"].startswith(time.strftime("%Y-%m-%d", time.gmtime(started)))
    assert (record["stage"], record["version"], record["inputs"], record["files"]) == ("sft", 1, {"lr": 1}, {})
