"""Hydra's loader for single requests: groups, options, one composition.

Hydra itself stops at the first error. Here each part of a command line can be tried by itself.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict, read_write

from repo_exp.config.containers import as_written
from repo_exp.config.job_folders import register_resolver
from repo_exp.config.places import conf_dir

VERSION_BASE = "1.3"


class AddedFolder(SearchPathPlugin):
    """Puts the folder of ``--config-dir`` where Hydra's flag puts it: behind the main folder."""

    folder: ClassVar[str | None] = None

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the folder, if there is one."""
        if self.folder:
            search_path.append("command-line", f"file://{Path(self.folder).resolve()}")


@dataclass(frozen=True)
class Composer:
    """Composes one configuration after the other from the same folders."""

    loader: ConfigLoader
    name: str

    @classmethod
    def create(cls, folder: Path | str | None = None, *, extra: str | None = None, name: str | None = None) -> Composer:
        """Return a composer for a folder (by default the project's), with the folder of ``--config-dir``."""
        register_resolver()
        Plugins.instance().register(AddedFolder)
        AddedFolder.folder = extra
        try:
            main = str(Path(folder or conf_dir()).absolute())
            with initialize_config_dir(main, job_name="repo_exp", version_base=VERSION_BASE):
                return cls(GlobalHydra.instance().config_loader(), name or "config")
        finally:
            AddedFolder.folder = None

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
        return self.loader.get_group_options(group)

    def contents(self, group: str) -> dict[str, dict[str, Any]]:
        """Return option -> content of its file, for a whole group."""
        return {option: self._content(f"{group}/{option}") for option in self.options(group)}

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
        return sorted({group for group in self._groups(self.name) if not group.startswith("hydra/")})

    def _groups(self, path: str) -> Iterator[str]:
        """Yield the groups in the defaults list of a file, and in those of the files that it begins with."""
        for entry in self._file(path).get("defaults") or ():
            if isinstance(entry, Mapping):
                yield from (re.sub(r"^(override |optional )*/?|@.*$", "", str(group)) for group in entry)
            elif entry != "_self_":
                yield from self._groups(str(entry))

    def compose(self, overrides: Sequence[str], *, sweep: bool = False) -> DictConfig:
        """Return the configuration, with its ``hydra`` node. ``sweep``: leave out overrides of several values."""
        mode = RunMode.MULTIRUN if sweep else RunMode.RUN
        return self.loader.load_configuration(self.name, list(overrides), mode, validate_sweep_overrides=not sweep)

    def sources(self, overrides: Sequence[str]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Yield file, package and content of each file that a composition reads, the strongest first."""
        defaults = self.loader.compute_defaults_list(self.name, list(overrides), RunMode.RUN).defaults
        for default in reversed(defaults):
            path = default.config_path
            if path is not None and not path.startswith("hydra/"):
                yield f"{path}.yaml", default.package or "", self._content(path)

    def _content(self, path: str) -> dict[str, Any]:
        """Return what a file says, without its defaults list."""
        return {key: value for key, value in self._file(path).items() if key != "defaults"}

    def _file(self, path: str) -> dict[str, Any]:
        """Return all that a file says; nothing where it is no mapping."""
        for source in self.loader.get_sources():
            if source.is_config(path):
                content = source.load_config(path).config
                return as_written(content) if isinstance(content, DictConfig) else {}
        return {}


@contextlib.contextmanager
def as_if_running(cfg: DictConfig) -> Iterator[DictConfig]:
    """Let ``${hydra:...}`` resolve in a composed configuration while no job is running."""
    holder, before = HydraConfig.instance(), HydraConfig.instance().cfg
    with read_write(cfg.hydra), open_dict(cfg.hydra):
        cfg.hydra.job.num, cfg.hydra.job.id = 0, "0"
        cfg.hydra.runtime.output_dir = "."
    holder.set_config(cfg)
    try:
        yield cfg
    finally:
        holder.cfg = before
