"""Training inside a stage: the steps of a module, with progress, tracking, checkpoints and the metrics file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from repo_exp.config.schema import LearningRates, Optimizer
from repo_exp.stages.records import OptimizerInputs, TrainingInputs
from repo_exp.stages.run_context import METRICS, RunContext
from repo_exp.stages.store import write_json
from repo_exp.training.base import Metrics, TrainingModule, TrainingSettings
from repo_exp.training.callbacks.progress import StageProgress
from repo_exp.training.fit import fit as fit_module
from repo_exp.training.losses import Item, SupervisedLoss
from repo_exp.training.supervised import SupervisedModule

M = TypeVar("M", bound=TrainingModule)
ItemT = TypeVar("ItemT", bound=Item)


def fit(
    run: RunContext,
    inputs: TrainingInputs,
    module_with: Callable[[Callable[[int, Metrics], None]], M],
    *,
    folder: Path,
    usable: Callable[[int], str] = lambda done: "",
) -> M:
    """Build a training module around a reporter, do its steps, and write its metrics.

    Args:
        module_with: builds the module around its ``report``.
        folder: of the artifact in the making, with the checkpoints.
        usable: says what is wrong with a checkpoint of so many steps; empty if nothing is.
    """
    shown: list[StageProgress] = []

    def report(step: int, metrics: Metrics) -> None:
        run.trackers.log(module.stage, step, metrics)
        shown[0].update(step, metrics)

    module, model = module_with(report), run.model(inputs.model)
    with StageProgress(module.stage, module.steps) as progress:
        shown.append(progress)
        replay = partial(run.replay, module.stage)
        fit_module(module, run.machine.trainer, folder=folder, usable=usable, replay=replay)
    model.backbone.to(run.machine.device)  # Lightning leaves it on the CPU
    for role in module.learning_rates:
        model.changed(role)
    write_json(folder / METRICS, module.history)
    return module


def fit_supervised(
    run: RunContext,
    inputs: TrainingInputs,
    loss: SupervisedLoss[ItemT],
    items: Sequence[ItemT],
    *,
    stage: str,
    epochs: int,
    batch_size: int,
    folder: Path,
) -> None:
    """Train the role of a loss on examples: SFT, the reward model, the judge and the value model do.

    The inputs hold one learning rate, which is the role's.
    """
    (rate,) = inputs.optimizer.learning_rate.values()
    fit(
        run,
        inputs,
        lambda report: SupervisedModule(
            run.model(inputs.model).backbone,
            loss,
            items,
            epochs=epochs,
            batch_size=batch_size,
            settings=TrainingSettings(
                stage=stage,
                learning_rates={loss.role: rate},
                optimizer=optimizer_section(inputs.optimizer, run),
                seed=inputs.seed,
                microbatch_tokens=run.machine.microbatch_tokens,
                report=report,
            ),
        ),
        folder=folder,
    )


def optimizer_section(inputs: OptimizerInputs, run: RunContext) -> Optimizer:
    """Return the settings of the optimizer as training takes them."""
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
