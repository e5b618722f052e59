"""sft: the policy learns from demonstrations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from repo_exp.config.schema import Config, Sft
from repo_exp.models.tokens import ChatTokenizer
from repo_exp.rollout.seeds import derived_seed
from repo_exp.stages.data import read
from repo_exp.stages.fitting import fit_supervised
from repo_exp.stages.records import TrainingInputs, training_inputs
from repo_exp.stages.run_context import RunContext
from repo_exp.stages.stage import Stage
from repo_exp.stages.store import Artifact, write_json
from repo_exp.training.losses import ResponseItem, SFTLoss
from repo_exp.training.supervised import heldout_loss
from repo_exp.types import Demonstration, Split


@dataclass(frozen=True, slots=True)
class SftInputs:
    """What SFT reads."""

    training: TrainingInputs
    sft: Sft
    max_new_tokens: int


class SftStage(Stage[SftInputs]):
    """Leaves ``policy/`` in peft's format, ``quality.json``, ``metrics.json``."""

    name, version = "sft", 2

    def inputs(self, config: Config) -> SftInputs:
        """Return what SFT reads."""
        return SftInputs(
            training_inputs(config, "policy", rates=("sft",)), config.sft, max_new_tokens=config.rollout.max_new_tokens
        )

    def parents(self, config: Config) -> Mapping[str, str]:
        """Return the corpus."""
        return {"data": "data"}

    def build(self, inputs: SftInputs, parents: Mapping[str, Artifact], folder: Path, run: RunContext) -> None:
        """Train the policy's adapter, and measure it on held-out demonstrations."""
        training, demonstrations = inputs.training, read(parents["data"]).demonstrations
        # the string is part of the seed
        backbone = run.model(training.model).fresh("policy", seed=derived_seed(training.seed, "policy adapter"))

        def items(split: Split) -> list[ResponseItem]:
            return [item(backbone.tokens, each, limit=inputs.max_new_tokens) for each in demonstrations.get(split, ())]

        objective = SFTLoss()
        fit_supervised(
            run,
            training,
            objective,
            items("train"),
            stage=self.name,
            epochs=inputs.sft.epochs,
            batch_size=inputs.sft.batch_size,
            folder=folder,
        )
        budget = run.machine.microbatch_tokens
        heldout = heldout_loss(backbone, objective, items("development"), microbatch_tokens=budget)
        write_json(folder / "quality.json", {"loss/heldout": heldout})
        backbone.save("policy", folder / "policy")


def item(tokens: ChatTokenizer, shown: Demonstration, *, limit: int) -> ResponseItem:
    """Return a demonstration as training reads it; a response is cut after ``limit`` tokens."""
    return ResponseItem(tokens.prompt(shown.prompt.messages), tokens.response(shown.response, limit=limit))
