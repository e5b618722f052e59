"""evaluate: base model, SFT policy and trained policy respond to the same prompts, and are scored alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from repo_exp.algorithms.registry import learns_from
from repo_exp.config.schema import Config
from repo_exp.evaluation.agents.policy import PolicyAgent
from repo_exp.evaluation.examples import choose_examples, worked_example
from repo_exp.evaluation.protocols.holdout import holdout
from repo_exp.evaluation.summary import summarise
from repo_exp.models.roles import BASE
from repo_exp.rewards.judge.reasons import worth_asking_again
from repo_exp.rewards.record import record
from repo_exp.rollout.seeds import derived_seed
from repo_exp.stages.answering import policy_agent
from repo_exp.stages.data import read
from repo_exp.stages.inputs import as_json
from repo_exp.stages.records import ModelInputs, SamplingInputs, model_inputs, sampling_inputs
from repo_exp.stages.reward_inputs import RewardInputs, evaluation_reward, reward_parents
from repo_exp.stages.run_context import RunContext
from repo_exp.stages.stage import Stage
from repo_exp.stages.store import Artifact, write_json, write_lines


@dataclass(frozen=True, slots=True)
class EvaluateInputs:
    """What the evaluation reads.

    Attributes:
        variant: what tables call the trained policy.
        max_unscored: share of failed scores above which a figure is withheld.
    """

    model: ModelInputs
    variant: str
    sampling: SamplingInputs
    resamples: int
    confidence: float
    max_unscored: float
    reward: RewardInputs
    seed: int


class EvaluateStage(Stage[EvaluateInputs]):
    """Leaves ``results.json``, ``examples.json``, ``responses.jsonl``."""

    name, version = "evaluate", 5

    def inputs(self, config: Config) -> EvaluateInputs:
        """Return what the evaluation reads."""
        evaluation = config.evaluation
        return EvaluateInputs(
            model_inputs(config),
            variant=str(config.algorithm["name"]),
            sampling=sampling_inputs(config, temperature=evaluation.temperature),
            resamples=evaluation.resamples,
            confidence=evaluation.confidence,
            max_unscored=evaluation.max_unscored,
            reward=evaluation_reward(config),
            seed=config.seed,
        )

    def parents(self, config: Config) -> Mapping[str, str]:
        """Return the corpus, the policies, and the trained reward sources."""
        policy = {} if learns_from(str(config.algorithm["kind"])) == "nothing" else {"policy": "policy"}
        return {"data": "data", "sft": "sft", **policy, **reward_parents(config, evaluating=True)}

    def build(self, inputs: EvaluateInputs, parents: Mapping[str, Artifact], folder: Path, run: RunContext) -> None:
        """Sample the responses of every policy variant, score them, and compare them."""
        prompts = read(parents["data"]).prompts["test"]
        scorer = inputs.reward.scorer(run, parents)
        responses = holdout(
            _agents(inputs, parents, run),
            prompts,
            seed=derived_seed(inputs.seed, "evaluation"),  # the string is part of the seed
            on_finished=scorer.begin,
        )
        # all variants respond first: meanwhile a remote judge is at work, and is waited for once
        rewards = iter(scorer.score([response for each in responses.values() for response in each]))
        # scored side by side, what all variants have in common is computed once
        scored = {variant: [(response, next(rewards)) for response in each] for variant, each in responses.items()}
        results = summarise(
            scored,
            sources=scorer.infos,
            seed=derived_seed(inputs.seed, "statistics") % 2**32,
            resamples=inputs.resamples,
            confidence=inputs.confidence,
            max_unscored=inputs.max_unscored,
        )
        chosen = choose_examples(scored, scorer.infos, max_unscored=inputs.max_unscored)
        # what it was measured with, so that a table of runs can tell which may be compared
        write_json(folder / "results.json", {**results, "metric": as_json(inputs.reward)})
        write_json(folder / "examples.json", {"worked": worked_example(scored), "chosen": chosen})
        rows = [
            record(response, reward, variant=variant) for variant, each in scored.items() for response, reward in each
        ]
        write_lines(folder / "responses.jsonl", rows)

    def incomplete(self, artifact: Artifact) -> bool:
        """Return whether an endpoint left responses without a score for a reason that may have passed."""
        return worth_asking_again(artifact.read("results.json")["unscored"])


def _agents(inputs: EvaluateInputs, parents: Mapping[str, Artifact], run: RunContext) -> Iterator[PolicyAgent]:
    """Yield the policy variants. SFT and trained policy share a role: each is loaded when the one before is done."""
    model = run.model(inputs.model)
    for variant, role, source in (("base", BASE, ""), ("sft", "policy", "sft"), (inputs.variant, "policy", "policy")):
        if not source or source in parents:
            backbone = model.role(role, parents[source]) if source else model.backbone
            batch_size = run.machine.sampling_batch_size
            yield policy_agent(variant, backbone, role, inputs.sampling, batch_size=batch_size)
