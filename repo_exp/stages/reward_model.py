"""reward_model: trained on preference pairs, then calibrated on responses of the SFT policy; one for each such source.

Calibrated scores have mean 0 and standard deviation 1 over responses of the SFT policy, so that the sign of a score
means better or worse than where learning starts: the enhancement reads that sign. How the kinds of reward model differ
is in ``stages/reward_models/<kind>.py``; this file is what they share.
"""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from repo_exp.config.reward_sources import settings_of
from repo_exp.config.schema import BradleyTerry, Config, Polar, Rrm
from repo_exp.core.preference import calibrate, calibration, pair_accuracy
from repo_exp.evaluation.baselines import longer_is_better, more_overlap_is_better
from repo_exp.models.forward import score_responses
from repo_exp.rewards.facts import is_number
from repo_exp.rewards.sources.reward_model import ScoreFunction
from repo_exp.rollout.seeds import derived_seed
from repo_exp.stages.answering import answer
from repo_exp.stages.asked_sources import evaluation_sources, stage_name
from repo_exp.stages.data import read
from repo_exp.stages.finite import require_all, require_some
from repo_exp.stages.records import SamplingInputs, TrainingInputs, sampling_inputs, training_inputs
from repo_exp.stages.reward_models.bradley_terry import RewardModel
from repo_exp.stages.run_context import RunContext
from repo_exp.stages.stage import Stage
from repo_exp.stages.store import Artifact, write_json
from repo_exp.training.supervised import over_items
from repo_exp.types import NOT_FINITE, Preference, Score, Trajectory

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RewardModelInputs:
    """What a reward model reads.

    Attributes:
        training: its seed is that of the source.
        settings: the section ``reward_model`` of the source.
        sampling: of the responses that it is calibrated on.
    """

    training: TrainingInputs
    settings: BradleyTerry | Rrm | Polar
    sampling: SamplingInputs


class RewardModelStage(Stage[RewardModelInputs]):
    """Leaves ``reward/``, ``calibration.json``, ``quality.json``, ``metrics.json``.

    Args:
        source: of the reward that scores with it.
    """

    version = 4

    def __init__(self, source: str) -> None:
        self.source, self.name = source, stage_name("reward_model", source)

    def inputs(self, config: Config) -> RewardModelInputs:
        """Return what the reward model reads."""
        return inputs_of(config, self.source)

    def before(self, config: Config) -> Stage[Any] | None:
        """Return the stage that has to come before, if its kind has one."""
        stage: Stage[Any] | None = _module(inputs_of(config, self.source).settings.kind).stage_before(self.source)
        return stage

    def parents(self, config: Config) -> Mapping[str, str]:
        """Return the corpus, the SFT policy that it is calibrated on, and what comes before."""
        before = self.before(config)
        return {"data": "data", "sft": "sft", **({} if before is None else {"before": before.name})}

    def build(self, inputs: RewardModelInputs, parents: Mapping[str, Artifact], folder: Path, run: RunContext) -> None:
        """Train on pairs, measure on held-out pairs, and calibrate.

        Raises:
            NotFiniteError: fewer than two scores of the calibration are finite.
        """
        kind, corpus, settings = of_its_kind(run, inputs), read(parents["data"]), inputs.settings
        before = parents.get("before")
        items = kind.training_examples(corpus, before, folder)
        backbone = kind.start(before)
        kind.fit(self.name, items, epochs=settings.epochs, folder=folder)
        held = [pair for pair in corpus.preferences["development"] if kind.can_measure(pair)]
        write_json(folder / "quality.json", _quality(kind, held))
        prompts = [prompt for prompt in corpus.prompts["train"] if kind.can_score(prompt)]
        run.model(inputs.training.model).role("policy", parents["sft"])
        responses = answer(
            backbone,
            "policy",
            prompts[: settings.calibration_responses],
            inputs.sampling,
            batch_size=run.machine.sampling_batch_size,
            seed=derived_seed(inputs.training.seed, "calibration"),  # the string is part of the seed
        )
        raw = raw_scores(kind, responses)
        require_some(raw, least=2, role="reward", what="raw scores to calibrate with")
        finite = [score for score in raw if math.isfinite(score)]
        if len(finite) < len(raw):
            log.warning("calibration leaves out %d of %d scores: not finite", len(raw) - len(finite), len(raw))
        if len(set(finite)) == 1:
            log.warning("the reward model gives all calibration responses the same score: it does not discriminate")
        mean, std = calibration(torch.tensor(finite))
        write_json(folder / "calibration.json", {"mean": mean, "std": std, "responses": len(finite)})
        backbone.save("reward", folder / "reward")


def inputs_of(config: Config, source: str) -> RewardModelInputs:
    """Return what the reward model of a source reads."""
    entry = evaluation_sources(config)[source]
    training = training_inputs(config, "reward", rates=("reward_model",), seed=entry["seed"])
    return RewardModelInputs(training, settings_of(entry), sampling_inputs(config))


def of_its_kind(run: RunContext, inputs: RewardModelInputs) -> RewardModel:
    """Return how a reward model of this kind is trained and laid out: ``stages/reward_models/<kind>.py``."""
    limit = inputs.sampling.max_new_tokens
    kind: RewardModel = _module(inputs.settings.kind).RewardModel(
        run, inputs.training, inputs.settings, max_new_tokens=limit
    )
    return kind


def _module(kind: str) -> ModuleType:
    return importlib.import_module(f"repo_exp.stages.reward_models.{kind}")


def function(run: RunContext, inputs: RewardModelInputs, trained: Artifact) -> ScoreFunction:
    """Return the calibrated reward model as a function of responses; a score that is missing says why.

    Args:
        trained: the artifact of :class:`RewardModelStage`.

    Raises:
        StoreError: (the function) the calibration is no pair of numbers.
        NotFiniteError: (the function) of two responses or more none has a finite score.
    """
    kind = of_its_kind(run, inputs)

    def score(trajectories: Sequence[Trajectory]) -> list[float | Score]:
        scale = _scale(trained)
        run.model(inputs.training.model).role("reward", trained)
        raw = torch.tensor(raw_scores(kind, trajectories), dtype=torch.float64)
        scores = calibrate(raw, mean=scale["mean"], std=scale["std"]).tolist()
        scorable = [kind.can_score(trajectory.prompt) for trajectory in trajectories]
        if sum(scorable) > 1:
            finite_or_not = [score for score, can in zip(scores, scorable, strict=True) if can]
            require_some(finite_or_not, role="reward", what="scores of responses")
        return [
            (score if math.isfinite(score) else Score.none(NOT_FINITE))
            if can
            else Score.none(kind.unscorable, applies=False)
            for score, can in zip(scores, scorable, strict=True)
        ]

    return score


def _scale(artifact: Artifact) -> dict[str, float]:
    scale: dict[str, float] = artifact.read("calibration.json")
    for name in ("mean", "std"):
        if not is_number(scale.get(name)):
            artifact.not_a_number("calibration.json")(f"{name} is {scale.get(name)}")
    return scale


def raw_scores(kind: RewardModel, trajectories: Sequence[Trajectory]) -> list[float]:
    """Return the reward role's scores before calibration; NaN where a prompt cannot be scored."""
    scores = [math.nan] * len(trajectories)
    scorable = [i for i, trajectory in enumerate(trajectories) if kind.can_score(trajectory.prompt)]
    found = score_responses(
        kind.backbone,
        [kind.before_response(trajectories[i].prompt) for i in scorable],
        [kind.response(trajectories[i].response) for i in scorable],
        microbatch_tokens=kind.run.machine.microbatch_tokens,
    )
    for i, score in zip(scorable, found, strict=True):
        scores[i] = score
    return scores


def _quality(kind: RewardModel, pairs: Sequence[Preference]) -> dict[str, Any]:
    """Return the accuracy on held-out pairs, in total and by kind and fault, beside two baselines without a model."""
    objective, items = kind.objective, [kind.item(pair) for pair in pairs]
    right, backbone = torch.zeros(len(pairs), dtype=torch.float64), kind.backbone
    for chosen, (better_N, worse_N) in over_items(
        backbone,
        objective,
        items,
        lambda some: objective.scores(backbone, some),
        microbatch_tokens=kind.run.machine.microbatch_tokens,
    ):
        scores = torch.stack([better_N, worse_N]).flatten().tolist()
        require_all(scores, role="reward", what="scores of held-out responses")
        right[chosen] = torch.tensor(
            [pair_accuracy(b[None], w[None]) for b, w in zip(better_N, worse_N, strict=True)], dtype=torch.float64
        )

    def counts(names: Sequence[str]) -> dict[str, dict[str, float]]:
        return {
            name: {
                "pairs": names.count(name),
                "correct": sum(r for r, n in zip(right.tolist(), names, strict=True) if n == name),
            }
            for name in sorted(set(names) - {""})
        }

    return {
        "pairs": len(pairs),
        "correct": right.sum().item(),
        "baselines": {"length": longer_is_better(pairs), "word overlap": more_overlap_is_better(pairs)},
        "kinds": counts([pair.kind for pair in pairs]),
        "faults": counts([pair.fault for pair in pairs]),
    }
