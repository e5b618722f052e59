"""reward_model: learns to prefer, then is calibrated on replies of the SFT policy.

Calibrated scores have mean 0 and spread 1 over what the SFT policy says, so that the sign of R_model
means better or worse than where learning starts: the enhancement reads that sign. What the kinds of
reward model differ in is ``stages/reward_models/<kind>.py``; what stands here they share.
"""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from repo_exp.core.preference import calibrate, calibration, pair_accuracy
from repo_exp.evaluation.baselines import longer_is_better, more_overlap_is_better
from repo_exp.models.forward import score_replies
from repo_exp.rewards.facts import is_number
from repo_exp.rollout.seeds import derived_seed
from repo_exp.stages.answering import answer
from repo_exp.stages.data import read
from repo_exp.stages.finite import require_all, require_some
from repo_exp.stages.reward_models.bradley_terry import RewardModel
from repo_exp.stages.store import Artifact, write_json
from repo_exp.stages.workbench import Workbench
from repo_exp.training.supervised import over_items
from repo_exp.types import NOT_FINITE, Preference, Reply, Score

log = logging.getLogger(__name__)
VERSION = 2


def make(bench: Workbench, data: Artifact, sft: Artifact) -> Artifact:
    """Return the reward-model artifact: ``reward/``, ``calibration.json``, ``quality.json``, ``metrics.json``."""
    config, kind = bench.config, of_its_kind(bench)
    before = kind.prepare(data, sft)
    inputs = {
        "model": bench.model_inputs(),
        "reward_model": config.reward_model.model_dump(),
        "optimizer": bench.optimizer_inputs("reward_model"),
        "rollout": bench.sampling_inputs(),
        "seed": config.seed,
    }
    parents = {"data": data, "sft": sft, **({"before": before} if before is not None else {})}

    def build(folder: Path) -> None:
        corpus, settings = read(data), config.reward_model
        lessons = kind.lessons(corpus, before, folder)
        backbone = kind.start(before)
        kind.teach("reward_model", lessons, epochs=settings.epochs, folder=folder)
        held = [pair for pair in corpus.preferences["development"] if kind.can_measure(pair)]
        write_json(folder / "quality.json", _quality(kind, held))
        contexts = [context for context in corpus.contexts["train"] if kind.can_score(context)]
        bench.role("policy", sft)
        seed = derived_seed(config.seed, "calibration")
        replies = answer(backbone, "policy", contexts[: settings.calibration_replies], config.rollout, seed=seed)
        raw = raw_scores(bench, replies)
        require_some(raw, least=2, role="reward", what="raw scores to calibrate with")
        known = [score for score in raw if math.isfinite(score)]
        if len(known) < len(raw):
            log.warning("calibration goes without %d of %d scores: not finite", len(raw) - len(known), len(raw))
        if len(set(known)) == 1:
            log.warning("the reward model scores all calibration replies alike: it tells nothing apart")
        mean, spread = calibration(torch.tensor(known))
        write_json(folder / "calibration.json", {"mean": mean, "spread": spread, "replies": len(known)})
        backbone.save("reward", folder / "reward")

    return bench.make("reward_model", build, version=VERSION, inputs=inputs, parents=parents)


def of_its_kind(bench: Workbench) -> RewardModel:
    """Return the kind of reward model that the configuration names: ``stages/reward_models/<kind>.py``."""
    return importlib.import_module(f"repo_exp.stages.reward_models.{bench.config.reward_model.kind}").RewardModel(bench)


def scorer(bench: Workbench, artifact: Artifact) -> Callable[[Sequence[Reply]], list[float | Score]]:
    """Return the calibrated reward model as a function of replies; a score that cannot be says why.

    Raises:
        StoreError: the calibration is no pair of numbers.
        NotFiniteError: (the function) of two replies or more none has a score that is finite.
    """
    told, kind = artifact.read("calibration.json"), of_its_kind(bench)
    for name in ("mean", "spread"):
        if not is_number(told.get(name)):
            artifact.not_a_number("calibration.json")(f"{name} is {told.get(name)}")

    def score(replies: Sequence[Reply]) -> list[float | Score]:
        bench.role("reward", artifact)
        raw = torch.tensor(raw_scores(bench, replies), dtype=torch.float64)
        scores = calibrate(raw, mean=told["mean"], spread=told["spread"]).tolist()
        can = [kind.can_score(reply.context) for reply in replies]
        if sum(can) > 1:
            said = [score for score, there in zip(scores, can, strict=True) if there]
            require_some(said, role="reward", what="scores of replies")
        return [
            (score if math.isfinite(score) else Score.none(NOT_FINITE))
            if there
            else Score.none(kind.unscorable, applies=False)
            for score, there in zip(scores, can, strict=True)
        ]

    return score


def raw_scores(bench: Workbench, replies: Sequence[Reply]) -> list[float]:
    """Return what the reward role says of replies, before calibration; NaN where a context cannot be scored."""
    kind, scores = of_its_kind(bench), [math.nan] * len(replies)
    there = [i for i, reply in enumerate(replies) if kind.can_score(reply.context)]
    told = score_replies(
        bench.backbone,
        [kind.before_reply(replies[i].context) for i in there],
        [kind.reply(replies[i].text) for i in there],
        microbatch_tokens=bench.config.trainer.microbatch_tokens,
    )
    for i, score in zip(there, told, strict=True):
        scores[i] = score
    return scores


def _quality(kind: RewardModel, pairs: Sequence[Preference]) -> dict[str, Any]:
    """Return the accuracy on held-out pairs, whole and by kind and fault, beside two rules that know nothing."""
    bench, objective, items = kind.bench, kind.objective, [kind.item(pair) for pair in pairs]
    right, backbone = torch.zeros(len(pairs), dtype=torch.float64), bench.backbone
    for chosen, (better_N, worse_N) in over_items(
        backbone,
        objective,
        items,
        lambda some: objective.scores(backbone, some),
        microbatch_tokens=bench.config.trainer.microbatch_tokens,
    ):
        scores = torch.stack([better_N, worse_N]).flatten().tolist()
        require_all(scores, role="reward", what="scores of held-out responses")
        right[chosen] = torch.tensor(
            [pair_accuracy(b[None], w[None]) for b, w in zip(better_N, worse_N, strict=True)], dtype=torch.float64
        )

    def counts(names: Sequence[str]) -> dict[str, dict[str, float]]:
        return {
            name: {
                "pairs": names.count(name),
                "correct": sum(r for r, n in zip(right.tolist(), names, strict=True) if n == name),
            }
            for name in sorted(set(names) - {""})
        }

    return {
        "pairs": len(pairs),
        "correct": right.sum().item(),
        "baselines": {"length": longer_is_better(pairs), "word overlap": more_overlap_is_better(pairs)},
        "kinds": counts([pair.kind for pair in pairs]),
        "faults": counts([pair.fault for pair in pairs]),
    }
