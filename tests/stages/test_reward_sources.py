"""Reward sources by any names, from one entry of the configuration to the report: by the real pipeline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.stages.test_pipeline import made, rows

RM2 = "++reward.sources.rm2={kind: reward_model, seed: 1, settings: {epochs: 2}}"
LENGTH = "++reward.sources.length={kind: length, start: 2, end: 6, points: 60}"
MEASURE_NO_JUDGE = ("judge=none", "evaluation.validation_every=1")


def results(folder: Path) -> dict:
    return json.loads((Path(made(folder)["evaluate"]) / "results.json").read_text())


def curve(folder: Path, stage: str) -> list[dict]:
    return [row["metrics"] for row in rows(folder / "metrics.jsonl") if row["stage"] == stage]


def test_a_second_reward_model_and_a_length_penalty_are_an_entry_each(experiment) -> None:
    """rm + rm2 + rules + length: trained, scored, combined, measured, and reported under their names."""
    folder = experiment("a", "reward=rm+rf", RM2, LENGTH, *MEASURE_NO_JUDGE)
    first, second = (Path(made(folder)[stage]) for stage in ("reward_model", "reward_model_rm2"))
    assert (first / "reward" / "adapter_model.safetensors").read_bytes() != (
        second / "reward" / "adapter_model.safetensors"
    ).read_bytes()
    for row in rows(folder / "rollouts.jsonl"):
        scores = {name: score["value"] for name, score in row["sources"].items()}
        assert list(scores) == ["model", "rules", "rm2", "length"]
        base = (scores["model"] + scores["rm2"]) / 2
        e = max(-100.0, min(100.0, scores["rules"] + scores["length"]))
        assert row["enhancement"] == e and row["total"] == pytest.approx(base + abs(base) * e / 100)
        words = len(row["response"].split())
        assert scores["length"] == pytest.approx(-60 * min(max(words - 2, 0) / 4, 1))
    trained = curve(folder, "policy")[-1]
    assert {"reward/rm2", "reward_std/length", "unscored/rm2", "composition/dead_zone"} <= trained.keys()
    assert {"capability/rm2", "capability/length"} <= curve(folder, "capability")[-1].keys()
    found = results(folder)
    assert found["sources"] == ["model", "rules", "rm2", "length"]
    assert found["source_info"]["rm2"]["symbol"] == "R_rm2" and set(found["variants"]["repo"]["sources"]) == set(scores)
    html = (folder / "report.html").read_text()
    assert "R_base = mean(R_model, R_rm2)" in html and "E = clip(E_func + E_length," in html
    assert "Reward model rm2" in html and "Reward model rm2 on: " in html and "Length" in html


def test_the_total_of_the_evaluation_is_the_same_whatever_further_sources_the_reward_has(experiment) -> None:
    plain, further = (experiment(str(i), "reward=rf", "algorithm=sft", *more, *MEASURE_NO_JUDGE)
                      for i, more in enumerate(([], [LENGTH])))  # fmt: skip
    totals = [
        {name: variant["total"] for name, variant in results(each)["variants"].items()} for each in (plain, further)
    ]
    assert totals[0] == totals[1]
    assert "length" in results(further)["variants"]["sft"]["sources"]


@pytest.mark.slow
def test_sources_need_not_have_the_usual_names_nor_be_combined_as_usual(experiment, tmp_path) -> None:
    """Two folders of rules and a judge, by importance; nothing is called model, judge or rules."""
    (tmp_path / "style").mkdir()
    rule = "# No question.\nkind: forbidden_text\npoints: -5\noptions: {patterns: ['[?]'], whole_words: false}\n"
    (tmp_path / "style" / "question.yaml").write_text(rule + "examples: {passes: [Yes], violates: ['Yes?']}\n")
    entries = [
        "++reward.sources.safe={kind: rules}",
        f"++reward.sources.style={{kind: rules, folder: {tmp_path / 'style'}}}",
        "++reward.sources.helpful={kind: local_judge, settings: {epochs: 1}}",
        *(f"reward.sources.{name}=null" for name in ("model", "judge", "rules")),
    ]
    lexicographic = ["reward.combine=lexicographic", "reward.order=[safe,style,helpful]"]
    group = ["algorithm=grpo", "algorithm.group_size=2", "evaluation.sources=as_trained"]
    folder = experiment("a", *entries, *group, *lexicographic)
    assert results(folder)["sources"] == ["safe", "style", "helpful"]
    assert "style/question" in results(folder)["variants"]["grpo"]["rules"] or not any(
        row["sources"]["style"]["parts"] for row in rows(folder / "responses.jsonl")
    )
    assert "violations/safe/too_long" in curve(folder, "policy")[0]
    assert list(made(folder)) == ["data", "sft", "judge_helpful", "policy", "capability", "evaluate"]
    gdpo = experiment("b", *entries, "algorithm=gdpo", "algorithm.group_size=2", "evaluation.sources=as_trained",
                      "algorithm.condition={source: safe, threshold: -20.0, otherwise: lowest}")  # fmt: skip
    assert results(gdpo)["order"][-1] == "gdpo"
