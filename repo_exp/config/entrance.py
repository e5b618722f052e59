"""The command line is looked at as a whole before Hydra runs: every problem in one report.

Each override is parsed and looked up by itself; those that cannot be used are set aside, the rest is
composed, and what comes out is checked. In a sweep every value of every dimension is looked at, and so are
the combinations, up to ``MOST_COMBINATIONS`` of them.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from hydra.core.override_parser.types import ValueType
from hydra.errors import MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from yaml import MarkedYAMLError

from repo_exp.bounds import unreasonable
from repo_exp.config.check import Check, look_over, refusal
from repo_exp.config.compose import Composer, as_if_running, command_line
from repo_exp.config.overrides import (
    HYDRA_ERRORS,
    Findings,
    line_of,
    look_at_choice,
    look_at_key,
    sorted_out,
    walk,
    with_plus,
)
from repo_exp.config.secrecy import secrets_in, secrets_in_arguments
from repo_exp.errors import Problem, did_you_mean

MOST_COMBINATIONS = 64


def inspect(arguments: Sequence[str], *, further: Iterable[Check] = ()) -> list[str]:
    """Look at a command line, say everything that is wrong with it, and return it as Hydra wants it.

    ``--cfg`` and ``--info`` show what is there, so only names that do not exist stop them; Hydra's other
    services are none of our business.

    Raises:
        ConfigError: with every problem that there is.
    """
    if given := secrets_in_arguments(arguments):  # before anything can print them, or write them down
        raise refusal(given)
    args = command_line(arguments)
    if args.hydra_help or args.shell_completion or args.experimental_rerun is not None:
        return list(arguments)
    overrides = [with_plus(text) for text in args.overrides]
    # Hydra wants the overrides side by side; here flags may stand between them.
    spelt = [*overrides, *(text for text in arguments if text not in args.overrides)]
    if args.config_path and not Path(args.config_path).is_absolute():
        return spelt  # only Hydra knows what it is relative to; the job looks at its configuration by itself
    if wrong := _unreasonable_files(args.config_dir, args.config_path):
        raise refusal(wrong)
    composer = Composer.create(args.config_path, extra=args.config_dir, name=args.config_name)
    problems = look_at(
        overrides,
        composer,
        multirun=args.multirun,
        names_only=args.cfg is not None or args.info is not None,
        further=further,
    )
    if problems:
        raise refusal(problems)
    return spelt


def _unreasonable_files(*folders: str | None) -> list[Problem]:
    """Return a problem for each YAML file below your own folders that is too much to read."""
    files = [path for folder in folders if folder for path in sorted(Path(folder).rglob("*.yaml"))]
    found = [(path, unreasonable(path)) for path in files]
    return [Problem(str(path), wrong, "write it out, or say less") for path, wrong in found if wrong]


def look_at(
    overrides: Sequence[str],
    composer: Composer,
    *,
    multirun: bool = False,
    names_only: bool = False,
    further: Iterable[Check] = (),
) -> list[Problem]:
    """Return every problem of these overrides and of the configuration that they make."""
    findings = Findings()
    try:
        groups = composer.groups
    except HYDRA_ERRORS as error:
        return [_composition_problem(error, composer)]
    choices, values = sorted_out(overrides, composer, groups, findings)
    for override in choices:
        look_at_choice(override, composer, findings)
    try:
        base = composer.compose([line_of(each) for each in findings.usable], sweep=True)
    except HYDRA_ERRORS as error:
        return [*findings.problems, _composition_problem(error, composer)]
    content = OmegaConf.to_container(_first_of_sweep(base, findings, composer), resolve=False)
    content.pop("hydra")
    for override in values:
        look_at_key(override, content, composer, groups, findings)
    # Back into the order of the command line: where a key is given twice, the last one counts.
    position = {text: index for index, text in enumerate(overrides)}
    findings.usable.sort(key=lambda each: position[each.input_line])
    multirun = multirun or base.hydra.mode == RunMode.MULTIRUN
    lines = _dimensions(findings, base, composer, groups, content, multirun)
    if names_only:
        return findings.problems
    findings.problems.extend(_checked(lines, composer, list(further)))
    return findings.problems


def _first_of_sweep(base: DictConfig, findings: Findings, composer: Composer) -> DictConfig:
    """Return the configuration with the first option of each sweep over options; ``base`` leaves them out."""
    swept = [override for override in findings.usable if override.is_discrete_sweep()]
    lines = [line_of(override) for override in findings.usable if not override.is_sweep_override()]
    lines += [f"{override.get_key_element()}={next(override.sweep_string_iterator())}" for override in swept]
    try:
        return composer.compose(lines) if swept else base
    except HYDRA_ERRORS:
        return base


def _dimensions(
    findings: Findings, base: DictConfig, composer: Composer, groups: Sequence[str], content: dict, multirun: bool
) -> list[list[str]]:
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
    dimensions: dict[str, list[str]] = {}
    for override in (*extra.usable, *findings.usable):
        key = override.get_key_element()
        if not override.is_sweep_override():
            dimensions[key] = [line_of(override)]
        elif not multirun:
            remedy = "to run them one after the other, add -m"
            remedy += "" if key in groups else f"; for a list write {key}=[...]"
            findings.add(line_of(override), "these are several values, and this is a single run", remedy)
        elif override.value_type == ValueType.INTERVAL_SWEEP:
            ends = override.value()
            dimensions[key] = [f"{key}={ends.start}", f"{key}={ends.end}"]
        else:
            dimensions[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
    return list(dimensions.values())


def _checked(dimensions: list[list[str]], composer: Composer, further: list[Check]) -> list[Problem]:
    """Return the problems of all combinations, each once; where only some have it, with what those have in common."""
    combinations = _combinations(dimensions, math.prod(len(lines) for lines in dimensions))
    found: dict[Problem, list[tuple[str, ...]]] = {}
    for lines in combinations:
        for problem in dict.fromkeys(_problems_of(lines, composer, further)):
            found.setdefault(problem, []).append(lines)
    swept = {line for lines in dimensions if len(lines) > 1 for line in lines}
    problems = []
    for problem, cases in found.items():
        common = [line for line in cases[0] if line in swept and all(line in case for case in cases)]
        problems.append(_with_case(problem, common) if len(cases) < len(combinations) else problem)
    return problems


def _combinations(dimensions: list[list[str]], count: int) -> list[tuple[str, ...]]:
    """Return all combinations; of too many, every value once beside the first values of the others, and then more."""
    if count <= MOST_COMBINATIONS:
        return list(itertools.product(*dimensions))
    first = tuple(lines[0] for lines in dimensions)
    singles = [(*first[:i], line, *first[i + 1 :]) for i, lines in enumerate(dimensions) for line in lines]
    rest = itertools.islice(itertools.product(*dimensions), MOST_COMBINATIONS)
    return list(dict.fromkeys([*singles, *rest]))[: max(MOST_COMBINATIONS, len(set(singles)))]


def _with_case(problem: Problem, case: Sequence[str]) -> Problem:
    return replace(problem, found=f"{problem.found} (when {' '.join(case)})") if case else problem


def _problems_of(lines: Sequence[str], composer: Composer, further: list[Check]) -> list[Problem]:
    try:
        cfg = composer.compose(lines)
    except HYDRA_ERRORS as error:
        return [_composition_problem(error, composer)]
    with as_if_running(cfg):
        _, problems = look_over(cfg, further=further)
    hydra = OmegaConf.to_container(cfg.hydra, resolve=False)
    hydra.pop("overrides", None)  # these have been looked at
    problems = [*secrets_in(hydra, ("hydra",)), *problems]
    return [_with_file(problem, lines, composer) for problem in problems]


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
        if walk(inside.split("."), OmegaConf.to_container(content, resolve=False))[0]:
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
        return Problem(where, f"the group '{group}' has no option '{option}'", did_you_mean(option, error.options))
    cause = str(error.__cause__).splitlines()[0] if error.__cause__ else ""
    if file:
        return Problem(f"conf/{file[1]}.yaml", " ".join([file[2], *text[1:2]]), cause)
    return Problem("the configuration cannot be composed", " ".join(text[:2]) or repr(error), cause)
