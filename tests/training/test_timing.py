"""Time by phase: everything is counted once."""

import time

import pytest

from repo_exp.training.timing import PhaseTimer


def test_an_inner_phase_is_taken_off_the_outer_one(monkeypatch) -> None:
    clock = iter([0.0, 1.0, 4.0, 6.0, 10.0, 11.0])  # outer from 0 to 6, inner from 1 to 4; outer again from 10 to 11
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    phases = PhaseTimer()
    with phases("outer"), phases("inner"):
        pass
    with phases("outer"):
        pass
    assert phases.seconds == pytest.approx({"outer": 3 + 1, "inner": 3})
    phases.clear()
    assert phases.seconds == {}


def test_a_phase_that_fails_is_counted_and_leaves_the_next_one_right() -> None:
    phases = PhaseTimer()
    with pytest.raises(KeyError), phases("broken"):
        raise KeyError
    with phases("whole"):
        pass
    assert set(phases.seconds) == {"broken", "whole"}


def test_an_update_is_counted_by_phase(online) -> None:
    learner = online(updates=1)
    assert {"sample", "score", "train: policy", "train: value", "optimizer"} == set(learner.phases.seconds)
    assert not any("phase" in name for name in learner.history[-1])
