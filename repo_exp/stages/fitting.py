"""Training inside a stage: the steps of a learner, with progress, tracking, checkpoints and the metrics file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from repo_exp.config.schema import LearningRates, Optimizer
from repo_exp.learner.base import Learner, Metrics
from repo_exp.learner.fit import fit as fit_learner
from repo_exp.learner.objectives import Objective
from repo_exp.learner.progress import StageProgress
from repo_exp.learner.supervised import SupervisedLearner
from repo_exp.stages.records import OptimizerInputs, TrainingInputs
from repo_exp.stages.run_context import METRICS, RunContext
from repo_exp.stages.store import write_json

L = TypeVar("L", bound=Learner)


def fit(
    run: RunContext,
    inputs: TrainingInputs,
    learner_with: Callable[[Callable[[int, Metrics], None]], L],
    *,
    folder: Path,
    usable: Callable[[int], str] = lambda done: "",
) -> L:
    """Build a learner around a reporter, do its steps, and write its metrics.

    Args:
        learner_with: builds the learner around its ``report``.
        folder: of the artifact in the making, with the checkpoints.
        usable: says what is wrong with a checkpoint of so many steps; empty if nothing is.
    """
    shown: list[StageProgress] = []

    def report(step: int, metrics: Metrics) -> None:
        run.trackers.log(learner.stage, step, metrics)
        shown[0].update(step, metrics)

    learner, model = learner_with(report), run.model(inputs.model)
    with StageProgress(learner.stage, learner.steps) as progress:
        shown.append(progress)
        replay = partial(run.replay, learner.stage)
        fit_learner(learner, run.machine.trainer, folder=folder, usable=usable, replay=replay)
    model.backbone.to(run.machine.device)  # Lightning leaves it on the CPU
    for role in learner.rates:
        model.changed(role)
    write_json(folder / METRICS, learner.history)
    return learner


def fit_supervised(
    run: RunContext,
    inputs: TrainingInputs,
    objective: Objective,
    items: Sequence[Any],
    *,
    stage: str,
    epochs: int,
    batch_size: int,
    folder: Path,
) -> None:
    """Train the objective's role on examples: SFT, the reward model, the judge and the value model do.

    The inputs hold one learning rate, which is the role's.
    """
    (rate,) = inputs.optimizer.learning_rate.values()
    fit(
        run,
        inputs,
        lambda report: SupervisedLearner(
            run.model(inputs.model).backbone,
            objective,
            items,
            epochs=epochs,
            batch_size=batch_size,
            microbatch_tokens=run.machine.microbatch_tokens,
            stage=stage,
            rates={objective.role: rate},
            optimizer=optimizer_section(inputs.optimizer, run),
            seed=inputs.seed,
            report=report,
        ),
        folder=folder,
    )


def optimizer_section(inputs: OptimizerInputs, run: RunContext) -> Optimizer:
    """Return the settings of the optimizer as a learner takes them."""
    rates = LearningRates.model_construct(**inputs.learning_rate)
    return Optimizer.model_construct(
        kind="adamw",
        learning_rate=rates,
        betas=inputs.betas,
        eps=inputs.eps,
        weight_decay=inputs.weight_decay,
        clip_norm=inputs.clip_norm,
        warmup_steps=inputs.warmup_steps,
        schedule=inputs.schedule,
        max_skipped_steps=run.machine.max_skipped_steps,
    )
