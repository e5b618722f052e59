"""What Hydra runs once for each configuration: check it, then do its task.

The function is in a module of its own, so that launchers which send jobs to other processes send its name.
"""

from __future__ import annotations

import logging
import shlex
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from repo_exp.config.check import load, resolved
from repo_exp.config.job_folders import register_resolver
from repo_exp.config.schema import Config
from repo_exp.errors import RepoExpError
from repo_exp.stages.checks import CHECKS
from repo_exp.stages.summary import checked

log = logging.getLogger(__name__)
register_resolver()  # a launcher may run the jobs in processes of their own
QUIET = ("httpx", "httpx2", "httpcore", "httpcore2", "openai", "urllib3")
"""Packages that would write a line for each request."""


def run(cfg: DictConfig) -> float | None:
    """Do what ``task`` says, and return the number that a sweeper maximises or minimises, if there is one."""
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        return _do(load(cfg, checks=CHECKS), cfg, folder=folder, overrides=list(hydra.overrides.task))
    except RepoExpError as error:
        if hydra.mode == RunMode.MULTIRUN:
            # of several failures in a sweep, Hydra raises only the first
            log.error("job %s (%s): %s", hydra.job.num, folder.name, error)
        raise


def _do(config: Config, cfg: DictConfig, *, folder: Path, overrides: list[str]) -> float | None:
    # The imports are here: each task imports what it needs, and a check imports no torch.
    if config.task.kind == "check":
        print(checked(config))
    elif config.task.kind == "artifacts":
        from repo_exp.stages import artifacts

        artifacts.show(config)
    elif config.task.kind == "profile":
        from repo_exp.stages import profile

        profile.show(config, folder=folder)
    else:
        from repo_exp.stages import pipeline

        # The overrides, not the arguments: in a sweep they are this job's alone, in whatever process it runs.
        command = shlex.join(["python", "-m", "repo_exp", *overrides])
        result = pipeline.run(config, raw=resolved(cfg)[0], folder=folder, command=command)
        if result and result.get("objective") is not None:
            return float(result["objective"])
    return None
