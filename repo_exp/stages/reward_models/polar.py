"""POLAR (2025, arXiv 2507.05197): the score says how similar a reply is to a reference reply to the same context.

    layout       prompt + reference, split, prompt + reply; the score is read at the reply's last token
    before       -log sigmoid(r(p, A1, A2) - r(p, A1, B1)): A1, A2 of one policy, B1 of another
    then         -log sigmoid(r(p, A, B) - r(p, A, C)) for A > B > C

The paper's pool is made of many models. Ours is what the pipeline has: the SFT policy, the base model, and mixtures of
the two (the SFT adapter scaled), each at several temperatures. Pairs have two ranked replies and not three: B is the
chosen and C the rejected one, and A the reference that comes with the context, or the chosen reply where there is none.
A score needs a reference. Where the context has none, the score is missing. Thoughts (<think>) are left out, as
published, and with them pairs that differ in nothing else.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from repo_exp.errors import DataError, Problem
from repo_exp.models.backbone import Backbone
from repo_exp.rollout.seeds import derived_seed
from repo_exp.stages.answering import answer
from repo_exp.stages.data import read
from repo_exp.stages.reward_models import bradley_terry
from repo_exp.stages.store import Artifact, write_json
from repo_exp.training.losses import PairItem, Preferring
from repo_exp.types import Context, Preference

VERSION = 3
SPLIT = "\n\n=====\n\n"  # a text and no token of its own: the vocabulary is the frozen backbone's


class RewardModel(bradley_terry.RewardModel):
    """Bradley-Terry over trajectories that begin with a reference."""

    unscorable = "the context has no reference reply"

    @property
    def objective(self) -> Preferring:
        """Return what is minimised: the ranking loss without a penalty."""
        return Preferring(centring=0.0)

    # -- learning --------------------------------------------------------------------------------------

    def prepare(self, data: Artifact, sft: Artifact) -> Artifact:
        """Return the reward role that learnt to tell policies apart."""
        stage, settings = self.spec.stage("reward_pretraining"), self.settings
        inputs = {
            "model": self.bench.model_inputs(),
            "reward_model": settings.model_dump(exclude={"epochs", "calibration_replies"}),
            "optimizer": self.bench.optimizer_inputs("reward_model"),
            "rollout": self.bench.sampling_inputs(),
            "seed": self.spec.seed,
        }

        def build(folder: Path) -> None:
            corpus = read(data)
            if not any(map(self.can_score, corpus.contexts["train"])):
                remedy = "reward_model=bradley_terry; or a corpus whose contexts have one, made by this version"
                problem = Problem(str(data.folder), "no training context has a reference reply", remedy)
                raise DataError("POLAR has nothing to compare replies with", [problem])
            contexts = corpus.contexts["train"][: settings.pretraining_contexts]
            items = self.same_or_not(contexts, sft)
            backbone = super(RewardModel, self).start(None)
            self.teach(stage, items, epochs=settings.pretraining_epochs, folder=folder)
            write_json(folder / "pool.json", {"policies": self.pool, "contexts": len(contexts), "triples": len(items)})
            backbone.save("reward", folder / "reward")

        parents = {"data": data, "sft": sft}
        return self.bench.make(stage, build, version=VERSION, inputs=inputs, parents=parents)

    def start(self, before: Artifact | None) -> Backbone:
        """Return the backbone with the pre-trained reward role."""
        assert before is not None
        return self.bench.role("reward", before)

    @property
    def pool(self) -> list[tuple[float, float]]:
        """Return the policies: how much of the SFT adapter each has, and its temperature."""
        shares, temperatures = (dict.fromkeys(each) for each in (self.settings.adapters, self.settings.temperatures))
        return list(itertools.product(shares, temperatures))

    def same_or_not(self, contexts: Sequence[Context], sft: Artifact) -> list[PairItem]:
        """Return for each context two samples of one policy of the pool, and one of another."""
        rng = random.Random(derived_seed(self.spec.seed, "pool"))
        drawn = [rng.sample(range(len(self.pool)), 2) for _ in contexts]
        samples: dict[tuple[int, int], str] = {}  # (context, place in its triple) -> reply
        for policy, (share, temperature) in enumerate(self.pool):
            asked = [(i, k) for i, (one, other) in enumerate(drawn) for k, by in enumerate((one, one, other))
                     if by == policy]  # fmt: skip
            seed = derived_seed(self.spec.seed, "pool", policy)
            replies = answer(
                self._mixture(sft, share), "policy", [contexts[i] for i, _ in asked], self.bench.config.rollout,
                seed=seed, temperature=temperature,
            )  # fmt: skip
            samples |= {place: reply.text for place, reply in zip(asked, replies, strict=True)}
        triples = [(context, *(samples[i, k] for k in range(3))) for i, context in enumerate(contexts)]
        pairs = [Preference(replace(context, reference=one), same, other) for context, one, same, other in triples]
        return [self.item(pair) for pair in pairs if self.differ(pair)]

    @torch.no_grad()
    def _mixture(self, sft: Artifact, share: float) -> Backbone:
        """Return the backbone with so much of the SFT adapter as its policy; 0 is the base model."""
        self.bench.learnt("policy")
        backbone = self.bench.role("policy", sft)
        for name, weight in backbone.parameters_of("policy").items():
            if "lora_B" in name:
                weight.mul_(share)
        self.bench.learnt("policy")
        return backbone

    # -- layout ----------------------------------------------------------------------------------------

    def can_score(self, context: Context) -> bool:
        """Is there a reference?"""
        return bool(context.reference)

    def can_measure(self, pair: Preference) -> bool:
        """A reply that is its own reference wins without any merit of the model."""
        own = self.can_score(pair.context) and self.words(pair.context.reference) != self.words(pair.chosen)
        return own and super().can_measure(pair)

    def before_reply(self, context: Context) -> list[int]:
        """Return the prompt with the reference, the split, and the prompt again."""
        tokens = self.bench.backbone.tokens
        return laid_out(
            tokens.context(context.messages),
            tokens.reply(self.words(context.reference)),
            split=tokens.hf(SPLIT, add_special_tokens=False)["input_ids"],
            budget=self.settings.max_tokens,
            longest=self.longest,
            begin=tokens.hf.bos_token_id,
        )

    def item(self, pair: Preference) -> PairItem:
        """Return a pair behind its reference, which is the chosen reply where there is no other."""
        reference = pair.context.reference or pair.chosen
        return super().item(replace(pair, context=replace(pair.context, reference=reference)))


def laid_out(
    prompt: Sequence[int],
    reference: Sequence[int],
    *,
    split: Sequence[int],
    budget: int,
    longest: int,
    begin: int | None = None,
) -> list[int]:
    """Return prompt + reference, split, prompt: the tokens that a reply of up to ``longest`` stands behind.

    A reference keeps its head. The prompt keeps its tail, at most half of what two replies of the longest kind leave
    of the budget: the same for all replies to it, so that they stay comparable. The second one is without the token
    ``begin``, which a sequence has once.
    """
    room = (budget - 2 * longest - len(split)) // 2
    if room < 1:
        raise ValueError(f"{budget} tokens leave no room for a prompt beside two replies of {longest}")
    prompt = prompt[-room:]
    again = prompt[1:] if begin is not None and prompt[0] == begin else prompt
    return [*prompt, *reference[:longest], *split, *again]
