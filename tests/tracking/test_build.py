"""JSONL is always there; W&B is a comfort whose absence is a warning."""

from __future__ import annotations

import logging
import sys

import pytest

from repo_exp.errors import ConfigError
from repo_exp.tracking import build
from repo_exp.tracking.build import build_trackers
from repo_exp.tracking.jsonl import read_metrics


def names(trackers) -> list[str]:
    return [type(tracker).__name__ for tracker in trackers.active]


def test_jsonl_alone(tmp_path):
    with build_trackers({"kind": "jsonl"}, run_folder=tmp_path, config={}, name="x") as trackers:
        assert names(trackers) == ["JsonlTracker"]
        trackers.log("policy", 0, {"reward/total": 1.0})
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 1


def test_wandb_comes_with_jsonl_and_takes_its_settings(tmp_path, read_offline):
    logger = {"kind": "wandb", "project": "hotels", "entity": None, "mode": "auto"}
    with build_trackers(logger, run_folder=tmp_path, config={"seed": 1}, name="x", group="g", tags=["t"]) as trackers:
        assert names(trackers) == ["JsonlTracker", "WandbTracker"]
    seen = read_offline(tmp_path)
    assert (seen.run.project, seen.run.run_group, seen.config["seed"]) == ("hotels", "g", 1)


def test_without_the_package_there_is_a_warning_and_jsonl(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with caplog.at_level(logging.WARNING):
        trackers = build_trackers({"kind": "wandb"}, run_folder=tmp_path, config={}, name="x")
    trackers.finish(True)
    assert "wandb is not installed" in caplog.text


def test_a_server_that_does_not_answer_means_offline(tmp_path, monkeypatch, caplog):
    tried = []

    class Refusing:
        def __init__(self, *_, mode, **__):
            tried.append(mode)
            if mode == "online":
                raise ConnectionError("no route")

        def finish(self, ok):
            pass

    monkeypatch.setattr(build, "WandbTracker", Refusing)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with build_trackers({"kind": "wandb"}, run_folder=tmp_path, config={}, name="x") as trackers:
        assert names(trackers) == ["JsonlTracker", "Refusing"]
    assert tried == ["online", "offline"]
    assert "no route" in caplog.text


def test_an_unknown_logger_is_named_with_its_nearest(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'wandb'"):
        build_trackers({"kind": "wandbb"}, run_folder=tmp_path, config={}, name="x")
