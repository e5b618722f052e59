"""policy: the SFT policy learns from its own replies and what they are worth, or from pairs of replies."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

from repo_exp.algorithms.interface import OfflineAlgorithm, OnlineAlgorithm, ReferenceLogprobs, Values
from repo_exp.algorithms.interface import find as declared
from repo_exp.algorithms.options.base import MethodOptions, StepOptions
from repo_exp.algorithms.registry import find, options_of
from repo_exp.config.schema import Config
from repo_exp.durable import writing
from repo_exp.errors import DataError, Problem
from repo_exp.models.backbone import Backbone
from repo_exp.rewards.missing import MissingScores
from repo_exp.rewards.record import record
from repo_exp.rollout.engine import Sampling
from repo_exp.rollout.seeds import derived_seed
from repo_exp.rollout.torch_engine import TorchEngine
from repo_exp.stages.data import read
from repo_exp.stages.lengths import differ
from repo_exp.stages.machine import forget_peak, peak_memory
from repo_exp.stages.reward_sources import RewardSources
from repo_exp.stages.store import Artifact, write_lines
from repo_exp.stages.workbench import Workbench
from repo_exp.training.agreement import Mismatch
from repo_exp.training.base import Metrics, TrainingSettings
from repo_exp.training.collecting import Rewards
from repo_exp.training.losses import PairItem
from repo_exp.training.module import OnlineModule
from repo_exp.training.paired import PairedModule
from repo_exp.training.policy import Updates
from repo_exp.training.timing import PhaseTimer
from repo_exp.types import Corpus, Reply, RewardBreakdown

VERSION = 3
ROLLOUTS = "rollouts.jsonl"
PARTS = "rollouts.parts"
INTERVALS = 4
"""Into so many parts the updates are cut; the policy at each end of a part can be measured later."""


def make(
    bench: Workbench, data: Artifact, sft: Artifact, sources: RewardSources, *, value_model: Artifact | None = None
) -> Artifact:
    """Return the policy artifact: ``policy/``, ``value/`` if one learns, ``metrics.json``, and what it cost.

    The policy on the way is in ``after/UPDATES/policy/``. Nothing that only measures is part of the address, so
    measuring in another way never trains a policy again.

    A method that learns from its own replies leaves ``rollouts.jsonl`` too. One that learns from pairs asks no reward,
    so its address hangs on none.

    Args:
        value_model: what an algorithm with a frozen value model asks.
    """
    config = bench.config
    algorithm = algorithm_of(config)
    paired = isinstance(algorithm, OfflineAlgorithm)
    roles = algorithm.trained_roles
    unread = {"batch_size", "max_gap"} | ({"temperature", "correction"} if paired else set())
    inputs = {
        "model": bench.model_inputs(),
        "algorithm": {key: value for key, value in config.algorithm.items() if key != "name"},
        "budget": config.budget.model_dump(),
        "rollout": config.rollout.model_dump(exclude=unread),
        "optimizer": bench.optimizer_inputs(*roles),
        "seed": config.seed,
    }
    parents = {"data": data, "sft": sft}
    if not paired:
        inputs["reward"] = sources.inputs(evaluating=False)
        parents |= sources.parents(evaluating=False)
    if value_model is not None:
        parents["value_model"] = value_model

    def build(folder: Path) -> dict[str, Any]:
        forget_peak()
        corpus = read(data)
        backbone = bench.role("policy", sft)
        if declared(algorithm.signals, ReferenceLogprobs) is not None:
            bench.role("reference", sft, saved_as="policy")
        if value_model is not None:
            bench.role("value", value_model)

        def keep(updates: int) -> None:
            backbone.save("policy", place_after(folder, updates))

        if paired:
            phases, tokens = _from_pairs(bench, algorithm, corpus, keep, folder)
        else:
            phases, tokens = _from_replies(bench, algorithm, corpus, keep, folder, sources)
        for role in roles:
            backbone.save(role, folder / role)
        seconds = {name: round(spent, 1) for name, spent in phases.seconds.items()}
        return {"tokens": tokens, "phases": seconds, "peak_memory": peak_memory()}

    return bench.make("policy", build, version=VERSION, inputs=inputs, parents=parents)


def algorithm_of(config: Config) -> OnlineAlgorithm[StepOptions] | OfflineAlgorithm[MethodOptions]:
    """Return the algorithm that the configuration names."""
    kind = str(config.algorithm["kind"])
    return find(kind).Algorithm(options_of(kind).model_validate(config.algorithm))


def frozen_values(algorithm: OnlineAlgorithm[StepOptions] | OfflineAlgorithm[MethodOptions]) -> Values | None:
    """Return the values that a value model has to predict, which is trained beforehand; None if there are none."""
    values = declared(algorithm.signals, Values)
    return values if values is not None and not values.train else None


def _from_replies(
    bench: Workbench,
    algorithm: OnlineAlgorithm[StepOptions],
    corpus: Corpus,
    keep: Callable[[int], None],
    folder: Path,
    sources: RewardSources,
) -> tuple[PhaseTimer, dict[str, int]]:
    """Let the policy learn from its own replies; return where the time went, and how many tokens it took."""
    config = bench.config
    if "value" in algorithm.trained_roles:
        bench.fresh("value", seed=derived_seed(config.seed, "value adapter"))
    scorer = sources.scorer(evaluating=False)
    missing = MissingScores(config.reward.max_missing, scorer.infos)

    def write_down(update: int, replies: Sequence[Reply], breakdowns: Sequence[RewardBreakdown]) -> None:
        rows = [record(r, b, update=update) for r, b in zip(replies, breakdowns, strict=True)]
        write_lines(_part(folder, update), rows)
        missing.check(breakdowns)

    learner = bench.fit(
        lambda report: OnlineModule(
            bench.backbone,
            algorithm,
            corpus.contexts["train"],
            settings=settings(config, algorithm.trained_roles, report),
            updates=updates(config, keep),
            **sampling(config, bench.backbone),
            rewards=Rewards(
                scorer.score,
                describe=lambda breakdowns: sources.describe(breakdowns, evaluating=False),
                record=write_down,
                begin=scorer.begin,
            ),
        ),
        folder=folder,
        usable=lambda updates: _unreadable_part(folder, updates),
    )
    _gather(folder, config.budget.updates)
    sampled = scored = 0
    with (folder / ROLLOUTS).open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            sampled += row["tokens"]
            scored += row["tokens"] if row["total"] is not None else 0
    return learner.phases, {"sampled": sampled, "learnt": scored * algorithm.options.passes}


def _from_pairs(
    bench: Workbench,
    algorithm: OfflineAlgorithm[MethodOptions],
    corpus: Corpus,
    keep: Callable[[int], None],
    folder: Path,
) -> tuple[PhaseTimer, dict[str, int]]:
    """Let it learn from the pairs that the reward model learns from; return the same."""
    config, tokens, limit = bench.config, bench.backbone.tokens, bench.config.rollout.max_new_tokens
    pairs = [
        PairItem(
            tokens.context(pair.context.messages),
            tokens.reply(pair.chosen, limit=limit),
            tokens.reply(pair.rejected, limit=limit),
        )
        for pair in corpus.preferences["train"]
        if differ(tokens, pair, limit=limit)
    ]
    if not pairs:
        problem = Problem("data", "no preference pairs to train on", "a larger data.scale, or more lines in data.path")
        raise DataError(f"{config.algorithm['name']} has nothing to learn from", [problem])
    learner = bench.fit(
        lambda report: PairedModule(
            bench.backbone,
            algorithm,
            pairs,
            settings=settings(config, algorithm.trained_roles, report),
            updates=updates(config, keep),
        ),
        folder=folder,
    )
    return learner.phases, {"sampled": 0, "learnt": learner.trained_tokens}


def settings(
    config: Config, roles: Sequence[str], report: Callable[[int, Metrics], None] = lambda *_: None
) -> TrainingSettings:
    """Return what the configuration tells every training loop of a policy."""
    return TrainingSettings(
        stage="policy",
        learning_rates={role: getattr(config.optimizer.learning_rate, role) for role in roles},
        optimizer=config.optimizer,
        seed=config.seed,
        microbatch_tokens=config.trainer.microbatch_tokens,
        report=report,
    )


def updates(config: Config, save: Callable[[int], None]) -> Updates:
    """Return how long the policy is trained, and when it is saved on the way."""
    count = config.budget.updates
    return Updates(count, config.budget.rollouts, save=save, save_after=kept_after(count))


class SamplingArguments(TypedDict):
    """How an online method samples."""

    engine: TorchEngine
    sampling: Sampling
    mismatch: Mismatch


def sampling(config: Config, backbone: Backbone) -> SamplingArguments:
    """Return how responses are sampled: in this process."""
    rollout = config.rollout
    return {
        "engine": TorchEngine(backbone, batch_size=rollout.batch_size),
        "sampling": Sampling(rollout.temperature, rollout.max_new_tokens),
        "mismatch": Mismatch(rollout.correction, rollout.max_gap),
    }


def kept_after(updates: int) -> tuple[int, ...]:
    """Return after how many updates the policy is kept besides the end: at each quarter."""
    steps = {round(part * updates / INTERVALS) for part in range(1, INTERVALS)}
    return tuple(sorted(steps - {0, updates}))


def place_after(folder: Path, updates: int) -> Path:
    """Return where the policy is that was kept after so many updates."""
    return folder / "after" / f"{updates:06d}" / "policy"


def _part(folder: Path, update: int) -> Path:
    """Return the file of one update's replies. Apart, an update that a resumed run does again replaces its own."""
    return folder / PARTS / f"{update:06d}.jsonl"


def _unreadable_part(folder: Path, updates: int) -> str:
    """Return what is wrong with the replies of the first ``updates`` updates; nothing if they are all there."""
    for update in range(updates):
        try:
            with _part(folder, update).open(encoding="utf-8") as lines:
                if not all({"tokens", "total"} <= json.loads(line).keys() for line in lines):
                    raise ValueError
        except (OSError, ValueError, AttributeError):
            return f"the replies of update {update + 1} cannot be read"
    return ""


def _gather(folder: Path, updates: int) -> None:
    """Join the updates' files into one. They stay until the artifact is whole: a run cut off here needs them again."""
    with writing(folder / ROLLOUTS) as unfinished, unfinished.open("wb") as whole:
        for update in range(updates):
            with _part(folder, update).open("rb") as part:
                shutil.copyfileobj(part, whole)
