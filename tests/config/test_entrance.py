"""A command that cannot run: the message for each mistake, and all of them in one report."""

from __future__ import annotations

import pytest

from repo_exp.config.check import load
from repo_exp.config.compose import Composer
from repo_exp.config.entrance import inspect
from repo_exp.config.inspection import inspect_overrides
from repo_exp.errors import ConfigError, Problem
from repo_exp.stages.checks import CHECKS


def test_every_mistake_of_a_command_is_in_one_report():
    with pytest.raises(ConfigError) as caught:
        inspect(["modle=tiny", "optimizer=adm", "reward.nn=5", "reward.n=abc"])
    text = str(caught.value)
    assert "4 problems" in text
    for word in ("'modle'", "'model'", "'adm'", "'adamw'", "reward.nn", "'reward.n'", "'abc'", "a number"):
        assert word in text


def test_a_valid_command_has_no_problems(problems_of):
    assert problems_of("model=tiny", "reward.n=5", "seed=3") == {}


MISTAKES = [
    ("reward=rx", "reward=rx", ["no option 'rx'", "rm+rj+rf"]),
    ("experiment=[smoke,papr]", "experiment=papr", ["paper"]),
    ("algorithm=[repo,ppo]", "algorithm=[repo,ppo]", ["one algorithm", "-m algorithm=repo,ppo"]),
    ("experiment=null", "experiment=null", ["~experiment"]),
    ("+model=tiny", "+model=tiny", ["exists already", "+"]),
    ("model=5", "model=5", ["no option '5'"]),
    ("+x=1", "x", ["no such key"]),
    ("++reward.zz=1", "reward.zz", ["no such key"]),
    ("+reward.n=1", "+reward.n=1", ["exists already"]),
    ("~x", "~x", ["'x'"]),
    ("~reward.n", "reward.n", ["no value"]),
    ("~judge", "~judge", ["cannot be left out", "judge=none"]),
    ("learning_rate=1", "learning_rate=1", ["optimizer.learning_rate.policy"]),
    ("n=5", "n=5", ["reward.n"]),
    ("judge.model=x", "judge.model", ["judge=openai"]),
    ("data.path=x", "data.path", ["data=jsonl"]),
    ("reward.n.x=1", "reward.n.x", ["'reward.n' is 100.0", "'x'"]),
    ("model.random.layers=1", "model.random.layers", ["model=tiny"]),
    ("algorithm.pases=1", "algorithm.pases", ["algorithm.passes"]),
    ("a b=", "a b=", ["'a b' is not a key"]),
    ("seed=1,2", "seed=1,2", ["-m", "seed=[...]"]),
    ("reward.combine=${nowhere}", "reward.combine", ["${nowhere}", "resolved"]),
]


@pytest.fixture(scope="module")
def all_mistakes() -> list[Problem]:
    """Return the problems of one command with all the mistakes; the deletions go with another."""
    deletions = [override for override, _, _ in MISTAKES if override in ("~reward.n", "~judge")]
    others = [override for override, _, _ in MISTAKES if override not in deletions]
    composer = Composer.create()
    return [*inspect_overrides(others, composer).problems, *inspect_overrides(deletions, composer).problems]


def test_a_command_of_mistakes_has_as_many_problems(all_mistakes):
    assert sorted(problem.where for problem in all_mistakes) == sorted(where for _, where, _ in MISTAKES)


@pytest.mark.parametrize(("override", "where", "words"), MISTAKES)
def test_a_mistaken_override_is_named_with_what_would_work(all_mistakes, override, where, words):
    (found,) = [f"{problem.found}; {problem.remedy}" for problem in all_mistakes if problem.where == where]
    for word in words:
        assert word in found


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("reward.n=abc", ["'abc'", "a number"]),
        ("reward.n=0", ["above 0"]),
        ("reward.n=-5", ["above 0"]),
        ("reward.n=inf", ["finite"]),
        ("reward.n=true", ["True", "a number"]),
        ("seed=1.5", ["a whole number"]),
        ("seed=-1", ["0 or more"]),
        ("reward.n=null", ["null", "a number"]),
        ("judge.hard=1", ["true or false"]),
        ("store=''", ["not empty"]),
        ("reward.sources=[]", ["no source", "reward=rf"]),
        ("reward.sources=5", ["keys with values"]),
        ("reward.sources=model", ["a list"]),
        ("model.dtype=float16", ["bfloat16"]),
        ("model.lora=5", ["model.lora.rank=VALUE"]),
        ("model.lora.target_modules=5", ["text", "or a list"]),
        ("trainer.devices=0", ["1 or more", "auto"]),
        ("optimizer.betas.1=1.0", ["below 1"]),
        ("algorithm.kind=pppo", ["'ppo'"]),
        ("algorithm.clip_low=2", ["below 1"]),
        ("algorithm.passes=1.5", ["a whole number"]),
        ("task.kind=chek", ["'check'"]),
        ("judge.kind=locl", ["'local'"]),
    ],
)
def test_an_unsuitable_value_is_named_with_what_would_work(problems_in, override, words):
    key = override.partition("=")[0]
    found = problems_in(override)
    assert list(found) == [key]
    for word in words:
        assert word in found[key]


def test_a_launcher_that_is_not_installed_is_named(problems_of):
    assert "basic" in problems_of("hydra/launcher=nowhere")["hydra/launcher=nowhere"]


def test_a_combiner_that_does_not_exist_is_named(problems_of):
    assert "enhancement" in problems_of("reward.combine=maximum")["reward.combine"]


def test_a_value_of_several_types_is_one_problem(problems_in):
    assert list(problems_in("model.lora.target_modules=[q_proj,5]")) == ["model.lora.target_modules.1"]


def test_a_forgotten_value_is_asked_for(problems_of):
    assert "judge.model=VALUE" in problems_of("judge=openai")["judge.model (conf/judge/openai.yaml)"]


def test_a_value_that_may_be_the_api_key_itself_is_not_repeated(problems_of):
    found = problems_of("judge=openai", "judge.model=m", "judge.api_key_env=sk-12345")
    assert "sk-12345" not in str(found)
    assert "environment variable" in found["judge.api_key_env"]


def test_entries_where_any_key_may_stand_need_no_plus_signs():
    spelt = inspect(["reward.rule_points.too_long=-7", "--cfg", "job"]).arguments
    assert spelt[0] == "++reward.rule_points.too_long=-7"
    assert "too_long" in str(inspect_overrides(["++reward.rule_points.too_lng=-7"], Composer.create()).problems)


def test_flags_may_stand_between_the_overrides():
    assert inspect(["model=tiny", "-m", "seed=0,1"]).arguments[1:] == ["model=tiny", "seed=0,1", "-m"]
    assert inspect(["--info", "config", "model=tiny"]).arguments == ["model=tiny", "--info", "config"]


def test_sources_written_as_text_are_shown_as_a_list():
    with pytest.raises(ConfigError) as caught:
        inspect(["model=tiny", "reward.sources=model"])
    (problem,) = caught.value.problems
    assert problem.where == "reward.sources" and "reward.sources=[model]" in problem.remedy


@pytest.mark.parametrize(
    ("overrides", "most"), [([], 1), (["seed=3", "reward.n=7", "hydra.run.dir=x"], 1), (["reward.nn=3", "seed=3"], 3)]
)
def test_composing_takes_long_so_a_single_run_is_composed_once(monkeypatch, overrides, most):
    composed, compose = [], Composer.compose

    def counted(self, lines, **options):
        composed.append(lines)
        return compose(self, lines, **options)

    monkeypatch.setattr(Composer, "compose", counted)
    found = inspect_overrides(["model=tiny", *overrides], Composer.create())
    assert len(composed) <= most
    assert (found.problems == []) == (most == 1)
    if most == 1:
        assert found.jobs[0].config == load(found.jobs[0].cfg)


def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert inspect(["model=tiny", "store='~/store'"]).first.store == str(tmp_path / "store")
    with pytest.raises(ConfigError, match="~nobody-here"):
        inspect(["data=jsonl", "data.path='~nobody-here/x'", "model=tiny"])


def test_a_key_that_was_put_on_the_command_line_is_not_repeated():
    for given in (["OPENAI_API_KEY=sk-12345"], ["--api-key", "sk-12345"], ["--api_key=sk-12345"]):
        with pytest.raises(ConfigError) as caught:
            inspect(["model=tiny", *given])
        assert "sk-12345" not in str(caught.value)


def test_a_run_folder_that_cannot_be_created_is_named(problems_of):
    assert "is not a folder" in problems_of("model=tiny", "hydra.run.dir=/dev/null/x")["hydra.run.dir"]
    assert "is not a folder" in problems_of("hydra.sweep.dir=/dev/null/x", "seed=0,1", multirun=True)["hydra.sweep.dir"]


def test_points_may_be_given_as_a_mapping():
    first = inspect(["model=tiny", "reward.rule_points={too_long: -5}"]).first
    assert first.reward.rule_points == {"too_long": -5.0}


def test_for_a_file_of_your_own_the_command_is_shown(problems_of):
    assert "data=jsonl data.path=my/a.jsonl" in problems_of("data=my/a.jsonl")["data=my/a.jsonl"]


def test_the_last_of_two_values_counts(problems_of):
    assert problems_of("reward.n=abc", "reward.n=5") == {}


def test_showing_the_configuration_needs_names_and_no_values():
    inspect(["judge=openai", "reward.n=abc", "--cfg", "job"])
    with pytest.raises(ConfigError, match=r"reward\.nn"):
        inspect(["reward.nn=1", "--cfg", "job"])


def test_overrides_of_hydra_are_accepted(problems_of):
    assert problems_of("hydra.run.dir=x", "+hydra.job.env_set.A=b", "hydra/job_logging=none") == {}


def test_a_misspelt_key_in_a_file_is_reported_with_the_file(conf, problems_of):
    file = conf / "reward" / "rm.yaml"
    file.write_text(file.read_text() + "nn: 5\n")
    assert "'reward.n'" in problems_of("reward=rm")["reward.nn (conf/reward/rm.yaml)"]


def test_a_misspelt_option_in_a_file_is_reported_with_the_file(conf, problems_of):
    file = conf / "experiment" / "smoke.yaml"
    file.write_text(file.read_text().replace("override /model: tiny", "override /model: tinny"))
    assert "'tiny'" in problems_of("experiment=smoke")["conf/experiment/smoke.yaml"]


def test_a_file_that_is_not_yaml_is_a_problem_and_not_a_traceback(conf):
    (conf / "reward" / "rm.yaml").write_text("sources: [model\n")
    with pytest.raises(ConfigError, match=r"rm.yaml:2: not valid YAML"):
        inspect(["reward=rm"])


def test_a_wrong_type_in_a_file_is_reported_with_the_file(conf, problems_of):
    (conf / "reward" / "rm.yaml").write_text("# Half.\ndefaults: [rm+rj+rf]\nsources: {rules: null}\nn: much\n")
    assert list(problems_of("reward=rm")) == ["reward.n (conf/reward/rm.yaml)"]


def test_an_option_in_a_folder_of_your_own_is_checked_too(tmp_path):
    (tmp_path / "reward").mkdir()
    (tmp_path / "reward" / "mine.yaml").write_text("# Mine.\ndefaults: [rm]\nn: 7.0\n")
    inspect(["reward=mine", "--config-dir", str(tmp_path)])


def test_an_empty_mapping_lists_all_keys_that_it_lacks():
    with pytest.raises(ConfigError) as caught:
        load({})
    assert {"seed", "reward", "model"} <= {problem.where for problem in caught.value.problems}


def test_an_error_of_the_configuration_goes_between_processes():
    import pickle

    error = ConfigError("no", [Problem("a", "b", "c")])
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


class TestSweeps:
    """With -m, or an experiment that sweeps."""

    def test_every_value_of_every_dimension_is_checked(self, problems_of):
        found = problems_of("reward=rm,rmm", "seed=0,x", "reward.n=1,-2", multirun=True)
        assert "'rm'" in found["reward=rmm"]
        assert "(when seed=x)" in found["seed"]
        assert "(when reward.n=-2)" in found["reward.n"]

    def test_a_combination_that_cannot_run_is_named(self, problems_of):
        found = problems_of("reward=rj,rm", "judge=none,local", multirun=True)
        assert "(when reward=rj judge=none)" in found["judge.kind (conf/judge/none.yaml)"]

    def test_what_holds_in_all_combinations_names_none(self, problems_of):
        assert "when" not in problems_of("reward=rj", "judge=none", "seed=0,1", multirun=True).popitem()[1]

    def test_an_experiment_that_sweeps_is_checked_as_a_sweep(self, conf, problems_of):
        file = conf / "experiment" / "ablate_n.yaml"
        file.write_text(file.read_text().replace("25,50,100,200", "25,0"))
        assert "(when reward.n=0)" in problems_of("experiment=ablate_n")["reward.n"]
        assert problems_of("experiment=ablate_n", "reward.n=1,2") == {}

    def test_a_misspelt_key_of_a_declared_sweep_is_found(self, conf, problems_of):
        file = conf / "experiment" / "ablate_n.yaml"
        file.write_text(file.read_text().replace("reward.n: 25", "reward.nn: 25"))
        assert "'reward.n'" in problems_of("experiment=ablate_n")["hydra.sweeper.params: reward.nn"]

    def test_ranges_and_globs_are_spread_out(self, problems_of):
        found = problems_of("reward.n=range(0,2)", "reward=glob(rm*,exclude=*rj*)", multirun=True)
        assert list(found) == ["reward.n"]
        assert "reward.n=0" in found["reward.n"]

    def test_a_key_that_only_the_swept_options_have_is_a_key(self, problems_of):
        assert problems_of("judge=openai,openai", "judge.model=a", multirun=True) == {}

    def test_of_too_many_combinations_every_value_is_still_checked(self, monkeypatch, problems_of):
        monkeypatch.setattr("repo_exp.config.sweeps.MOST_COMBINATIONS", 3)
        found = problems_of("seed=0,1,x", "reward.n=1,2,y", multirun=True)
        assert set(found) == {"seed", "reward.n"}


SECRETS = [
    ["judge=openai", "judge.model=m", "judge.base_url=http://user:hunter22@h/v1"],
    ["judge=openai", "judge.model=m", "judge.base_url='http://h/v1?key=hunter22'"],
    ["judge=openai", "judge.model=m", "judge.base_url='http://h/v1?a=b&api_key=hunter22'"],
    ["judge=openai", "judge.model=m", "judge.api_key_env=sk-hunter22"],
    ["judge=openai", "judge.model=m", "judge.api_key_env=hf_hunter22abcdefghi"],
    ["judge=openai", "judge.model=m", "+judge.api_key=hunter22"],
    ["-m", "judge=openai", "judge.model=m", "judge.base_url=http://h/v1,http://user:hunter22@h/v1"],
    ["++hydra.job.env_set.OPENAI_API_KEY=hunter22"],
    ["judge={kind: openai, api_key_env: sk-hunter22}"],
    ["--api-key", "hunter22"],
    ["--api-key=hunter22"],
    ["model.hub=https://user:hunter22@h/x"],
    ["logger.tags=[sk-hunter2200]"],
    ["this is nothing sk-hunter2200"],
    ["judge=openai", "judge.base_url=http://user:hunter22@h/v1", "--cfg", "job"],
]


@pytest.mark.parametrize("arguments", SECRETS, ids=lambda arguments: arguments[-1][:24])
def test_a_secret_on_the_command_line_is_refused_before_anything_writes_it_down(arguments, capsys):
    with pytest.raises(ConfigError) as caught:
        inspect(arguments, checks=CHECKS)
    assert "hunter22" not in str(caught.value) + "".join(capsys.readouterr())
    assert "environment variable" in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["judge=openai", "judge.model=m", "judge.base_url='http://h:80/v1?api-version=2025-01-01'"],
        ["judge=openai", "judge.model=m", "judge.api_key_env=MY_KEY_2", "judge.max_tokens=64"],
        ["-m", "model=tiny", "rollout.max_new_tokens=16,24", "model.random.key_value_heads=1"],
    ],
)
def test_values_that_are_not_secrets_pass(arguments):
    inspect(arguments, checks=CHECKS)


def test_a_secret_in_a_file_of_your_own_is_refused(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nhydra:\n  job:\n    env_set: {OPENAI_API_KEY: hunter22}\n"
        "logger:\n  entity: http://user:hunter22@h\n"
    )
    with pytest.raises(ConfigError) as caught:
        inspect(["experiment=mine", "--config-dir", str(tmp_path)])
    text = str(caught.value)
    assert "hunter22" not in text
    assert "hydra.job.env_set.OPENAI_API_KEY" in text and "logger.entity" in text


def test_a_key_that_comes_in_through_an_interpolation_is_not_repeated(monkeypatch):
    monkeypatch.setenv("JUDGE_URL", "http://user:hunter22@h/v1")
    with pytest.raises(ConfigError) as caught:
        inspect(["judge=openai", "judge.model=m", "judge.base_url=${oc.env:JUDGE_URL}"], checks=CHECKS)
    assert "hunter22" not in str(caught.value) and "judge.base_url" in str(caught.value)


def test_an_invalid_address_is_refused_with_the_right_form():
    with pytest.raises(ConfigError, match="no address of the form http://HOST/PATH"):
        inspect(["judge=openai", "judge.model=m", "judge.base_url=localhost:8000"], checks=CHECKS)


def test_a_file_of_your_own_with_aliases_of_aliases_is_refused_at_once(tmp_path):
    levels = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]\n" for i in range(1, 9))
    (tmp_path / "bomb.yaml").write_text(f"l0: &l0 [x]\n{levels}")
    with pytest.raises(ConfigError, match="aliases"):
        inspect(["model=tiny", "--config-dir", str(tmp_path)])
