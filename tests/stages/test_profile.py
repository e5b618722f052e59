"""task=profile: one update of any online configuration, measured without training anything first."""

import json

import pytest
from hydra import compose, initialize_config_dir

from repo_exp.config.check import load
from repo_exp.config.places import conf_dir
from repo_exp.errors import ConfigError
from repo_exp.stages import profile
from tests.stages.conftest import SMALL


def config(*overrides: str):
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return load(compose("config", overrides=[*SMALL, *overrides]))


@pytest.mark.parametrize(
    ("overrides", "phases"),
    [
        ((), {"sample", "score: model", "score: judge", "train: policy", "train: value"}),
        (("algorithm=grpo", "algorithm.group_size=2", "reward=rm+rf"), {"sample", "score: model", "train: policy"}),
        (("algorithm=grpo_care", "algorithm.group_size=2", "reward=rm"), {"precompute: average", "train: policy"}),
        (("reward=rf",), {"sample", "score", "train: value"}),
        (("algorithm=dvpo", "reward_model=polar"), {"score: model", "precompute: value", "precompute: reference"}),
        (("algorithm=jackpot", "algorithm.group_size=2", "reward=rm"), {"sample", "compare", "train: policy"}),
    ],
    ids=["repo", "grpo", "grpo_care", "rules alone", "dvpo", "jackpot"],
)
def test_an_update_is_shown_by_phase_and_operator(tmp_path, capsys, overrides, phases) -> None:
    profile.show(config(f"store={tmp_path / 'store'}", *overrides), folder=tmp_path / "run")
    shown = capsys.readouterr().out
    assert all(phase in shown for phase in phases) and "aten::bmm" in shown and "GiB" in shown
    assert "score: judge" in shown or "score: judge" not in phases
    assert [p.name for p in (tmp_path / "run").iterdir()] == [profile.TRACE]
    assert json.loads((tmp_path / "run" / profile.TRACE).read_text())["traceEvents"]
    assert {p.name for p in (tmp_path / "store").iterdir() if p.name != ".work"} == {"data"}  # nothing was trained


def test_a_method_without_updates_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match="no update to profile"):
        profile.show(config("algorithm=sft", f"store={tmp_path / 'store'}"), folder=tmp_path / "run")
