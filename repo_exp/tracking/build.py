"""Builds the trackers of a run from the configuration's ``logger``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from repo_exp.errors import ConfigError, Problem, WriteError, did_you_mean
from repo_exp.redaction import masked
from repo_exp.tracking.jsonl import JsonlTracker
from repo_exp.tracking.tracker import Tracker, Trackers
from repo_exp.tracking.wandb_tracker import WandbTracker, wandb_mode

LOG = logging.getLogger(__name__)

KINDS = ("jsonl", "wandb")


def build_trackers(
    logger: Mapping[str, Any],
    *,
    run_folder: Path,
    config: Mapping[str, Any],
    name: str,
    group: str | None = None,
    tags: list[str] | None = None,
) -> Trackers:
    """Return the trackers that the configuration asks for; JSONL is always one of them.

    Args:
        logger: ``{"kind": "wandb" | "jsonl"}``; for W&B also ``project``, ``entity``, ``mode``.
        run_folder: of this run.
        config: the whole configuration; its secrets are masked before it leaves.
        name, group, tags: of the run.

    Raises:
        ConfigError: there is no such kind. A tracker that cannot start is a warning, not an error.
    """
    kind = logger.get("kind", "jsonl")
    if kind not in KINDS:
        raise ConfigError(
            "the logger cannot be built",
            [Problem("logger.kind", f"there is no logger '{kind}'", did_you_mean(str(kind), KINDS))],
        )
    trackers: list[Tracker] = [JsonlTracker(run_folder)]
    if kind == "wandb":
        started = _wandb(logger, run_folder=run_folder, config=config, name=name, group=group, tags=tags or [])
        trackers += [started] if started else []
    return Trackers(trackers)


def _wandb(logger: Mapping[str, Any], **run: Any) -> WandbTracker | None:
    """Start W&B; offline where the server does not answer, not at all where the package is missing."""
    place = {key: logger[key] for key in ("project", "entity") if logger.get(key)}
    mode = wandb_mode(logger.get("mode"))
    for attempt in dict.fromkeys((mode, "offline")):
        try:
            return WandbTracker(
                run["run_folder"],
                run["config"],
                name=run["name"],
                group=run["group"],
                tags=run["tags"],
                mode=attempt,
                **place,
            )
        except ImportError:
            LOG.warning("wandb is not installed: metrics go to metrics.jsonl only (pip install wandb, or logger=jsonl)")
            return None
        except WriteError:
            raise
        except Exception as error:  # no network, a refused key: a run does not need W&B
            LOG.warning("wandb did not start %s: %s: %s", attempt, type(error).__name__, masked(str(error)))
    return None
