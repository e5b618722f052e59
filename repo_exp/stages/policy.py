"""policy: the SFT policy learns from its own replies and what they are worth, or from pairs of replies."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from repo_exp.algorithms.interface import OfflineAlgorithm, OnlineAlgorithm
from repo_exp.algorithms.registry import find, options_of
from repo_exp.config.schema import Config
from repo_exp.durable import writing
from repo_exp.errors import DataError, Problem
from repo_exp.learner.objectives import PairItem
from repo_exp.learner.online import OnlineLearner
from repo_exp.learner.paired import PairedLearner
from repo_exp.learner.phases import Phases
from repo_exp.rewards.missing import MissingScores
from repo_exp.rewards.record import record
from repo_exp.rollout.sampler import derived_seed
from repo_exp.stages.data import read
from repo_exp.stages.instruments import Instruments
from repo_exp.stages.lengths import differ
from repo_exp.stages.machine import forget_peak, peak_memory
from repo_exp.stages.store import Artifact, write_lines
from repo_exp.stages.workbench import Workbench
from repo_exp.types import Corpus, Reply, RewardBreakdown

VERSION = 3
ROLLOUTS = "rollouts.jsonl"
PARTS = "rollouts.parts"
INTERVALS = 4
"""Into so many parts the updates are cut; the policy at each end of a part can be measured later."""


def make(
    bench: Workbench, data: Artifact, sft: Artifact, instruments: Instruments, *, value_model: Artifact | None = None
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
    roles = ("policy",) if paired else learning_roles(algorithm)
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
        inputs["reward"] = instruments.inputs(evaluating=False)
        parents |= instruments.parents(evaluating=False)
    if value_model is not None:
        parents["value_model"] = value_model

    def build(folder: Path) -> dict[str, Any]:
        forget_peak()
        corpus = read(data)
        backbone = bench.role("policy", sft)
        if algorithm.needs_reference:
            bench.role("reference", sft, saved_as="policy")
        if not paired and algorithm.averaging is not None:
            bench.role("average", sft, saved_as="policy")
            bench.learnt("average")  # it moves
        if value_model is not None:
            bench.role("value", value_model)

        def keep(updates: int) -> None:
            backbone.save("policy", place_after(folder, updates))

        if paired:
            phases, tokens = _from_pairs(bench, algorithm, corpus, keep, folder)
        else:
            phases, tokens = _from_replies(bench, algorithm, corpus, keep, folder, instruments)
        for role in roles:
            backbone.save(role, folder / role)
        seconds = {name: round(spent, 1) for name, spent in phases.seconds.items()}
        return {"tokens": tokens, "phases": seconds, "peak_memory": peak_memory()}

    return bench.make("policy", build, version=VERSION, inputs=inputs, parents=parents)


def algorithm_of(config: Config) -> OnlineAlgorithm | OfflineAlgorithm:
    """Return the algorithm that the configuration names."""
    kind = str(config.algorithm["kind"])
    return find(kind).Algorithm(options_of(kind).model_validate(config.algorithm))


def asks_value_model(algorithm: OnlineAlgorithm | OfflineAlgorithm) -> bool:
    """Does it ask a value model that has to be taught beforehand?"""
    return isinstance(algorithm, OnlineAlgorithm) and algorithm.needs_value and not algorithm.teaches_value


def _from_replies(
    bench: Workbench,
    algorithm: OnlineAlgorithm,
    corpus: Corpus,
    keep: Callable[[int], None],
    folder: Path,
    instruments: Instruments,
) -> tuple[Phases, dict[str, int]]:
    """Let the policy learn from its own replies; return where the time went, and how many tokens it took."""
    config = bench.config
    if "value" in learning_roles(algorithm):
        bench.fresh("value", seed=derived_seed(config.seed, "value adapter"))
    scorer, silence = instruments.scorer(evaluating=False), MissingScores(config.reward.max_missing)

    def write_down(update: int, replies: Sequence[Reply], breakdowns: Sequence[RewardBreakdown]) -> None:
        rows = [record(r, b, update=update) for r, b in zip(replies, breakdowns, strict=True)]
        write_lines(_part(folder, update), rows)
        silence.look(breakdowns)

    learner = bench.fit(
        lambda report: OnlineLearner(
            bench.backbone,
            algorithm,
            corpus.contexts["train"],
            score=scorer.score,
            begin=scorer.begin,
            describe=lambda breakdowns: instruments.describe(breakdowns, n=config.reward.n),
            record=write_down,
            keep=keep,
            kept=kept_after(config.budget.updates),
            steps=config.budget.updates,
            report=report,
            **settings(config, learning_roles(algorithm)),
            **sampling(config),
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
    return learner.phases, {"sampled": sampled, "learnt": scored * algorithm.passes}


def _from_pairs(
    bench: Workbench,
    algorithm: OfflineAlgorithm,
    corpus: Corpus,
    keep: Callable[[int], None],
    folder: Path,
) -> tuple[Phases, dict[str, int]]:
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
        lambda report: PairedLearner(
            bench.backbone,
            algorithm,
            pairs,
            keep=keep,
            kept=kept_after(config.budget.updates),
            steps=config.budget.updates,
            report=report,
            **settings(config, ("policy",)),
        ),
        folder=folder,
    )
    return learner.phases, {"sampled": 0, "learnt": learner.tokens_learnt}


def learning_roles(algorithm: OnlineAlgorithm) -> tuple[str, ...]:
    """Return the roles that an online algorithm teaches."""
    return ("policy", "value") if algorithm.needs_value and algorithm.teaches_value else ("policy",)


def settings(config: Config, roles: Sequence[str]) -> dict[str, Any]:
    """Return what the configuration alone says of every learner of a policy."""
    return {
        "stage": "policy",
        "rollouts": config.budget.rollouts,
        "microbatch_tokens": config.trainer.microbatch_tokens,
        "rates": {role: getattr(config.optimizer.learning_rate, role) for role in roles},
        "optimizer": config.optimizer,
        "seed": config.seed,
    }


def sampling(config: Config) -> dict[str, Any]:
    """Return what it says besides of one that samples."""
    rollout = config.rollout
    return {
        "temperature": rollout.temperature,
        "max_new_tokens": rollout.max_new_tokens,
        "batch_size": rollout.batch_size,
        "correction": rollout.correction,
        "max_gap": rollout.max_gap,
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
