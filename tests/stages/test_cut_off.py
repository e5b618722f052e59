"""A stage that is cut off at any file operation ends, started again, as one that was not."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path

import pytest
import torch

from repo_exp.errors import WriteError
from repo_exp.stages import rollouts
from repo_exp.stages.store import Store, write_json
from repo_exp.tracking.jsonl import JsonlTracker, read_metrics
from repo_exp.training.callbacks.checkpoint import Checkpoint, newest
from tests.stages.cutting import cut

UPDATES = 4


class Learner:
    """What a checkpoint keeps of a policy's learner, with a hash in place of the mathematics."""

    stage, steps, changing = "policy", UPDATES, False

    def __init__(self) -> None:
        self.done, self.state, self.history = 0, "", []

    def save_checkpoint(self, path: Path) -> None:
        """The trainer's part."""
        kept = {"progress": {"done": self.done, "history": self.history}, "state": self.state}
        content = io.BytesIO()
        torch.save(kept, content)
        path.write_bytes(content.getvalue())


def stage(root: Path) -> None:
    """A stage that goes through the store, its checkpoints, its rollouts and its metrics as the policy's does."""
    tracker = JsonlTracker(root / "run")

    def build(folder: Path) -> None:
        learner = Learner()
        start, done, history = newest(folder, lambda updates: rollouts.unreadable(folder, updates))
        if start is not None:
            learner.done, learner.history = done, history
            learner.state = torch.load(start, weights_only=True)["state"]
            for row in history:
                tracker.log("policy", row["step"], {"loss": row["loss"]})
        saves = Checkpoint(folder, every=2, done=done)
        for update in range(learner.done, UPDATES):
            learner.state = hashlib.sha256(f"{learner.state}{update}".encode()).hexdigest()
            rows = [{"update": update, "response": learner.state, "tokens": 3, "total": 1.0}]
            rollouts.write(folder, update, rows)
            learner.done = update + 1
            learner.history.append({"step": learner.done, "loss": int(learner.state[:4], 16) / 7})
            tracker.log("policy", learner.done, {"loss": learner.history[-1]["loss"]})
            saves.on_train_batch_end(learner, learner)
        rollouts.gather(folder, UPDATES)
        write_json(folder / "metrics.json", learner.history)
        (folder / "policy").mkdir(exist_ok=True)
        (folder / "policy" / "adapter.bin").write_text(learner.state)

    made = Store(root / "store").make("policy", version=1, inputs={"seed": 0}, parents={}, build=build)
    shutil.copyfile(made.folder / "rollouts.jsonl", root / "copy")
    if made.reused:
        for row in made.read("metrics.json"):
            tracker.log("policy", row["step"], {"loss": row["loss"]})
    tracker.finish(True)


def left(root: Path) -> dict:
    """Return what a run left that another one has to leave as well."""
    (folder,) = (path for path in (root / "store" / "policy").iterdir() if "damaged" not in path.name)
    assert not [path for path in (root / "store" / "policy").iterdir() if "damaged" in path.name]
    record = json.loads((folder / "artifact.json").read_text())
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    del files["artifact.json"]
    assert set(record["files"]) == set(files)
    rows = [(row["stage"], row["step"], row["metrics"]) for row in read_metrics(root / "run" / "metrics.jsonl")]
    return {"files": files, "recorded": record["files"], "metrics": rows}


@pytest.mark.parametrize("power", [False, True], ids=["killed", "power cut"])
def test_a_stage_cut_off_at_every_file_operation_ends_as_one_that_was_not(tmp_path, power) -> None:
    operations = cut(lambda: stage(tmp_path / "whole"), tmp_path / "whole", at=None)
    expected = left(tmp_path / "whole")
    assert operations > 60 and [step for _, step, _ in expected["metrics"]] == [1, 2, 3, 4]
    for at in range(1, operations + 1):
        root = tmp_path / f"cut-{at}"
        cut(lambda root=root: stage(root), root, at=at, power=power)
        stage(root)
        assert left(root) == expected, f"cut off before operation {at}"
        shutil.rmtree(root)


def test_a_stage_cut_off_again_and_again_gets_to_its_end(tmp_path) -> None:
    """Every attempt is cut off three operations later than the one before."""
    cut(lambda: stage(tmp_path / "whole"), tmp_path / "whole", at=None)
    root = tmp_path / "cut"
    for at in range(1, 40, 3):
        cut(lambda: stage(root), root, at=at, power=True)
    stage(root)
    assert left(root) == left(tmp_path / "whole")


def test_a_lost_file_of_rollouts_starts_the_stage_again_with_a_word(tmp_path, caplog) -> None:
    root = tmp_path / "cut"
    cut(lambda: stage(tmp_path / "whole"), tmp_path / "whole", at=None)
    operations = cut(lambda: stage(tmp_path / "other"), tmp_path / "other", at=None)
    cut(lambda: stage(root), root, at=operations - 15)
    (work,) = (root / "store" / ".work").glob("policy-*/")
    (work / rollouts.PARTS / "000000.jsonl").unlink()
    stage(root)
    assert "the responses of update 1 cannot be read" in caplog.text and "the stage starts again" in caplog.text
    assert left(root) == left(tmp_path / "whole")


@pytest.mark.parametrize("harm", ["empty", "half", "one bit", "no zip", "another archive"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(tmp_path, caplog, harm) -> None:
    learner, saves = Learner(), Checkpoint(tmp_path, every=1, done=0)
    for learner.done in (1, 2):
        learner.history.append({"step": learner.done})
        saves.save(learner, learner)
    last = tmp_path / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[content.index(b"history") + 2] ^= 1
    other = io.BytesIO()
    torch.save({"weights": 1}, other)
    kinds = {"empty": b"", "half": last.read_bytes()[:300], "one bit": content, "no zip": b"x" * 999}
    last.write_bytes(kinds.get(harm, other.getvalue()))
    path, done, history = newest(tmp_path, lambda done: "")
    assert (path.name, done, history) == ("previous.ckpt", 1, [{"step": 1}])
    assert f"{last} cannot be used" in caplog.text and "the checkpoint before it is tried" in caplog.text
    (tmp_path / "previous.ckpt").write_bytes(b"")
    assert newest(tmp_path, lambda done: "") == (None, 0, [])
    assert "the stage starts again" in caplog.text


def test_a_store_that_cannot_be_written_says_what_is_missing_and_serves_what_is_there(tmp_path, monkeypatch) -> None:
    import errno
    import os

    stage(tmp_path)
    before = sorted((tmp_path / "store").rglob("*"))
    opened, made = os.open, os.mkdir

    def refuse_open(path, flags, *rest, **named):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and "store" in str(path):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, flags, *rest, **named)

    def refuse_mkdir(path, *rest, **named):
        if "store" in str(path):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return made(path, *rest, **named)

    monkeypatch.setattr(os, "open", refuse_open)
    monkeypatch.setattr(os, "mkdir", refuse_mkdir)
    stage(tmp_path)
    assert sorted((tmp_path / "store").rglob("*")) == before
    with pytest.raises(WriteError) as caught:
        Store(tmp_path / "store").make("sft", version=1, inputs={}, parents={}, build=lambda folder: None)
    message = str(caught.value)
    assert str(tmp_path / "store") in message and "Read-only file system" in message and "store=FOLDER" in message


@pytest.mark.parametrize("number", ["ENOSPC", "EDQUOT", "EIO"])
def test_a_full_disk_in_the_middle_of_a_stage_is_a_plain_error_and_the_stage_goes_on_later(
    tmp_path, monkeypatch, number
) -> None:
    import errno
    import os

    cut(lambda: stage(tmp_path / "whole"), tmp_path / "whole", at=None)
    replace = os.replace
    for failing in range(1, 10):
        count = 0

        def refuse(source, target, failing=failing):
            nonlocal count
            count += not str(target).endswith("previous.ckpt")  # a store can do without it
            if count == failing and not str(target).endswith("previous.ckpt"):
                raise OSError(getattr(errno, number), "No", str(target))
            replace(source, target)

        root = tmp_path / str(failing)
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", refuse)
            with pytest.raises(WriteError):
                stage(root)
        assert not list(root.rglob("*.tmp"))
        stage(root)
        assert left(root) == left(tmp_path / "whole")


def run_left(folder: Path, store: Path) -> dict:
    """Return what a whole run left in its folder and in the store, but for times."""
    stages = dict(line.split("\t") for line in (folder / "artifacts.tsv").read_text().splitlines())
    records = {stage: json.loads((Path(path) / "artifact.json").read_text())["files"] for stage, path in stages.items()}
    assert not [path for path in store.glob("*/*/*") if path.suffix in (".ckpt", ".tmp", ".parts")]
    assert not list(store.glob("*/*.damaged-*"))
    rows = sorted((row["stage"], row["step"], str(row["metrics"])) for row in read_metrics(folder / "metrics.jsonl"))
    texts = {name: (folder / name).read_bytes() for name in ("rollouts.jsonl", "responses.jsonl")}
    return {"records": records, "metrics": rows, "texts": texts}


@pytest.mark.slow
@pytest.mark.parametrize("power", [False, True], ids=["killed", "power cut"])
def test_a_real_run_cut_off_at_file_operations_ends_as_one_that_was_not(experiment, tmp_path, power) -> None:
    """From the policy stage on; the stages before it are in the store. Every fifth operation, another fifth a kind."""
    experiment("first", f"store={tmp_path / 'store'}", "algorithm=sft")

    def prepared(name: str) -> Path:
        shutil.copytree(tmp_path / "store", tmp_path / name / "store")
        return tmp_path / name

    def run(name: str) -> None:
        experiment(f"{name}/run", f"store={tmp_path / name / 'store'}")

    operations = cut(lambda: run("whole"), prepared("whole"), at=None)
    expected = run_left(tmp_path / "whole" / "run", tmp_path / "whole" / "store")
    for at in range(1 + power, operations + 1, 5):
        name = f"cut-{at}"
        cut(lambda name=name: run(name), prepared(name), at=at, power=power)
        cut(lambda name=name: run(name), tmp_path / name, at=None)
        found = run_left(tmp_path / name / "run", tmp_path / name / "store")
        assert found == expected, f"cut off before operation {at} of {operations}"
        shutil.rmtree(tmp_path / name)
