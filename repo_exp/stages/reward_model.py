"""reward_model: trained on preference pairs, then calibrated on replies of the SFT policy; one for each such source.

Calibrated scores have mean 0 and standard deviation 1 over replies of the SFT policy, so that the sign of a score means
better or worse than where learning starts: the enhancement reads that sign. How the kinds of reward model differ is in
``stages/reward_models/<kind>.py``; this file is what they share.
"""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from repo_exp.config.reward_sources import settings_of
from repo_exp.config.schema import Config
from repo_exp.core.preference import calibrate, calibration, pair_accuracy
from repo_exp.evaluation.baselines import longer_is_better, more_overlap_is_better
from repo_exp.models.forward import score_replies
from repo_exp.rewards.facts import is_number
from repo_exp.rewards.sources.reward_model import ScoreFunction
from repo_exp.rollout.seeds import derived_seed
from repo_exp.stages.answering import answer
from repo_exp.stages.data import read
from repo_exp.stages.finite import require_all, require_some
from repo_exp.stages.reward_models.bradley_terry import RewardModel, RewardModelSpec
from repo_exp.stages.store import Artifact, write_json
from repo_exp.stages.workbench import Workbench
from repo_exp.training.supervised import over_items
from repo_exp.types import NOT_FINITE, Preference, Reply, Score

log = logging.getLogger(__name__)
VERSION = 3


def spec_of(config: Config, name: str, entry: Mapping[str, Any]) -> RewardModelSpec:
    """Return which reward model a source asks for."""
    seed = config.seed if entry["seed"] is None else entry["seed"]
    return RewardModelSpec(name, settings_of(entry), seed)


def make(bench: Workbench, data: Artifact, sft: Artifact, spec: RewardModelSpec) -> Artifact:
    """Return the reward-model artifact: ``reward/``, ``calibration.json``, ``quality.json``, ``metrics.json``."""
    config, kind = bench.config, of_its_kind(bench, spec)
    before = kind.prepare(data, sft)
    inputs = {
        "model": bench.model_inputs(),
        "reward_model": spec.settings.model_dump(),
        "optimizer": bench.optimizer_inputs("reward_model"),
        "rollout": bench.sampling_inputs(),
        "seed": spec.seed,
    }
    parents = {"data": data, "sft": sft, **({"before": before} if before is not None else {})}

    def build(folder: Path) -> None:
        corpus, settings = read(data), spec.settings
        lessons = kind.lessons(corpus, before, folder)
        backbone = kind.start(before)
        kind.teach(spec.stage(), lessons, epochs=settings.epochs, folder=folder)
        held = [pair for pair in corpus.preferences["development"] if kind.can_measure(pair)]
        write_json(folder / "quality.json", _quality(kind, held))
        contexts = [context for context in corpus.contexts["train"] if kind.can_score(context)]
        bench.role("policy", sft)
        seed = derived_seed(spec.seed, "calibration")  # the string is part of the seed
        replies = answer(backbone, "policy", contexts[: settings.calibration_replies], config.rollout, seed=seed)
        raw = raw_scores(bench, kind, replies)
        require_some(raw, least=2, role="reward", what="raw scores to calibrate with")
        finite = [score for score in raw if math.isfinite(score)]
        if len(finite) < len(raw):
            log.warning("calibration leaves out %d of %d scores: not finite", len(raw) - len(finite), len(raw))
        if len(set(finite)) == 1:
            log.warning("the reward model gives all calibration replies the same score: it tells nothing apart")
        mean, std = calibration(torch.tensor(finite))
        write_json(folder / "calibration.json", {"mean": mean, "std": std, "replies": len(finite)})
        backbone.save("reward", folder / "reward")

    return bench.make(spec.stage(), build, version=VERSION, inputs=inputs, parents=parents)


def of_its_kind(bench: Workbench, spec: RewardModelSpec) -> RewardModel:
    """Return how a reward model of this kind is trained and laid out: ``stages/reward_models/<kind>.py``."""
    module = importlib.import_module(f"repo_exp.stages.reward_models.{spec.settings.kind}")
    kind: RewardModel = module.RewardModel(bench, spec)
    return kind


def function(bench: Workbench, spec: RewardModelSpec, artifact: Callable[[], Artifact]) -> ScoreFunction:
    """Return the calibrated reward model as a function of replies; a score that is missing says why.

    Args:
        artifact: what :func:`make` returned; asked when the first replies are scored.

    Raises:
        StoreError: (the function) the calibration is no pair of numbers.
        NotFiniteError: (the function) of two replies or more none has a finite score.
    """
    kind = of_its_kind(bench, spec)

    def score(replies: Sequence[Reply]) -> list[float | Score]:
        trained = artifact()
        scale = _scale(trained)
        bench.role("reward", trained)
        raw = torch.tensor(raw_scores(bench, kind, replies), dtype=torch.float64)
        scores = calibrate(raw, mean=scale["mean"], spread=scale["std"]).tolist()
        scorable = [kind.can_score(reply.prompt) for reply in replies]
        if sum(scorable) > 1:
            finite_or_not = [score for score, can in zip(scores, scorable, strict=True) if can]
            require_some(finite_or_not, role="reward", what="scores of replies")
        return [
            (score if math.isfinite(score) else Score.none(NOT_FINITE))
            if can
            else Score.none(kind.unscorable, applies=False)
            for score, can in zip(scores, scorable, strict=True)
        ]

    return score


def _scale(artifact: Artifact) -> dict[str, float]:
    scale: dict[str, float] = artifact.read("calibration.json")
    for name in ("mean", "std"):
        if not is_number(scale.get(name)):
            artifact.not_a_number("calibration.json")(f"{name} is {scale.get(name)}")
    return scale


def raw_scores(bench: Workbench, kind: RewardModel, replies: Sequence[Reply]) -> list[float]:
    """Return the reward role's scores before calibration; NaN where a context cannot be scored."""
    scores = [math.nan] * len(replies)
    scorable = [i for i, reply in enumerate(replies) if kind.can_score(reply.prompt)]
    found = score_replies(
        bench.backbone,
        [kind.before_reply(replies[i].prompt) for i in scorable],
        [kind.reply(replies[i].response) for i in scorable],
        microbatch_tokens=bench.config.trainer.microbatch_tokens,
    )
    for i, score in zip(scorable, found, strict=True):
        scores[i] = score
    return scores


def _quality(kind: RewardModel, pairs: Sequence[Preference]) -> dict[str, Any]:
    """Return the accuracy on held-out pairs, in total and by kind and fault, beside two baselines without a model."""
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
