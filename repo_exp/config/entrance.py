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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from repo_exp.config.check import Check, look_over, refusal
from repo_exp.config.compose import Composer, as_if_running, command_line
from repo_exp.config.open_keys import open_mappings
from repo_exp.config.wording import unknown_key
from repo_exp.errors import Problem, did_you_mean

MOST_COMBINATIONS = 64
_HYDRA_ERRORS = (HydraException, OmegaConfBaseException, ValueError, AssertionError)


@dataclass
class Findings:
    """What is known of a command line so far."""

    problems: list[Problem] = field(default_factory=list)
    usable: list[Override] = field(default_factory=list)

    def add(self, where: str, found: str, remedy: str = "") -> None:
        """Note a problem."""
        self.problems.append(Problem(where, found, remedy))


def inspect(arguments: Sequence[str], *, further: Iterable[Check] = ()) -> list[str]:
    """Look at a command line, say everything that is wrong with it, and return it as Hydra wants it.

    ``--cfg`` and ``--info`` show what is there, so only names that do not exist stop them; Hydra's other
    services are none of our business.

    Raises:
        ConfigError: with every problem that there is.
    """
    args = command_line(arguments)
    if args.hydra_help or args.shell_completion or args.experimental_rerun is not None:
        return list(arguments)
    overrides = [with_plus(text) for text in args.overrides]
    spelt = [with_plus(text) if text in args.overrides else text for text in arguments]
    if args.config_path and not Path(args.config_path).is_absolute():
        return spelt  # only Hydra knows what it is relative to; the job looks at its configuration by itself
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


def with_plus(text: str) -> str:
    """Return an override with the two plus signs that Hydra wants for an entry where any key may stand."""
    key = text.partition("=")[0]
    return f"++{text}" if key.rpartition(".")[0] in open_mappings() else text


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
        groups = composer.groups()
    except _HYDRA_ERRORS as error:
        return [_composition_problem(error)]
    choices, values = _sorted_out(overrides, composer, groups, findings)
    for override in choices:
        _look_at_choice(override, composer, findings)
    try:
        base = composer.compose([_line(each) for each in findings.usable], sweep=True)
    except _HYDRA_ERRORS as error:
        return [*findings.problems, _composition_problem(error)]
    content = OmegaConf.to_container(base, resolve=False)
    content.pop("hydra")
    for override in values:
        _look_at_key(override, content, composer, groups, findings)
    # Back into the order of the command line: where a key is given twice, the last one counts.
    position = {text: index for index, text in enumerate(overrides)}
    findings.usable.sort(key=lambda each: position[each.input_line])
    multirun = multirun or base.hydra.mode == RunMode.MULTIRUN
    lines = _dimensions(findings, base, composer, groups, content, multirun)
    if names_only:
        return findings.problems
    findings.problems.extend(_checked(lines, composer, list(further)))
    return findings.problems


def _sorted_out(
    overrides: Sequence[str], composer: Composer, groups: Sequence[str], findings: Findings
) -> tuple[list[Override], list[Override]]:
    """Return the overrides that choose an option, and those that set a value; Hydra's own are usable as they are."""
    choices, values = [], []
    for text in overrides:
        try:
            override = composer.parse(text)
        except _HYDRA_ERRORS as error:
            reason = str(error).splitlines()[0] if str(error) else "it cannot be read"
            findings.add(text, f"this cannot be read: {reason}", "write KEY=VALUE, or GROUP=OPTION; quotes may help")
            continue
        if override.is_hydra_override() or override.key_or_group == "hydra":
            findings.usable.append(override)
        elif _is_choice(override, groups):
            choices.append(override)
        else:
            values.append(override)
    return choices, values


def _is_choice(override: Override, groups: Sequence[str]) -> bool:
    return override.key_or_group in groups and not isinstance(override.value(), dict)


def _look_at_choice(override: Override, composer: Composer, findings: Findings) -> None:
    """Look at GROUP=OPTION, each option by itself."""
    group, known = override.key_or_group, composer.options(override.key_or_group)
    if override.is_delete():
        findings.usable.append(override)
        return
    if override.is_add() or override.is_force_add():
        findings.add(override.input_line, f"the group '{group}' is there already", f"leave out the {_plus(override)}")
        return
    unknown = [option for option in _options(override) if option not in known]
    for option in unknown:
        if option == "None":
            findings.add(override.input_line, f"a group cannot be null: '{group}'", f"~{group} leaves it out")
        else:
            findings.add(
                f"{group}={option}", f"the group '{group}' has no option '{option}'", did_you_mean(option, known)
            )
    if not unknown:
        findings.usable.append(override)


def _options(override: Override) -> list[str]:
    if override.is_discrete_sweep():
        return list(override.sweep_string_iterator())
    value = override.value()
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def _look_at_key(
    override: Override, content: dict[str, Any], composer: Composer, groups: Sequence[str], findings: Findings
) -> None:
    """Look at KEY=VALUE: is there such a key? Whether the value suits it is seen once all is composed."""
    path = tuple(override.key_or_group.split("."))
    known, depth, holder = _walk(path, content)
    if override.is_force_add() or (override.is_add() and (not known or isinstance(override.value(), dict | list))):
        findings.usable.append(override)  # the check of the whole refuses keys that are not in the schema
    elif override.is_add():
        findings.add(override.input_line, f"the key '{override.key_or_group}' is there already", "leave out the +")
    elif known:
        findings.usable.append(override)
    elif len(path) == 1 and not override.is_delete():
        names = {*groups, *content}
        found = f"there is no group and no key '{path[0]}'"
        findings.add(override.input_line, found, _elsewhere(path[0], content) or did_you_mean(path[0], names))
    elif isinstance(holder, dict):
        problem = unknown_key(path[: depth + 1], holder)
        others = _options_with(path, composer) if path[0] in groups else []
        if others:
            problem = replace(problem, remedy=f"it is a key of {' and '.join(others)}")
        elif problem.remedy.startswith("valid"):
            problem = replace(problem, remedy=_elsewhere(path[depth], content) or problem.remedy)
        findings.problems.append(problem)
    else:
        shown = "null" if holder is None else repr(holder)
        findings.add(override.input_line, f"'{'.'.join(path[:depth])}' is {shown} here: it has no key '{path[depth]}'")


def _options_with(path: Sequence[str], composer: Composer) -> list[str]:
    """Return the options of the group ``path[0]`` that have this key."""
    found = []
    for option, file in composer.contents(path[0]).items():
        content = OmegaConf.to_container(file, resolve=False)
        # A file for the whole configuration names its group, one for the group does not.
        if _walk(path[1:], content)[0] or _walk(path, content)[0]:
            found.append(f"{path[0]}={option}")
    return found


def _walk(path: Sequence[str], content: Any) -> tuple[bool, int, Any]:
    """Return whether there is such a key, and if not, how far the path goes, and what is there."""
    for depth, part in enumerate(path):
        if isinstance(content, dict) and part in content:
            content = content[part]
        elif isinstance(content, list) and part.isdecimal() and int(part) < len(content):
            content = content[int(part)]
        else:
            return False, depth, content
    return True, len(path), content


def _elsewhere(name: str, content: Any) -> str:
    """Return where else a key of this name is, if it is anywhere."""
    found = [path for path in _paths(content) if path.rsplit(".", 1)[-1] == name]
    return f"did you mean {' or '.join(repr(path) for path in found)}?" if found else ""


def _paths(content: Any, prefix: str = "") -> list[str]:
    if not isinstance(content, dict):
        return []
    return [path for key, value in content.items() for path in (f"{prefix}{key}", *_paths(value, f"{prefix}{key}."))]


def _dimensions(
    findings: Findings, base: DictConfig, composer: Composer, groups: Sequence[str], content: dict, multirun: bool
) -> list[list[str]]:
    """Return, for each key, the lines that a run gets in turn: one, or in a sweep several."""
    swept = OmegaConf.to_container(base.hydra.sweeper).get("params") or {} if multirun else {}
    given = {override.get_key_element() for override in findings.usable}
    extra = Findings()
    declared = [f"{key}={value}" for key, value in swept.items() if key not in given]
    choices, values = _sorted_out(declared, composer, groups, extra)
    for override in choices:
        _look_at_choice(override, composer, extra)
    for override in values:
        _look_at_key(override, content, composer, groups, extra)
    findings.problems += [replace(each, where=f"hydra.sweeper.params: {each.where}") for each in extra.problems]
    dimensions: dict[str, list[str]] = {}
    for override in (*extra.usable, *findings.usable):
        key = override.get_key_element()
        if not override.is_sweep_override():
            dimensions[key] = [_line(override)]
        elif not multirun:
            remedy = "to run them one after the other, add -m"
            remedy += "" if key in groups else f"; for a list write {key}=[...]"
            findings.add(_line(override), "these are several values, and this is a single run", remedy)
        elif override.value_type == ValueType.INTERVAL_SWEEP:
            ends = override.value()
            dimensions[key] = [f"{key}={ends.start}", f"{key}={ends.end}"]
        else:
            dimensions[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
    return list(dimensions.values())


def _checked(dimensions: list[list[str]], composer: Composer, further: list[Check]) -> list[Problem]:
    """Return the problems of all combinations, each once; where only some have it, with the first of those."""
    several = [lines for lines in dimensions if len(lines) > 1]
    count = math.prod(len(lines) for lines in dimensions)
    found: dict[Problem, tuple[str, ...]] = {}
    times: dict[Problem, int] = {}
    combinations = _combinations(dimensions, count)
    for lines in combinations:
        for problem in dict.fromkeys(_problems_of(lines, composer, further)):
            found.setdefault(problem, lines)
            times[problem] = times.get(problem, 0) + 1
    swept = {line for lines in several for line in lines}
    return [
        problem if times[problem] == len(combinations) else _with_case(problem, [x for x in found[problem] if x in swept])
        for problem in found
    ]


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
    except _HYDRA_ERRORS as error:
        return [_composition_problem(error)]
    with as_if_running(cfg):
        _, problems = look_over(cfg, further=further)
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
        if _walk(inside.split("."), OmegaConf.to_container(content, resolve=False))[0]:
            return replace(problem, where=f"{problem.where} (conf/{file})")
    return problem


def _composition_problem(error: Exception) -> Problem:
    """Return what Hydra says where it cannot put the configuration together."""
    text = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, option = error.missing_cfg_file.rpartition("/")
        file = re.match(r"In '([^']+)'", text[0])
        where = f"conf/{file[1]}.yaml" if file and not group.startswith("hydra/") else f"{group}={option}"
        return Problem(where, f"the group '{group}' has no option '{option}'", did_you_mean(option, error.options))
    cause = str(error.__cause__).splitlines()[0] if error.__cause__ else ""
    return Problem("the configuration cannot be composed", " ".join(text[:2]) or repr(error), cause)


def _line(override: Override) -> str:
    return override.input_line or ""


def _plus(override: Override) -> str:
    return "++" if override.is_force_add() else "+"
