"""The pages of the manual that are generated: ``python -m repo_exp.config.reference [docs]``.

``configuration.md`` is written from the schema and from ``conf/``, the end of ``algorithms.md`` from the docstrings of
the algorithms' files.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from repo_exp.algorithms.registry import names
from repo_exp.config.help import groups
from repo_exp.config.keys import Section, sections
from repo_exp.config.places import PACKAGE, conf_dir
from repo_exp.durable import write_text

_HEAD = """# Configuration

<!-- Written by `make docs` from repo_exp/config/schema.py and conf/; a test says if it is out of date. -->

A command is a choice of options and some values: `python -m repo_exp model=tiny reward.n=50`. Types live in Python,
values in `conf/`; this page lists the types. `python -m repo_exp --cfg job` prints the values, `--help` the options,
`--help reward` or `--help algorithm=grpo` the keys of a section with types and values.

* `GROUP=OPTION` takes a file of `conf/GROUP/`. `~GROUP` leaves a group out.
* `KEY=VALUE` sets a value: `reward.n=50`, `reward.drop_rules=[too_long]`, `reward.rule_points.too_long=-40`.
* `-m KEY=A,B` runs one job for each value; files of `conf/experiment/` with `hydra.sweeper.params` do so without `-m`.
* A new YAML file in a folder of `conf/` is a new option. Its first line of comment is its line in `--help`.
* `REPO_EXP_CONF=FOLDER` takes another folder than `conf/`; `--config-dir FOLDER` adds one.

A command that cannot run reports all its problems before anything is loaded: keys and options that do not exist, with
the nearest that does; missing values; wrong types; impossible combinations; rules and rubric items that fail their own
examples. `task=check` does only that. In a sweep up to 16 combinations are checked, and up to 400 further values.

| exit code | meaning |
| --- | --- |
| 0 | success |
| 1 | a failure while running |
| 2 | the input cannot run: command, configuration, data file, rule or rubric |
| 130 | you stopped it |
"""


def markdown() -> str:
    """Return the whole page."""
    tables = (f"### {_title(section)}\n\n{section.meaning}\n\n{_table(section)}" for section in sections())
    return "\n".join([_HEAD, "## Options\n", *_option_tables(), "## Keys\n", *tables])


def _title(section: Section) -> str:
    title = f"`{section.path}`" if section.path else "At the top"
    when = ", ".join(f"`{key}={value}`" for key, value in section.when.items())
    return f"{title} with {when}" if when else title


def _table(section: Section) -> str:
    rows = [f"| `{key.path}` | {_escaped(key.kind)} | {_escaped(key.meaning)} |" for key in section.keys]
    return "\n".join(["| key | type | meaning |", "| --- | --- | --- |", *rows, ""])


def _option_tables() -> Iterator[str]:
    for group, options in groups(conf_dir()).items():
        yield f"### `{group}`\n"
        yield "\n".join(f"* `{group}={name}`: {_escaped(text)}" for name, text in options.items()) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


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
