"""The command line is looked at as a whole before Hydra runs: every problem in one report.

Each override is parsed and looked up by itself; those that cannot be used are set aside, the rest is
composed, and what comes out is checked. In a sweep every value of every key is looked at, and so are
combinations of them (``sweeps.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.errors import MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from yaml import MarkedYAMLError

from repo_exp.bounds import unreasonable
from repo_exp.config import sweeps
from repo_exp.config.check import Check, look_over, of_types, plain, refusal
from repo_exp.config.compose import Composer, as_if_running
from repo_exp.config.flags import command_line
from repo_exp.config.job_folders import SUBDIR, subdir_of
from repo_exp.config.overrides import (
    HYDRA_ERRORS,
    Findings,
    for_hydra,
    line_of,
    look_at_choice,
    look_at_flag,
    look_at_key,
    sorted_out,
    walk,
)
from repo_exp.config.places import at_home, cannot_be_made
from repo_exp.config.reading import flag_as_override, scattered
from repo_exp.config.renamed import new_choice
from repo_exp.config.schema import Config
from repo_exp.config.secrecy import secrets_in, secrets_in_arguments
from repo_exp.config.sweeps import Dimension
from repo_exp.errors import Problem, did_you_mean


@dataclass(frozen=True)
class Command:
    """A command line that was looked at.

    Attributes:
        arguments: as Hydra wants them.
        jobs: how many it starts; 0 where that is Hydra's business alone.
        looked_at: how many of their configurations were composed and checked.
        first: the first job's configuration.
        only_checks: all that it asks for is this look.
    """

    arguments: list[str]
    jobs: int = 0
    looked_at: int = 0
    first: Config | None = None
    only_checks: bool = False


@dataclass
class Look:
    """What a look at overrides came to."""

    problems: list[Problem]
    dimensions: list[Dimension]
    subdir: str | None = None
    looked_at: int = 0
    configs: tuple[Config, ...] = ()


def inspect(arguments: Sequence[str], *, checks: Iterable[Check] = ()) -> Command:
    """Look at a command line, and say everything that is wrong with it.

    ``--cfg`` and ``--info`` show what is there, so only names that do not exist stop them; Hydra's other
    services are none of our business.

    Raises:
        ConfigError: with every problem that there is.
    """
    if secret := secrets_in_arguments(arguments):  # before anything can print them, or write them down
        raise refusal(secret)
    arguments = at_home(arguments)
    args, unknown = command_line(arguments)
    if args.hydra_help or args.version or args.shell_completion or args.experimental_rerun is not None:
        return Command(list(arguments))
    loose, flags = _apart(arguments, args.overrides, unknown)
    given, problems = scattered(loose)
    overrides = [each for text in given for each in for_hydra(text)]
    # Hydra wants the overrides side by side; here flags may stand between them.
    spelt = [*overrides, *(text for text in arguments if text not in args.overrides)]
    if args.config_path and not Path(args.config_path).is_absolute():
        return Command(spelt)  # only Hydra knows what it is relative to; the job looks at its configuration by itself
    for flag, folder in (("--config-dir", args.config_dir), ("--config-path", args.config_path)):
        if folder and not Path(folder).is_dir():
            problem = Problem(flag, f"there is no such folder: {Path(folder).absolute()}", f"{flag} FOLDER")
            raise refusal([*problems, problem])
    if wrong := _unreasonable_files(args.config_dir, args.config_path):
        raise refusal(wrong)
    composer = Composer.create(args.config_path, extra=args.config_dir, name=args.config_name)
    names_only = args.cfg is not None or args.info is not None
    look = look_over_all(
        overrides,
        composer,
        flags=flags,
        multirun=args.multirun,
        names_only=names_only,
        checks=checks,
    )
    if problems or look.problems:
        raise refusal([*problems, *look.problems])
    if look.subdir:
        spelt = [look.subdir, *spelt]
    if names_only:
        return Command(spelt)
    only_checks = all(config.task.kind == "check" for config in look.configs)
    return Command(spelt, sweeps.size(look.dimensions), look.looked_at, look.configs[0], only_checks)


def _unreasonable_files(*folders: str | None) -> list[Problem]:
    """Return a problem for each YAML file below your own folders that is too much to read."""
    files = [path for folder in folders if folder for path in sorted(Path(folder).rglob("*.yaml"))]
    found = [(path, unreasonable(path)) for path in files]
    return [Problem(str(path), wrong, "write it out, or say less") for path, wrong in found if wrong]


def _apart(
    arguments: Sequence[str], overrides: Sequence[str], unknown: Sequence[str]
) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the overrides, and the flags that do not exist: each as it was typed, with the override that it would be.

    Args:
        overrides: what Hydra's parser took for overrides.
        unknown: what it did not know: flags, and what follows them.
    """
    loose, flags, rest = [], [], list(arguments)
    while rest:
        text = rest.pop(0)
        if text in unknown and text.startswith("-"):
            shown, meant, takes_next = flag_as_override(text, rest[0] if rest else None)
            flags.append((shown, meant))
            rest = rest[takes_next:]
        elif text in overrides or text in unknown:
            loose.append(text)
    return loose, flags


def look_at(overrides: Sequence[str], composer: Composer, **options: Any) -> list[Problem]:
    """Return every problem of these overrides and of the configurations that they make."""
    return look_over_all(overrides, composer, **options).problems


def look_over_all(
    overrides: Sequence[str],
    composer: Composer,
    *,
    flags: Sequence[tuple[str, str]] = (),
    multirun: bool = False,
    names_only: bool = False,
    checks: Iterable[Check] = (),
) -> Look:
    """Look at these overrides and at the configurations that they make.

    Args:
        flags: flags that do not exist, each with the override that may have been meant.
    """
    findings = Findings()
    try:
        groups = composer.groups
    except HYDRA_ERRORS as error:
        return Look([_composition_problem(error, composer)], [])
    choices, values = sorted_out(overrides, composer, groups, findings)
    for override in choices:
        look_at_choice(override, composer, findings)
    try:
        base = composer.compose([line_of(each) for each in findings.usable], sweep=True)
    except HYDRA_ERRORS as error:
        return Look([*findings.problems, _composition_problem(error, composer)], [])
    content = OmegaConf.to_container(_first_of_sweep(base, findings, composer, groups), resolve=False)
    content.pop("hydra")
    for override in values:
        look_at_key(override, content, composer, groups, findings)
    for shown, meant in flags:
        findings.problems.append(look_at_flag(shown, meant, content, composer, groups))
    # Back into the order of the command line: where a key is given twice, the last one counts.
    position = {text: index for index, text in enumerate(overrides)}
    findings.usable.sort(key=lambda each: position[each.input_line])
    multirun = multirun or base.hydra.mode == RunMode.MULTIRUN
    dimensions = _dimensions(findings, base, composer, groups, content, multirun)
    look = Look(findings.problems, dimensions)
    look.problems += sweeps.too_many(dimensions) + sweeps.inside_sweeps(dimensions, composer.contents)
    if names_only or (look.problems and sweeps.size(dimensions) > sweeps.MOST_JOBS):
        return look
    if multirun and OmegaConf.to_container(base.hydra.sweep, resolve=False)["subdir"] == SUBDIR:
        look.subdir = f"hydra.sweep.subdir='{subdir_of(each.key for each in dimensions if each.swept)}'"
    _check(look, composer, list(checks))
    look.problems += _of_folder(look, composer, "hydra.sweep.dir" if multirun else "hydra.run.dir")
    return look


def _of_folder(look: Look, composer: Composer, where: str) -> list[Problem]:
    """Return the problem of a run or sweep folder that cannot be made, if there is no other yet."""
    if look.problems:
        return []
    with as_if_running(composer.compose([each.lines[0] for each in look.dimensions])) as cfg:
        reason = cannot_be_made(Path(str(OmegaConf.select(cfg, where))))
    return [Problem(where, reason, f"{where}=FOLDER, one that can be written")] if reason else []


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
    findings: Findings, base: DictConfig, composer: Composer, groups: Sequence[str], content: dict, multirun: bool
) -> list[Dimension]:
    """Return, for each key, the lines that a run gets in turn: one, or in a sweep several."""
    swept = OmegaConf.to_container(base.hydra.sweeper).get("params") or {} if multirun else {}
    given = {override.get_key_element() for override in findings.usable}
    extra = Findings()
    declared = [f"{key}={value}" for key, value in swept.items() if key not in given]
    choices, values = sorted_out(declared, composer, groups, extra)
    for override in choices:
        look_at_choice(override, composer, extra)
    for override in values:
        look_at_key(override, content, composer, groups, extra)
    findings.problems += [replace(each, where=f"hydra.sweeper.params: {each.where}") for each in extra.problems]
    batch = base.hydra.sweeper.get("max_batch_size") if multirun else None
    if batch is not None and batch < 1:
        found = f"{batch} jobs at a time would never end"
        findings.add("hydra.sweeper.max_batch_size", found, "1 or more; null for all")
    basic = str(base.hydra.sweeper.get("_target_", "")).endswith("BasicSweeper")
    dimensions: dict[str, Dimension] = {}
    for override in (*extra.usable, *findings.usable):
        key = override.get_key_element()
        chooses = override.key_or_group in groups
        if not override.is_sweep_override():
            dimensions[key] = Dimension(key, (line_of(override),), chooses)
        elif not multirun:
            remedy = "to run them one after the other, add -m"
            remedy += "" if chooses else f"; for a list write {key}=[...]"
            findings.add(line_of(override), "these are several values, and this is a single run", remedy)
        elif basic and not override.is_discrete_sweep():
            ends = override.value()
            remedy = f"{key}={ends.start:g},{ends.end:g}, or {key}=range(START,STOP,STEP)"
            findings.add(line_of(override), "an interval has no values to take in turn", remedy)
        elif lines := sweeps.spread(override, groups, composer.options(override.key_or_group), findings):
            dimensions[key] = Dimension(key, tuple(lines), chooses)
    return list(dimensions.values())


def _check(look: Look, composer: Composer, checks: list[Check]) -> None:
    """Add the problems of the jobs, each once; where only some have it, with what those have in common."""
    combinations = sweeps.combinations(look.dimensions)
    found: dict[Problem, list[tuple[str, ...]]] = {}
    configs, container = [], None
    for lines in combinations:
        config, problems, values = _job(lines, composer, checks)
        configs += [config] if config is not None else []
        container = container or values
        for problem in dict.fromkeys(problems):
            found.setdefault(problem, []).append(lines)
    swept = {line for each in look.dimensions if each.swept for line in each.lines}
    look.problems += [sweeps.with_case(problem, cases, len(combinations), swept) for problem, cases in found.items()]
    seen = {line for lines in combinations for line in lines}
    look.problems += _of_values_alone([line for line in swept if line not in seen], container, composer)
    look.looked_at, look.configs = len(combinations), tuple(configs)


def _of_values_alone(lines: Sequence[str], container: dict[str, Any] | None, composer: Composer) -> list[Problem]:
    """Return the problems of values that were in no combination: whether they are of their key's type."""
    problems = []
    for line in sweeps.evenly(sorted(lines), sweeps.MOST_VALUES_ALONE) if container else ():
        override = composer.parse(line)
        found = of_types(container, override.key_or_group.split("."), override.value())
        problems += [replace(each, found=f"{each.found} (when {line})") for each in found]
    return problems


def _job(
    lines: Sequence[str], composer: Composer, checks: list[Check]
) -> tuple[Config | None, list[Problem], dict[str, Any] | None]:
    """Return a job's configuration (None if it is not sound), its problems, and its values as they were composed."""
    try:
        cfg = composer.compose(lines)
    except HYDRA_ERRORS as error:
        return None, [_composition_problem(error, composer)], None
    with as_if_running(cfg):
        config, problems = look_over(cfg, checks=checks)
        values = plain(cfg)[0]
    hydra = OmegaConf.to_container(cfg.hydra, resolve=False)
    hydra.pop("overrides", None)  # these have been looked at
    problems = [*secrets_in(hydra, ("hydra",)), *problems]
    return config, [_with_file(problem, lines, composer) for problem in problems], values


def _with_file(problem: Problem, lines: Sequence[str], composer: Composer) -> Problem:
    """Return the problem with the file that its value comes from, if a file it is."""
    given = [line.lstrip("+~").partition("=")[0] for line in lines]
    values = [key for key in given if not composer.options(key)]
    if any(f"{problem.where}.".startswith(f"{key}.") or key.startswith(f"{problem.where}.") for key in values):
        return problem
    for file, package, content in composer.sources(lines):
        inside = problem.where.removeprefix(f"{package}.") if package else problem.where
        if package and inside == problem.where:
            continue
        if walk(inside.split("."), content)[0]:
            return replace(problem, where=f"{problem.where} (conf/{file})")
    return problem


def _composition_problem(error: Exception, composer: Composer) -> Problem:
    """Return what Hydra says where it cannot put the configuration together."""
    text = [line.strip() for line in str(error).splitlines() if line.strip()]
    file = re.match(r"In '([^']+)': (.*)", text[0]) if text else None
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return Problem(f"{mark.name}:{mark.line + 1}", f"this is no YAML: {error.problem}", error.context or "")
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, option = error.missing_cfg_file.rpartition("/")
        where = ", ".join(composer.files_that_choose(group, option)) or f"{group}={option}"
        if new := new_choice(group, option):
            return Problem(where, f"the option {group}={option} was renamed", new)
        return Problem(where, f"the group '{group}' has no option '{option}'", did_you_mean(option, error.options))
    named = re.match(r"Could not (?:override|append|delete|find)\b.*?'([^']+)'", text[0]) if text else None
    if named:
        key = re.split(r"=", named[1])[0]
        known = "--cfg hydra lists Hydra's keys" if key.startswith("hydra") else "--cfg job lists the keys"
        return Problem(key, "there is no such key or group", known)
    cause = str(error.__cause__).splitlines()[0] if error.__cause__ else ""
    if file:
        return Problem(f"conf/{file[1]}.yaml", " ".join([file[2], *text[1:2]]), cause)
    return Problem("the configuration cannot be composed", " ".join(text[:2]) or repr(error), cause)
