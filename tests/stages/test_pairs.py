"""A policy that learns from pairs: from one command to a report, without a reward."""

import json
from pathlib import Path

from tests.stages.test_pipeline import made, rows


def record(run: Path, stage: str = "policy") -> dict:
    return json.loads((Path(made(run)[stage]) / "artifact.json").read_text())


def test_pairs_go_through_the_whole_pipeline(experiment) -> None:
    run = experiment("a", "algorithm=dpo")
    assert json.loads((Path(made(run)["evaluate"]) / "results.json").read_text())["order"] == ["base", "sft", "dpo"]
    assert not (run / "rollouts.jsonl").exists() and "value" not in "".join(record(run)["files"])
    policy = [row["metrics"] for row in rows(run / "metrics.jsonl") if row["stage"] == "policy"]
    assert {"loss/policy", "implicit/accuracy"} <= set(policy[0])
    html = (run / "report.html").read_text()
    assert "trained on pairs of a better and a worse response" in html and "Implicit reward" in html


def test_a_reward_that_is_not_asked_does_not_train_the_policy_anew(experiment) -> None:
    """Nor does its judge have to be there."""
    runs = [experiment(str(i), "algorithm=simpo", "evaluation.validation_every=0", *more)
            for i, more in enumerate(([], ["reward=rm", "judge=none"], ["rollout.temperature=0.9"]))]  # fmt: skip
    assert len({made(run)["policy"] for run in runs}) == 1
    assert "judge" not in made(runs[1])


def test_a_name_is_what_the_evaluation_calls_it_and_nothing_else(experiment) -> None:
    runs = [made(experiment(name, "algorithm=simpo", f"algorithm.name={name}")) for name in ("simpo", "mine")]
    assert runs[0]["policy"] == runs[1]["policy"] and runs[0]["evaluate"] != runs[1]["evaluate"]


def test_the_record_says_what_the_policy_cost(experiment) -> None:
    paired, online = record(experiment("a", "algorithm=dpo"))["cost"], experiment("b", "algorithm.passes=2")
    assert paired["tokens"]["sampled"] == 0 < paired["tokens"]["learnt"]
    said = sum(row["tokens"] for row in rows(online / "rollouts.jsonl"))
    cost = record(online)["cost"]
    assert cost["tokens"] == {"sampled": said, "learnt": 2 * said}  # two passes, and every response had a total
    assert cost["peak_memory"]["process"] > 2**20 and "train: policy" in cost["phases"]
    assert record(online, "sft")["cost"] == {}
