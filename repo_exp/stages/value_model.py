"""value_model: learns what a reply will have been worth from preference pairs, before any policy learns from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from repo_exp.core.preference import pair_accuracy
from repo_exp.learner.objectives import Valuing, WorthItem
from repo_exp.models.backbone import Backbone
from repo_exp.models.tokens import ChatTokenizer
from repo_exp.rollout.sampler import derived_seed
from repo_exp.stages.data import read
from repo_exp.stages.finite import require_all
from repo_exp.stages.lengths import differ
from repo_exp.stages.store import Artifact, write_json
from repo_exp.stages.workbench import Workbench
from repo_exp.types import Preference

VERSION = 2


def make(bench: Workbench, data: Artifact, options: Any, *, value_of: str) -> Artifact:
    """Return the value model's artifact: ``value/``, ``quality.json``, ``metrics.json``.

    Args:
        options: of the algorithm: ``value_targets``, ``value_epochs``, ``value_batch_size``, ``gamma``, ``gae_lambda``.
        value_of: what its values are of, the ``state`` or the ``action``.
    """
    config = bench.config
    how = {"targets": options.value_targets, "gamma": options.gamma, "gae_lambda": options.gae_lambda, "of": value_of}
    inputs = {
        "model": bench.model_inputs(),
        "value": {**how, "epochs": options.value_epochs, "batch_size": options.value_batch_size},
        "optimizer": bench.optimizer_inputs("value"),
        "max_new_tokens": config.rollout.max_new_tokens,
        "seed": config.seed,
    }

    def build(folder: Path) -> None:
        preferences, limit = read(data).preferences, 2 * config.rollout.max_new_tokens
        backbone = bench.fresh("value", seed=derived_seed(config.seed, "value model adapter"))
        objective = Valuing(**how)
        bench.teach(
            "value_model",
            objective,
            [item for pair in preferences["train"] for item in lessons(backbone.tokens, pair, limit=limit)],
            epochs=options.value_epochs,
            batch_size=options.value_batch_size,
            learning_rate=config.optimizer.learning_rate.value,
            folder=folder,
        )
        held = [item for pair in preferences["development"] for item in lessons(backbone.tokens, pair, limit=limit)]
        told = _quality(backbone, objective, held, microbatch_tokens=config.trainer.microbatch_tokens)
        write_json(folder / "quality.json", told)
        backbone.save("value", folder / "value")

    return bench.make("value_model", build, version=VERSION, inputs=inputs, parents={"data": data})


def lessons(tokens: ChatTokenizer, pair: Preference, *, limit: int) -> list[WorthItem]:
    """Return the chosen reply, which is worth 1, and the rejected one, which is worth -1; none where both are alike."""
    if not differ(tokens, pair, limit=limit):
        return []
    context = tokens.context(pair.context.messages)
    worths = ((pair.chosen, 1.0), (pair.rejected, -1.0))
    return [WorthItem(context, tokens.reply(text, limit=limit), worth) for text, worth in worths]


@torch.no_grad()
def _quality(
    backbone: Backbone, objective: Valuing, items: Sequence[WorthItem], *, microbatch_tokens: int
) -> dict[str, float]:
    """Return in how many held-out pairs the chosen reply ends with the higher value; a tie counts one half."""
    last_N = torch.zeros(len(items), dtype=torch.float64)
    with backbone.speaking("value"):
        for chosen in backbone.chunks([objective.sequences(item) for item in items], microbatch_tokens):
            value_NR, mask_NR = objective.values(backbone, [items[i] for i in chosen])
            last_N1 = (mask_NR.sum(1, keepdim=True) - 1).to(value_NR.device)
            last_N[chosen] = value_NR.gather(1, last_N1).squeeze(1).double().cpu()
    require_all(last_N.tolist(), role="value", what="values of held-out replies")
    pairs = len(items) // 2
    return {"pairs": pairs, "correct": pairs * pair_accuracy(last_N[0::2], last_N[1::2]) if pairs else 0.0}
