"""An offline run is read back from its file; an online one talks to a server on the loopback."""

from __future__ import annotations

import json
import math
import os

import pytest

from repo_exp.tracking.wandb_tracker import WandbTracker, wandb_mode

SECRET = "sk-do-not-write-me-anywhere"
CONFIG = {"seed": 3, "judge": {"api_key": SECRET, "api_key_env": "JUDGE_KEY"}, "reward": {"n": 100}}


def test_an_offline_run_holds_config_curves_tables_and_report(tmp_path, read_offline):
    report = tmp_path / "report.html"
    report.write_text("<!doctype html><p>It learned.</p>")
    tracker = WandbTracker(tmp_path, CONFIG, name="rm+rj-s3", group="ablation", tags=["hotel"], mode="offline")
    for step in range(3):
        tracker.log("sft", step, {"loss/train": 2.0 - step})
    tracker.log("policy", 0, {"reward/total": 0.5, "policy/entropy": 1.5, "reward/judge": math.nan})
    tracker.table("responses", ["text", "score"], [["hello", 1], ["bye", None], [("a", "b"), 0.5]])
    tracker.summary({"p": 0.004})
    tracker.file(report)
    tracker.finish(True)

    seen = read_offline(tmp_path)
    assert (seen.run.display_name, seen.run.run_group, list(seen.run.tags)) == ("rm+rj-s3", "ablation", ["hotel"])
    assert seen.config["judge"] == {"api_key": "***", "api_key_env": "JUDGE_KEY"}
    assert SECRET.encode() not in seen.bytes
    assert (seen.axes["sft/*"], seen.axes["policy/*"]) == ("sft/step", "policy/step")
    losses = [(row["sft/step"], row["sft/loss/train"]) for row in seen.history if "sft/step" in row]
    assert losses == [(0, 2.0), (1, 1.0), (2, 0.0)]
    (policy,) = [row for row in seen.history if "policy/step" in row]
    assert (policy["policy/reward/total"], policy["policy/entropy"]) == (0.5, 1.5)
    kinds = {name: value for row in seen.history for name, value in row.items() if name.endswith("/_type")}
    assert kinds == {"responses/_type": "table-file", "report/_type": "html-file"}
    assert [path.read_text() for path in seen.folder.rglob("*.html")] == [report.read_text()]
    assert seen.summary["p"] == 0.004
    assert seen.exit == 0


def test_a_failed_run_is_marked_as_failed_and_two_runs_in_one_process_stay_apart(tmp_path, read_offline):
    one, other = (WandbTracker(tmp_path / name, {}, name=name, mode="offline") for name in ("one", "other"))
    one.log("sft", 0, {"loss/train": 1.0})
    other.log("sft", 0, {"loss/train": 9.0})
    one.finish(False)
    other.finish(True)
    first, second = read_offline(tmp_path / "one"), read_offline(tmp_path / "other")
    assert (first.exit, second.exit) == (1, 0)
    assert [row["sft/loss/train"] for row in first.history + second.history] == [1.0, 9.0]


def test_an_online_run_reaches_the_server(tmp_path, wandb_server, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", wandb_server.url)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert wandb_mode() == "online"
    tracker = WandbTracker(tmp_path, CONFIG, name="online", group="ablation", tags=["a"], mode="online")
    tracker.log("policy", 1, {"reward/total": 0.25})
    tracker.finish(True)
    assert (wandb_server.run["groupName"], wandb_server.run["displayName"]) == ("ablation", "online")
    assert SECRET not in json.dumps(wandb_server.run)
    assert [row["policy/reward/total"] for row in wandb_server.history if "policy/step" in row] == [0.25]
    assert wandb_server.exit == 0


def test_without_a_login_it_is_offline():
    assert wandb_mode() == "offline"
    assert wandb_mode("auto") == "offline"


def test_a_key_or_a_netrc_login_makes_it_online(monkeypatch, tmp_path):
    path = tmp_path / "netrc"
    path.write_text("machine api.wandb.ai login user password x\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    assert wandb_mode() == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert wandb_mode() == "offline"  # the login is for another server
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert wandb_mode() == "online"


@pytest.mark.parametrize("mode", ["offline", "online", "disabled"])
def test_the_environments_mode_always_wins(mode, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_MODE", mode)
    assert wandb_mode() == wandb_mode("online") == wandb_mode("offline") == mode


def test_the_configured_mode_comes_before_what_is_found(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert wandb_mode("offline") == "offline"


def test_the_key_is_not_put_into_the_environment():
    assert "WANDB_API_KEY" not in os.environ


def test_the_same_configuration_in_the_same_folder_is_the_same_run(tmp_path):
    def started(seed: int) -> str:
        tracker = WandbTracker(tmp_path, {"seed": seed}, name="n", mode="offline")
        tracker.finish(True)
        return tracker._run.id

    first = started(1)
    assert started(1) == first != started(2)


def test_a_run_that_goes_on_skips_the_steps_that_the_server_has(tmp_path):
    tracker = WandbTracker(tmp_path, {}, name="n", mode="disabled")
    logged = []

    class Resumed:
        resumed, summary = True, {"policy/step": 3}

        def define_metric(self, *_, **__):
            """Nothing to do."""

        def log(self, row):
            logged.append({name: value for name, value in row.items() if name.endswith("/step")})

    tracker.finish(True)
    tracker._run = Resumed()
    for step in range(1, 6):
        tracker.log("policy", step, {"loss": 1.0})
    tracker.log("sft", 1, {"loss": 1.0})
    assert logged == [{"policy/step": 4}, {"policy/step": 5}, {"sft/step": 1}]
