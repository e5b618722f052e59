"""How long a run will take here, by stage, before anything is trained: tokens times weights over a measured rate.

A stage costs its forward-equivalent tokens: a token read once counts 1, and as much again for the share of the layers
that the gradients pass. A forward-equivalent token takes 2 operations a weight. The rate is that of products of this
machine, measured for less than a second, times ``EFFICIENCY``. Lengths come from the corpus, 4 bytes a token. It is
meant to tell minutes from hours. Stages in the store take no time; waiting for a remote judge is not included.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from statistics import fmean

import torch

from repo_exp.config.schema import Config
from repo_exp.config.shape import shape_of
from repo_exp.models.precision import Precision, matmul_rate
from repo_exp.types import Corpus, Prompt

EFFICIENCY = 0.9  # of the rate of square products, by all weights: SmolLM2 on two AVX2 cores, float32
BYTES_A_TOKEN = 4.0
TURN = 6  # tokens of the chat template around a message
DECODED = 3.0  # cost of a sampled token relative to one that is read: weights are fetched for few rows
QUESTION = 16  # tokens of a question of the rubric, as it is asked
EXCERPT = 65  # tokens of the dialogue that the judge reads with a question
SHORTER = {  # stage -> keys that its length depends on
    "sft": "data.demonstrations, sft.epochs",
    "reward_model": "data.scale, reward_model.epochs",
    "judge": "data.judgements",
    "policy": "budget.updates, budget.rollouts, rollout.max_new_tokens",
    "evaluate": "data.prompts.test",
}


@dataclass(frozen=True, slots=True)
class Lengths:
    """Mean tokens of a prompt and of a response."""

    prompt: float
    response: float

    @property
    def sampled(self) -> float:
        """Forward-equivalent tokens of answering a prompt."""
        return self.prompt + DECODED * self.response

    @property
    def read(self) -> float:
        """Tokens of a prompt with its response."""
        return self.prompt + self.response


def forecast(config: Config, corpus: Corpus, *, layers: int, items: int) -> dict[str, float]:
    """Return the forward-equivalent tokens of each stage.

    Args:
        layers: of the model.
        items: questions of the rubric; 0 without a local judge.
    """
    lengths = _lengths(config, corpus)
    behind = {role: 1 + (last or layers) / layers for role, last in config.model.lora.last_layers.model_dump().items()}
    judged = EXCERPT + lengths.response + QUESTION * items if items else 0.0
    scored = lengths.read + judged
    counts = {name: {split: len(each) for split, each in getattr(corpus, name).items()} for name in _PARTS}
    pair, training = lengths.prompt + 2 * lengths.response, config.reward_model
    found = {
        "sft": config.sft.epochs * counts["demonstrations"].get("train", 0) * lengths.read * behind["policy"],
        "reward_model": training.epochs * counts["preferences"].get("train", 0) * pair * behind["reward"]
        + counts["preferences"].get("development", 0) * pair
        + training.calibration_responses * (lengths.sampled + lengths.read),
    }
    if items:
        trained = EXCERPT / 2 + lengths.response + 3 * QUESTION  # the questions that tell a pair of responses apart
        found["judge"] = counts["judgements"].get("train", 0) * trained * behind["judge"]
        found["judge"] += counts["judgements"].get("development", 0) * judged
    found["policy"] = _policy(config, lengths, scored, behind)
    found["evaluate"] = 3 * counts["prompts"].get("test", 0) * (lengths.sampled + scored)
    return found


_PARTS = ("demonstrations", "preferences", "judgements", "prompts")


def _policy(config: Config, lengths: Lengths, scored: float, behind: Mapping[str, float]) -> float:
    from repo_exp.algorithms.interface import OnlineAlgorithm, ReferenceLogprobs, find
    from repo_exp.stages.policy import algorithm_of

    if config.algorithm["kind"] == "sft":
        return 0.0
    algorithm, responses = algorithm_of(config), config.budget.updates * config.budget.rollouts
    pair = lengths.prompt + 2 * lengths.response
    reference = find(algorithm.signals, ReferenceLogprobs) is not None
    if not isinstance(algorithm, OnlineAlgorithm):
        return responses / 2 * pair * (behind["policy"] + reference)
    trained, passes = lengths.prompt / algorithm.group_size + lengths.response, algorithm.options.passes
    each = lengths.sampled + scored + trained * reference
    each += sum(trained * behind[role] * passes for role in algorithm.trained_roles)
    return responses * each


def _lengths(config: Config, corpus: Corpus) -> Lengths:
    prompts = [prompt for split in corpus.prompts.values() for prompt in split[:200]]
    responses = [shown.response for split in corpus.demonstrations.values() for shown in split[:200]]
    responses += [pair.chosen for split in corpus.preferences.values() for pair in split[:200]]
    limit = config.rollout.max_new_tokens
    prompt = [min(_tokens(each), config.model.max_prompt_tokens) for each in prompts]
    response = [min(len(text.encode()) / BYTES_A_TOKEN + 1, limit) for text in responses]
    return Lengths(fmean(prompt) if prompt else 0.0, fmean(response) if response else float(limit))


def _tokens(prompt: Prompt) -> float:
    return sum(len(message.content.encode()) / BYTES_A_TOKEN + TURN for message in prompt.messages)


def seconds(tokens: Mapping[str, float], *, weights: float, rate: float) -> dict[str, float]:
    """Return the seconds of each stage: 2 weights a token, over ``rate`` operations a second times EFFICIENCY."""
    return {stage: count * 2 * weights / (rate * EFFICIENCY) for stage, count in tokens.items()}


def sentence(
    config: Config, corpus: Corpus, *, precision: Precision, device: torch.device, items: int, made: Collection[str]
) -> str:
    """Return a line with the expected time of the stages that are not in the store, and how to shorten it."""
    shape = shape_of(config.model)
    if shape.parameters is None or shape.layers is None:
        return "expected time: unknown, since the shape of the model is unknown before it is loaded"
    tokens = forecast(config, corpus, layers=shape.layers, items=items)
    rate = matmul_rate(getattr(torch, precision), device) * 1e9
    spent = seconds(tokens, weights=shape.parameters, rate=rate)
    spent = {stage: value for stage, value in spent.items() if stage not in made and value >= 1}
    if sum(spent.values()) < 60:
        return "expected time: less than a minute"
    longest = max(spent, key=lambda stage: spent[stage])
    stages = ", ".join(f"{stage} {_time(value)}" for stage, value in spent.items())
    return (
        f"expected time: about {_time(sum(spent.values()))} ({stages}); stages in the store take no time. "
        f"To shorten it: smaller {SHORTER[longest]}; experiment=smoke runs everything in a minute on random weights"
    )


def _time(value: float) -> str:
    if value < 90:
        return f"{max(1, value):.0f} s"
    return f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"
