"""The folder of a run or a sweep; two that start in the same second get different folders."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from repo_exp.durable import make_folder, refusals


class OwnFolder(Callback):
    """Hydra calls it before a run or a sweep. A folder that the command line names is used as it is."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Make the run's folder."""
        _choose(config, "run")

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Make the sweep's folder."""
        _choose(config, "sweep")


def unused(folder: Path) -> Path:
    """Make ``folder``, or ``folder-2``, ``folder-3``, ..., whichever is not there yet, and return it.

    Raises:
        WriteError: it cannot be created.
    """
    make_folder(folder.parent)
    for number in itertools.count(1):
        name = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        with refusals(name.parent):
            try:
                name.mkdir()
            except FileExistsError:
                continue
            return name
    raise AssertionError


def _choose(config: DictConfig, kind: str) -> None:
    key = f"hydra.{kind}.dir"
    overrides = OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False)  # a sweep's hold ${hydra.job.num}
    assert isinstance(overrides, list)
    if any(str(each).lstrip("+").startswith(f"{key}=") for each in overrides):
        return
    wanted = Path(OmegaConf.select(config, key))
    found = unused(wanted)
    if found == wanted:
        return
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra[kind].dir = str(found)
        quoted = str(found).replace("\\", "\\\\").replace("'", "\\'")
        config.hydra.overrides.hydra.append(f"{key}='{quoted}'")  # jobs of a sweep are composed from these
