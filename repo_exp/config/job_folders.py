"""The folder of a sweep's job is named by the overrides that differ: ``3-n25-grpo`` for reward.n=25 algorithm=grpo."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from omegaconf import DictConfig, OmegaConf

SUBDIR = "${job_folder:${hydra.job.num}}"
"""``hydra.sweep.subdir`` as ``conf/config.yaml`` has it; ``subdir_of`` adds the keys that differ."""


def folder_name(number: int, overrides: Sequence[str], keys: Sequence[str], *, longest: int = 100) -> str:
    """Return the name of a job's folder: its number, which makes it unique, and the overrides that differ.

    ``reward.n=25`` and ``algorithm=grpo`` of job 3 give ``3-n25-grpo``. Signs that a path or
    another command could misread become _.

    Args:
        overrides: of the job.
        keys: those that differ between the jobs of its sweep.
    """
    values = dict(text.lstrip("+~").partition("=")[::2] for text in overrides)
    last = [key.rpartition(".")[2].rpartition("/")[2] for key in keys]
    parts = []
    for key, short in zip(keys, last, strict=True):
        value = re.sub(r"[^A-Za-z0-9.+_-]+", "_", values.get(key, "")).strip("_.")
        name = short if last.count(short) == 1 else key.replace("/", ".")
        if re.fullmatch(r"[\d.+-][\d.e+-]*", value):
            parts.append(f"{name}{value}")
        else:
            parts.append(value if "." not in key else f"{name}-{value}")
    return "-".join([str(number), *(part for part in parts if part)])[:longest].rstrip("-.")


def subdir_of(keys: Iterable[str]) -> str:
    """Return ``hydra.sweep.subdir`` for jobs that differ in these keys."""
    return SUBDIR.replace("num}", ",".join(["num}", *(key for key in keys if re.fullmatch(r"[\w.]+", key))]))


def register_resolver() -> None:
    """Let ``${job_folder:NUMBER,KEY,KEY...}`` be resolved. Each process that runs a job needs it."""

    def job_folder(number: int, *keys: str, _root_: DictConfig) -> str:
        return folder_name(number, list(OmegaConf.select(_root_, "hydra.overrides.task") or ()), keys)

    OmegaConf.register_new_resolver("job_folder", job_folder, replace=True)
