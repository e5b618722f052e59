"""Runs a training module with Lightning's Trainer, and resumes it where it was interrupted."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import lightning as L

from repo_exp import stopping
from repo_exp.config.schema import Trainer
from repo_exp.training.base import Metrics, TrainingModule
from repo_exp.training.callbacks.checkpoint import Checkpoint, newest

log = logging.getLogger(__name__)


def fit(
    module: TrainingModule,
    trainer: Trainer,
    *,
    folder: Path,
    usable: Callable[[int], str] = lambda done: "",
    replay: Callable[[Sequence[Metrics]], None] = lambda rows: None,
) -> None:
    """Do the module's steps. A checkpoint in ``folder`` is resumed from; it stays until the caller removes the folder.

    Stopping and resuming gives the same bits as not stopping: every draw depends on (seed, step) alone.

    Args:
        folder: of the checkpoints.
        usable: see :func:`callbacks.checkpoint.newest`.
        replay: gets the metrics of the steps that a checkpoint brought along.

    Raises:
        WriteError: a checkpoint cannot be written.
        Stopped, KeyboardInterrupt: the run was stopped.
    """
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    start, done, history = newest(folder, usable)
    stopping.kept("")
    if start is not None:
        log.info("%s: resumes after %d of %d steps (%s)", module.stage, done, module.steps, start)
        stopping.kept(f"{module.stage}: {done} of {module.steps} steps are kept in {folder}")
        replay(history)
    with warnings.catch_warnings():
        # they advise on data loaders with workers; ours counts steps
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
        runner = L.Trainer(
            accelerator=trainer.accelerator,
            devices=trainer.devices,
            strategy=trainer.strategy,
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            callbacks=[Checkpoint(folder, every=trainer.checkpoint_every, done=done)],
        )
        try:
            runner.fit(module, ckpt_path=start, weights_only=True)
        except SystemExit as error:  # what Lightning makes of an interrupt where nobody handles signals
            if isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise
    if module.done < module.steps:
        raise RuntimeError(f"{module.stage} ended after {module.done} of {module.steps} steps")
