"""Hydra's loader, asked for single things: its groups, its options, one composition.

Hydra itself stops at its first error. Here each part of a command line can be tried by itself. The names from
``hydra._internal`` are those that ``hydra.main`` uses; the project pins hydra-core below 1.4.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.default_element import ResultDefault
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobRuntime, setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from repo_exp.config.job_folders import register_resolver
from repo_exp.config.places import conf_dir
from repo_exp.errors import ConfigError, Problem

VERSION_BASE = "1.3"


def command_line(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the command line as Hydra reads it, with flags anywhere, and the flags that do not exist.

    Raises:
        ConfigError: a flag of Hydra lacks its value, or has one that does not suit it.
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise ConfigError("The command cannot be read.", [Problem("flags", message, "--hydra-help lists the flags")])

    parser.error = refuse
    return parser.parse_known_intermixed_args(list(arguments))


@dataclass(frozen=True)
class Composer:
    """Composes one configuration after the other from the same folders."""

    loader: ConfigLoaderImpl
    name: str

    @classmethod
    def create(cls, folder: Path | None = None, *, extra: str | None = None, name: str | None = None) -> Composer:
        """Return a composer for a folder (by default the project's), with the folder of ``--config-dir``."""
        register_resolver()
        version.setbase(VERSION_BASE)
        setup_globals()
        JobRuntime.instance().set("name", "repo_exp")
        search_path = create_config_search_path(str(folder or conf_dir()))
        if extra:
            anchor = SearchPathQuery(provider="schema")
            search_path.prepend("command-line", f"file://{Path(extra).resolve()}", anchor)
        return cls(ConfigLoaderImpl(search_path), name or "config")

    def parse(self, text: str) -> Override:
        """Return one override, parsed. Raises a HydraException where it cannot be."""
        return OverridesParser.create(config_loader=self.loader).parse_overrides([text])[0]

    def reads(self, text: str) -> bool:
        """Can this override be parsed?"""
        try:
            self.parse(text)
        except (HydraException, ValueError):
            return False
        return True

    def options(self, group: str) -> list[str]:
        """Return the options of a group; none if there is no such group."""
        return self.loader.get_group_options(group, results_filter=ObjectType.CONFIG)

    def contents(self, group: str) -> dict[str, DictConfig]:
        """Return option -> content of its file, for a whole group."""
        files = {option: self.loader.repository.load_config(f"{group}/{option}") for option in self.options(group)}
        return {option: file.config for option, file in files.items() if file and isinstance(file.config, DictConfig)}

    def files_that_choose(self, group: str, option: str) -> list[str]:
        """Return the files whose defaults list has this option, as ``conf/...``."""
        entry = re.compile(rf"^\s*-\s+(override\s+)?/?{re.escape(group)}\s*:\s*{re.escape(option)}\s*$", re.MULTILINE)
        folders = [Path(source.path) for source in self.loader.get_sources() if source.scheme() == "file"]
        files = [(file, folder) for folder in folders for file in sorted(folder.rglob("*.yaml"))]
        return [
            f"conf/{file.relative_to(folder).as_posix()}"
            for file, folder in files
            if entry.search(file.read_text(encoding="utf-8", errors="replace"))
        ]

    @functools.cached_property
    def groups(self) -> list[str]:
        """Return the groups of the default configuration, Hydra's own left out."""
        choices = self.compose([]).hydra.runtime.choices
        return sorted(str(group) for group in choices if not str(group).startswith("hydra/"))

    def compose(self, overrides: Sequence[str], *, sweep: bool = False) -> DictConfig:
        """Return the configuration, with its ``hydra`` node. ``sweep``: leave out overrides of several values."""
        mode = RunMode.MULTIRUN if sweep else RunMode.RUN
        return self.loader.load_configuration(self.name, list(overrides), mode, validate_sweep_overrides=not sweep)

    def sources(self, overrides: Sequence[str]) -> Iterator[tuple[str, str, DictConfig]]:
        """Yield file, package and content of each file that a composition reads, the strongest first."""
        defaults = self.loader.compute_defaults_list(self.name, list(overrides), RunMode.RUN).defaults
        for default in reversed(defaults):
            loaded = _read(self.loader, default)
            if loaded is not None:
                yield f"{default.config_path}.yaml", default.package or "", loaded


def _read(loader: ConfigLoaderImpl, default: ResultDefault) -> DictConfig | None:
    if default.config_path is None or default.config_path.startswith("hydra/"):
        return None
    result = loader.repository.load_config(default.config_path)
    return result.config if result is not None and isinstance(result.config, DictConfig) else None


@contextlib.contextmanager
def as_if_running(cfg: DictConfig) -> Iterator[DictConfig]:
    """Let ``${hydra:...}`` resolve while a composed configuration is looked at and no job is running."""
    holder, before = HydraConfig.instance(), HydraConfig.instance().cfg
    with open_dict(cfg.hydra):
        cfg.hydra.job.num, cfg.hydra.job.id = 0, "0"
        cfg.hydra.runtime.output_dir = "."
    OmegaConf.set_readonly(cfg.hydra, None)
    holder.set_config(cfg)
    try:
        yield cfg
    finally:
        holder.cfg = before
