"""Every key of the configuration: its path, its type in words, and its meaning. Help and manual are made from this.

Most keys are typed by the schema. Those of a file that is found by its name (a domain, a method,
a kind of reward source, a combiner) are typed by its ``Options``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from repo_exp.algorithms.registry import names, options_of
from repo_exp.config.schema import Config, Reward
from repo_exp.domains import registry
from repo_exp.rewards import combine, sources

Schema = Mapping[str, Any]
_KINDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
}
GENERATED = {"data.kind": "generated"}  # the keys of such data are the domain's
_BOUNDS = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}


class Key(NamedTuple):
    """One key: its path, its type in words, and its meaning."""

    path: str
    kind: str
    meaning: str


class Section(NamedTuple):
    """The keys of a section.

    Attributes:
        path: of the section; "" for what stands at the top.
        when: the values of other keys with which the section has these keys: ``{"judge.kind": "local"}``.
        meaning: what the section is for.
        keys: those that hold a value. Sections inside are sections of their own.
    """

    path: str
    when: Mapping[str, str]
    meaning: str
    keys: tuple[Key, ...]


@functools.cache
def sections() -> tuple[Section, ...]:
    """Return all sections, the outer ones first."""
    schema = Config.model_json_schema()
    found = [each for each in _sections(schema, schema, "", {}) if each.when != GENERATED]
    for domain in registry.names():
        found.append(_flat(registry.find(domain).Options, "data", {**GENERATED, "domain.name": domain}))
    found += [section for kind in names() for section in _method(kind)]
    for kind in sources.kinds():
        found.append(_flat(sources.find(kind).Options, "reward.sources.NAME", {"reward.sources.NAME.kind": kind}))
    for name in combine.names():
        options = _flat(combine.find(name).Options, "reward.options", {"reward.combine": name})
        own = tuple(key for key in options.keys if key.path.split(".")[2] not in Reward.model_fields)
        found += [options._replace(keys=own)] if own else []
    return tuple(found)


def _method(kind: str) -> Iterator[Section]:
    yield _flat(options_of(kind), "algorithm", {"algorithm.kind": kind})


def _flat(options: type[BaseModel], path: str, when: Mapping[str, str]) -> Section:
    """Return the options of a file as one section, with the keys of sections inside it."""
    schema = options.model_json_schema()
    found = list(_sections(schema, schema, f"{path}.", when))
    return Section(path, when, _first_line(options.__doc__ or ""), tuple(key for each in found for key in each.keys))


def _sections(node: Schema, root: Schema, prefix: str, when: Mapping[str, str]) -> Iterator[Section]:
    kind = node["properties"].get("kind", {})
    if "const" in kind and prefix.count(".") == 1:
        when = {**when, f"{prefix}kind": kind["const"]}
    if keys := tuple(_keys(node, root, prefix)):
        yield Section(prefix.rstrip("."), when, _first_line(node.get("description", "")), keys)
    for name, each in node["properties"].items():
        for member in _members(each, root):
            if "properties" in member:
                yield from _sections(member, root, f"{prefix}{name}.", when)


def _keys(node: Schema, root: Schema, prefix: str) -> Iterator[Key]:
    for name, each in node["properties"].items():
        members = _members(each, root)
        plain = [member for member in members if "properties" not in member]
        if len(plain) < len(members) and all(member.get("type") == "null" for member in plain):
            continue  # a section of its own
        yield Key(f"{prefix}{name}", " or ".join(_type(member, root) for member in plain), each.get("description", ""))


def _members(each: Schema, root: Schema) -> list[Schema]:
    """Return what a value may be, references followed."""
    found = []
    for member in each.get("anyOf") or each.get("oneOf") or [each]:
        reference = member.get("$ref", "").rsplit("/", 1)[-1]
        found.append(root["$defs"][reference] if reference else member)
    return found


def _type(node: Schema, root: Schema) -> str:
    if "const" in node or "enum" in node:
        return ", ".join(f"`{value}`" for value in node.get("enum", [node.get("const")]))
    if node.get("type") == "array":
        if "prefixItems" in node:
            return f"list of {len(node['prefixItems'])} × {_type(node['prefixItems'][0], root)}"
        return f"list of {_either(node['items'], root)}"
    if node.get("type") == "object":
        inside = node.get("additionalProperties")
        return f"NAME: {_either(inside, root)}" if isinstance(inside, Mapping) and inside else "keys with values"
    kind = _KINDS.get(node.get("type", ""), "anything")
    return " ".join([kind, *(f"{sign} {node[key]:g}" for key, sign in _BOUNDS.items() if key in node)])


def _either(node: Schema, root: Schema) -> str:
    return " or ".join(_type(member, root) for member in _members(node, root))


def _first_line(text: str) -> str:
    return text.strip().partition("\n\n")[0].replace("\n", " ")
