"""Overrides and the configurations that they make: every problem in one report.

Each override is parsed and looked up by itself; those that cannot be used are set aside, the rest is composed, and the
result is checked. In a sweep every value of every key is checked, and so are combinations of them (``sweeps.py``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from repo_exp.config import sweeps
from repo_exp.config.check import Check
from repo_exp.config.compose import Composer, as_if_running
from repo_exp.config.composition import composition_problem
from repo_exp.config.containers import as_written
from repo_exp.config.job_folders import SUBDIR, subdir_of
from repo_exp.config.jobs import Job, checked_jobs
from repo_exp.config.overrides import (
    HYDRA_ERRORS,
    Findings,
    check_choice,
    check_key,
    flag_problem,
    line_of,
    parse_overrides,
)
from repo_exp.config.places import cannot_create
from repo_exp.config.sweeps import Dimension
from repo_exp.errors import Problem


@dataclass
class Inspection:
    """The result of an inspection.

    Attributes:
        problems: all that is wrong with them and with the configurations that they make.
        dimensions: the keys with the values that the jobs get.
        jobs: the combinations that were checked, the first job first.
        subdir: the override that names the folders of a sweep's jobs, if they are named by what differs.
    """

    problems: list[Problem]
    dimensions: list[Dimension] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    subdir: str | None = None


def inspect_overrides(
    overrides: Sequence[str],
    composer: Composer,
    *,
    flags: Sequence[tuple[str, str]] = (),
    multirun: bool = False,
    names_only: bool = False,
    checks: Iterable[Check] = (),
) -> Inspection:
    """Check these overrides and the configurations that they make.

    Args:
        flags: flags that do not exist, each with the override that may have been meant.
        multirun: are several values of a key a sweep?
        names_only: check the names of options and keys, and no value.
        checks: those of other layers.
    """
    findings = Findings()
    try:
        groups = composer.groups
    except HYDRA_ERRORS as error:
        return Inspection([composition_problem(error, composer)])
    choices, values = parse_overrides(overrides, composer, groups, findings)
    for override in choices:
        check_choice(override, composer, findings)
    position = {text: index for index, text in enumerate(overrides)}
    try:
        lines, base = _composed(findings.usable, values, position, composer)
    except HYDRA_ERRORS as error:
        return Inspection([*findings.problems, composition_problem(error, composer)])
    content = _content(_first_of_sweep(base, findings, composer, groups))
    for override in values:
        check_key(override, content, composer, groups, findings)
    for shown, meant in flags:
        findings.problems.append(flag_problem(shown, meant, content, composer, groups))
    # Back into the order of the command line: of two values of a key the last one counts.
    findings.usable.sort(key=lambda each: position[line_of(each)])
    multirun = multirun or base.hydra.mode == RunMode.MULTIRUN
    dimensions = _dimensions(findings, base, composer, groups, content, multirun)
    found = Inspection(findings.problems, dimensions)
    found.problems += sweeps.too_many(dimensions) + sweeps.inside_sweeps(dimensions, composer.contents)
    if names_only or (found.problems and sweeps.size(dimensions) > sweeps.MOST_JOBS):
        return found
    if multirun and as_written(base.hydra.sweep)["subdir"] == SUBDIR:
        found.subdir = f"hydra.sweep.subdir='{subdir_of(each.key for each in dimensions if each.swept)}'"
    found.jobs, problems = checked_jobs(dimensions, composer, list(checks), composed={lines: base})
    found.problems += problems
    if not found.problems:
        found.problems += _of_folder(found.jobs[0].cfg, "hydra.sweep.dir" if multirun else "hydra.run.dir")
    return found


def _composed(
    usable: Sequence[Override], values: Sequence[Override], position: Mapping[str, int], composer: Composer
) -> tuple[tuple[str, ...], DictConfig]:
    """Return a composition of the usable overrides, and its lines.

    Composing is what takes time. So values of keys that exist are tried with them: mostly this is the composition of
    the job itself. If one of the keys does not exist, they are left out.
    """
    plain = [each for each in values if not (each.is_add() or each.is_force_add() or each.is_delete())]
    everything = sorted([*usable, *plain], key=lambda each: position[line_of(each)])
    if not any(each.is_sweep_override() for each in everything):
        with contextlib.suppress(*HYDRA_ERRORS):
            lines = tuple(map(line_of, everything))
            return lines, composer.compose(lines)
    lines = tuple(map(line_of, usable))
    return lines, composer.compose(lines, sweep=True)


def _of_folder(cfg: DictConfig | None, where: str) -> list[Problem]:
    """Return the problem of a run or sweep folder that cannot be created."""
    if cfg is None:
        return []
    with as_if_running(cfg):
        reason = cannot_create(Path(str(OmegaConf.select(cfg, where))))
    return [Problem(where, reason, f"{where}=FOLDER, a folder that can be written")] if reason else []


def _content(cfg: DictConfig) -> dict[str, Any]:
    """Return a composition as plain values, interpolations as they are written, without Hydra's own."""
    return {key: value for key, value in as_written(cfg).items() if key != "hydra"}


def _first_of_sweep(base: DictConfig, findings: Findings, composer: Composer, groups: Sequence[str]) -> DictConfig:
    """Return the configuration with the first option of each sweep over options; ``base`` leaves them out."""
    swept = [each for each in findings.usable if each.is_discrete_sweep() and each.key_or_group in groups]
    lines = [line_of(override) for override in findings.usable if not override.is_sweep_override()]
    first = {override.get_key_element(): next(override.sweep_string_iterator(), None) for override in swept}
    lines += [f"{key}={option}" for key, option in first.items() if option is not None]
    try:
        return composer.compose(lines) if swept else base
    except HYDRA_ERRORS:
        return base


def _dimensions(
    findings: Findings,
    base: DictConfig,
    composer: Composer,
    groups: Sequence[str],
    content: dict[str, Any],
    multirun: bool,
) -> list[Dimension]:
    """Return, for each key, the lines that a run gets in turn: one, or in a sweep several."""
    sweeper = as_written(base.hydra.sweeper) if multirun else {}
    swept = sweeper.get("params") or {}
    on_command_line = {override.get_key_element() for override in findings.usable}
    extra = Findings()
    declared = [f"{key}={value}" for key, value in swept.items() if key not in on_command_line]
    choices, values = parse_overrides(declared, composer, groups, extra)
    for override in choices:
        check_choice(override, composer, extra)
    for override in values:
        check_key(override, content, composer, groups, extra)
    findings.problems += [replace(each, where=f"hydra.sweeper.params: {each.where}") for each in extra.problems]
    batch = sweeper.get("max_batch_size")
    if isinstance(batch, int) and batch < 1:
        found = f"a sweep cannot run {batch} jobs at a time"
        findings.add("hydra.sweeper.max_batch_size", found, "1 or more; null for all jobs")
    basic = str(sweeper.get("_target_", "")).endswith("BasicSweeper")
    dimensions: dict[str, Dimension] = {}
    for override in (*extra.usable, *findings.usable):
        key, value = override.get_key_element(), override.value()
        chooses = override.key_or_group in groups
        if not override.is_sweep_override():
            dimensions[key] = Dimension(key, (line_of(override),), chooses)
        elif not multirun:
            remedy = "add -m to run one job for each value"
            remedy += "" if chooses else f"; write a list as {key}=[...]"
            findings.add(line_of(override), "several values need a sweep", remedy)
        elif basic and isinstance(value, IntervalSweep):
            remedy = f"{key}={value.start:g},{value.end:g}, or {key}=range(START,STOP,STEP)"
            findings.add(line_of(override), "the sweeper runs listed values, and an interval has none", remedy)
        elif lines := sweeps.lines_of(override, groups, composer.options(override.key_or_group), findings):
            dimensions[key] = Dimension(key, tuple(lines), chooses)
    return list(dimensions.values())
