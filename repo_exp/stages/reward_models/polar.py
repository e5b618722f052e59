"""POLAR (2025, arXiv 2507.05197): the score says how similar a response is to a reference response to the same prompt.

    layout       prompt + reference, split, prompt + response; the score is read at the response's last token
    before       -log sigmoid(r(p, A1, A2) - r(p, A1, B1)): A1, A2 of one policy, B1 of another
    then         -log sigmoid(r(p, A, B) - r(p, A, C)) for A > B > C

The paper's pool is made of many models. Ours is what the pipeline has: the SFT policy, the base model, and mixtures of
the two (the SFT adapter scaled), each at several temperatures. Pairs have two ranked responses and not three: B is the
chosen and C the rejected one, and A the reference that comes with the prompt, or the chosen response where there is
none. A score needs a reference. Where the prompt has none, the score is missing. Thoughts (<think>) are left out, as
published, and with them pairs that differ in nothing else.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from repo_exp.config.schema import Config, Polar
from repo_exp.errors import DataError, Problem
from repo_exp.models.backbone import Backbone
from repo_exp.rollout.seeds import derived_seed
from repo_exp.stages.answering import answer
from repo_exp.stages.data import read
from repo_exp.stages.records import SamplingInputs, TrainingInputs
from repo_exp.stages.reward_model import inputs_of, stage_name
from repo_exp.stages.reward_models import bradley_terry
from repo_exp.stages.run_context import RunContext
from repo_exp.stages.stage import Stage
from repo_exp.stages.store import Artifact, write_json
from repo_exp.training.losses import PairItem, RewardModelLoss
from repo_exp.types import Preference, Prompt

SPLIT = "\n\n=====\n\n"  # a text and no token of its own: the vocabulary is the frozen backbone's


@dataclass(frozen=True, slots=True)
class PretrainingInputs:
    """What pre-training reads: it tells the policies of a pool apart."""

    training: TrainingInputs
    pretraining_prompts: int
    pretraining_epochs: int
    batch_size: int
    adapters: list[float]
    temperatures: list[float]
    max_tokens: int
    max_new_tokens: int


class PretrainingStage(Stage[PretrainingInputs]):
    """The reward role trained to tell policies apart. Leaves ``reward/``, ``pool.json``, ``metrics.json``."""

    version, internal = 3, True

    def __init__(self, source: str) -> None:
        self.source, self.name = source, stage_name("reward_pretraining", source)

    def inputs(self, config: Config) -> PretrainingInputs:
        """Return what pre-training reads."""
        inputs = inputs_of(config, self.source)
        settings = inputs.settings
        assert isinstance(settings, Polar)
        shared = settings.model_dump(exclude={"kind", "epochs", "calibration_responses"})
        return PretrainingInputs(inputs.training, **shared, max_new_tokens=inputs.sampling.max_new_tokens)

    def parents(self, config: Config) -> Mapping[str, str]:
        """Return the corpus and the SFT policy, of which the pool is made."""
        return {"data": "data", "sft": "sft"}

    def build(self, inputs: PretrainingInputs, parents: Mapping[str, Artifact], folder: Path, run: RunContext) -> None:
        """Sample from the pool, and train.

        Raises:
            DataError: no training prompt has a reference response.
        """
        kind = RewardModel(run, inputs.training, inputs, max_new_tokens=inputs.max_new_tokens)
        data, sft = parents["data"], parents["sft"]
        corpus = read(data)
        if not any(map(kind.can_score, corpus.prompts["train"])):
            remedy = "reward_model=bradley_terry; or a corpus whose prompts have one, made by this version"
            problem = Problem(str(data.folder), "no training prompt has a reference response", remedy)
            raise DataError("POLAR has nothing to compare responses with", [problem])
        prompts = corpus.prompts["train"][: inputs.pretraining_prompts]
        items = kind.same_or_not(prompts, sft)
        backbone = kind.start(None)
        kind.fit(self.name, items, epochs=inputs.pretraining_epochs, folder=folder)
        write_json(folder / "pool.json", {"policies": kind.pool, "prompts": len(prompts), "triples": len(items)})
        backbone.save("reward", folder / "reward")


def stage_before(source: str) -> Stage[Any] | None:
    """Return the pre-training of a source."""
    return PretrainingStage(source)


class RewardModel(bradley_terry.RewardModel):
    """Bradley-Terry over trajectories that begin with a reference."""

    unscorable = "the prompt has no reference response"

    @property
    def objective(self) -> RewardModelLoss:
        """Return what is minimised: the ranking loss without a penalty."""
        return RewardModelLoss(centring=0.0)

    # -- learning --------------------------------------------------------------------------------------

    def start(self, before: Artifact | None) -> Backbone:
        """Return the backbone with the pre-trained reward role; a fresh one before pre-training."""
        if before is None:
            return super().start(None)
        return self.run.model(self.training.model).role("reward", before)

    @property
    def pool(self) -> list[tuple[float, float]]:
        """Return the policies: how much of the SFT adapter each has, and its temperature."""
        shares, temperatures = (dict.fromkeys(each) for each in (self.settings.adapters, self.settings.temperatures))
        return list(itertools.product(shares, temperatures))

    def same_or_not(self, prompts: Sequence[Prompt], sft: Artifact) -> list[PairItem]:
        """Return for each prompt two samples of one policy of the pool, and one of another."""
        rng = random.Random(derived_seed(self.training.seed, "pool"))
        drawn = [rng.sample(range(len(self.pool)), 2) for _ in prompts]
        samples: dict[tuple[int, int], str] = {}  # (prompt, place in its triple) -> response
        for policy, (share, temperature) in enumerate(self.pool):
            asked = [(i, k) for i, (one, other) in enumerate(drawn) for k, by in enumerate((one, one, other))
                     if by == policy]  # fmt: skip
            seed = derived_seed(self.training.seed, "pool", policy)
            trajectories = answer(
                self._mixture(sft, share), "policy", [prompts[i] for i, _ in asked],
                SamplingInputs("torch", temperature, self.longest // 2),
                batch_size=self.run.machine.sampling_batch_size, seed=seed,
            )  # fmt: skip
            samples |= {place: each.response for place, each in zip(asked, trajectories, strict=True)}
        pairs = [
            Preference(replace(prompt, reference=samples[i, 0]), samples[i, 1], samples[i, 2])
            for i, prompt in enumerate(prompts)
        ]
        return [self.item(pair) for pair in pairs if self.differ(pair)]

    @torch.no_grad()
    def _mixture(self, sft: Artifact, share: float) -> Backbone:
        """Return the backbone with so much of the SFT adapter as its policy; 0 is the base model."""
        model = self.run.model(self.training.model)
        backbone = model.load("policy", sft.folder / "policy")
        for name, weight in backbone.parameters_of("policy").items():
            if "lora_B" in name:
                weight.mul_(share)
        return backbone

    # -- layout ----------------------------------------------------------------------------------------

    def can_score(self, prompt: Prompt) -> bool:
        """Is there a reference?"""
        return bool(prompt.reference)

    def can_measure(self, pair: Preference) -> bool:
        """A response that is its own reference wins without any merit of the model."""
        own = self.can_score(pair.prompt) and self.words(pair.prompt.reference) != self.words(pair.chosen)
        return own and super().can_measure(pair)

    def before_response(self, prompt: Prompt) -> list[int]:
        """Return the prompt with the reference, the split, and the prompt again."""
        tokens = self.tokens
        return laid_out(
            tokens.prompt(prompt.messages),
            tokens.response(self.words(prompt.reference)),
            split=tokens.hf(SPLIT, add_special_tokens=False)["input_ids"],
            budget=self.settings.max_tokens,
            longest=self.longest,
            begin=tokens.hf.bos_token_id,
        )

    def item(self, pair: Preference) -> PairItem:
        """Return a pair behind its reference, which is the chosen response where there is no other."""
        reference = pair.prompt.reference or pair.chosen
        return super().item(replace(pair, prompt=replace(pair.prompt, reference=reference)))


def laid_out(
    prompt: Sequence[int],
    reference: Sequence[int],
    *,
    split: Sequence[int],
    budget: int,
    longest: int,
    begin: int | None = None,
) -> list[int]:
    """Return prompt + reference, split, prompt: the tokens that a response of up to ``longest`` stands behind.

    A reference keeps its head. The prompt keeps its tail, at most half of what two responses of the longest kind leave
    of the budget: the same for all responses to it, so that they stay comparable. The second one is without the token
    ``begin``, which a sequence has once.

    Raises:
        ValueError: the budget leaves no room for a prompt.
    """
    room = (budget - 2 * longest - len(split)) // 2
    if room < 1:
        raise ValueError(f"{budget} tokens leave no room for a prompt beside two responses of {longest}")
    prompt = prompt[-room:]
    again = prompt[1:] if begin is not None and prompt[0] == begin else prompt
    return [*prompt, *reference[:longest], *split, *again]
