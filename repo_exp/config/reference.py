"""What the manual has from the program: ``python -m repo_exp.config.reference [docs]``.

``configuration.md`` is written from the schema and from ``conf/``, the end of ``algorithms.md`` from the docstrings of
the algorithms' files.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from repo_exp.algorithms.registry import names, options_of
from repo_exp.config.help import groups
from repo_exp.config.places import PACKAGE, conf_dir
from repo_exp.config.schema import Config
from repo_exp.durable import write_text

_HEAD = """# Configuration

<!-- Written by `make docs` from repo_exp/config/schema.py and conf/; a test says if it is out of date. -->

A command is a choice of options and some values: `python -m repo_exp model=tiny reward.n=50`. Types live in Python,
values in `conf/`; this page lists the types. `python -m repo_exp --cfg job` prints the values, `--help` the options.

* `GROUP=OPTION` takes a file of `conf/GROUP/`. `~GROUP` leaves a group out.
* `KEY=VALUE` sets a value: `reward.n=50`, `reward.drop_rules=[too_long]`, `reward.rule_points.too_long=-40`.
* `-m KEY=A,B` runs one job for each value; files of `conf/experiment/` with `hydra.sweeper.params` do so without `-m`.
* A new YAML file in a folder of `conf/` is a new option. Its first line of comment is its line in `--help`.
* `REPO_EXP_CONF=FOLDER` takes another folder than `conf/`; `--config-dir FOLDER` adds one.

A command that cannot run says everything that is wrong with it before anything is loaded: keys and options that do not
exist, with the nearest that does; missing values; wrong types; impossible combinations; rules and rubric items that
fail their own examples. `task=check` does only that. In a sweep all values are looked at, and up to 64 combinations.

| exit code | meaning |
| --- | --- |
| 0 | all went well |
| 1 | something failed while running |
| 2 | your input: the command, the configuration, a data file, a rule or a rubric |
| 130 | you stopped it |
"""


def markdown() -> str:
    """Return the whole page."""
    schema = Config.model_json_schema()
    parts = [_HEAD, "## Options\n", *_option_tables(), "## Keys\n", *_sections(schema, schema, "")]
    parts.append("## Keys of `algorithm`, by its kind\n")
    for kind in names():
        options = options_of(kind)
        parts.append(f"### `algorithm.kind={kind}`\n\n{_first_line(options.__doc__ or '')}\n")
        own = options.model_json_schema()
        nested = [
            row
            for name, each in own["properties"].items()
            for member in _members(each, own)
            if "properties" in member
            for row in _rows(member, own, f"algorithm.{name}.")
        ]
        parts.append(_table([*_rows(own, own, "algorithm."), *nested]))
    return "\n".join(parts)


def _option_tables() -> Iterator[str]:
    for group, options in groups(conf_dir()).items():
        yield f"### `{group}`\n"
        yield "\n".join(f"* `{group}={name}`: {_escaped(text)}" for name, text in options.items()) + "\n"


def _sections(node: Mapping[str, Any], root: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Yield a table for each section, the outer ones first."""
    rows = _rows(node, root, prefix)
    title = f"`{prefix.rstrip('.')}`" if prefix else "At the top"
    if "kind" in node["properties"] and prefix.count(".") == 1 and "const" in node["properties"]["kind"]:
        title += f", kind `{node['properties']['kind']['const']}`"
    if rows:
        yield f"### {title}\n\n{_first_line(node.get('description', ''))}\n\n{_table(rows)}"
    for name, each in node["properties"].items():
        for member in _members(each, root):
            if "properties" in member:
                yield from _sections(member, root, f"{prefix}{name}.")


def _rows(node: Mapping[str, Any], root: Mapping[str, Any], prefix: str) -> list[tuple[str, str, str]]:
    rows = []
    for name, each in node["properties"].items():
        members = _members(each, root)
        plain = [member for member in members if "properties" not in member]
        if any("properties" in member for member in members) and not [m for m in plain if m.get("type") != "null"]:
            continue
        rows.append(
            (f"{prefix}{name}", " or ".join(_type(member, root) for member in plain), each.get("description", ""))
        )
    return rows


def _members(each: Mapping[str, Any], root: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what a value may be, references followed."""
    found = []
    for member in each.get("anyOf") or each.get("oneOf") or [each]:
        reference = member.get("$ref", "").rsplit("/", 1)[-1]
        found.append(root["$defs"][reference] if reference else member)
    return found


def _type(node: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    if "const" in node or "enum" in node:
        return ", ".join(f"`{value}`" for value in node.get("enum", [node.get("const")]))
    kind = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "true or false",
        "null": "null",
        "object": "keys with values",
    }.get(node.get("type", ""), "")
    if node.get("type") == "array":
        if "prefixItems" in node:
            return f"list of {len(node['prefixItems'])} × {_type(node['prefixItems'][0], root)}"
        return f"list of {_type(node['items'], root)}"
    bounds = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    return " ".join([kind or "anything", *(f"{sign} {node[key]:g}" for key, sign in bounds.items() if key in node)])


def _table(rows: list[tuple[str, str, str]]) -> str:
    lines = [f"| `{key}` | {_escaped(kind)} | {_escaped(text)} |" for key, kind, text in rows]
    return "\n".join(["| key | type | meaning |", "| --- | --- | --- |", *lines, ""])


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _first_line(text: str) -> str:
    return text.strip().partition("\n\n")[0].replace("\n", " ")


FROM_FILES = "<!-- from the files: what follows is written by `make docs` -->"


def algorithms(page: str) -> str:
    """Return the page on algorithms with what the files themselves say of formulas, sources and edge cases."""
    parts = [page.partition(FROM_FILES)[0] + FROM_FILES, "## In the files' own words"]
    for kind in names():
        text = (PACKAGE / "algorithms" / f"{kind}.py").read_text(encoding="utf-8")
        docstring = ast.get_docstring(ast.parse(text)) or ""
        parts.append(f"### `algorithms/{kind}.py`\n\n```text\n{docstring}\n```")
    return "\n\n".join(parts) + "\n"


def write(folder: Path) -> None:
    """Write both pages, each whole or not at all."""
    page = folder / "algorithms.md"
    for path, text in ((folder / "configuration.md", markdown()), (page, algorithms(page.read_text(encoding="utf-8")))):
        write_text(path, text)


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
