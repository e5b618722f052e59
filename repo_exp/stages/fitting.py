"""Training inside a stage: runs a training module, with progress, tracking, checkpoints and the metrics file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from repo_exp.stages.records import TrainingInputs
from repo_exp.stages.run_context import METRICS, RunContext
from repo_exp.stages.store import write_json
from repo_exp.training.base import Metrics, TrainingModule, TrainingSettings
from repo_exp.training.callbacks.progress import StageProgress
from repo_exp.training.fit import fit as run_steps
from repo_exp.training.losses import Item, SupervisedLoss
from repo_exp.training.supervised import SupervisedModule

Report = Callable[[int, Metrics], None]
ModuleT = TypeVar("ModuleT", bound=TrainingModule)
ItemT = TypeVar("ItemT", bound=Item)


def fit(
    run: RunContext,
    inputs: TrainingInputs,
    module_with: Callable[[Report], ModuleT],
    *,
    folder: Path,
    usable: Callable[[int], str] = lambda done: "",
) -> ModuleT:
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
        run_steps(module, run.machine.trainer, folder=folder, usable=usable, replay=replay)
    model.backbone.to(run.machine.device)  # Lightning leaves it on the CPU
    for role in module.learning_rates:
        model.changed(role)
    write_json(folder / METRICS, module.history)
    return module


def fit_supervised(
    run: RunContext,
    inputs: TrainingInputs,
    objective: SupervisedLoss[ItemT],
    items: Sequence[ItemT],
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
    rates = {objective.role: rate}
    fit(
        run,
        inputs,
        lambda report: SupervisedModule(
            run.model(inputs.model).backbone,
            objective,
            items,
            epochs=epochs,
            batch_size=batch_size,
            settings=training_settings(run, inputs, stage=stage, rates=rates, report=report),
        ),
        folder=folder,
    )


def training_settings(
    run: RunContext,
    inputs: TrainingInputs,
    *,
    stage: str,
    rates: dict[str, float] | None = None,
    report: Report = lambda step, metrics: None,
) -> TrainingSettings:
    """Return the settings of a training module.

    Args:
        stage: the name that metrics and seeds carry.
        rates: learning rate by role, where the names in the inputs are not those of the roles.
    """
    return TrainingSettings(
        stage=stage,
        learning_rates=dict(inputs.optimizer.learning_rate) if rates is None else rates,
        optimizer=inputs.optimizer,
        max_skipped_steps=run.machine.max_skipped_steps,
        seed=inputs.seed,
        microbatch_tokens=run.machine.microbatch_tokens,
        report=report,
    )
