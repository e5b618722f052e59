"""reward_model: learns to prefer, then is calibrated on replies of the SFT policy.

Calibrated scores have mean 0 and spread 1 over what the SFT policy says, so that the sign of R_model
means better or worse than where learning starts: the enhancement reads that sign.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from repo_exp.core.preference import calibrate, calibration, pair_accuracy
from repo_exp.evaluation.baselines import longer_is_better, more_overlap_is_better
from repo_exp.learner.objectives import PairItem, Preferring
from repo_exp.models.backbone import Backbone
from repo_exp.models.passes import by_tokens, score_replies
from repo_exp.models.tokens import ChatTokenizer
from repo_exp.rollout.sampler import derived_seed
from repo_exp.stages.answering import answer
from repo_exp.stages.data import read
from repo_exp.stages.store import Artifact, write_json
from repo_exp.stages.workbench import Workbench
from repo_exp.types import Preference, Reply

VERSION = 1


def make(bench: Workbench, data: Artifact, sft: Artifact) -> Artifact:
    """Return the reward-model artifact: ``reward/``, ``calibration.json``, ``quality.json``, ``metrics.json``."""
    config = bench.config
    inputs = {
        "model": bench.model_inputs(),
        "reward_model": config.reward_model.model_dump(),
        "optimizer": bench.optimizer_inputs("reward_model"),
        "rollout": config.rollout.model_dump(exclude={"batch_size", "correction"}),
        "seed": config.seed,
    }

    def build(folder: Path) -> None:
        corpus, limit = read(data), config.rollout.max_new_tokens
        backbone = bench.fresh("reward", seed=derived_seed(config.seed, "reward adapter"))
        objective = Preferring(centring=config.reward_model.centring)
        train = [_item(backbone.tokens, pair, limit=limit) for pair in corpus.preferences["train"]]
        bench.teach(
            "reward_model",
            objective,
            train,
            epochs=config.reward_model.epochs,
            batch_size=config.reward_model.batch_size,
            learning_rate=config.optimizer.learning_rate.reward_model,
            folder=folder,
        )
        held = corpus.preferences["development"]
        write_json(folder / "quality.json", _quality(bench, backbone, objective, held, limit=limit))
        contexts = corpus.contexts["train"][: config.reward_model.calibration_replies]
        bench.role("policy", sft)
        seed = derived_seed(config.seed, "calibration")
        replies = answer(backbone, "policy", contexts, config.rollout, seed=seed)
        raw = raw_scores(backbone, replies, microbatch_tokens=config.trainer.microbatch_tokens)
        mean, spread = calibration(torch.tensor(raw))
        write_json(folder / "calibration.json", {"mean": mean, "spread": spread, "replies": len(raw)})
        backbone.save("reward", folder / "reward")

    return bench.make("reward_model", build, version=VERSION, inputs=inputs, parents={"data": data, "sft": sft})


def scorer(bench: Workbench, artifact: Artifact) -> Callable[[Sequence[Reply]], list[float]]:
    """Return the calibrated reward model as a function of replies."""
    told = artifact.read("calibration.json")

    def score(replies: Sequence[Reply]) -> list[float]:
        backbone = bench.role("reward", artifact)
        raw = raw_scores(backbone, replies, microbatch_tokens=bench.config.trainer.microbatch_tokens)
        return calibrate(torch.tensor(raw, dtype=torch.float64), mean=told["mean"], spread=told["spread"]).tolist()

    return score


def raw_scores(backbone: Backbone, replies: Sequence[Reply], *, microbatch_tokens: int) -> list[float]:
    """Return what the reward role says of replies, before calibration."""
    tokens = backbone.tokens
    return score_replies(
        backbone,
        [tokens.context(reply.context.messages) for reply in replies],
        [tokens.reply(reply.text) for reply in replies],
        microbatch_tokens=microbatch_tokens,
    )


def _item(tokens: ChatTokenizer, pair: Preference, *, limit: int) -> PairItem:
    chosen, rejected = (tokens.reply(text)[: 2 * limit] for text in (pair.chosen, pair.rejected))
    return PairItem(tokens.context(pair.context.messages), chosen, rejected)


@torch.no_grad()
def _quality(
    bench: Workbench, backbone: Backbone, objective: Preferring, pairs: Sequence[Preference], *, limit: int
) -> dict[str, Any]:
    """Return the accuracy on held-out pairs, whole and by kind and fault, beside two rules that know nothing."""
    items = [_item(backbone.tokens, pair, limit=limit) for pair in pairs]
    right = torch.zeros(len(pairs), dtype=torch.float64)
    with backbone.speaking("reward"):
        for chosen in by_tokens([objective.length(item) for item in items], bench.config.trainer.microbatch_tokens):
            better_N, worse_N = objective.scores(backbone, [items[i] for i in chosen])
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
