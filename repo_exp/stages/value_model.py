"""value_model: trained on preference pairs to predict the value of a response, before any policy uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from repo_exp.algorithms.registry import learns_from
from repo_exp.config.schema import Config
from repo_exp.core.choices import ValueTargets
from repo_exp.core.preference import pair_accuracy
from repo_exp.models.backbone import Backbone
from repo_exp.models.tokens import ChatTokenizer
from repo_exp.rollout.seeds import derived_seed
from repo_exp.stages.data import read
from repo_exp.stages.finite import require_all
from repo_exp.stages.fitting import fit_supervised
from repo_exp.stages.lengths import differ
from repo_exp.stages.policy import algorithm_of, frozen_values
from repo_exp.stages.records import TrainingInputs, training_inputs
from repo_exp.stages.run_context import RunContext
from repo_exp.stages.stage import Stage
from repo_exp.stages.store import Artifact, write_json
from repo_exp.training.losses import RewardedItem, ValueLoss
from repo_exp.training.supervised import over_items
from repo_exp.types import Preference, Split


@dataclass(frozen=True, slots=True)
class ValueModelInputs:
    """What the value model reads.

    Attributes:
        of: what a value is of: the state before a token, or the token in it.
    """

    training: TrainingInputs
    targets: ValueTargets
    gamma: float
    gae_lambda: float
    of: Literal["state", "action"]
    epochs: int
    batch_size: int
    max_new_tokens: int


class ValueModelStage(Stage[ValueModelInputs]):
    """Leaves ``value/``, ``quality.json``, ``metrics.json``. Only methods with a frozen value model want it."""

    name, version = "value_model", 2

    def wanted(self, config: Config) -> bool:
        """Return whether the method has a frozen value model."""
        online = learns_from(str(config.algorithm["kind"])) == "own responses"
        return online and frozen_values(algorithm_of(config)) is not None

    def inputs(self, config: Config) -> ValueModelInputs:
        """Return what the value model reads: its settings are among the method's options."""
        algorithm = algorithm_of(config)
        options: Any = algorithm.options  # those of a method with a value model
        values = frozen_values(algorithm)
        assert values is not None
        return ValueModelInputs(
            training_inputs(config, "value"),
            targets=options.value_targets,
            gamma=options.gamma,
            gae_lambda=options.gae_lambda,
            of=values.of,
            epochs=options.value_epochs,
            batch_size=options.value_batch_size,
            max_new_tokens=config.rollout.max_new_tokens,
        )

    def parents(self, config: Config) -> Mapping[str, str]:
        """Return the corpus."""
        return {"data": "data"}

    def build(self, inputs: ValueModelInputs, parents: Mapping[str, Artifact], folder: Path, run: RunContext) -> None:
        """Train the value adapter with its head, and measure it on held-out pairs."""
        training, limit = inputs.training, 2 * inputs.max_new_tokens
        preferences = read(parents["data"]).preferences
        # the string is part of the seed
        backbone = run.model(training.model).fresh("value", seed=derived_seed(training.seed, "value model adapter"))

        def items(split: Split) -> list[RewardedItem]:
            pairs = preferences[split]
            return [item for pair in pairs for item in training_examples(backbone.tokens, pair, limit=limit)]

        objective = ValueLoss(targets=inputs.targets, gamma=inputs.gamma, gae_lambda=inputs.gae_lambda, of=inputs.of)
        fit_supervised(
            run,
            training,
            objective,
            items("train"),
            stage=self.name,
            epochs=inputs.epochs,
            batch_size=inputs.batch_size,
            folder=folder,
        )
        budget = run.machine.microbatch_tokens
        write_json(
            folder / "quality.json", _quality(backbone, objective, items("development"), microbatch_tokens=budget)
        )
        backbone.save("value", folder / "value")


def training_examples(tokens: ChatTokenizer, pair: Preference, *, limit: int) -> list[RewardedItem]:
    """Return the chosen response with the reward 1 and the rejected one with -1; none where they are read alike."""
    if not differ(tokens, pair, limit=limit):
        return []
    prompt = tokens.prompt(pair.prompt.messages)
    rewards = ((pair.chosen, 1.0), (pair.rejected, -1.0))
    return [RewardedItem(prompt, tokens.response(text, limit=limit), reward) for text, reward in rewards]


def _quality(
    backbone: Backbone, objective: ValueLoss, items: Sequence[RewardedItem], *, microbatch_tokens: int
) -> dict[str, float]:
    """Return in how many held-out pairs the chosen response ends with the higher value; a tie counts one half."""
    last_N = torch.zeros(len(items), dtype=torch.float64)
    for chosen, (value_NR, mask_NR) in over_items(
        backbone, objective, items, lambda some: objective.values(backbone, some), microbatch_tokens=microbatch_tokens
    ):
        last_N1 = (mask_NR.sum(1, keepdim=True) - 1).to(value_NR.device)
        last_N[chosen] = value_NR.gather(1, last_N1).squeeze(1).double().cpu()
    require_all(last_N.tolist(), role="value", what="values of held-out responses")
    pairs = len(items) // 2
    return {"pairs": pairs, "correct": pairs * pair_accuracy(last_N[0::2], last_N[1::2]) if pairs else 0.0}
