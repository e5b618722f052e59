"""sft: the policy learns to speak from demonstrations."""

from __future__ import annotations

from pathlib import Path

from repo_exp.learner.objectives import Imitation, ReplyItem
from repo_exp.learner.supervised import heldout_loss
from repo_exp.models.tokens import ChatTokenizer
from repo_exp.rollout.sampler import derived_seed
from repo_exp.stages.data import read
from repo_exp.stages.store import Artifact, write_json
from repo_exp.stages.workbench import Workbench
from repo_exp.types import Demonstration

VERSION = 2


def make(bench: Workbench, data: Artifact) -> Artifact:
    """Return the SFT artifact: ``policy/`` in peft's format, ``quality.json``, ``metrics.json``."""
    config = bench.config
    inputs = {
        "model": bench.model_inputs(),
        "sft": config.sft.model_dump(),
        "optimizer": bench.optimizer_inputs("sft"),
        "max_new_tokens": config.rollout.max_new_tokens,
        "seed": config.seed,
    }

    def build(folder: Path) -> None:
        demonstrations = read(data).demonstrations
        backbone = bench.fresh("policy", seed=derived_seed(config.seed, "policy adapter"))
        limit = config.rollout.max_new_tokens

        def items(split: str) -> list[ReplyItem]:
            return [_item(backbone.tokens, each, limit=limit) for each in demonstrations.get(split, ())]

        objective = Imitation()
        bench.teach(
            "sft",
            objective,
            items("train"),
            epochs=config.sft.epochs,
            batch_size=config.sft.batch_size,
            learning_rate=config.optimizer.learning_rate.sft,
            folder=folder,
        )
        heldout = heldout_loss(
            backbone, objective, items("development"), microbatch_tokens=config.trainer.microbatch_tokens
        )
        write_json(folder / "quality.json", {"loss/heldout": heldout})
        backbone.save("policy", folder / "policy")

    return bench.make("sft", build, version=VERSION, inputs=inputs, parents={"data": data})


def _item(tokens: ChatTokenizer, shown: Demonstration, *, limit: int) -> ReplyItem:
    return ReplyItem(tokens.context(shown.context.messages), tokens.reply(shown.reply, limit=limit))
