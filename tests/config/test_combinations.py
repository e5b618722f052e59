"""Values that are valid by themselves and impossible together: where, why, and what would work."""

from __future__ import annotations

import functools
import types
from typing import Annotated

import pytest
from pydantic import Field

from repo_exp.config import check
from repo_exp.errors import Problem
from repo_exp.rewards import combine


@pytest.mark.parametrize(
    ("overrides", "where", "words"),
    [
        (["reward=rj", "judge=none"], "judge.kind", ["[judge]", "judge=local"]),
        (["algorithm=ppo", "reward=rj+rf"], "reward.combine", ["model_only", "reward=rm"]),
        (["reward=rm+rj", "reward.combine=gated"], "reward.gate.source", ["rules", "[model, judge]", "reward=rm+rf"]),
        (["reward.combine=lexicographic", "reward.order=[rules]"], "reward.order", ["[model, judge]", "is missing"]),
        (["reward.combine=lexicographic", "reward.order=[rules,model,judge,model]"], "reward.order", ["twice"]),
        (["reward.sources=[rules,rules]"], "reward.sources", ["twice"]),
        (["domain=own"], "domain.name", ["generates no data", "data=jsonl"]),
        (["domain.name=hotle"], "domain.name", ["'hotel'"]),
        (["data=jsonl", "data.path=/nowhere/a.jsonl", "domain=hotel"], "data.path", ["/nowhere/a.jsonl"]),
        (["data.prompts.test=1"], "data.prompts.test", ["2 or more"]),
        (["evaluation.validation_prompts=9999"], "evaluation.validation_prompts", ["development", "at most"]),
        (["budget.rollouts=33", "algorithm.minibatches=4"], "algorithm.minibatches", ["33", "1, 3, 11, 33"]),
        (["algorithm=grpo", "budget.rollouts=33"], "algorithm.group_size", ["size 8", "budget.rollouts=32 or 40"]),
        (["algorithm=sppo", "budget.rollouts=32"], "algorithm.group_size", ["size 5", "budget.rollouts=30 or 35"]),
        (
            ["algorithm=p3o", "budget.rollouts=32", "algorithm.minibatches=32"],
            "algorithm.minibatches",
            ["16 groups", "1, 2, 4, 8, 16"],
        ),
        (["reward_model=polar", "reward_model.max_tokens=200"], "reward_model.max_tokens", ["320 or more"]),
        (["reward_model=polar", "reward_model.adapters=[1.0]", "reward_model.temperatures=[1.0,1.0]"],
         "reward_model.adapters", ["single policy"]),
        (["trainer.devices=2"], "trainer.devices", ["wait for one another", "trainer.devices=1"]),
        (["trainer.strategy=nonsense"], "trainer.strategy", ["'nonsense'", "trainer.strategy=auto"]),
        (["store=/dev/null/x"], "store", ["/dev/null is not a folder"]),
        ([f"store={'a' * 300}"], "store", ["255 bytes"]),
        (["domain.rules=hotl"], "domain.rules", ["'hotel'"]),
        (["domain.rubric=/nowhere"], "domain.rubric", ["/nowhere"]),
        (["reward.drop_rules=[too_lng]"], "reward.drop_rules", ["'too_long'"]),
        (["++reward.rule_points.too_lng=-1"], "reward.rule_points", ["'too_long'"]),
        (["reward.drop_items=[rud]"], "reward.drop_items", ["'rude'"]),
        (["reward.drop_rules=[too_long]", "++reward.rule_points.too_long=-1"], "reward.rule_points", ["drop_rules"]),
        (["model.source=folder"], "model.folder", ["model.folder=PATH"]),
        (["model=any", "model.folder=/nowhere"], "model.folder", ["no such folder", "/nowhere"]),
        (["model.source=hub", "model.hub=null"], "model.hub", ["model.hub=NAME"]),
        (["model.source=package", "model.gguf=null"], "model.package", ["smollm2_135m"]),
        (["model.source=random"], "model.random", ["model=tiny"]),
        (["model=tiny", "model.random.heads=3", "model.random.key_value_heads=1"], "model.random.heads", ["divides"]),
        (["model=tiny", "model.random.key_value_heads=3"], "model.random.key_value_heads", ["divides"]),
        (["model=tiny", "model.random.hidden_size=36", "model.random.heads=12", "model.random.key_value_heads=2"],
         "model.random.heads", ["even"]),
        (["model=tiny", "model.lora.last_layers.policy=3"], "model.lora.last_layers.policy", ["at most 2"]),
    ],
)  # fmt: skip
def test_an_impossible_combination_is_refused_with_a_remedy(problems_in, overrides, where, words):
    found = problems_in(*overrides)
    assert list(found) == [where]
    for word in words:
        assert word in found[where]


@pytest.mark.parametrize(
    "overrides",
    [
        ["data=jsonl", "data.path={file}"],  # the data have no labels for a judge; its stage reports that
        ["data=jsonl", "data.path={file}", "domain=hotel"],
        ["data=jsonl", "data.path={file}", "reward=rf"],
        ["reward=rm", "judge=none"],
        ["reward=rm", "judge=none", "algorithm=ppo", "reward.order=[]"],  # used by the combiner lexicographic alone
        ["algorithm=grpo", "reward.combine=decoupled", "reward.gate.source=judge", "reward=rm+rf"],
        ["algorithm=ppo", "reward.combine=lexicographic", "reward=rm+rf"],
        ["reward=rf", "domain.rubric=nowhere"],  # no source uses the rubric
        ["optimizer.learning_rate.policy=0"],
        ["algorithm=sft", "reward=rf"],
        ["evaluation.validation_every=0", "evaluation.validation_prompts=9999"],
        ["model.source=hub"],
        ["model.lora.last_layers.policy=99"],  # the number of layers is known once it is loaded
    ],
)
def test_a_rare_but_possible_combination_is_let_through(problems_in, overrides, tmp_path):
    file = tmp_path / "pairs.jsonl"
    file.touch()
    assert problems_in(*(each.format(file=file) for each in overrides)) == {}


def test_combinations_are_checked_beside_wrong_values_elsewhere(problems_in):
    found = problems_in("reward=rj", "judge=none", "reward.n=abc", "seed=x", "+reward.nn=3")
    assert set(found) == {"judge.kind", "reward.n", "seed", "reward.nn"}


def test_a_combination_with_a_wrong_value_is_not_checked(problems_in):
    assert list(problems_in("reward.sources=[juge]", "judge=none")) == ["reward.sources.0"]


def test_rules_may_be_in_any_folder(problems_in, tmp_path):
    assert list(problems_in(f"domain.rules={tmp_path}")) == ["domain.rules"]  # an empty folder
    (tmp_path / "one.yaml").write_text("points: -1\n")
    assert problems_in(f"domain.rules={tmp_path}") == {}
    assert "no rule is left" in problems_in(f"domain.rules={tmp_path}", "reward.drop_rules=[one]")["reward.drop_rules"]


class Additive(combine.CombineOptions):
    """The options of a combiner: one that is no key of ``reward`` and has a default, one that is required."""

    weight: Annotated[float, Field(gt=0)] = 1.0
    base: str


@pytest.mark.parametrize(
    ("options", "where", "words"),
    [
        ("{base: model, weight: 2}", None, ""),
        ("{weight: 2}", "reward.options.base", "needs this option; reward.options.base=VALUE"),
        ("{base: model, weight: 0}", "reward.options.weight", "0 is not valid for the combiner additive"),
        ("{base: model, weight: '2'}", "reward.options.weight", "'2' is not valid"),
        ("{base: model, wight: 2}", "reward.options.wight", "did you mean 'weight'?"),
        ("{base: model, n: 2}", "reward.options.n", "reward.n=2"),
    ],
)
def test_options_of_a_combiner_are_checked_against_its_own_types(problems_in, monkeypatch, options, where, words):
    module = types.SimpleNamespace(Options=Additive, Combiner=combine.Combiner)
    monkeypatch.setattr(combine, "names", lambda: ["additive", "enhancement"])
    monkeypatch.setattr(combine, "find", lambda name: module)
    found = problems_in("reward.combine=additive", f"reward.options={options}")
    assert list(found) == ([where] if where else [])
    assert not where or words in found[where]


def test_an_algorithms_own_check_is_asked(problems_in, monkeypatch):
    from repo_exp.algorithms.options import ppo

    def problems(options, config):
        return [Problem("algorithm.kind", f"{options.kind} of {config.budget.rollouts}")]

    monkeypatch.setattr(ppo.Options, "problems", problems)
    assert problems_in("budget.rollouts=12") == {"algorithm.kind": "ppo of 12; "}


def test_checks_of_other_layers_are_in_the_same_report(problems_in):
    def further(config):
        return [Problem("rules/x.yaml:3", f"wrong with {config.domain.rules}")]

    found = problems_in("reward.n=abc", checks=[further])
    assert found == {"reward.n": "'abc' is not valid; give a number", "rules/x.yaml:3": "wrong with hotel; "}


def test_a_check_that_reads_a_wrong_value_is_left_out(problems_in):
    assert list(problems_in("reward.n=abc", checks=[lambda config: [Problem("x", str(config.reward.n))]])) == [
        "reward.n"
    ]


def test_a_view_gives_valid_values_and_raises_at_others():
    view = check.View({"a": {"b": 1, "c": 2}, "l": [1, 2], "m": {"x": 1}}, frozenset({("a", "b"), ("l", 0), ("m",)}))
    assert view.a.c == 2
    for path in ("a.b", "a.nothing", "l", "m"):
        with pytest.raises(check.InvalidValueError):
            functools.reduce(getattr, path.split("."), view)
