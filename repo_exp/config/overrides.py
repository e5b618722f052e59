"""Checks each override of a command line by itself: its syntax, its option, its key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from repo_exp.config.compose import Composer
from repo_exp.config.open_keys import open_mappings
from repo_exp.config.reading import ALIASES, shell, unreadable, without_secret
from repo_exp.config.renamed import new_choice, new_key
from repo_exp.config.schema import Config
from repo_exp.config.wording import unknown_key
from repo_exp.errors import Problem, did_you_mean

REPLACED = "reward.sources"  # a value of the whole mapping replaces it
HYDRA_ERRORS = (HydraException, OmegaConfBaseException, YAMLError, ValueError, AssertionError)


@dataclass
class Findings:
    """The problems of a command line so far, and its usable overrides."""

    problems: list[Problem] = field(default_factory=list)
    usable: list[Override] = field(default_factory=list)

    def add(self, where: str, found: str, remedy: str = "") -> None:
        """Add a problem."""
        self.problems.append(Problem(where, found, remedy))


def for_hydra(text: str) -> list[str]:
    """Return an override as Hydra needs it.

    An entry of a mapping with free keys gets two plus signs. ``reward.sources=...`` replaces the mapping: otherwise
    Hydra would merge a mapping with it, and refuse a list.
    """
    key, sign, value = text.partition("=")
    if key == REPLACED and sign:
        return [f"~{key}", f"++{key}={value}"]
    inside = any(key == each or key.startswith(f"{each}.") for each in open_mappings() - {REPLACED})
    return [f"++{text}" if inside or key.startswith(f"{REPLACED}.") else text]


def parse_overrides(
    overrides: Sequence[str], composer: Composer, groups: Sequence[str], findings: Findings
) -> tuple[list[Override], list[Override]]:
    """Return the overrides that choose an option, and those that set a value. Hydra's own need no check."""
    choices, values = [], []
    for text in overrides:
        try:
            override = composer.parse(text)
        except HYDRA_ERRORS:
            findings.problems.append(unreadable(text, composer.reads))
            continue
        if not override.key_or_group:
            findings.add(text, "the key before the = is missing", "write KEY=VALUE or GROUP=OPTION; --help lists them")
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


def flag_problem(shown: str, meant: str, content: dict[str, Any], composer: Composer, groups: Sequence[str]) -> Problem:
    """Return the problem of a flag that does not exist, with the override that was probably meant."""
    trial = Findings()
    choices, values = parse_overrides([meant], composer, groups, trial)
    for override in choices:
        check_choice(override, composer, trial)
    for override in values:
        check_key(override, content, composer, groups, trial)
    remedy = trial.problems[0].remedy if trial.problems else shell(meant)
    return Problem(without_secret(shown), "there is no such flag; options and keys are written without dashes", remedy)


def check_choice(override: Override, composer: Composer, findings: Findings) -> None:
    """Check GROUP=OPTION, each option by itself."""
    group, available = override.key_or_group, composer.options(override.key_or_group)
    if override.is_delete():
        if group in Config.model_fields:
            findings.add(line_of(override), f"the group '{group}' cannot be left out", _instead(group, available))
        else:
            findings.usable.append(override)
        return
    if override.is_add() or override.is_force_add():
        findings.add(line_of(override), f"the group '{group}' exists already", f"remove the {_plus(override)}")
        return
    if isinstance(override.value(), list) and group != "experiment":
        several = ",".join(_options(override))
        remedy = f"{group}=OPTION, or a sweep over them: -m {group}={several}"
        findings.add(line_of(override), f"a run has one {group}, and this value is a list", remedy)
        return
    unknown = [option for option in _options(override) if option not in available]
    for option in unknown:
        if option in ("None", ""):
            remedy = _instead(group, available) if group in Config.model_fields else f"~{group} leaves it out"
            findings.add(line_of(override), f"a group cannot be null: '{group}'", remedy)
        elif new := new_choice(group, option):
            findings.add(f"{group}={option}", "this option was renamed", new)
        else:
            remedy = _own_model(option) if group == "model" else _own_data(option) if group == "data" else ""
            remedy = remedy or did_you_mean(option, available)
            findings.add(f"{group}={option}", f"the group '{group}' has no option '{option}'", remedy)
    if not unknown:
        findings.usable.append(override)


def _instead(group: str, available: Sequence[str]) -> str:
    """Return what to write instead of leaving a group out."""
    return (
        f"{group}=none"
        if "none" in available
        else f"remove this override for the default, or {group}=OPTION: {', '.join(available)}"
    )


def _own_model(option: str) -> str:
    """Return how to choose a model that is not an option: a folder, or a name on the hub."""
    if Path(option).is_dir():
        return f"model=any model.folder={option}"
    owner, slash, name = option.partition("/")
    return f"model=any model.source=hub model.hub={option}" if owner and slash and name and "/" not in name else ""


def _own_data(option: str) -> str:
    """Return how to choose your own file."""
    return f"data=jsonl data.path={option}" if "/" in option or option.endswith((".jsonl", ".json")) else ""


def _options(override: Override) -> list[str]:
    if override.is_sweep_override() and override.value_type == ValueType.RANGE_SWEEP:
        return [line_of(override).partition("=")[2]]
    if override.is_discrete_sweep():
        return list(override.sweep_string_iterator())
    value = override.value()
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def check_key(
    override: Override, content: dict[str, Any], composer: Composer, groups: Sequence[str], findings: Findings
) -> None:
    """Check KEY=VALUE: is there such a key? The value is checked once everything is composed."""
    path = tuple(override.key_or_group.split("."))
    exists, depth, holder = walk(path, content)
    if override.is_force_add() or (override.is_add() and (not exists or isinstance(override.value(), dict | list))):
        findings.usable.append(override)  # the check of the whole refuses keys that are not in the schema
    elif override.is_add():
        findings.add(line_of(override), f"the key '{override.key_or_group}' exists already", "remove the +")
    elif exists:
        findings.usable.append(override)
    elif (new := new_key(path)) and walk(new.split("."), content)[0]:
        line = override.input_line or ""
        found = f"the key '{override.key_or_group}' was renamed"
        findings.add(without_secret(line), found, shell(f"{new}={line.partition('=')[2]}"))
    elif len(path) == 1:
        names = {*groups, *content}
        found = f"there is no group and no key '{path[0]}'"
        remedy = _elsewhere(path[0], content, composer, groups) or did_you_mean(path[0], names)
        findings.add(without_secret(line_of(override)), found, remedy)
    else:
        findings.problems.append(_no_key(path, depth, holder, content, composer, groups))


def _no_key(
    path: tuple[str, ...], depth: int, holder: Any, content: Any, composer: Composer, groups: Sequence[str]
) -> Problem:
    """Return the problem of a path that exists down to ``depth``, with the best remedy."""
    if isinstance(holder, dict):
        problem = unknown_key(path[: depth + 1], holder)
        if problem.remedy.startswith("valid"):
            elsewhere = _elsewhere(path[depth], content, composer, groups)
            problem = replace(problem, remedy=elsewhere or problem.remedy)
    else:
        shown = "null" if holder is None else repr(holder)
        problem = Problem(".".join(path), f"'{'.'.join(path[:depth])}' is {shown}, which has no key '{path[depth]}'")
    others = _options_with(path, composer) if path[0] in groups else []
    return replace(problem, remedy=f"it is a key of {' and '.join(others)}") if others else problem


def _options_with(path: Sequence[str], composer: Composer) -> list[str]:
    """Return the options of the group ``path[0]`` that have this key."""
    found = []
    for option, content in composer.contents(path[0]).items():
        # A file for the whole configuration names its group, one for the group does not.
        if walk(path[1:], content)[0] or walk(path, content)[0]:
            found.append(f"{path[0]}={option}")
    return found


def walk(path: Sequence[str], content: Any) -> tuple[bool, int, Any]:
    """Return whether a path exists, and otherwise how far it goes, and the value there."""
    for depth, part in enumerate(path):
        if isinstance(content, dict) and part in content:
            content = content[part]
        elif isinstance(content, list) and part.isdecimal() and int(part) < len(content):
            content = content[int(part)]
        else:
            return False, depth, content
    return True, len(path), content


def _elsewhere(name: str, content: Any, composer: Composer, groups: Sequence[str]) -> str:
    """Return where else there is a key of this name, or of the name that other libraries have for it."""
    keys = _leaves(content)
    alias = ALIASES.get(name.lower().replace("-", "_"), "")
    found = [alias] if alias in keys or alias.startswith("hydra.") else []
    found = found or [path for path in keys if name.lower() in path.lower().split(".")[1:]]
    if found:
        return f"did you mean {' or '.join(repr(path) for path in found[:6])}?"
    for path in filter(None, (alias, *(f"{group}.{name}" for group in groups))):
        if others := _options_with(path.split("."), composer):
            return f"'{path}' is a key of {' and '.join(others[:3])}"
    return ""


def _leaves(content: Any, prefix: str = "") -> list[str]:
    """Return the paths of all values; sections are not values."""
    if not isinstance(content, dict) or (not content and prefix):
        return [prefix]
    return [path for key, value in content.items() for path in _leaves(value, f"{prefix}.{key}" if prefix else key)]


def line_of(override: Override) -> str:
    """Return an override as it was written."""
    return override.input_line or ""


def _plus(override: Override) -> str:
    return "++" if override.is_force_add() else "+"
