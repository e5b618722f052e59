"""Checkpoints of a stage that is being trained: written completely or not at all, and read only if they are intact."""

from __future__ import annotations

import logging
import os
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

import lightning as L
import torch

from repo_exp import durable, stopping
from repo_exp.errors import RepoExpError, WriteError
from repo_exp.training.base import Metrics, TrainingModule

log = logging.getLogger(__name__)
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
SECONDS = 30.0
"""A step that ends this long after the last checkpoint is followed by one, so that a killed run loses little."""


class Checkpoint(L.Callback):
    """Writes the module's state every so many steps and when the run is stopped.

    The checkpoint before the last one stays beside it, for when the last one is damaged.
    """

    def __init__(self, folder: Path, *, every: int, done: int) -> None:
        self.folder, self.every, self.saved, self.at = folder, every, done, time.monotonic()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Save after every ``every`` steps, but for the last, which the stage's artifact keeps."""
        module = cast(TrainingModule, pl_module)
        due = module.done % self.every == 0 or time.monotonic() - self.at > SECONDS
        if due and module.done < module.steps:
            self.save(trainer, module)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Save the finished steps when the run is stopped, or ends for a reason that the user can fix."""
        module = cast(TrainingModule, pl_module)
        ends = isinstance(exception, stopping.Stopped | RepoExpError) and not isinstance(exception, WriteError)
        if ends and not module.changing and self.saved < module.done:
            try:
                self.save(trainer, module)
            except RepoExpError as error:
                log.error("%s", error)

    def save(self, trainer: L.Trainer, module: TrainingModule) -> None:
        """Write the checkpoint; the old one becomes the previous one.

        Raises:
            WriteError: the checkpoint cannot be written.
            NotFiniteError: something in it is not finite.
        """
        last, previous = self.folder / LAST, self.folder / PREVIOUS
        with durable.writing(last) as unfinished:
            trainer.save_checkpoint(unfinished)
            durable.sync(unfinished)
            if last.is_file():
                link = previous.with_name(previous.name + durable.TEMPORARY)
                with suppress(OSError):  # a file system without links keeps no previous one
                    link.unlink(missing_ok=True)
                    os.link(last, link)
                    os.replace(link, previous)
        self.saved, self.at = module.done, time.monotonic()
        stopping.kept(f"{module.stage}: {module.done} of {module.steps} steps are kept in {self.folder}")


class Found(NamedTuple):
    """A checkpoint to resume from; ``path`` is None where there is none."""

    path: Path | None
    done: int
    history: list[Metrics]


def newest(folder: Path, usable: Callable[[int], str]) -> Found:
    """Return the newest checkpoint that can be resumed from. One that cannot be used is named in a warning.

    Args:
        folder: where they are.
        usable: says what else is wrong with so many steps done; empty if nothing is.
    """
    paths = [path for path in (folder / LAST, folder / PREVIOUS) if path.is_file()]
    for path in paths:
        reason, done, history = _read(path)
        reason = reason or usable(done)
        if not reason:
            return Found(path, done, history)
        then = "the checkpoint before it is tried" if path != paths[-1] else "the stage starts again"
        log.warning("%s cannot be used (%s): %s", path, reason, then)
    return Found(None, 0, [])


def _read(path: Path) -> tuple[str, int, list[Metrics]]:
    """Return why a checkpoint cannot be read (empty if it can), its steps and its metrics."""
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not compare the checksums
            damaged = archive.testzip()
        if damaged is not None:
            return f"damaged in {damaged}", 0, []
        state = torch.load(path, map_location="cpu", weights_only=True)["progress"]
        return "", int(state["done"]), list(state["history"])
    except KeyError:
        return "written by another version of repo_exp", 0, []
    except Exception as error:  # whatever a damaged file makes of its reader
        return f"damaged: {type(error).__name__}", 0, []
