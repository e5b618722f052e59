"""RRM (Liu et al., 2024, arXiv 2409.13156): pairs across prompts, so that scores depend on the prompt.

Each example makes 14 further pairs with two others (``core/augmentation.py``). A first reward model, trained on
the original pairs alone, decides which of them are kept: those that it gets wrong by ``threshold`` or more. The
reward model is then trained again on the original pairs and these.

The paper's main model ranks a pair in one reading, with a tie as a third answer; this is the port to a pointwise
Bradley-Terry model, in which a tie is the label 0.5 with a weight of its own.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from repo_exp.config.schema import Config, Rrm
from repo_exp.core.augmentation import Contest, Which, contests, partners
from repo_exp.core.preference import disagrees
from repo_exp.errors import DataError, Problem
from repo_exp.models.forward import final_scores
from repo_exp.models.packing import pack
from repo_exp.rollout.seeds import derived_seed
from repo_exp.stages.data import read
from repo_exp.stages.finite import require_all
from repo_exp.stages.records import TrainingInputs
from repo_exp.stages.reward_model import inputs_of, stage_name
from repo_exp.stages.reward_models import bradley_terry
from repo_exp.stages.run_context import RunContext
from repo_exp.stages.stage import Stage
from repo_exp.stages.store import Artifact, write_json
from repo_exp.training.losses import PairItem
from repo_exp.types import Corpus, Preference, Prompt


@dataclass(frozen=True, slots=True)
class FirstRewardModelInputs:
    """What the first reward model reads; its other settings are those of Bradley-Terry."""

    training: TrainingInputs
    epochs: int
    batch_size: int
    centring: float
    max_new_tokens: int


class FirstRewardModelStage(Stage[FirstRewardModelInputs]):
    """A reward model that is trained on the original pairs alone. Leaves ``reward/`` and ``metrics.json``."""

    version, internal = 2, True

    def __init__(self, source: str) -> None:
        self.source, self.name = source, stage_name("first_reward_model", source)

    def inputs(self, config: Config) -> FirstRewardModelInputs:
        """Return what the first reward model reads."""
        inputs = inputs_of(config, self.source)
        settings, limit = inputs.settings, inputs.sampling.max_new_tokens
        assert isinstance(settings, Rrm)
        return FirstRewardModelInputs(
            inputs.training, settings.epochs, settings.batch_size, settings.centring, max_new_tokens=limit
        )

    def parents(self, config: Config) -> Mapping[str, str]:
        """Return the corpus."""
        return {"data": "data"}

    def build(
        self, inputs: FirstRewardModelInputs, parents: Mapping[str, Artifact], folder: Path, run: RunContext
    ) -> None:
        """Train it."""
        kind = bradley_terry.RewardModel(run, inputs.training, inputs, max_new_tokens=inputs.max_new_tokens)
        backbone = kind.start(None)
        items = kind.training_examples(read(parents["data"]), None, folder)
        kind.fit(self.name, items, epochs=inputs.epochs, folder=folder)
        backbone.save("reward", folder / "reward")


def stage_before(source: str) -> Stage[Any] | None:
    """Return the first reward model of a source."""
    return FirstRewardModelStage(source)


class RewardModel(bradley_terry.RewardModel):
    """Bradley-Terry on original and augmented pairs."""

    def training_examples(self, corpus: Corpus, before: Artifact | None, folder: Path) -> list[PairItem]:
        """Return the original pairs, and a draw from the augmented ones that the first model gets wrong."""
        assert before is not None
        pairs = [pair for pair in corpus.preferences["train"] if self.differ(pair)]
        settings, seed = self.settings, self.training.seed

        def read(which: Which) -> list[int]:
            return self.response(self._text(pairs, which))

        made = [
            [contest for contest in found if read(contest.first) != read(contest.second)]
            for found in augmented(pairs, seed=derived_seed(seed, "partners"))
        ]
        self.run.model(self.training.model).role("reward", before)
        kept: list[tuple[int, Contest]] = []
        for number, scores in self._scores(pairs, made):
            for contest in made[number]:
                predicted = torch.tensor(scores[contest.first] - scores[contest.second]).sigmoid().item()
                if disagrees(predicted, contest.label, least=settings.threshold):
                    kept.append((number, contest))
        used = kept
        if settings.augmented_pairs is not None and len(kept) > settings.augmented_pairs:
            used = random.Random(derived_seed(seed, "augmented pairs")).sample(kept, settings.augmented_pairs)
        ties = sum(contest.label == 0.5 for _, contest in used)
        counts = {"made": sum(map(len, made)), "kept": len(kept), "learnt": len(used), "ties": ties}
        write_json(folder / "augmentation.json", counts)
        return [*map(self.item, pairs), *(self._item(pairs, number, contest) for number, contest in used)]

    def _scores(
        self, pairs: Sequence[Preference], made: Sequence[Sequence[Contest]]
    ) -> list[tuple[int, dict[Which, float]]]:
        """Return what the reward role says of all responses that an example's pairs compare, under its prompt."""
        found: list[tuple[int, dict[Which, float]]] = []
        whose = [sorted({which for contest in found for which in contest[:2]}) for found in made]
        before = [self.before_response(pair.prompt) for pair in pairs]
        rows = [
            [[*start, *self.response(self._text(pairs, which))] for which in asked]
            for start, asked in zip(before, whose, strict=True)
        ]
        backbone, budget = self.backbone, self.run.machine.microbatch_tokens
        with torch.no_grad(), backbone.active_adapter("reward"):
            for chosen in backbone.chunks(rows, budget):
                packed = pack([rows[number] for number in chosen], pad=backbone.tokens.pad)
                values = final_scores(backbone, packed).tolist()
                require_all(values, role="reward", what="scores of the first reward model")
                scores = iter(values)
                found += [(number, {which: next(scores) for which in whose[number]}) for number in chosen]
        return sorted(found, key=lambda each: each[0])

    def _item(self, pairs: Sequence[Preference], number: int, contest: Contest) -> PairItem:
        first, second = (self.response(self._text(pairs, which)) for which in contest[:2])
        weight = self.settings.tie_weight if contest.label == 0.5 else 1.0
        return PairItem(self.before_response(pairs[number].prompt), first, second, label=contest.label, weight=weight)

    @staticmethod
    def _text(pairs: Sequence[Preference], which: Which) -> str:
        return pairs[which.example].chosen if which.chosen else pairs[which.example].rejected


def augmented(pairs: Sequence[Preference], *, seed: int) -> list[list[Contest]]:
    """Return the 14 further pairs of each example.

    Raises:
        DataError: there are fewer than three prompts.
    """
    keys = [same(pair.prompt) for pair in pairs]
    if len(set(keys)) < 3:
        found = f"{len(set(keys))} different prompts among {len(pairs)} pairs, and RRM compares across three"
        raise DataError("the pairs cannot be augmented", [Problem("data", found, "reward_model=bradley_terry")])
    return [contests(number, others)[1:] for number, others in enumerate(partners(keys, seed=seed))]


def same(prompt: Prompt) -> tuple[tuple[str, str], ...]:
    """Return what two prompts have in common that are the same but for letter case and white space."""
    return tuple((message.role, " ".join(message.content.casefold().split())) for message in prompt.messages)
