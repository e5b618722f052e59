"""What the guard of steps names and counts, and which checkpoint a stage goes on from."""

from __future__ import annotations

import logging
import math
import zipfile
from types import SimpleNamespace

import pytest
import torch

from repo_exp import durable
from repo_exp.errors import NotFiniteError, RewardError, WriteError
from repo_exp.training.callbacks import checkpoint
from repo_exp.training.callbacks.checkpoint import LAST, PREVIOUS, Checkpoint, newest
from repo_exp.training.callbacks.guard import LARGEST, StepGuard, item_name, listed, not_finite
from tests.training.toy import OPTIMIZER


def guard(stage: str = "policy") -> StepGuard:
    return StepGuard(stage, OPTIMIZER, {"policy": 0.02, "value": 0.01, "reward": 0.5}, max_skipped_steps=3)


def test_a_message_names_four_items_and_counts_the_others() -> None:
    assert listed(["a", "b", "c", "d"]) == "a, b, c, d"
    assert listed(["a", "b", "c", "d", "e", "f"]) == "a, b, c, d and 2 more"


def test_an_item_is_named_by_its_place_and_first_words_on_one_line() -> None:
    assert item_name("pair", 3, "Good\n  morning") == "pair 3 'Good morning'"
    assert item_name("pair", 0, "x" * 60) == f"pair 0 '{'x' * 60}'"
    assert item_name("pair", 0, "x" * 61) == f"pair 0 '{'x' * 60}...'"


def test_every_number_of_a_checkpoint_is_looked_at_and_its_path_is_named() -> None:
    content = {
        "state": {0: {"m": torch.tensor([1.0, math.inf]), "step": 3}, "name": "nan"},
        "list": [1.0, (math.nan, torch.ones(2))],
        "whole": torch.tensor([2]),
    }
    assert list(not_finite(content)) == ["state.0.m", "list.1.0"]


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_roles_are_counted_apart_and_nobody_is_named_for_a_step_that_is_taken(caplog, loss) -> None:
    steps = guard()

    def names():
        raise AssertionError("no name is needed")

    assert steps.allows("value", step=0, loss=1.0, norm=2.0, names=names)
    with caplog.at_level(logging.WARNING):
        assert not steps.allows("policy", step=4, loss=loss, norm=2.0, names=lambda: ["response 7"])
    assert (steps.taken, steps.skipped) == ({"value": 1}, {"policy": 1})
    assert "policy, step 5, role policy" in caplog.text and "trained on: response 7" in caplog.text
    with pytest.raises(NotFiniteError, match=r"policy, role policy: 1 of 1 steps of the role policy"):
        steps.finish()
    assert steps.allows("policy", step=5, loss=1.0, norm=2.0, names=names)
    steps.finish()


def test_a_guard_goes_on_counting_from_a_checkpoint() -> None:
    first, second = guard(), guard()
    for step in range(3):
        assert not first.allows("policy", step=step, loss=math.nan, norm=1.0, names=list)
    second.restore(first.state())
    assert second.state() == {"taken": {}, "skipped": {"policy": 3}}
    with pytest.raises(NotFiniteError, match=r"4 of 4 steps of the role policy.*max_skipped_steps is 3"):
        second.allows("policy", step=3, loss=math.nan, norm=1.0, names=list)


@pytest.mark.parametrize(
    ("stage", "role", "key"),
    [("sft", "policy", "sft (it is 0.02)"), ("policy", "policy", "policy (it is 0.02)"),
     ("policy", "value", "value (it is 0.01)"), ("reward_model", "reward", "reward_model (it is 0.5)")],
)  # fmt: skip
def test_the_remedy_names_the_learning_rate_that_the_configuration_has_for_a_role(stage, role, key) -> None:
    with pytest.raises(NotFiniteError) as caught:
        guard(stage).check_weights(role, math.nan, step=0, names=list)
    (problem,) = caught.value.problems
    assert f"optimizer.learning_rate.{key}" in problem.remedy and problem.where == f"{stage}, step 1, role {role}"


def test_weights_are_refused_from_where_their_products_overflow() -> None:
    guard().check_weights("policy", LARGEST * 0.99, step=0, names=list)
    for norm in (LARGEST, math.inf, math.nan):
        with pytest.raises(NotFiniteError, match="close to it"):
            guard().check_weights("policy", norm, step=0, names=list)


# -- files -------------------------------------------------------------------------------------------------------------


def keep(path, done: int) -> None:
    torch.save({"progress": {"done": done, "history": [{"loss/train": 0.5}] * done}, "w": torch.ones(99)}, path)


def usable(done: int) -> str:
    return ""


def test_a_stage_goes_on_from_its_last_checkpoint(tmp_path) -> None:
    assert newest(tmp_path, usable) == (None, 0, [])
    keep(tmp_path / PREVIOUS, 3)
    assert newest(tmp_path, usable)[:2] == (tmp_path / PREVIOUS, 3)
    keep(tmp_path / LAST, 6)
    assert newest(tmp_path, usable) == (tmp_path / LAST, 6, [{"loss/train": 0.5}] * 6)


@pytest.mark.parametrize("harm", ["cut", "a flipped bit", "no archive", "another version"])
def test_a_damaged_last_checkpoint_gives_way_to_the_one_before_with_a_word(tmp_path, caplog, harm) -> None:
    keep(tmp_path / PREVIOUS, 3)
    last = tmp_path / LAST
    keep(last, 6)
    content = bytearray(last.read_bytes())
    if harm == "cut":
        last.write_bytes(content[: len(content) // 2])
    elif harm == "a flipped bit":
        weights = content.find(torch.ones(99).numpy().tobytes())
        content[weights + 50] ^= 1
        last.write_bytes(content)
        assert zipfile.is_zipfile(last)
    elif harm == "no archive":
        last.write_bytes(b"words")
    else:
        torch.save({"steps": 6}, last)
    found = newest(tmp_path, usable)
    assert found[:2] == (tmp_path / PREVIOUS, 3)
    assert f"{last} cannot be used" in caplog.text and "the checkpoint before it is tried" in caplog.text
    assert ("another version" in caplog.text) == (harm == "another version")


def test_what_a_stage_cannot_use_is_said_and_it_starts_again(tmp_path, caplog) -> None:
    keep(tmp_path / LAST, 6), keep(tmp_path / PREVIOUS, 3)
    found = newest(tmp_path, lambda done: f"the responses of update {done} cannot be read")
    assert found == (None, 0, [])
    assert "update 6" in caplog.text and "update 3" in caplog.text and "the stage starts again" in caplog.text
    assert newest(tmp_path, lambda done: "no" if done == 6 else "")[1] == 3


class Writer:
    """A trainer that writes the number of finished steps."""

    def __init__(self, module) -> None:
        self.module, self.written = module, []

    def save_checkpoint(self, path) -> None:
        self.written.append(self.module.done)
        keep(path, self.module.done)


def saving(folder, *, done=0, steps=9, every=3):
    module = SimpleNamespace(done=done, steps=steps, stage="sft", changing=False)
    return module, Writer(module), Checkpoint(folder, every=every, done=done)


def test_every_so_many_steps_are_kept_but_not_the_last(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: 0.0)
    module, trainer, callback = saving(tmp_path)
    for done in range(1, 10):
        module.done = done
        callback.on_train_batch_end(trainer, module)
    assert trainer.written == [3, 6]
    assert [newest(tmp_path, usable).done, torch.load(tmp_path / PREVIOUS)["progress"]["done"]] == [6, 3]
    assert not list(tmp_path.glob("*.tmp"))


def test_slow_steps_are_kept_by_the_clock(tmp_path, monkeypatch) -> None:
    """A step of 20 seconds: the second one ends 40 seconds after the start, the fourth 40 after that checkpoint."""
    now = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    module, trainer, callback = saving(tmp_path, every=100)
    for done in range(1, 6):
        module.done, now[0] = done, 20.0 * done
        callback.on_train_batch_end(trainer, module)
    assert trainer.written == [2, 4]


@pytest.mark.parametrize(
    ("error", "changing", "saved", "kept"),
    [
        (RewardError("the judge is gone"), False, 4, True),
        (RewardError("the judge is gone"), True, 4, False),  # in the middle of a step
        (RewardError("the judge is gone"), False, 5, False),  # it is there already
        (WriteError("the disk is full"), False, 4, False),
        (ValueError("a bug"), False, 4, False),
    ],
)
def test_finished_steps_are_kept_where_a_run_ends_for_a_reason_that_can_be_mended(
    tmp_path, error, changing, saved, kept
) -> None:
    module, trainer, callback = saving(tmp_path, done=saved)
    module.done, module.changing = 5, changing
    callback.on_exception(trainer, module, error)
    assert trainer.written == ([5] if kept else [])


def test_a_full_disk_at_the_end_does_not_hide_why_the_run_ended(tmp_path, monkeypatch, caplog) -> None:
    module, trainer, callback = saving(tmp_path)
    module.done = 2

    def full(path):
        raise WriteError("the disk is full")

    monkeypatch.setattr(durable, "make_folder", full)
    callback.on_exception(trainer, module, RewardError("the judge is gone"))
    assert "the disk is full" in caplog.text and callback.saved == 0
