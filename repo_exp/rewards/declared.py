"""Read a folder of small YAML files, one declaration each, and keep the line of every key.

Rules and rubric items are both declared like this: the file's name is the name, the comment on its
first line says what it is for. YAML is read as version 1.2 has it: only ``true`` and ``false`` are
truth values, so that an example may be the word No, and a list may be called ``yes``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from repo_exp.bounds import beyond_bounds, too_large
from repo_exp.errors import Problem, did_you_mean
from repo_exp.rewards.facts import is_number

Place = tuple[str | int, ...]
"""The keys and indices that lead to a node."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class _Loader(yaml.SafeLoader):
    """The safe loader with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012  an own one: the base class shares its with all


for _tag, _pattern, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", list("tf")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)


@dataclass(frozen=True, slots=True)
class Declaration:
    """One file: its name, its purpose (the first comment), its content and the line of every key."""

    name: str
    path: Path
    purpose: str
    data: Mapping[str, Any]
    lines: Mapping[Place, int]

    def where(self, *keys: str | int) -> str:
        """Return ``file:line`` of the nearest key that has a line."""
        for end in range(len(keys), 0, -1):
            if keys[:end] in self.lines:
                return f"{self.path}:{self.lines[keys[:end]]}"
        return f"{self.path}:1"

    def wrong_keys(self, *, required: Collection[str], optional: Collection[str] = ()) -> list[Problem]:
        """Return a problem for every key that is unknown, and for every one that is missing."""
        allowed = [*required, *optional]
        found = [
            Problem(self.where(key), f"unknown key '{key}'", did_you_mean(str(key), allowed))
            for key in self.data
            if key not in allowed
        ]
        found += [
            Problem(self.where(), f"the key '{key}' is missing", f"needed: {', '.join(required)}")
            for key in required
            if key not in self.data
        ]
        return found


def read_folder(folder: str | Path) -> tuple[list[Declaration], list[Problem]]:
    """Return the declarations in ``folder``, sorted by name, and what is wrong with the others."""
    folder = Path(folder)
    if not folder.is_dir():
        there = [path.name for path in folder.parent.iterdir() if path.is_dir()] if folder.parent.is_dir() else []
        return [], [Problem(str(folder), "there is no such folder", did_you_mean(folder.name, there))]
    declarations, problems = [], []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".yml":
            problems.append(
                Problem(str(path), "files with the extension .yml are not read", f"rename it to {path.stem}.yaml")
            )
        if path.suffix != ".yaml" or path.name.startswith("."):
            continue
        declaration, wrong = read_file(path)
        problems += wrong
        if declaration is not None:
            declarations.append(declaration)
    if not declarations and not problems:
        problems.append(Problem(str(folder), "holds no .yaml file", "one file for each rule or question"))
    return declarations, problems


def read_file(path: Path) -> tuple[Declaration | None, list[Problem]]:
    """Return the declaration in one file, or ``None`` and the reasons."""
    try:
        if wrong := too_large(path):
            return None, [Problem(str(path), wrong, "keep a declaration to about a page")]
        text = path.read_text(encoding="utf-8-sig")
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is not None and (wrong := beyond_bounds(root)):
            return None, [Problem(str(path), wrong, "expand the aliases, or shorten it")]
        lines: dict[Place, int] = {}
        twice = list(_walk(root, (), lines))  # before "<<" is resolved, which changes the nodes
        data = loader.construct_document(root) if root is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        return None, [Problem(where, f"not YAML: {error.problem or error.context}")]
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        return None, [Problem(str(path), f"cannot be read: {str(error).splitlines()[0] or type(error).__name__}")]
    if not isinstance(data, dict):
        return None, [Problem(f"{path}:1", "holds no keys", "a mapping such as 'points: -20' is expected")]
    problems = [Problem(f"{path}:{line}", f"the key '{key}' occurs twice", "keep one of them") for key, line in twice]
    if not _NAME.fullmatch(path.stem):
        problems.append(Problem(str(path), f"'{path.stem}' is not a valid name", "lower-case letters, digits and _"))
    first = text.lstrip().splitlines()[0]
    if not first.startswith("#") or not first.strip("# "):
        problems.append(Problem(f"{path}:1", "does not say what it is for", "begin with a comment: # ..."))
    return (None if problems else Declaration(path.stem, path, first.strip("# "), data, lines)), problems


def overridden(
    declarations: Sequence[Declaration],
    points: Mapping[str, float],
    *,
    drop: Collection[str],
    override: Mapping[str, float],
    origin: str,
) -> tuple[dict[str, float], list[Problem]]:
    """Apply an ablation: return name -> points of what stays, and the problems of the override.

    ``origin`` is the part of the configuration that the override came from, for the message.
    """
    names = [declaration.name for declaration in declarations]
    problems = [
        Problem(f"{origin}.drop", f"'{name}' is not one of them", did_you_mean(name, names))
        for name in drop
        if name not in names
    ]
    for name, value in override.items():
        where = f"{origin}.points.{name}"
        if name not in names:
            problems.append(Problem(where, "there is nothing of that name", did_you_mean(name, names)))
        elif name in drop:
            problems.append(Problem(where, "is dropped and has points", "do one or the other"))
        elif not is_number(value):
            problems.append(Problem(where, f"{value!r} is not a finite number"))
    if names and not set(names) - set(drop):
        problems.append(Problem(f"{origin}.drop", "nothing is left", "leave the source out of 'reward' instead"))
    kept = {name: override.get(name, value) for name, value in points.items() if name not in drop}
    return kept, problems


def fingerprint(content: object) -> str:
    """Return a digest of JSON content that is the same on every machine."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _walk(node: yaml.Node | None, at: Place, lines: dict[Place, int]) -> Iterable[tuple[str, int]]:
    """Note the line of every key and element; yield the keys that a mapping has twice."""
    if len(at) > 8:  # deeper than any declaration; also ends an alias that contains itself
        return
    if isinstance(node, yaml.MappingNode):
        keys = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in keys:
                yield key.value, line
            keys.add(key.value)
            lines.setdefault((*at, key.value), line)
            yield from _walk(value, (*at, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines.setdefault((*at, index), value.start_mark.line + 1)
            yield from _walk(value, (*at, index), lines)
