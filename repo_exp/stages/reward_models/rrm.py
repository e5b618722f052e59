"""RRM (Liu et al., 2024, arXiv 2409.13156): pairs across contexts, so that what a reply answers is what counts.

Each example makes 14 further pairs with two others (``core/augmentation.py``). A first reward model, which learnt from
the original pairs alone, says which of them teach something: those that it gets wrong by ``threshold`` or more. The
reward model then learns again from the original pairs and from these.

The paper's main model ranks a pair in one reading, with a tie as a third answer; this is the port to a pointwise
Bradley-Terry model, in which a tie is the label 0.5 with a weight of its own.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch

from repo_exp.core.augmentation import Contest, Which, contests, partners
from repo_exp.core.preference import disagrees
from repo_exp.errors import DataError, Problem
from repo_exp.models.forward import final_scores
from repo_exp.models.packing import pack
from repo_exp.rollout.seeds import derived_seed
from repo_exp.stages.data import read
from repo_exp.stages.finite import require_all
from repo_exp.stages.reward_models import bradley_terry
from repo_exp.stages.store import Artifact, write_json
from repo_exp.training.losses import PairItem
from repo_exp.types import Context, Corpus, Preference

VERSION = 2


class RewardModel(bradley_terry.RewardModel):
    """Bradley-Terry on original and augmented pairs."""

    def prepare(self, data: Artifact, sft: Artifact) -> Artifact:
        """Return a reward model that learnt from the original pairs alone."""
        stage, settings = self.spec.stage("first_reward_model"), self.settings
        inputs = {
            "model": self.bench.model_inputs(),
            "reward_model": settings.model_dump(include={"epochs", "batch_size", "centring"}),
            "optimizer": self.bench.optimizer_inputs("reward_model"),
            "max_new_tokens": self.bench.config.rollout.max_new_tokens,
            "seed": self.spec.seed,
        }

        def build(folder: Path) -> None:
            backbone = self.start(None)
            items = super(RewardModel, self).lessons(read(data), None, folder)
            self.teach(stage, items, epochs=settings.epochs, folder=folder)
            backbone.save("reward", folder / "reward")

        return self.bench.make(stage, build, version=VERSION, inputs=inputs, parents={"data": data})

    def lessons(self, corpus: Corpus, before: Artifact | None, folder: Path) -> list[PairItem]:
        """Return the original pairs, and a draw from the augmented ones that the first model gets wrong."""
        assert before is not None
        pairs = [pair for pair in corpus.preferences["train"] if self.differ(pair)]
        settings, seed = self.settings, self.spec.seed

        def read(which: Which) -> list[int]:
            return self.reply(self._text(pairs, which))

        made = [
            [contest for contest in found if read(contest.first) != read(contest.second)]
            for found in augmented(pairs, seed=derived_seed(seed, "partners"))
        ]
        self.bench.role("reward", before)
        kept: list[tuple[int, Contest]] = []
        for number, scores in self._scores(pairs, made):
            for contest in made[number]:
                predicted = torch.tensor(scores[contest.first] - scores[contest.second]).sigmoid().item()
                if disagrees(predicted, contest.label, least=settings.threshold):
                    kept.append((number, contest))
        learnt = kept
        if settings.augmented_pairs is not None and len(kept) > settings.augmented_pairs:
            learnt = random.Random(derived_seed(seed, "augmented pairs")).sample(kept, settings.augmented_pairs)
        ties = sum(contest.label == 0.5 for _, contest in learnt)
        counts = {"made": sum(map(len, made)), "kept": len(kept), "learnt": len(learnt), "ties": ties}
        write_json(folder / "augmentation.json", counts)
        return [*map(self.item, pairs), *(self._item(pairs, number, contest) for number, contest in learnt)]

    def _scores(
        self, pairs: Sequence[Preference], made: Sequence[Sequence[Contest]]
    ) -> list[tuple[int, dict[Which, float]]]:
        """Return what the reward role says of all replies that an example's pairs compare, under its context."""
        found: list[tuple[int, dict[Which, float]]] = []
        whose = [sorted({which for contest in found for which in contest[:2]}) for found in made]
        before = [self.before_reply(pair.context) for pair in pairs]
        rows = [
            [[*start, *self.reply(self._text(pairs, which))] for which in asked]
            for start, asked in zip(before, whose, strict=True)
        ]
        backbone, budget = self.bench.backbone, self.bench.config.trainer.microbatch_tokens
        with torch.no_grad(), backbone.speaking("reward"):
            for chosen in backbone.chunks(rows, budget):
                packed = pack([rows[number] for number in chosen], pad=backbone.tokens.pad)
                values = final_scores(backbone, packed).tolist()
                require_all(values, role="reward", what="scores of the first reward model")
                scores = iter(values)
                found += [(number, {which: next(scores) for which in whose[number]}) for number in chosen]
        return sorted(found, key=lambda each: each[0])

    def _item(self, pairs: Sequence[Preference], number: int, contest: Contest) -> PairItem:
        first, second = (self.reply(self._text(pairs, which)) for which in contest[:2])
        weight = self.settings.tie_weight if contest.label == 0.5 else 1.0
        return PairItem(self.before_reply(pairs[number].context), first, second, label=contest.label, weight=weight)

    @staticmethod
    def _text(pairs: Sequence[Preference], which: Which) -> str:
        return pairs[which.example].chosen if which.chosen else pairs[which.example].rejected


def augmented(pairs: Sequence[Preference], *, seed: int) -> list[list[Contest]]:
    """Return the 14 further pairs of each example.

    Raises:
        DataError: there are fewer than three contexts.
    """
    keys = [same(pair.context) for pair in pairs]
    if len(set(keys)) < 3:
        found = f"{len(set(keys))} different contexts among {len(pairs)} pairs, and RRM compares across three"
        raise DataError("the pairs cannot be augmented", [Problem("data", found, "reward_model=bradley_terry")])
    return [contests(number, others)[1:] for number, others in enumerate(partners(keys, seed=seed))]


def same(context: Context) -> tuple[tuple[str, str], ...]:
    """Return what two contexts have in common that are the same but for letter case and white space."""
    return tuple((message.role, " ".join(message.content.casefold().split())) for message in context.messages)
