"""capability (the validation curve): the policy's kept copies, scored on development prompts after training.

The policy stage keeps its adapter at fixed updates. This stage measures these adapters, and is an artifact of its own:
other prompts, another bound or other rules measure again, and train nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from repo_exp.algorithms.registry import learns_from
from repo_exp.config.schema import Config
from repo_exp.evaluation.unscored import failures
from repo_exp.rewards.diagnostics import failed_share
from repo_exp.rewards.judge.reasons import worth_asking_again
from repo_exp.rollout.seeds import derived_seed
from repo_exp.stages.answering import answer
from repo_exp.stages.data import read
from repo_exp.stages.policy import kept_after, place_after
from repo_exp.stages.records import ModelInputs, SamplingInputs, model_inputs, sampling_inputs
from repo_exp.stages.reward_inputs import RewardInputs, evaluation_reward, reward_parents
from repo_exp.stages.run_context import METRICS, RunContext
from repo_exp.stages.stage import Stage
from repo_exp.stages.store import Artifact, write_json
from repo_exp.types import RewardBreakdown, SourceInfo, Trajectory

UNSCORED = "unscored.json"
FIGURES = {  # reward diagnostic -> name on the validation curve, beside the mean of each source
    "reward/total": "total",
    "composition/violations": "violations",
    "composition/failed": "unscored",
}


def steps(updates: int, every: int) -> list[int]:
    """Return after which updates the policy is measured: at the start, the end, and the first kept one in each
    stretch of ``every`` updates.

    >>> steps(12, 6)   # kept after 3, 6, 9
    [0, 6, 12]
    """
    chosen = [0]
    for step in kept_after(updates):
        if step // every > chosen[-1] // every:
            chosen.append(step)
    return [*chosen, updates]


@dataclass(frozen=True, slots=True)
class ValidationInputs:
    """What the validation curve reads.

    Attributes:
        steps: the updates after which the policy is measured.
        prompts: how many development prompts.
        max_unscored: share of failed scores above which a figure is withheld.
    """

    model: ModelInputs
    steps: list[int]
    prompts: int
    sampling: SamplingInputs
    max_unscored: float
    reward: RewardInputs
    seed: int


class ValidationStage(Stage[ValidationInputs]):
    """Leaves ``metrics.json``, a row for each point of the curve, and ``unscored.json``."""

    name, version = "capability", 4  # the name is on the panels of W&B

    def wanted(self, config: Config) -> bool:
        """Return whether a policy is trained and the curve is wanted."""
        trained = learns_from(str(config.algorithm["kind"])) != "nothing"
        return trained and config.evaluation.validation_every > 0

    def inputs(self, config: Config) -> ValidationInputs:
        """Return what the curve reads."""
        evaluation = config.evaluation
        return ValidationInputs(
            model_inputs(config),
            steps=steps(config.budget.updates, evaluation.validation_every),
            prompts=evaluation.validation_prompts,
            sampling=sampling_inputs(config, temperature=evaluation.temperature),
            max_unscored=evaluation.max_unscored,
            reward=evaluation_reward(config),
            seed=config.seed,
        )

    def parents(self, config: Config) -> Mapping[str, str]:
        """Return the corpus, the policy before and after training, and the trained reward sources."""
        sources = reward_parents(config, evaluating=True)
        return {"data": "data", "sft": "sft", "policy": "policy", **sources}

    def build(self, inputs: ValidationInputs, parents: Mapping[str, Artifact], folder: Path, run: RunContext) -> None:
        """Sample responses of every kept policy, and score them."""
        prompts = read(parents["data"]).prompts["development"][: inputs.prompts]
        model, scorer = run.model(inputs.model), inputs.reward.scorer(run, parents)
        seed = derived_seed(inputs.seed, "capability")  # the string is part of the seed
        rows: list[dict[str, float]] = []
        answers: list[tuple[Trajectory, RewardBreakdown]] = []
        for step in inputs.steps:
            responses = answer(
                model.load("policy", adapter_after(step, inputs.steps[-1], parents)),
                "policy",
                prompts,
                inputs.sampling,
                batch_size=run.machine.sampling_batch_size,
                seed=seed,
                on_finished=scorer.begin,
            )
            rewards = scorer.score(responses)
            answers += zip(responses, rewards, strict=True)
            metrics = inputs.reward.describe(rewards, scorer.infos)
            hidden = withheld(rewards, scorer.infos, most=inputs.max_unscored)
            names = FIGURES | {f"reward/{name}": name for name in scorer.infos}
            figures = {f"capability/{name}": metrics[key]
                       for key, name in names.items() if key in metrics and name not in hidden}  # fmt: skip
            rows.append({"step": step, **figures})
            run.trackers.log(self.name, step, figures)
        write_json(folder / METRICS, rows)
        write_json(folder / UNSCORED, failures(answers, list(scorer.infos)))

    def incomplete(self, artifact: Artifact) -> bool:
        """Return whether an endpoint left responses without a score for a reason that may have passed."""
        return worth_asking_again(artifact.read(UNSCORED))


def adapter_after(step: int, last: int, parents: Mapping[str, Artifact]) -> Path:
    """Return the folder of the policy's adapter after so many updates."""
    if step == 0:
        return parents["sft"].folder / "policy"
    return parents["policy"].folder / "policy" if step == last else place_after(parents["policy"].folder, step)


def withheld(rewards: Sequence[RewardBreakdown], infos: Mapping[str, SourceInfo], *, most: float) -> set[str]:
    """Return which figures have no value at a point of the curve: more than the share of their scores failed."""
    hidden = {name for name in infos if failed_share(rewards, name) > most}
    if any(infos[name].parts == "violations" for name in hidden):
        hidden.add("violations")
    if sum(bool(each.failed_in_total) for each in rewards) > most * len(rewards):
        hidden.add("total")
    return hidden
