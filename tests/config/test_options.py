"""Every option of every group and every experiment composes and is valid, for all files in conf/."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from repo_exp.algorithms.registry import names, options_of
from repo_exp.config.check import load
from repo_exp.config.compose import Composer, as_if_running
from repo_exp.config.help import defaults, groups
from repo_exp.config.places import conf_dir
from repo_exp.config.schema import Config
from repo_exp.stages.checks import CHECKS
from repo_exp.stages.summary import checked

OPTIONS = [(group, option) for group, options in groups(conf_dir()).items() for option in options]
# What an option cannot do without: values that only the user knows, or another option.
COMPANIONS = {
    ("judge", "openai"): ["judge.model=m"],
    ("judge", "none"): ["reward=rm+rf"],
    ("data", "jsonl"): ["data.path={file}"],
    ("domain", "own"): ["data=jsonl", "data.path={file}"],
    ("algorithm", "sppo"): ["budget.rollouts=30"],  # five responses a prompt, as published
    ("model", "any"): ["model.folder={folder}"],
}


def composed(*overrides: str, checks=()) -> Config:
    cfg = Composer.create().compose(overrides)
    with as_if_running(cfg):
        return load(cfg, checks=checks)


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda text: text)
def test_every_option_of_every_group_is_valid(group, option, tmp_path):
    file = tmp_path / "pairs.jsonl"
    lines = [{"prompt": f"Question {i}?", "chosen": "Yes.", "rejected": "No."} for i in range(60)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    companions = [each.format(file=file, folder=tmp_path) for each in COMPANIONS.get((group, option), [])]
    checks = CHECKS if group in ("domain", "algorithm") else ()
    assert isinstance(composed(f"{group}={option}", *companions, checks=checks), Config)


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda text: text)
def test_every_option_has_its_line_in_the_help(group, option):
    assert groups(conf_dir())[group][option], f"conf/{group}/{option}.yaml begins with no comment"


def test_every_default_is_an_option():
    for group, option in defaults(conf_dir()).items():
        assert option is None or option in groups(conf_dir())[group]


@pytest.mark.parametrize("sources", ["rm", "rj", "rf", "rm+rj", "rm+rf", "rj+rf", "rm+rj+rf"])
def test_a_rewards_name_says_its_sources(sources):
    names = {"rm": "model", "rj": "judge", "rf": "rules"}
    assert composed(f"reward={sources}").reward.sources.keys() == {names[part] for part in sources.split("+")}


def test_ppo_and_repo_differ_in_the_combiner_and_but_for_their_names_in_nothing_else():
    ppo, repo = composed("algorithm=ppo"), composed("algorithm=repo")
    assert (ppo.reward.combine, repo.reward.combine) == ("model_only", "enhancement")
    named = {"algorithm": {**ppo.algorithm, "name": "repo"}}
    assert ppo.model_copy(update={"reward": repo.reward, **named}) == repo


def test_the_command_line_overrides_an_experiment():
    config = composed("experiment=smoke", "budget.updates=2", "model=smollm2_135m")
    assert (config.budget.updates, config.model.name) == (2, "smollm2_135m")


def test_a_configuration_survives_pickling():
    config = composed("model=tiny")
    assert pickle.loads(pickle.dumps(config)) == config


def test_a_configuration_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        composed().reward.n = 5.0


def test_every_algorithm_types_its_section():
    assert {"ppo", "sft"} <= set(names())
    assert options_of("ppo").model_validate(composed("algorithm=repo").algorithm).gae_lambda == 0.95


def test_the_summary_names_what_was_chosen():
    text = checked(composed("model=tiny", "reward=rm+rf", "reward.n=7"))
    assert all(word in text for word in ("Configuration OK.", "tiny", "model + rules", "n = 7"))


def test_a_plain_mapping_is_as_good_as_what_hydra_composed():
    cfg = Composer.create().compose([])
    plain = OmegaConf.to_container(cfg, resolve=False)
    plain["evaluation"]["temperature"] = 0.5
    assert load(plain).evaluation.temperature == 0.5


def test_the_manual_has_a_word_on_every_algorithm():
    manual = (Path(__file__).parents[2] / "docs" / "algorithms.md").read_text(encoding="utf-8")
    sections = {line.removeprefix("## ") for line in manual.splitlines() if line.startswith("## ")}
    assert {path.stem for path in (conf_dir() / "algorithm").glob("*.yaml")} <= sections


def test_every_option_of_the_algorithm_has_its_own_name():
    names = [path.stem for path in sorted((conf_dir() / "algorithm").glob("*.yaml"))]
    assert len(names) >= 24
    for name in names:
        more = ["budget.rollouts=30"] if name == "sppo" else []
        assert composed(f"algorithm={name}", *more).algorithm["name"] == name


@pytest.mark.parametrize(
    ("algorithm", "name", "words"),
    [
        ("grpo", "base", "a name of its own"),
        ("grpo", "sft", "a name of its own"),
        ("sft", "warm", "give sft"),
        ("grpo", "Mine", "small letters"),
        ("grpo", "a b", "small letters"),
    ],
)
def test_a_name_of_another_variant_or_one_that_no_file_could_have_is_refused(problems_in, algorithm, name, words):
    (found,) = problems_in(f"algorithm={algorithm}", f"algorithm.name='{name}'").items()
    assert found[0] == "algorithm.name" and words in found[1]


def test_a_condition_of_gdpo_goes_through_the_command_line(problems_in):
    valid = "algorithm.condition={source: rules, threshold: 0, otherwise: lowest}"
    assert not problems_in("algorithm=gdpo", "reward=rm+rf", "evaluation.sources=as_trained", valid)
    for wrong in ("{source: rules, threshold: .nan, otherwise: lowest}", "{source: rules, threshold: 0}"):
        places = problems_in("algorithm=gdpo", f"algorithm.condition={wrong}")
        assert places and all(place.startswith("algorithm.condition") for place in places)
    assert list(problems_in("algorithm=dpo", "algorithm.loss=[ipo,nca]")) == ["algorithm.loss"]
