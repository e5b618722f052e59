"""What the manual says of the tree is true, and what it says in two places is the same."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_tree_names_every_file_of_the_package_in_at_most_six_words() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tree = page.split("## What is where")[1].split("\n## ")[0]
    told = dict(re.findall(r"^ {4,}(\S+) {2,}(\S.*)$", tree, flags=re.MULTILINE))
    assert not [name for name, words in told.items() if len(words.split()) > 6]
    known = {name.rpartition("/")[2] for name in told}
    files = [p for p in (ROOT / "repo_exp").rglob("*.py") if "__pycache__" not in p.parts]
    assert not sorted(str(p.relative_to(ROOT)) for p in files if p.name not in known)


def test_what_a_method_measured_is_what_the_leaderboard_says() -> None:
    board, page = ((ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("leaderboard", "algorithms"))
    rows = [line.strip("| ").split(" | ") for line in board.splitlines() if re.match(r"\| \w+ \| 0 \|", line)]
    assert len(rows) == 24
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## )", page, flags=re.MULTILINE | re.DOTALL))
    for method, _, total, _, _, _, violations, _, _, seconds, _ in rows:
        said = re.search(r"^Measured: total (\S+), (.+?) of replies break a rule(?:, (\d+) s)?", sections[method], re.M)
        assert said, method
        assert said.groups("–") == (total.split(" [")[0], violations.split(" [")[0], seconds), method
