"""Bradley-Terry: a reward model that learns which of two replies is preferred. The other kinds build on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from repo_exp.config.schema import BradleyTerry, Polar, Rrm
from repo_exp.models.backbone import Backbone
from repo_exp.models.template import without_thoughts
from repo_exp.rollout.seeds import derived_seed
from repo_exp.stages.store import Artifact
from repo_exp.stages.workbench import Workbench
from repo_exp.training.losses import PairItem, Preferring
from repo_exp.types import Context, Corpus, Preference


@dataclass(frozen=True, slots=True)
class RewardModelSpec:
    """Which reward model a source asks for.

    Attributes:
        name: of the source.
        settings: its section ``reward_model``.
        seed: of its initialisation, its data order and its calibration.
    """

    name: str
    settings: BradleyTerry | Rrm | Polar
    seed: int

    def stage(self, stage: str = "reward_model") -> str:
        """Return the name of a stage, which is part of its seed: as it is for the source ``model``."""
        return stage if self.name == "model" else f"{stage}_{self.name}"


class RewardModel:
    """Learns from the pairs as they are, with their margins.

    Attributes:
        unscorable: why a context cannot be scored, where :meth:`can_score` says so.
    """

    unscorable = ""

    def __init__(self, bench: Workbench, spec: RewardModelSpec) -> None:
        self.bench, self.spec, self.settings = bench, spec, spec.settings
        self.longest = 2 * bench.config.rollout.max_new_tokens

    # -- learning --------------------------------------------------------------------------------------

    @property
    def objective(self) -> Preferring:
        """Return what is minimised over pairs."""
        return Preferring(centring=self.settings.centring)

    def prepare(self, data: Artifact, sft: Artifact) -> Artifact | None:
        """Return what has to be made before, or None."""
        return None

    def start(self, before: Artifact | None) -> Backbone:
        """Return the backbone with the reward role as it begins to learn."""
        return self.bench.fresh("reward", seed=derived_seed(self.spec.seed, "reward adapter"))

    def lessons(self, corpus: Corpus, before: Artifact | None, folder: Path) -> list[PairItem]:
        """Return the pairs that are learnt from. What else a reader may want is in ``folder``."""
        return [self.item(pair) for pair in corpus.preferences["train"] if self.differ(pair)]

    def teach(self, stage: str, items: Sequence[PairItem], *, epochs: int, folder: Path) -> None:
        """Teach the reward role from pairs."""
        self.bench.teach(
            stage,
            self.objective,
            items,
            epochs=epochs,
            batch_size=self.settings.batch_size,
            learning_rate=self.bench.config.optimizer.learning_rate.reward_model,
            seed=self.spec.seed,
            folder=folder,
        )

    # -- layout ----------------------------------------------------------------------------------------

    def can_score(self, context: Context) -> bool:
        """Is there all that a score of a reply to this context needs?"""
        return True

    def differ(self, pair: Preference) -> bool:
        """Do the replies of a pair differ in what of them is read?"""
        return self.reply(pair.chosen) != self.reply(pair.rejected)

    def can_measure(self, pair: Preference) -> bool:
        """Does putting this pair right say something of the model?"""
        return self.differ(pair)

    def before_reply(self, context: Context) -> list[int]:
        """Return the tokens that a reply stands behind."""
        return self.bench.backbone.tokens.context(context.messages)

    def words(self, text: str) -> str:
        """Return what of a reply is read: not its thoughts, which no reply of the policy is scored with."""
        return without_thoughts(text)

    def reply(self, text: str) -> list[int]:
        """Return the tokens of a reply that is learnt from, its head; the score is read at the last one."""
        return self.bench.backbone.tokens.reply(self.words(text), limit=self.longest)

    def item(self, pair: Preference) -> PairItem:
        """Return a pair as it is learnt from."""
        return PairItem(
            self.before_reply(pair.context), self.reply(pair.chosen), self.reply(pair.rejected), pair.margin
        )
