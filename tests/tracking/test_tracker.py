"""A failing tracker never stops a run, and never takes the others with it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from repo_exp.tracking.tracker import Tracker, Trackers


class Memory:
    """Keeps what it is told; fails at the call named ``broken``."""

    def __init__(self, broken: str = "") -> None:
        self.calls: list[tuple] = []
        self.broken = broken

    def _take(self, name: str, *given: object) -> None:
        self.calls.append((name, *given))
        if name == self.broken:
            raise ConnectionError("the network is gone")

    def log(self, stage, step, metrics):
        self._take("log", stage, step, dict(metrics))

    def table(self, name, columns, rows):
        self._take("table", name)

    def summary(self, values):
        self._take("summary", dict(values))

    def file(self, path):
        self._take("file", path)

    def finish(self, ok):
        self._take("finish", ok)


def everything(trackers: Trackers) -> None:
    trackers.log("policy", 1, {"reward/total": 0.5})
    trackers.table("samples", ["response"], [["hello"]])
    trackers.summary({"p": 0.01})
    trackers.file(Path("report.html"))


def test_every_tracker_hears_everything():
    one, other = Memory(), Memory()
    assert isinstance(one, Tracker)
    with Trackers([one, other]) as trackers:
        everything(trackers)
    assert one.calls == other.calls
    assert [call[0] for call in one.calls] == ["log", "table", "summary", "file", "finish"]
    assert one.calls[-1] == ("finish", True)


@pytest.mark.parametrize("broken", ["log", "table", "summary", "file", "finish"])
def test_a_failing_tracker_is_named_once_and_the_others_go_on(broken, caplog):
    bad, good = Memory(broken), Memory()
    with caplog.at_level(logging.WARNING), Trackers([bad, good]) as trackers:
        everything(trackers)
        everything(trackers)
    assert len(good.calls) == 9
    assert len(caplog.records) == 1
    assert "Memory failed" in caplog.text
    assert "the network is gone" in caplog.text
    names = [call[0] for call in bad.calls]
    assert names.count(broken) == 1
    assert names[-1] == "finish"  # it is closed, so that its process and its files end


def test_a_run_that_fails_is_finished_as_failed_and_its_error_passes_through():
    memory = Memory()
    with pytest.raises(KeyError), Trackers([memory]):
        raise KeyError("the run's own error")
    assert memory.calls == [("finish", False)]


def test_finishing_twice_is_finishing_once():
    memory = Memory()
    with Trackers([memory]) as trackers:
        trackers.finish(True)
    assert memory.calls == [("finish", True)]
    assert trackers.active == ()


def test_an_interrupt_is_not_swallowed():
    class Interrupted(Memory):
        def log(self, stage, step, metrics):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trackers([Interrupted()]).log("policy", 1, {})
