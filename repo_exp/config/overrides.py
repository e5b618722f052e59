"""Each override of a command line by itself: can it be read, is there such an option, is there such a key?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from repo_exp.config.compose import Composer
from repo_exp.config.open_keys import open_mappings
from repo_exp.config.wording import unknown_key
from repo_exp.errors import Problem, did_you_mean

HYDRA_ERRORS = (HydraException, OmegaConfBaseException, YAMLError, ValueError, AssertionError)


@dataclass
class Findings:
    """What is known of a command line so far."""

    problems: list[Problem] = field(default_factory=list)
    usable: list[Override] = field(default_factory=list)

    def add(self, where: str, found: str, remedy: str = "") -> None:
        """Note a problem."""
        self.problems.append(Problem(where, found, remedy))


def with_plus(text: str) -> str:
    """Return an override with the two plus signs that Hydra wants for an entry where any key may stand."""
    key = text.partition("=")[0]
    return f"++{text}" if key.rpartition(".")[0] in open_mappings() else text


def sorted_out(
    overrides: Sequence[str], composer: Composer, groups: Sequence[str], findings: Findings
) -> tuple[list[Override], list[Override]]:
    """Return the overrides that choose an option, and those that set a value; Hydra's own are usable as they are."""
    choices, values = [], []
    for text in overrides:
        try:
            override = composer.parse(text)
        except HYDRA_ERRORS as error:
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


def look_at_choice(override: Override, composer: Composer, findings: Findings) -> None:
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


def look_at_key(
    override: Override, content: dict[str, Any], composer: Composer, groups: Sequence[str], findings: Findings
) -> None:
    """Look at KEY=VALUE: is there such a key? Whether the value suits it is seen once all is composed."""
    path = tuple(override.key_or_group.split("."))
    known, depth, holder = walk(path, content)
    if override.is_force_add() or (override.is_add() and (not known or isinstance(override.value(), dict | list))):
        findings.usable.append(override)  # the check of the whole refuses keys that are not in the schema
    elif override.is_add():
        findings.add(override.input_line, f"the key '{override.key_or_group}' is there already", "leave out the +")
    elif known:
        findings.usable.append(override)
    elif len(path) == 1:
        names = {*groups, *content}
        found = f"there is no group and no key '{path[0]}'"
        findings.add(override.input_line, found, _elsewhere(path[0], content) or did_you_mean(path[0], names))
    else:
        findings.problems.append(_no_key(path, depth, holder, content, composer, groups))


def _no_key(
    path: tuple[str, ...], depth: int, holder: Any, content: Any, composer: Composer, groups: Sequence[str]
) -> Problem:
    """Return the problem of a path that goes no further than ``depth``, with the best advice that there is."""
    if isinstance(holder, dict):
        problem = unknown_key(path[: depth + 1], holder)
        if problem.remedy.startswith("valid"):
            problem = replace(problem, remedy=_elsewhere(path[depth], content) or problem.remedy)
    else:
        shown = "null" if holder is None else repr(holder)
        problem = Problem(".".join(path), f"'{'.'.join(path[:depth])}' is {shown} here: it has no key '{path[depth]}'")
    others = _options_with(path, composer) if path[0] in groups else []
    return replace(problem, remedy=f"it is a key of {' and '.join(others)}") if others else problem


def _options_with(path: Sequence[str], composer: Composer) -> list[str]:
    """Return the options of the group ``path[0]`` that have this key."""
    found = []
    for option, file in composer.contents(path[0]).items():
        content = OmegaConf.to_container(file, resolve=False)
        # A file for the whole configuration names its group, one for the group does not.
        if walk(path[1:], content)[0] or walk(path, content)[0]:
            found.append(f"{path[0]}={option}")
    return found


def walk(path: Sequence[str], content: Any) -> tuple[bool, int, Any]:
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


def line_of(override: Override) -> str:
    """Return an override as it was written."""
    return override.input_line or ""


def _plus(override: Override) -> str:
    return "++" if override.is_force_add() else "+"
