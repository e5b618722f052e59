"""The folder says what it has, and everything that it has is used."""

import ast
import re
from pathlib import Path

import repo_exp
from repo_exp import core

PACKAGE = Path(repo_exp.__file__).parent
FOLDER = PACKAGE / "core"


def public(path: Path) -> set[str]:
    """Return the public functions of a file."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}


def listed() -> set[str]:
    """Return the functions that the folder's docstring names, as file.function."""
    found, file = set(), ""
    for name, function in re.findall(r"(?<![\w.])(\w*)\.(\w+)", core.__doc__):
        file = name or file
        found.add(f"{file}.{function}")
    return found


def imported() -> set[str]:
    """Return what the rest of the package imports from files of the folder, as file.function."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if path.parent != FOLDER else ():
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("repo_exp.core."):
                found |= {f"{node.module.rpartition('.')[2]}.{alias.name}" for alias in node.names}
    return found


def test_the_folder_names_the_functions_that_others_import() -> None:
    functions = {f"{path.stem}.{name}" for path in FOLDER.glob("*.py") for name in public(path)}
    assert listed() <= functions
    assert imported() & functions - {"masks.same_shape"} <= listed()


def test_every_function_has_a_caller_in_the_program() -> None:
    """Formulas that only tests run are not kept."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py")))
    text = re.sub(r'"""[\s\S]*?"""', "", text)
    idle = [
        f"{path.stem}.{name}"
        for path in FOLDER.glob("*.py")
        for name in public(path)
        if len(re.findall(rf"\b{name}\b", text)) < 2
    ]
    assert not idle
