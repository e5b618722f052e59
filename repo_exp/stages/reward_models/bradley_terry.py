"""Bradley-Terry: a reward model trained to rank two responses. The other kinds build on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from repo_exp.models.backbone import Backbone
from repo_exp.models.template import without_thoughts
from repo_exp.models.tokens import ChatTokenizer
from repo_exp.rollout.seeds import derived_seed
from repo_exp.stages.fitting import fit_supervised
from repo_exp.stages.records import TrainingInputs
from repo_exp.stages.run_context import RunContext
from repo_exp.stages.stage import Stage
from repo_exp.stages.store import Artifact
from repo_exp.training.losses import PairItem, RewardModelLoss
from repo_exp.types import Corpus, Preference, Prompt


class Settings(Protocol):
    """What training on pairs needs."""

    @property
    def batch_size(self) -> int:
        """Pairs in an optimizer step."""

    @property
    def centring(self) -> float:
        """Weight of the penalty that keeps scores around 0."""


def stage_before(source: str) -> Stage[Any] | None:
    """Return the stage that has to come before the reward model of a source, or None."""
    return None


class RewardModel:
    """Trained on the pairs as they are, with their margins.

    Args:
        training: the model, the optimizer and the seed.
        settings: of the kind.
        max_new_tokens: the longest response of the policy; one of the data is read up to twice as far.

    Attributes:
        unscorable: why a prompt cannot be scored, where :meth:`can_score` says so.
    """

    unscorable = ""

    def __init__(self, run: RunContext, training: TrainingInputs, settings: Any, *, max_new_tokens: int) -> None:
        self.run, self.training, self.settings = run, training, settings
        self.longest = 2 * max_new_tokens

    @property
    def backbone(self) -> Backbone:
        """The backbone of the run."""
        return self.run.model(self.training.model).backbone

    @property
    def tokens(self) -> ChatTokenizer:
        """The tokenizer of the run."""
        return self.backbone.tokens

    # -- training --------------------------------------------------------------------------------------

    @property
    def objective(self) -> RewardModelLoss:
        """Return the loss over pairs."""
        return RewardModelLoss(centring=self.settings.centring)

    def start(self, before: Artifact | None) -> Backbone:
        """Return the backbone with the reward role as its training begins."""
        seed = derived_seed(self.training.seed, "reward adapter")  # the string is part of the seed
        return self.run.model(self.training.model).fresh("reward", seed=seed)

    def training_examples(self, corpus: Corpus, before: Artifact | None, folder: Path) -> list[PairItem]:
        """Return the pairs to train on. What else a reader may want is written into ``folder``."""
        return [self.item(pair) for pair in corpus.preferences["train"] if self.differ(pair)]

    def fit(self, stage: str, items: Sequence[PairItem], *, epochs: int, folder: Path) -> None:
        """Train the reward role on pairs."""
        batch_size = self.settings.batch_size
        fit_supervised(
            self.run, self.training, self.objective, items,
            stage=stage, epochs=epochs, batch_size=batch_size, folder=folder,
        )  # fmt: skip

    # -- layout ----------------------------------------------------------------------------------------

    def can_score(self, prompt: Prompt) -> bool:
        """Return whether a response to this prompt can be scored."""
        return True

    def differ(self, pair: Preference) -> bool:
        """Return whether the responses of a pair differ in the part that is read."""
        return self.response(pair.chosen) != self.response(pair.rejected)

    def can_measure(self, pair: Preference) -> bool:
        """Return whether ranking this pair correctly says something about the model."""
        return self.differ(pair)

    def before_response(self, prompt: Prompt) -> list[int]:
        """Return the tokens that a response follows."""
        return self.tokens.prompt(prompt.messages)

    def words(self, text: str) -> str:
        """Return the part of a response that is read: without its thoughts, as the policy's responses are scored."""
        return without_thoughts(text)

    def response(self, text: str) -> list[int]:
        """Return the first tokens of a response; the score is read at the last of them."""
        return self.tokens.response(self.words(text), limit=self.longest)

    def item(self, pair: Preference) -> PairItem:
        """Return a pair as it is trained on."""
        return PairItem(
            self.before_response(pair.prompt), self.response(pair.chosen), self.response(pair.rejected), pair.margin
        )
