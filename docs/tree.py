"""Writes the list of files into docs/architecture.md: every file with the first sentence of its docstring.

python docs/tree.py
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
START, END = "<!-- files: start, written by `make docs` -->", "<!-- files: end -->"


def idea(source: str) -> str:
    """Return the first sentence of a file's docstring, on one line."""
    text = ast.get_docstring(ast.parse(source)) or ""
    sentence = re.split(r"(?<=[.;])\s|\n\s*\n", text, maxsplit=1)[0]
    return " ".join(sentence.split()).rstrip(".;:").replace("|", "\\|")


def listed(package: Path) -> str:
    """Return a table for each folder of the package: file and idea."""
    files = [path for path in sorted(package.rglob("*.py")) if "__pycache__" not in path.parts]
    folders: dict[str, list[Path]] = {}
    for path in files:
        parts = path.relative_to(package).parts
        folders.setdefault(parts[0] if len(parts) > 1 else "", []).append(path)
    tables = []
    for folder, inside in folders.items():
        rows = [
            f"| [{name}](../{path.relative_to(package.parent).as_posix()}) | {idea(path.read_text(encoding='utf-8'))} |"
            for path in inside
            if (name := path.relative_to(package / folder).as_posix()) != "__init__.py"
        ]
        package_idea = package / folder / "__init__.py"
        title = f"### {folder or package.name}/\n\n{idea(package_idea.read_text(encoding='utf-8'))}.\n"
        tables.append("\n".join([title, "| file | what it holds |", "| --- | --- |", *rows, ""]))
    return "\n".join(tables)


def filled(page: str, package: Path = ROOT / "repo_exp") -> str:
    """Return the page with the tables between its marks."""
    before, rest = page.split(START)
    return f"{before}{START}\n\n{listed(package)}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
