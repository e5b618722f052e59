"""policy: the SFT policy learns from its own replies and what they are worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repo_exp.algorithms.interface import OnlineAlgorithm
from repo_exp.algorithms.registry import find
from repo_exp.config.schema import Config
from repo_exp.learner.online import OnlineLearner
from repo_exp.rewards.record import record
from repo_exp.rollout.sampler import derived_seed
from repo_exp.stages.answering import answer
from repo_exp.stages.data import read
from repo_exp.stages.instruments import Instruments
from repo_exp.stages.store import Artifact, write_lines
from repo_exp.stages.workbench import Workbench
from repo_exp.types import Reply, RewardBreakdown

VERSION = 2
ROLLOUTS = "rollouts.jsonl"
PARTS = "rollouts"


def make(
    bench: Workbench, data: Artifact, sft: Artifact, instruments: Instruments, *, value_model: Artifact | None = None
) -> Artifact:
    """Return the policy artifact: ``policy/``, ``value/`` if one learns, ``rollouts.jsonl``, ``metrics.json``.

    Args:
        value_model: what an algorithm with a frozen value model asks.
    """
    config = bench.config
    algorithm = algorithm_of(config)
    roles = learning_roles(algorithm)
    measured = config.evaluation.capability_every > 0
    inputs = {
        "model": bench.model_inputs(),
        "algorithm": dict(config.algorithm),
        "budget": config.budget.model_dump(),
        "reward": instruments.inputs(evaluating=False),
        "rollout": config.rollout.model_dump(exclude={"batch_size"}),
        "optimizer": bench.optimizer_inputs(*roles),
        "seed": config.seed,
        "capability": measured
        and [
            config.evaluation.capability_every,
            config.evaluation.capability_contexts,
            config.evaluation.temperature,
            instruments.inputs(evaluating=True),
        ],
    }
    parents = {"data": data, "sft": sft, **instruments.parents(evaluating=False)}
    if value_model is not None:
        parents["value_model"] = value_model
    if measured:
        parents |= instruments.parents(evaluating=True)

    def build(folder: Path) -> None:
        corpus = read(data)
        backbone = bench.role("policy", sft)
        if algorithm.needs_reference:
            bench.role("reference", sft, saved_as="policy")
        if algorithm.averaging is not None:
            bench.role("average", sft, saved_as="policy")
            bench.learnt("average")  # it moves
        if value_model is not None:
            bench.role("value", value_model)
        elif algorithm.needs_value:
            bench.fresh("value", seed=derived_seed(config.seed, "value adapter"))
        scorer, yardstick = instruments.scorer(evaluating=False), instruments.scorer(evaluating=True)
        held = corpus.contexts["development"][: config.evaluation.capability_contexts]

        def capability() -> dict[str, float]:
            seed = derived_seed(config.seed, "capability")
            replies = answer(
                backbone, "policy", held, config.rollout, seed=seed, temperature=config.evaluation.temperature
            )
            told = instruments.describe(yardstick.score(replies), n=config.evaluation.n)
            return {f"capability/{name}": told[key] for key, name in CAPABILITY.items() if key in told}

        def keep(update: int, replies: Sequence[Reply], breakdowns: Sequence[RewardBreakdown]) -> None:
            rows = [record(r, b, update=update) for r, b in zip(replies, breakdowns, strict=True)]
            write_lines(folder / PARTS / f"{update:06d}.jsonl", rows)

        bench.fit(
            lambda report: OnlineLearner(
                backbone,
                algorithm,
                corpus.contexts["train"],
                score=scorer.score,
                describe=lambda breakdowns: instruments.describe(breakdowns, n=config.reward.n),
                record=keep,
                capability=capability,
                capability_every=config.evaluation.capability_every,
                steps=config.budget.updates,
                report=report,
                **settings(config, roles),
            ),
            folder=folder,
        )
        _gather(folder)
        for role in roles:
            backbone.save(role, folder / role)

    return bench.make("policy", build, version=VERSION, inputs=inputs, parents=parents)


def algorithm_of(config: Config) -> OnlineAlgorithm:
    """Return the online algorithm that the configuration names."""
    module = find(str(config.algorithm["kind"]))
    return module.Algorithm(module.Options.model_validate(config.algorithm))


def learning_roles(algorithm: OnlineAlgorithm) -> tuple[str, ...]:
    """Return the roles that an online algorithm teaches."""
    return ("policy", "value") if algorithm.needs_value and algorithm.teaches_value else ("policy",)


def settings(config: Config, roles: Sequence[str]) -> dict[str, Any]:
    """Return what the configuration alone says of an online learner."""
    return {
        "stage": "policy",
        "rollouts": config.budget.rollouts,
        "temperature": config.rollout.temperature,
        "max_new_tokens": config.rollout.max_new_tokens,
        "batch_size": config.rollout.batch_size,
        "correction": config.rollout.correction,
        "microbatch_tokens": config.trainer.microbatch_tokens,
        "rates": {role: getattr(config.optimizer.learning_rate, role) for role in roles},
        "optimizer": config.optimizer,
        "seed": config.seed,
    }


CAPABILITY = {  # metric of the composition -> name on the capability curve
    "reward/total": "total",
    "reward/model": "model",
    "reward/judge": "judge",
    "reward/rules": "rules",
    "composition/violations": "violations",
}


def _gather(folder: Path) -> None:
    """Join the updates' files into one. (Apart, an update that a resumed run does again replaces its own.)"""
    parts = sorted((folder / PARTS).glob("*.jsonl"))
    with (folder / ROLLOUTS).open("wb") as whole:
        for part in parts:
            whole.write(part.read_bytes())
    for part in (folder / PARTS).iterdir():
        part.unlink()
    (folder / PARTS).rmdir()
