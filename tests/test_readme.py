"""What the README says of the tree is true."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_tree_names_every_file_of_the_package_in_at_most_six_words() -> None:
    tree = (ROOT / "README.md").read_text(encoding="utf-8").split("## What is where")[1].split("\n## ")[0]
    told = dict(re.findall(r"^ {4,}(\S+) {2,}(\S.*)$", tree, flags=re.MULTILINE))
    assert not [name for name, words in told.items() if len(words.split()) > 6]
    known = {name.rpartition("/")[2] for name in told}
    files = [p for p in (ROOT / "repo_exp").rglob("*.py") if "__pycache__" not in p.parts]
    assert not sorted(str(p.relative_to(ROOT)) for p in files if p.name not in known)
