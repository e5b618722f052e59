"""A run that a signal stops keeps every finished step, and goes on bit for bit."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from repo_exp import stopping
from repo_exp.errors import RewardError
from repo_exp.training.module import OnlineModule
from tests.training.test_online import history, same, weights
from tests.training.toy import Stop, oddness


def stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.2)


def done(folder: Path) -> int:
    return torch.load(folder / "last.ckpt", weights_only=True)["progress"]["done"]


def test_a_stop_while_responses_are_scored_comes_at_once_and_keeps_the_steps_before(online, tmp_path) -> None:
    """Checkpoints are due every three steps; five are done when the judge is asked for the sixth time."""
    calls = []

    def score(responses):
        calls.append(len(responses))
        if len(calls) == 6:
            stop()
            pytest.fail("the stop did not come")
        return oddness(responses)

    whole = online(updates=7)
    with stopping.handled(), pytest.raises(stopping.Stopped) as caught:
        online(updates=7, folder=tmp_path / "cut", score=score)
    assert caught.value.code == 143 and done(tmp_path / "cut") == 5
    assert stopping.last_message(signal.SIGTERM) == (
        f"Stopped by SIGTERM. policy: 5 of 7 steps are kept in {tmp_path / 'cut'}. "
        "The same command continues from there."
    )
    resumed = online(updates=7, folder=tmp_path / "cut")
    assert history(resumed) == history(whole) and same(weights(resumed), weights(whole))


@pytest.mark.parametrize("step", [4, 7], ids=["in between", "the last one"])
def test_a_stop_while_weights_change_waits_for_the_end_of_the_step(online, tmp_path, monkeypatch, step) -> None:
    options = {"updates": 7, "passes": 2, "minibatches": 2}
    whole = online(**options)
    apply, calls = OnlineModule.apply_gradients, []

    def applied(self, role, **how):
        calls.append(role)
        if calls.count("policy") == (step - 1) * 4 + 2 and role == "policy":
            stop()
        return apply(self, role, **how)

    with monkeypatch.context() as patched, stopping.handled():
        patched.setattr(OnlineModule, "apply_gradients", applied)
        with pytest.raises(stopping.Stopped):
            online(folder=tmp_path / "cut", **options)
    assert done(tmp_path / "cut") == step
    resumed = online(folder=tmp_path / "cut", **options)
    assert history(resumed) == history(whole) and same(weights(resumed), weights(whole))
    assert same(weights(resumed, "value"), weights(whole, "value"))


def test_an_interrupt_that_nobody_handles_is_an_interrupt(online) -> None:
    """In a notebook; Lightning would end the program with 1 and no word."""

    def score(responses):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        online(updates=1, score=score)


def test_a_damaged_checkpoint_costs_steps_and_no_bit(online, tmp_path, caplog) -> None:
    whole = online(updates=8)
    with pytest.raises(Stop):
        online(updates=8, stop_at=7, folder=tmp_path / "cut")
    last = tmp_path / "cut" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-500])
    resumed = online(updates=8, folder=tmp_path / "cut")
    assert "last.ckpt cannot be used (damaged" in caplog.text
    assert history(resumed) == history(whole) and same(weights(resumed), weights(whole))


def test_an_error_that_the_user_can_mend_keeps_the_steps_before(online, tmp_path) -> None:
    calls = []

    def score(responses):
        calls.append(len(responses))
        if len(calls) == 3:
            raise RewardError("the judge is away")
        return oddness(responses)

    with pytest.raises(RewardError):
        online(updates=7, folder=tmp_path / "cut", score=score)
    assert done(tmp_path / "cut") == 2
