"""The text of ``--help TOPIC``: the keys of a section or of an option, or one key, with value, type and meaning."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from repo_exp.config.compose import Composer
from repo_exp.config.containers import as_written
from repo_exp.config.help import defaults, first_comment, groups, table
from repo_exp.config.keys import Key, Section, sections
from repo_exp.config.places import conf_dir, rubric_folder, rules_folder, stems
from repo_exp.config.renamed import new_key
from repo_exp.config.wording import MISSING, lookup
from repo_exp.errors import ConfigError, Problem, did_you_mean

_NAMES = {"reward.rule_points": ("domain.rules", rules_folder), "reward.item_points": ("domain.rubric", rubric_folder)}
"""Mappings whose names are the files of a folder: the key that names the folder, and the function that finds it."""


def topic_text(topics: Sequence[str]) -> str:
    """Return the help on these topics: ``reward``, ``algorithm=grpo``, ``reward.n``, ``experiment=smoke``.

    Raises:
        ConfigError: there is no such section, option or key.
    """
    composer, options = Composer.create(), groups(conf_dir())
    chosen = [text for text in topics if text.partition("=")[0] in options and "=" in text]
    for text in chosen:
        group, _, option = text.partition("=")
        if option not in options[group]:
            raise _unknown(text, f"the group '{group}' has no option '{option}'", options[group])
    values = as_written(composer.compose(chosen))
    return "\n\n".join(_topic(text, options, values) for text in topics)


def _topic(text: str, options: Mapping[str, Mapping[str, str]], values: Mapping[str, Any]) -> str:
    name, _, option = text.partition("=")
    if name in options and not any(_is_in(section.path, name) for section in sections()):
        return _files(name, option, options[name])
    valid = [section for section in sections() if _holds(section, values)]
    keys = [(section, [key for key in section.keys if _is_in(key.path, name)]) for section in valid]
    found = [(section, inside) for section, inside in keys if inside]
    if not found:
        if new := new_key(name.split(".")):
            raise _unknown(text, "this key was renamed", [new])
        everything = {*options, *(key.path for section in sections() for key in section.keys)}
        raise _unknown(text, f"there is no section and no key '{name}'", everything)
    lines = []
    if name in options:
        title = f"{name}=OPTION chooses one; * marks {'this option' if option else 'the default'}"
        lines += [title, *table(options[name], default=option or defaults(conf_dir()).get(name)), ""]
    for section, inside in found:
        lines += [_heading(section), *(line for key in inside for line in _key(key, values)), ""]
    return "\n".join(lines).rstrip()


def _files(group: str, option: str, options: Mapping[str, str]) -> str:
    """Return the help on a group whose options are whole files: their list, or the content of one."""
    if not option:
        return "\n".join([f"{group}=OPTION chooses one", *table(options)])
    path = conf_dir() / group / f"{option}.yaml"
    return f"{group}={option}: {first_comment(path)}\n\n{path.read_text(encoding='utf-8').rstrip()}"


def _heading(section: Section) -> str:
    when = " ".join(f"{key}={value}" for key, value in section.when.items())
    return f"{section.path or 'At the top'}{f' ({when})' if when else ''}: {section.meaning}"


def _key(key: Key, values: Mapping[str, Any]) -> Iterator[str]:
    value = lookup(values, key.path.split("."))
    yield f"  {key.path}={'VALUE (required)' if value == MISSING else _shown(value)}"
    notes = [each for each in (key.kind.replace("`", ""), key.meaning) if each]
    if key.path in _NAMES:
        where, folder = _NAMES[key.path]
        notes.append(f"names: {', '.join(stems(folder(str(lookup(values, where.split('.'))))))}")
    width = min(shutil.get_terminal_size((110, 40)).columns, 120)
    yield from textwrap.wrap("; ".join(notes), width, initial_indent="      ", subsequent_indent="      ")


def _shown(value: Any) -> str:
    """Return a value as the command line takes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{','.join(map(_shown, value))}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_shown(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)


def _holds(section: Section, values: Mapping[str, Any]) -> bool:
    return all(lookup(values, key.split(".")) == value for key, value in section.when.items())


def _is_in(path: str, name: str) -> bool:
    return path == name or path.startswith(f"{name}.")


def _unknown(where: str, found: str, valid: Iterable[str]) -> ConfigError:
    return ConfigError(
        "There is no help on this topic.", [Problem(f"--help {where}", found, did_you_mean(where, valid))]
    )
