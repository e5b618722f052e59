"""Runs a learner with Lightning's Trainer, and takes it up again where it was cut off."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path

import lightning as L

from repo_exp.config.schema import Trainer
from repo_exp.errors import MissingScoresError
from repo_exp.learner.base import Learner

LAST = "last.ckpt"


class Checkpoint(L.Callback):
    """Writes the learner's state every so many steps, whole or not at all."""

    def __init__(self, folder: Path, *, every: int) -> None:
        self.folder, self.every = folder, every

    def on_train_batch_end(self, trainer: L.Trainer, learner: Learner, *_: object) -> None:
        """Save after every ``every`` steps, but for the last, which the stage's artifact keeps."""
        if learner.done % self.every == 0 and learner.done < learner.steps:
            self._save(trainer)

    def on_exception(self, trainer: L.Trainer, learner: Learner, exception: BaseException) -> None:
        """Save where replies have no scores to learn from: nothing of that step has been learnt yet."""
        if isinstance(exception, MissingScoresError) and learner.done:
            self._save(trainer)

    def _save(self, trainer: L.Trainer) -> None:
        unfinished = self.folder / f"{LAST}.{os.getpid()}.tmp"
        trainer.save_checkpoint(unfinished)
        os.replace(unfinished, self.folder / LAST)


def fit(learner: Learner, trainer: Trainer, *, folder: Path) -> None:
    """Do the learner's steps. A checkpoint in ``folder`` is taken up; it is kept until the caller removes the folder.

    Stopping and resuming gives the same bits as not stopping: every draw hangs on (seed, step).
    """
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
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
            callbacks=[Checkpoint(folder, every=trainer.checkpoint_every)],
        )
        last = folder / LAST
        runner.fit(learner, ckpt_path=last if last.is_file() else None, weights_only=True)
    if learner.done < learner.steps:  # Lightning turns an interrupt into a quiet return
        raise KeyboardInterrupt
