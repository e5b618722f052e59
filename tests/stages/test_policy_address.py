"""A policy's address hangs on what can change its weights, and on nothing that only measures."""

from __future__ import annotations

from pathlib import Path

import pytest

from repo_exp.config.check import load, plain
from repo_exp.config.compose import Composer, as_if_running
from repo_exp.config.schema import Evaluation
from repo_exp.stages import capability, policy
from repo_exp.stages.asked_sources import evaluation_sources
from repo_exp.stages.reward_sources import RewardSources
from repo_exp.stages.store import Artifact
from repo_exp.stages.workbench import Workbench

COMPOSER = Composer.create()


def artifact(stage: str) -> Artifact:
    return Artifact(stage, f"{stage}-address", Path(stage), {}, reused=True)


def address(tmp_path: Path, *overrides: str, stage: str = "policy") -> str:
    """Return the address that a policy (or its capability curve) would have; nothing is trained."""
    cfg = COMPOSER.compose(["experiment=smoke", f"store={tmp_path}", *overrides])
    with as_if_running(cfg):
        config = load(plain(cfg)[0])
    bench = Workbench(config, folder=tmp_path, trackers=None)
    bench.make = lambda stage, build, *, version, inputs, parents, **_: Artifact(
        stage, bench.store.address(stage, version, inputs, parents), tmp_path, {}, reused=True
    )
    trained = {name: artifact(name) for name, entry in evaluation_sources(config).items() if "seed" in entry}
    sources = RewardSources(bench, trained)
    data, sft = artifact("data"), artifact("sft")
    made = policy.make(bench, data, sft, sources)
    return made.address if stage == "policy" else capability.make(bench, data, sft, made, sources).address


MEASURING = {
    "temperature": "0.5",
    "sources": "as_trained",
    "n": "7",
    "resamples": "500",
    "confidence": "0.9",
    "capability_every": "3",
    "capability_contexts": "2",
    "max_unscored": "0.5",
}


def test_every_key_of_the_evaluation_is_tried_here():
    assert set(Evaluation.model_fields) <= set(MEASURING)


@pytest.mark.parametrize("method", ["repo", "grpo", "dpo"])
def test_the_evaluation_is_no_part_of_it(tmp_path, method):
    given = [f"algorithm={method}"]
    before = address(tmp_path, *given)
    for key in Evaluation.model_fields:
        assert address(tmp_path, *given, f"evaluation.{key}={MEASURING[key]}") == before, key


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        (["algorithm=grpo"], ["++reward.rule_points.too_long=-99"]),
        (["algorithm=grpo"], ["reward.n=7"]),
        (["algorithm=grpo"], ["++reward.item_points.rude=-99"]),
        (["algorithm=ppo"], ["reward.drop_rules=[too_long]"]),
        (["algorithm=ppo"], ["reward=rm"]),
        (["reward=rm"], ["++reward.rule_points.too_long=-99"]),
        (["reward=rm"], ["reward.n=7"]),
        (["algorithm=dpo"], ["++reward.rule_points.too_long=-99"]),
        (["reward=rm+rf"], ["++reward.item_points.rude=-99"]),
        (["reward.combine=weighted_sum", "reward.weights.judge=0"], ["++reward.item_points.rude=-99"]),
        ([], ["rollout.batch_size=3"]),
        ([], ["trainer.microbatch_tokens=77", "trainer.checkpoint_every=3"]),
        ([], ["logger.project=other", "algorithm.name=mine"]),
    ],
)
def test_what_only_measures_is_no_part_of_it(tmp_path, given, changed):
    assert address(tmp_path, *given) == address(tmp_path, *given, *changed)


@pytest.mark.parametrize(
    "changed",
    [["reward.n=7"], ["++reward.rule_points.too_long=-99"], ["++reward.item_points.rude=-99"], ["reward=rm+rf"],
     ["budget.updates=5"], ["seed=1"], ["rollout.temperature=0.9"], ["optimizer.learning_rate.policy=1e-5"]],
)  # fmt: skip
def test_what_changes_the_weights_is(tmp_path, changed):
    assert address(tmp_path) != address(tmp_path, *changed)


def test_the_curve_is_measured_anew_where_the_measure_changes(tmp_path):
    before = address(tmp_path, stage="capability")
    for changed in ("evaluation.n=7", "evaluation.capability_contexts=2", "evaluation.temperature=0.5"):
        assert address(tmp_path, changed, stage="capability") != before
    assert address(tmp_path, "evaluation.resamples=500", stage="capability") == before


def test_the_points_of_the_curve_are_among_those_that_are_kept():
    """12 updates are kept after 3, 6 and 9; every 4 updates takes the first kept one of each stretch of 4."""
    assert policy.kept_after(12) == (3, 6, 9)
    assert [capability.steps(12, every) for every in (1, 4, 6, 100)] == [
        [0, 3, 6, 9, 12], [0, 6, 9, 12], [0, 6, 12], [0, 12]
    ]  # fmt: skip
    assert policy.kept_after(1) == () and capability.steps(1, 1) == [0, 1]
    assert policy.kept_after(2) == (1,) and policy.kept_after(3) == (1, 2)
