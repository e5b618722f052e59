"""Runs a learner with Lightning's Trainer, and takes it up again where it was cut off."""

from __future__ import annotations

import logging
import os
import time
import warnings
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning as L
import torch

from repo_exp import durable, stopping
from repo_exp.config.schema import Trainer
from repo_exp.errors import RepoExpError, WriteError
from repo_exp.learner.base import Learner, Metrics

log = logging.getLogger(__name__)
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
SECONDS = 30.0
"""A step that ends this long after the last checkpoint is followed by one, so that a killed run loses little."""


class Checkpoint(L.Callback):
    """Writes the learner's state every so many steps and when the run is stopped, whole or not at all.

    The checkpoint before the last one stays beside it, for when the last one is damaged.
    """

    def __init__(self, folder: Path, *, every: int, done: int) -> None:
        self.folder, self.every, self.saved, self.at = folder, every, done, time.monotonic()

    def on_train_batch_end(self, trainer: L.Trainer, learner: Learner, *_: object) -> None:
        """Save after every ``every`` steps, but for the last, which the stage's artifact keeps."""
        due = learner.done % self.every == 0 or time.monotonic() - self.at > SECONDS
        if due and learner.done < learner.steps:
            self.save(trainer, learner)

    def on_exception(self, trainer: L.Trainer, learner: Learner, exception: BaseException) -> None:
        """Save the steps that are done when the run is stopped, or ends for a reason that the user can mend."""
        ends = isinstance(exception, stopping.Stopped | RepoExpError) and not isinstance(exception, WriteError)
        if ends and not learner.changing and self.saved < learner.done:
            try:
                self.save(trainer, learner)
            except RepoExpError as error:
                log.error("%s", error)

    def save(self, trainer: L.Trainer, learner: Learner) -> None:
        """Write the checkpoint; the old one becomes the previous one."""
        last, previous = self.folder / LAST, self.folder / PREVIOUS
        with durable.writing(last) as unfinished:
            trainer.save_checkpoint(unfinished)
            durable.sync(unfinished)
            if last.is_file():
                link = previous.with_name(previous.name + durable.TEMPORARY)
                with suppress(OSError):  # a file system without links goes without
                    link.unlink(missing_ok=True)
                    os.link(last, link)
                    os.replace(link, previous)
        self.saved, self.at = learner.done, time.monotonic()
        stopping.kept(f"{learner.stage}: {learner.done} of {learner.steps} steps are kept in {self.folder}")


def checkpoint(folder: Path, usable: Callable[[int], str]) -> tuple[Path | None, int, list[Metrics]]:
    """Return the newest checkpoint that can be gone on from, its steps and its metrics; None, 0 and none without one.

    One that cannot be used is named in a warning.

    Args:
        folder: where they are.
        usable: says what else is amiss with so many steps done; empty if nothing is.
    """
    found = [path for path in (folder / LAST, folder / PREVIOUS) if path.is_file()]
    for path in found:
        reason, state = _read(path)
        reason = reason or usable(state["done"])
        if not reason:
            return path, state["done"], list(state["history"])
        goes_on = "the checkpoint before it is tried" if path != found[-1] else "the stage starts again"
        log.warning("%s cannot be used (%s): %s", path, reason, goes_on)
    return None, 0, []


def _read(path: Path) -> tuple[str, Any]:
    """Return why a checkpoint cannot be read, or what the learner keeps in it."""
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not compare the checksums
            damaged = archive.testzip()
        if damaged is not None:
            return f"damaged in {damaged}", None
        state = torch.load(path, map_location="cpu", weights_only=True)["learner"]
        return "", {"done": int(state["done"]), "history": state["history"]}
    except Exception as error:  # whatever a damaged file makes of its reader
        return f"damaged: {type(error).__name__}", None


def fit(
    learner: Learner,
    trainer: Trainer,
    *,
    folder: Path,
    usable: Callable[[int], str] = lambda done: "",
    replay: Callable[[Sequence[Metrics]], None] = lambda rows: None,
) -> None:
    """Do the learner's steps. A checkpoint in ``folder`` is taken up; it is kept until the caller removes the folder.

    Stopping and resuming gives the same bits as not stopping: every draw hangs on (seed, step).

    Args:
        folder: of the checkpoints.
        usable: see :func:`checkpoint`.
        replay: gets the metrics of the steps that a checkpoint brought along.

    Raises:
        WriteError: the disk refuses a checkpoint.
        Stopped, KeyboardInterrupt: the run was stopped.
    """
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    start, done, history = checkpoint(folder, usable)
    stopping.kept("")
    if start is not None:
        log.info("%s: goes on after %d of %d steps (%s)", learner.stage, done, learner.steps, start)
        stopping.kept(f"{learner.stage}: {done} of {learner.steps} steps are kept in {folder}")
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
            runner.fit(learner, ckpt_path=start, weights_only=True)
        except SystemExit as error:  # what Lightning makes of an interrupt where nobody handles signals
            if isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise
    if learner.done < learner.steps:
        raise RuntimeError(f"{learner.stage} ended after {learner.done} of {learner.steps} steps")
