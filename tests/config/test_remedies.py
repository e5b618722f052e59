"""Remedies work: each is put in the place of the mistake, and the command is checked again."""

from __future__ import annotations

import re
import shlex

import pytest

from repo_exp.config.compose import Composer
from repo_exp.config.entrance import inspect
from repo_exp.errors import ConfigError, did_you_mean

BASE = ["model=tiny"]
INTERNALS = re.compile(r"Error|Exception|Lexer|viable|mismatched|EOF|BasicSweeper|Conf'|Traceback|NoneType")

# A command, and what its message proposes in place of it.
PROPOSED = [
    ("judge=null", "judge=none"),
    ("~judge", "judge=none"),
    ("--seed 1", "seed=1"),
    ("--seed=1", "seed=1"),
    ("seed = 3", "seed=3"),
    ("seed= 3", "seed=3"),
    ("seed =3", "seed=3"),
    ("seed:3", "seed=3"),
    ("seed 3", "seed=3"),
    ("/reward=rm", "reward=rm"),
    ("reward.sources=[model", "'reward.sources=[model]'"),
    ("reward.sources=[model, rules]", "'reward.sources=[model, rules]'"),
    ("store=a(b", "\"store='a(b'\""),
    ('store="\'a"', "store=a"),
    ("-m seed=1,2,", "seed=1,2"),
    ("-m seed=range(0,3,0)", "seed=range(0,3)"),
    ("-m seed=rnge(3)", "seed=range(3)"),
    ("-m seed=interval(0,3)", "seed=0,3"),
    ("seed=str(3)", "seed=3"),
    ("seed=1e3", "seed=1000"),
    ("judge.hard=yes", "judge.hard=true"),
    ("reward.sources=model", "reward.sources=[model]"),
    ("trainer.devices=2", "trainer.devices=1"),
    ("trainer.strategy=ddp", "trainer.strategy=auto"),
    ("experiment=null", "~experiment"),
]
# A command, and the name that its message asks for: the command with that name is valid.
MEANT = [
    ("reward=rf+rm", "rm+rf", "reward=rm+rf"),
    ("algorithm=REPO", "repo", "algorithm=repo"),
    ("trainer=CPU", "cpu", "trainer=cpu"),
    ("algorithm=dr-grpo", "dr_grpo", "algorithm=dr_grpo"),
    ("lr=1e-4", "optimizer.learning_rate.policy", "optimizer.learning_rate.policy=1e-4"),
    ("--lr 1e-4", "optimizer.learning_rate.policy", "optimizer.learning_rate.policy=1e-4"),
    ("learning_rate=1e-4", "optimizer.learning_rate.policy", "optimizer.learning_rate.policy=1e-4"),
    ("optimizer.lr=1e-4", "optimizer.learning_rate.policy", "optimizer.learning_rate.policy=1e-4"),
    ("n=5", "reward.n", "reward.n=5"),
    ("lora_rank=4", "model.lora.rank", "model.lora.rank=4"),
    ("prompts=20", "data.prompts.train", "data.prompts.train=20"),
]


def message_of(*arguments: str) -> str:
    with pytest.raises(ConfigError) as caught:
        inspect([*BASE, *arguments])
    text = str(caught.value)
    assert not INTERNALS.search(text), text
    return text


@pytest.mark.slow
@pytest.mark.parametrize(("mistake", "remedy"), PROPOSED, ids=lambda text: text)
def test_a_remedy_that_is_a_command_works(mistake, remedy):
    words = mistake.split() if "'" not in mistake else shlex.split(mistake)
    found = message_of(*words)
    assert remedy in found or shlex.split(remedy)[0] in found
    more = ["reward=rm+rf"] if remedy == "judge=none" else []  # and a reward that asks no judge
    inspect([*BASE, *(["-m"] if "-m" in words else []), *shlex.split(remedy), *more])


def test_the_commonest_mistakes_are_named_together_and_their_remedies_work_together():
    found = message_of("~judge", "reward=rf+rm", "algorithm=REPO", "--seed", "1", "lr=1e-4", "reward.sources=[model")
    for remedy in ("judge=none", "'rm+rf'", "'repo'", "seed=1", "'optimizer.learning_rate.policy'", "sources=[model]"):
        assert remedy in found
    remedies = ["judge=none", "reward=rm+rf", "algorithm=repo", "seed=1", "optimizer.learning_rate.policy=1e-4"]
    inspect([*BASE, *remedies, "reward.sources=[model]"])


@pytest.mark.slow
@pytest.mark.parametrize(("mistake", "name", "command"), MEANT, ids=lambda text: text)
def test_a_name_that_is_proposed_works(mistake, name, command):
    assert f"'{name}'" in message_of(*mistake.split())
    inspect([*BASE, command])


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["store=${"], ["store=${oc.env:NO_SUCH_VARIABLE}"], ["store=${nope:1}"], ["store=${oc.env}"],
        ["reward.n=${reward.m}"], ["reward.n=${reward.n}"], ["=5"], ["@x=1"], ["seed"], ["reward@x=rm"],
        ["-m", "glob(*)"], ["-m", "seed=choice()"], ["-m", "seed=foo(1)"], ["-m", "seed=,1"],
        ["hydra.launcher.n_jobs=2"],
        ["--cfg", "foo"], ["--config-dir", "/nowhere"], ["--config-dir", "/etc/hostname"],
        ["--multirn"], ["--lr"], ["data.prompts={train:5"], ["seed=]"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_no_mistake_shows_the_parsers_own_words(arguments):
    assert message_of(*arguments)


def test_capitals_dashes_and_the_order_of_parts_do_not_hide_a_name():
    assert did_you_mean("RJ+Rm+rf", ["rm", "rm+rj+rf"]) == "did you mean 'rm+rj+rf'?"
    assert did_you_mean("Dr-GRPO", ["grpo", "dr_grpo"]) == "did you mean 'dr_grpo'?"


def test_a_number_from_the_environment_is_a_number(monkeypatch):
    monkeypatch.setenv("MY_N", "7.5")
    assert inspect([*BASE, "seed=${oc.env:NO_SUCH_VARIABLE,3}"]).first.seed == 3
    assert inspect([*BASE, "reward.n=${oc.env:MY_N}"]).first.reward.n == 7.5
    assert inspect([*BASE, "store=${oc.env:MY_N}"]).first.store == "7.5"
    monkeypatch.setenv("MY_N", "many")
    assert "'many'" in message_of("reward.n=${oc.env:MY_N}")


def test_a_model_that_is_no_option_is_shown_how_it_is_named(tmp_path):
    assert "model=any model.source=hub model.hub=Qwen/Qwen3-0.6B" in message_of("model=Qwen/Qwen3-0.6B")
    assert f"model=any model.folder={tmp_path}" in message_of(f"model={tmp_path}")


def test_a_section_that_was_given_a_value_lists_its_keys():
    assert "rank, alpha" in message_of("model.lora=5") and "model.lora.rank=VALUE" in message_of("model.lora=5")


def test_every_option_can_be_named_after_its_group():
    composer = Composer.create()
    for group in composer.groups:
        for option in composer.options(group):
            assert f"'{option}'" in did_you_mean(option.upper(), composer.options(group))
