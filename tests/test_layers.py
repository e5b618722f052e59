"""Who may import whom, as a table that runs: the arrows between the folders point one way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import repo_exp

PACKAGE = Path(repo_exp.__file__).parent
CONTRACT = {"types", "errors", "plain", "redaction", "bounds", "durable"}
# folder or file -> what else of the project it may know
LAYERS: dict[str, set[str]] = {
    "errors": set(),
    "types": set(),
    "plain": set(),
    "durable": {"errors"},
    "stopping": set(),
    "redaction": set(),
    "bounds": set(),
    "core": {"errors"},
    "language": CONTRACT,
    "config": {"errors", "durable", "redaction", "bounds", "algorithms"},  # the algorithm's registry, inside functions
    "domains": {*CONTRACT, "language"},
    "rewards": {*CONTRACT, "language", "core"},
    "algorithms": {*CONTRACT, "core"},
    "models": {*CONTRACT, "core", "config"},
    "rollout": {*CONTRACT, "core", "config", "models"},
    "learner": {*CONTRACT, "stopping", "core", "config", "models", "rollout", "rewards", "algorithms"},
    "evaluation": {*CONTRACT, "core"},
    "tracking": {*CONTRACT, "core"},
    "stages": {*CONTRACT, "core", "config", "language", "domains", "rewards", "algorithms", "models", "rollout",
               "learner", "evaluation", "tracking", "stopping"},
    "job": {*CONTRACT, "config", "domains", "rewards", "stages"},
    "__main__": {"errors", "durable", "stopping", "config", "job"},
    "__init__": set(),
}  # fmt: skip
# library -> the folders that may import it
LIBRARIES = {
    "torch": {"core", "algorithms", "models", "rollout", "learner", "stages"},
    "transformers": {"models", "rollout", "stages"},
    "peft": {"models"},
    "lightning": {"learner", "stages"},
    "wandb": {"tracking"},
    "hydra": {"config", "job", "__main__"},
    "omegaconf": {"config", "job"},
    "matplotlib": {"evaluation"},
    "openai": {"rewards"},
}
TORCH_FREE = (
    "errors", "types", "plain", "durable", "stopping", "redaction", "bounds", "language", "domains", "rewards", "config"
)  # fmt: skip
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> list[tuple[str, bool, int]]:
    """Return (module, at the top of the file, line) of each import that runs; type checking is none."""
    found: list[tuple[str, bool, int]] = []

    def visit(node: ast.AST, top: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, top, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            # "from repo_exp import job" imports repo_exp.job
            names = [alias.name for alias in node.names] if node.module == "repo_exp" else []
            found.extend((f"repo_exp.{name}", top, node.lineno) for name in names)
            found.append((node.module, top, node.lineno))
        inside = top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(path.read_text(encoding="utf-8")), True)
    return found


def test_every_folder_has_its_row():
    assert {layer(path) for path in FILES} <= set(LAYERS)


def test_the_table_has_no_circle():
    order: list[str] = []
    known = {name: allowed - {"algorithms"} if name == "config" else allowed for name, allowed in LAYERS.items()}
    while len(order) < len(known):
        ready = [name for name, allowed in known.items() if name not in order and allowed <= set(order)]
        assert ready, f"a circle among {sorted(set(known) - set(order))}"
        order += ready


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_a_folder_knows_only_the_folders_of_its_row(name):
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line} imports {module}"
        for path in FILES
        if layer(path) == name
        for module, _, line in imports(path)
        if module.startswith("repo_exp.") and module.split(".")[1] not in LAYERS[name] | {name}
    ]
    assert not wrong


@pytest.mark.parametrize("library", sorted(LIBRARIES))
def test_a_library_is_imported_only_where_it_belongs(library):
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in FILES
        if layer(path) not in LIBRARIES[library]
        for module, _, line in imports(path)
        if module.split(".")[0] == library
    ]
    assert not wrong


def test_the_configuration_asks_for_algorithms_only_when_they_are_needed():
    top = [path for path in FILES if layer(path) == "config"
           for module, at_top, _ in imports(path) if at_top and module.startswith("repo_exp.algorithms")]  # fmt: skip
    assert not top


def test_what_is_said_to_need_no_torch_imports_none_through_others():
    """Follow the imports at the top of the files, through the project, to torch."""
    modules = {".".join(("repo_exp", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
               for path in FILES}  # fmt: skip
    reached: dict[str, bool] = {}

    def reaches_torch(name: str) -> bool:
        if name not in reached:
            reached[name] = False  # in a circle the others decide
            tops = [module for module, top, _ in imports(modules[name]) if top]
            packages = [name.rsplit(".", 1)[0]] if "." in name else []
            reached[name] = any(module.split(".")[0] == "torch" for module in tops) or any(
                reaches_torch(module) for module in [*tops, *packages] if module in modules
            )
        return reached[name]

    heavy = [name for name, path in modules.items() if layer(path) in TORCH_FREE and reaches_torch(name)]
    assert not heavy


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_says_its_idea_and_is_not_too_long(path):
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "the file begins with no docstring"
    assert len(text.splitlines()) <= 400
