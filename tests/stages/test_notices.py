"""What a reader is told before any figure."""

from __future__ import annotations

import pytest

from repo_exp.config.check import load, resolved
from repo_exp.config.compose import Composer, as_if_running
from repo_exp.config.schema import Config
from repo_exp.stages.notices import RANDOM, notices, unused_sources
from repo_exp.stages.summary import summary

COMPOSER = Composer.create()


def config(*overrides: str) -> Config:
    cfg = COMPOSER.compose(overrides)
    with as_if_running(cfg):
        return load(resolved(cfg)[0])


@pytest.mark.parametrize(
    ("overrides", "unused", "words"),
    [
        ([], (), ""),
        (
            ["algorithm=grpo"],
            ("judge", "rules"),
            "The judge and the rules only measure: grpo is trained on the reward model",
        ),
        (["algorithm=grpo", "reward=rm+rf"], ("rules",), "The rules only measure:"),
        (["algorithm=grpo", "reward.combine=enhancement"], (), ""),
        (["algorithm=grpo", "reward=rm"], (), ""),
        (["algorithm=dpo"], ("model", "judge", "rules"), "is trained on preference pairs"),
        (["algorithm=sft"], ("model", "judge", "rules"), "demonstrations alone"),
        (["algorithm=dvpo"], ("model", "judge", "rules"), "value model"),
        (["algorithm=gdpo"], (), ""),
        (["algorithm=gdpo", "reward.weights.judge=0"], ("judge",), "with weight 0"),
        (["reward.combine=weighted_sum", "reward.weights.rules=0"], ("rules",), "with weight 0"),
        (["reward.combine=lexicographic"], (), ""),
    ],
)
def test_sources_without_effect_are_named(overrides, unused, words):
    found = config(*overrides)
    assert unused_sources(found) == unused
    said = notices(found)
    assert len(said) == bool(unused)
    assert not unused or words in said[0]


def test_random_weights_come_first():
    assert notices(config("model=tiny", "algorithm=grpo"))[0] == RANDOM
    assert len(notices(config("model=tiny", "algorithm=grpo"))) == 2


def test_the_check_says_so_too():
    assert "reward.combine=enhancement makes them part of the reward" in "\n".join(summary(config("algorithm=grpo")))
