"""Who may import whom, as a table that runs: the arrows between the folders point one way."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

import repo_exp

PACKAGE = Path(repo_exp.__file__).parent
BASE = {"types", "errors", "plain", "redaction", "bounds", "durable", "gguf_header"}  # every folder may import these
# folder or file -> what else of the project it imports; an entry that is not used is an error
LAYERS: dict[str, set[str]] = {
    "errors": set(),
    "types": set(),
    "plain": set(),
    "durable": set(),
    "gguf_header": set(),
    "stopping": set(),
    "redaction": set(),
    "bounds": set(),
    "core": set(),
    "language": set(),
    "config": {"algorithms", "domains", "rewards"},  # options of methods, domains, sources and combiners: see below
    "domains": {"language"},
    "rewards": {"language", "core"},
    "algorithms": {"core"},
    "models": set(),
    "rollout": {"domains", "models"},
    "training": {"stopping", "core", "config", "models", "rollout", "algorithms"},
    "evaluation": {"domains", "rollout"},
    "tracking": set(),
    "stages": {"core", "config", "domains", "rewards", "algorithms", "models", "rollout", "training", "evaluation",
               "tracking", "stopping"},
    "job": {"config", "stages"},
    "__main__": {"stopping", "config", "stages", "job"},
    "__init__": set(),
}  # fmt: skip
# what a module of BASE imports of BASE: the others import nothing of the project
BASE_IMPORTS = {"durable": {"errors"}}
# library -> the folders that import it; an entry that is not used is an error
LIBRARIES = {
    "filelock": {"stages"},
    "gguf": {"models"},
    "huggingface_hub": {"config", "models"},
    "hydra": {"config", "job", "__main__"},
    "jinja2": {"evaluation"},
    "lightning": {"training"},
    "markupsafe": {"evaluation"},
    "matplotlib": {"evaluation"},
    "numpy": {"core", "evaluation"},
    "omegaconf": {"config", "job"},
    "openai": {"rewards"},
    "peft": {"models"},
    "psutil": {"stages"},
    "pyarrow": {"domains"},
    "pydantic": {"algorithms", "config", "domains", "rewards", "stages"},
    "regex": {"rewards"},
    "rich": {"training", "stages"},
    "safetensors": {"models"},
    "scipy": {"evaluation"},
    "tokenizers": {"models"},
    "torch": {"core", "algorithms", "models", "rollout", "training", "stages"},
    "transformers": {"models", "stages"},
    "wandb": {"tracking"},
    "yaml": {"bounds", "config", "evaluation", "rewards", "stages"},
}
TORCH_FREE = (
    "errors", "types", "plain", "durable", "stopping", "redaction", "bounds", "gguf_header", "language", "domains",
    "rewards", "config",
)  # fmt: skip
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@cache
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
    assert {layer(path) for path in FILES} == set(LAYERS)


def test_the_table_has_no_circle():
    order: list[str] = []
    while len(order) < len(LAYERS):
        ready = [name for name, allowed in LAYERS.items() if name not in order and allowed <= set(order)]
        assert ready, f"a circle among {sorted(set(LAYERS) - set(order))}"
        order += ready


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_a_folder_imports_exactly_what_its_row_lists(name):
    found: dict[str, str] = {}
    for path in FILES:
        for module, _, line in imports(path):
            if layer(path) == name and module.startswith("repo_exp."):
                found[module.split(".")[1]] = f"{path.relative_to(PACKAGE)}:{line}"
    base = BASE_IMPORTS.get(name, set()) if name in BASE else BASE
    extra = {other: where for other, where in found.items() if other not in LAYERS[name] | base | {name}}
    assert not extra, f"{name} imports what its row does not list: {extra}"
    unused = LAYERS[name] - set(found)
    assert not unused, f"remove from the row of {name}, nothing imports it: {sorted(unused)}"


def test_every_base_module_serves_several_folders():
    users = {name: {layer(path) for path in FILES for module, _, _ in imports(path) if module == f"repo_exp.{name}"}
             for name in BASE}  # fmt: skip
    assert not [name for name in BASE if len(users[name]) < 2]


def test_a_library_is_imported_exactly_where_its_row_says():
    found: dict[str, set[str]] = {}
    for path in FILES:
        for module, _, _ in imports(path):
            library = module.split(".")[0]
            if library != "repo_exp" and library not in sys.stdlib_module_names:
                found.setdefault(library, set()).add(layer(path))
    assert found == LIBRARIES


def test_below_the_stages_nothing_takes_the_whole_configuration():
    """Sections and values are passed on, so that a stage reads what it declares and its address holds."""
    takers = {
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and node.module == "repo_exp.config.schema"
        and "Config" in {alias.name for alias in node.names}
    }
    assert {name for name in takers if not name.startswith(("config/", "stages/"))} == {"job.py"}


READS_THE_CONFIG = {"wanted", "inputs", "parents", "before", "inputs_of", "readers", "algorithm_of"}
"""Functions of a file with a stage that read the configuration: they say what is addressed."""


def test_a_stage_reads_the_configuration_where_it_declares_its_inputs_and_nowhere_else():
    wrong = []
    for path in (path for path in FILES if layer(path) == "stages"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        bases = [base for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases]
        has_stage = any(ast.unparse(base).startswith("Stage[") for base in bases)
        for function in functions:
            taken = {ast.unparse(each.annotation) for each in [*function.args.args, *function.args.kwonlyargs]
                     if each.annotation}  # fmt: skip
            if "Config" not in taken:
                continue
            in_a_run = "RunContext" in taken and path.name not in ("pipeline.py", "report.py", "profile.py")
            if in_a_run or (has_stage and function.name not in READS_THE_CONFIG):
                wrong.append(f"{path.relative_to(PACKAGE)}:{function.lineno} {function.name}")
    assert not wrong
    assert "Config" not in (PACKAGE / "stages" / "run_context.py").read_text(encoding="utf-8")


def test_the_configuration_knows_of_algorithms_their_options_alone():
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line} imports {module}"
        for path in FILES
        if layer(path) == "config"
        for module, _, line in imports(path)
        if module.startswith("repo_exp.algorithms")
        and not module.startswith(("repo_exp.algorithms.options", "repo_exp.algorithms.registry"))
    ]
    assert not wrong


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

    options = ("repo_exp.algorithms.options", "repo_exp.algorithms.registry")
    light = [name for name, path in modules.items() if layer(path) in TORCH_FREE or name.startswith(options)]
    heavy = [name for name in light if reaches_torch(name)]
    assert not heavy


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_says_its_idea_and_is_not_too_long(path):
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "the file begins with no docstring"
    assert len(text.splitlines()) <= 400
