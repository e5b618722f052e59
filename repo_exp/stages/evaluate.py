"""evaluate: base, SFT and the trained policy answer the same held-out contexts, and are measured alike."""

from __future__ import annotations

from pathlib import Path

from repo_exp.evaluation.examples import choose_examples, worked_example
from repo_exp.evaluation.summary import summarise
from repo_exp.models.roles import BASE
from repo_exp.rewards.judge.reasons import worth_asking_again
from repo_exp.rewards.record import record
from repo_exp.rollout.seeds import derived_seed
from repo_exp.stages.answering import answer
from repo_exp.stages.data import read
from repo_exp.stages.reward_sources import RewardSources
from repo_exp.stages.store import Artifact, write_json, write_lines
from repo_exp.stages.workbench import Workbench
from repo_exp.types import Reply

VERSION = 4


def make(bench: Workbench, data: Artifact, sft: Artifact, policy: Artifact | None, sources: RewardSources) -> Artifact:
    """Return the evaluation artifact: ``results.json``, ``examples.json``, ``replies.jsonl``."""
    config = bench.config
    name = str(config.algorithm["name"])
    inputs = {
        "model": bench.model_inputs(),
        "evaluation": config.evaluation.model_dump(exclude={"capability_every", "capability_contexts"}),
        "yardstick": sources.inputs(evaluating=True),
        "rollout": bench.sampling_inputs(),
        "arm": name,
        "seed": config.seed,
    }
    parents = {"data": data, "sft": sft, **sources.parents(evaluating=True)}
    if policy is not None:
        parents["policy"] = policy

    def build(folder: Path) -> None:
        contexts = read(data).contexts["test"]
        seed, scorer = derived_seed(config.seed, "evaluation"), sources.scorer(evaluating=True)
        answered: dict[str, list[Reply]] = {}
        for arm, role, source in (("base", BASE, None), ("sft", "policy", sft), (name, "policy", policy)):
            if arm in answered or (role != BASE and source is None):
                continue
            backbone = bench.role(role, source) if source is not None else bench.backbone
            answered[arm] = answer(
                backbone,
                role,
                contexts,
                config.rollout,
                seed=seed,
                temperature=config.evaluation.temperature,
                finished=scorer.begin,
            )
        # all arms answer first: meanwhile a remote judge is at work, and is waited for once
        breakdown = iter(scorer.score([reply for replies in answered.values() for reply in replies]))
        # scored side by side, what all arms answer is computed once
        arms = {arm: [(reply, next(breakdown)) for reply in replies] for arm, replies in answered.items()}
        results = summarise(
            arms,
            sources=scorer.infos,
            seed=derived_seed(config.seed, "statistics") % 2**32,
            resamples=config.evaluation.resamples,
            confidence=config.evaluation.confidence,
            max_unscored=config.evaluation.max_unscored,
        )
        chosen = choose_examples(arms, scorer.infos, max_unscored=config.evaluation.max_unscored)
        write_json(folder / "results.json", results)
        write_json(folder / "examples.json", {"worked": worked_example(arms), "chosen": chosen})
        rows = [record(reply, breakdown, arm=arm) for arm, answers in arms.items() for reply, breakdown in answers]
        write_lines(folder / "replies.jsonl", rows)

    return bench.make("evaluate", build, version=VERSION, inputs=inputs, parents=parents, again=_again)


def _again(evaluation: Artifact) -> bool:
    """Did an endpoint leave replies without a score for a reason that may have passed?"""
    return worth_asking_again(evaluation.read("results.json")["unscored"])
