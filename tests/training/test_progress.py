"""A stage that says nothing for a while says that it is at work."""

import time

from repo_exp.training.callbacks.progress import Heartbeat, StageProgress


def test_silence_is_broken_with_the_step_under_way(capsys) -> None:
    with Heartbeat("sft", first=0.05, every=0.05), StageProgress("sft", 3):
        time.sleep(0.3)
    printed = capsys.readouterr().err
    assert "sft at work for 0 s  step 1 of 3" in printed


def test_a_stage_without_steps_says_so_too_and_is_silent_once_it_is_over(capsys) -> None:
    with Heartbeat("evaluate", first=0.05, every=0.05):
        time.sleep(0.3)
    assert "evaluate at work for 0 s\n" in capsys.readouterr().err
    time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_a_stage_that_says_something_is_not_talked_over(capsys) -> None:
    with Heartbeat("sft", first=5.0), StageProgress("sft", 2, every=0.0) as progress:
        progress.update(1, {})
    assert "at work" not in capsys.readouterr().err
