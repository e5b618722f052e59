"""Combinations of other options with a method that learns from pairs: impossible ones and possible ones."""

import pytest


@pytest.mark.parametrize(
    ("overrides", "where", "words"),
    [
        (["algorithm=dpo", "reward.combine=weighted_sum"], "reward.combine", ["learns from pairs", "algorithm=grpo"]),
        (["algorithm=dpo", "budget.rollouts=33"], "budget.rollouts", ["cannot be split into pairs", "34"]),
        (["algorithm=ipo", "algorithm.label_smoothing=0.1"], "algorithm.label_smoothing", ["ipo", "robust"]),
        (["algorithm=nca", "algorithm.margin=1"], "algorithm.margin", ["nca", "hinge"]),
        (["algorithm=apo_zero", "algorithm.reference=false"], "algorithm.reference", ["nothing to compare with"]),
        (["algorithm=ipo", "algorithm.divergence=forward_kl"], "algorithm.divergence", ["forward_kl", "reverse_kl"]),
        (["algorithm=simpo", "algorithm.divergence=alpha"], "algorithm.divergence", ["reference=true"]),
        (["algorithm=dpo", "reward=rj", "judge=none", "evaluation.sources=as_trained"], "judge.kind", ["judge=local"]),
    ],
)
def test_options_without_effect_are_refused_with_a_remedy(problems_in, overrides, where, words) -> None:
    found = problems_in(*overrides)
    assert list(found) == [where]
    for word in words:
        assert word in found[where]


@pytest.mark.parametrize(
    "overrides",
    [
        ["algorithm=dpo", "judge=none"],  # neither training nor evaluation uses a judge
        ["algorithm=dpo", "reward=rf"],
        ["algorithm=dpo", "algorithm.divergence=jensen_shannon"],
        ["algorithm=simpo", "algorithm.label_smoothing=0.1", "algorithm.sft_weight=0.5"],
        ["algorithm=sft", "budget.rollouts=33"],
    ],
)
def test_a_reward_that_is_not_used_needs_no_judge(problems_in, overrides) -> None:
    assert problems_in(*overrides) == {}


def test_for_a_hyperparameter_of_online_methods_the_methods_are_named(problems_of) -> None:
    found = problems_of("algorithm=dpo", "algorithm.group_size=4")
    assert "algorithm=grpo" in found["algorithm.group_size"]


def test_the_leaderboard_runs_with_every_method(problems_of) -> None:
    assert problems_of("experiment=leaderboard") == {}
