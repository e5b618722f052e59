"""policy: the SFT policy is trained on its own responses and their rewards, or on preference pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repo_exp.algorithms.interface import OfflineAlgorithm, OnlineAlgorithm, ReferenceLogprobs, Values
from repo_exp.algorithms.interface import find as declared
from repo_exp.algorithms.options.base import MethodOptions, StepOptions
from repo_exp.algorithms.registry import find, learns_from, options_of
from repo_exp.config.schema import Budget, Config, Correction
from repo_exp.errors import DataError, Problem
from repo_exp.rewards.missing import MissingScores
from repo_exp.rewards.record import record
from repo_exp.rollout.engine import Sampling
from repo_exp.rollout.seeds import derived_seed
from repo_exp.rollout.torch_engine import TorchEngine
from repo_exp.stages import rollouts
from repo_exp.stages.data import read
from repo_exp.stages.fitting import fit, training_settings
from repo_exp.stages.lengths import differ
from repo_exp.stages.machine import forget_peak, peak_memory
from repo_exp.stages.records import SamplingInputs, TrainingInputs, sampling_inputs, training_inputs
from repo_exp.stages.reward_inputs import RewardInputs, reward_parents, training_reward
from repo_exp.stages.run_context import RunContext
from repo_exp.stages.stage import Stage
from repo_exp.stages.store import Artifact
from repo_exp.training.agreement import Mismatch
from repo_exp.training.collecting import Rewards
from repo_exp.training.losses import PairItem
from repo_exp.training.module import OnlineModule
from repo_exp.training.paired import PairedModule
from repo_exp.training.policy import Updates
from repo_exp.training.timing import PhaseTimer
from repo_exp.types import Corpus, RewardBreakdown, Trajectory

INTERVALS = 4
"""The updates are divided into so many intervals; the policy at each end of one is kept, to be measured later."""

Online = OnlineAlgorithm[StepOptions]
Offline = OfflineAlgorithm[MethodOptions]


@dataclass(frozen=True, slots=True)
class OnlineInputs:
    """What only a method reads that samples."""

    sampling: SamplingInputs
    correction: Correction
    reward: RewardInputs


@dataclass(frozen=True, slots=True)
class PolicyInputs:
    """What the training of the policy reads. Nothing that only measures is among it.

    Attributes:
        algorithm: the options of the method, named as their kind: what tables call the policy does not change it.
        online: None for a method that is trained on pairs.
    """

    training: TrainingInputs
    algorithm: MethodOptions
    budget: Budget
    max_new_tokens: int
    online: OnlineInputs | None


class PolicyStage(Stage[PolicyInputs]):
    """Leaves ``policy/``, ``value/`` if one is trained, ``metrics.json``, and ``rollouts.jsonl`` if it samples.

    The policy after each quarter of the updates is in ``after/UPDATES/policy/``.
    """

    name, version = "policy", 4

    def wanted(self, config: Config) -> bool:
        """Return whether the method trains a policy beyond SFT."""
        return learns_from(str(config.algorithm["kind"])) != "nothing"

    def inputs(self, config: Config) -> PolicyInputs:
        """Return what the training reads."""
        algorithm = algorithm_of(config)
        online = None
        if isinstance(algorithm, OnlineAlgorithm):
            online = OnlineInputs(sampling_inputs(config), config.rollout.correction, training_reward(config))
        return PolicyInputs(
            training_inputs(config, *algorithm.trained_roles),
            algorithm=algorithm.options.model_copy(update={"name": algorithm.options.kind}),
            budget=config.budget,
            max_new_tokens=config.rollout.max_new_tokens,
            online=online,
        )

    def parents(self, config: Config) -> Mapping[str, str]:
        """Return the corpus, the SFT policy, a frozen value model, and the trained reward sources."""
        algorithm = algorithm_of(config)
        value_model = {"value_model": "value_model"} if frozen_values(algorithm) is not None else {}
        sources = reward_parents(config, evaluating=False) if isinstance(algorithm, OnlineAlgorithm) else {}
        return {"data": "data", "sft": "sft", **value_model, **sources}

    def build(
        self, inputs: PolicyInputs, parents: Mapping[str, Artifact], folder: Path, run: RunContext
    ) -> dict[str, Any]:
        """Train the policy, and keep it on the way.

        Raises:
            DataError: there is nothing to train on.
            MissingScoresError: a reward source leaves too many responses without a score.
            NotFiniteError: a role is broken, or too many steps were skipped.
        """
        forget_peak()
        algorithm, corpus, model = (
            algorithm_with(inputs.algorithm),
            read(parents["data"]),
            run.model(inputs.training.model),
        )
        backbone = model.role("policy", parents["sft"])
        if declared(algorithm.signals, ReferenceLogprobs) is not None:
            model.role("reference", parents["sft"], saved_as="policy")
        if "value_model" in parents:
            model.role("value", parents["value_model"])

        def save(updates: int) -> None:
            backbone.save("policy", place_after(folder, updates))

        count = inputs.budget.updates
        updates = Updates(count, inputs.budget.rollouts, save=save, save_after=kept_after(count))
        if isinstance(algorithm, OnlineAlgorithm):
            phases, tokens = _online(run, inputs, algorithm, corpus, updates, folder, parents)
        else:
            phases, tokens = _offline(run, inputs, algorithm, corpus, updates, folder)
        for role in algorithm.trained_roles:
            backbone.save(role, folder / role)
        seconds = {name: round(spent, 1) for name, spent in phases.seconds.items()}
        return {"tokens": tokens, "phases": seconds, "peak_memory": peak_memory()}


def algorithm_of(config: Config) -> Online | Offline:
    """Return the algorithm that the configuration names."""
    return algorithm_with(options_of(str(config.algorithm["kind"])).model_validate(config.algorithm))


def algorithm_with(options: MethodOptions) -> Online | Offline:
    """Return the algorithm with these options."""
    algorithm: Online | Offline = find(options.kind).Algorithm(options)
    return algorithm


def frozen_values(algorithm: Online | Offline) -> Values | None:
    """Return the values that a value model has to predict, which is trained beforehand; None if there are none."""
    values = declared(algorithm.signals, Values)
    return values if values is not None and not values.train else None


def _online(
    run: RunContext,
    inputs: PolicyInputs,
    algorithm: Online,
    corpus: Corpus,
    updates: Updates,
    folder: Path,
    parents: Mapping[str, Artifact],
) -> tuple[PhaseTimer, dict[str, int]]:
    """Train the policy on its own responses; return where the time went, and how many tokens it took."""
    online, model = inputs.online, run.model(inputs.training.model)
    assert online is not None
    if "value" in algorithm.trained_roles:
        model.fresh("value", seed=derived_seed(inputs.training.seed, "value adapter"))  # the string is part of the seed
    scorer = online.reward.scorer(run, parents)
    missing = MissingScores(run.machine.max_missing, scorer.infos)

    def write_down(update: int, responses: Sequence[Trajectory], rewards: Sequence[RewardBreakdown]) -> None:
        rollouts.write(folder, update, [record(*each, update=update) for each in zip(responses, rewards, strict=True)])
        missing.check(rewards)

    module = fit(
        run,
        inputs.training,
        lambda report: OnlineModule(
            model.backbone,
            algorithm,
            corpus.prompts["train"],
            settings=training_settings(run, inputs.training, stage="policy", report=report),
            updates=updates,
            engine=TorchEngine(model.backbone, batch_size=run.machine.sampling_batch_size),
            sampling=Sampling(online.sampling.temperature, online.sampling.max_new_tokens),
            mismatch=Mismatch(online.correction, run.machine.max_gap),
            rewards=Rewards(
                scorer.score,
                describe=lambda rewards: online.reward.describe(rewards, scorer.infos),
                record=write_down,
                begin=scorer.begin,
            ),
        ),
        folder=folder,
        usable=lambda done: rollouts.unreadable(folder, done),
    )
    sampled, scored = rollouts.gather(folder, updates.count)
    return module.phases, {"sampled": sampled, "learnt": scored * algorithm.options.passes}


def _offline(
    run: RunContext, inputs: PolicyInputs, algorithm: Offline, corpus: Corpus, updates: Updates, folder: Path
) -> tuple[PhaseTimer, dict[str, int]]:
    """Train the policy on the pairs that the reward model is trained on; return the same."""
    backbone, limit = run.model(inputs.training.model).backbone, inputs.max_new_tokens
    tokens = backbone.tokens
    pairs = [
        PairItem(
            tokens.prompt(pair.prompt.messages),
            tokens.response(pair.chosen, limit=limit),
            tokens.response(pair.rejected, limit=limit),
        )
        for pair in corpus.preferences["train"]
        if differ(tokens, pair, limit=limit)
    ]
    if not pairs:
        problem = Problem("data", "no preference pairs to train on", "a larger data.scale, or more lines in data.path")
        raise DataError(f"{algorithm.options.kind} has no pairs to train on", [problem])
    module = fit(
        run,
        inputs.training,
        lambda report: PairedModule(
            backbone,
            algorithm,
            pairs,
            settings=training_settings(run, inputs.training, stage="policy", report=report),
            updates=updates,
        ),
        folder=folder,
    )
    return module.phases, {"sampled": 0, "learnt": module.trained_tokens}


def kept_after(updates: int) -> tuple[int, ...]:
    """Return after how many updates the policy is kept besides the end: at each quarter."""
    steps = {round(part * updates / INTERVALS) for part in range(1, INTERVALS)}
    return tuple(sorted(steps - {0, updates}))


def place_after(folder: Path, updates: int) -> Path:
    """Return where the policy is that was kept after so many updates."""
    return folder / "after" / f"{updates:06d}" / "policy"
