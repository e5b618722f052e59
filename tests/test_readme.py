"""What the manual says of the program is true, and what it says in two places is the same."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from repo_exp.config.entrance import inspect
from tests.test_layers import BASE, LAYERS

ROOT = Path(__file__).parents[1]
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/usage.md", "docs/paper.md")}
COMMANDS = sorted(
    {command for page in PAGES.values() for command in re.findall(r"python -m repo_exp((?: [^`\n|]+)?)(?=`|\n)", page)}
)


def test_the_readme_is_short() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 200


def test_the_list_of_files_is_up_to_date() -> None:
    """Where this fails: ``make docs``, or ``python docs/tree.py``."""
    spec = importlib.util.spec_from_file_location("tree", ROOT / "docs" / "tree.py")
    tree = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tree)
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert tree.filled(page) == page
    files = [path for path in (ROOT / "repo_exp").rglob("*.py") if path.name != "__init__.py"]
    assert all(f"(../{path.relative_to(ROOT).as_posix()})" in page for path in files)


def test_architecture_shows_the_table_of_imports_as_it_is() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(\w+)` \| [^|]+ \| ([^|]*)\|$", page.split("## Imports")[1].split("\n## ")[0], re.MULTILINE
    )
    shown = {name: set(re.findall(r"`(\w+)`", imported)) for name, imported in rows}
    assert shown == {name: allowed for name, allowed in LAYERS.items() if name in shown}
    assert set(LAYERS) - set(shown) <= BASE | {"stopping", "__init__"}


def test_the_files_that_architecture_names_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/]+\.py)`", page))
    assert len(named) > 20
    assert not [name for name in named if not (ROOT / name).exists() and not (ROOT / "repo_exp" / name).exists()]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_manual_names_only_options_and_keys_that_exist(command: str) -> None:
    arguments = shlex.split(command.partition(" #")[0])
    if "--help" not in arguments and "reward.m=50" not in arguments:  # the second shows what an error looks like
        inspect([*arguments, *([] if "--cfg" in arguments else ["--cfg", "job"])])


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_a_link_between_pages_leads_to_a_file_and_a_heading(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, heading = target.partition("#")
        if "://" in target:
            continue
        file = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        if not file.exists() or (heading and heading not in headings(file)):
            wrong.append(target)
    assert not wrong


def headings(file: Path) -> set[str]:
    """Return the anchors of a page as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_what_a_method_measured_is_what_the_leaderboard_says() -> None:
    board, page = ((ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("leaderboard", "algorithms"))
    rows = [line.strip("| ").split(" | ") for line in board.splitlines() if re.match(r"\| \w+ \| 0 \|", line)]
    assert len(rows) == 24
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## )", page, flags=re.MULTILINE | re.DOTALL))
    for method, _, total, _, _, _, violations, _, _, seconds, _ in rows:
        said = re.search(
            r"^Measured: total (\S+), (.+?) of responses break a rule(?:, (\d+) s)?", sections[method], re.M
        )
        assert said, method
        assert said.groups("–") == (total.split(" [")[0], violations.split(" [")[0], seconds), method
