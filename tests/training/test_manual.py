"""The algorithm that the manual writes is run as it stands there: ``docs/extending.md``, "A new algorithm"."""

import re
import sys
from pathlib import Path
from types import ModuleType

import yaml

from tests.training import toy

EXTENDING = Path(__file__).parents[2] / "docs" / "extending.md"


def block(language: str) -> str:
    """Return the first code block in a language below the heading."""
    _, _, below = EXTENDING.read_text(encoding="utf-8").partition("\n## A new algorithm\n")
    return re.search(rf"^```{language}\n(.*?)^```$", below, re.MULTILINE | re.DOTALL)[1]


def test_the_manuals_algorithm_learns(online, monkeypatch) -> None:
    module = ModuleType("reinforce")
    monkeypatch.setitem(sys.modules, "reinforce", module)
    exec(compile(block("python"), "docs/extending.md", "exec"), module.__dict__)
    monkeypatch.setattr(toy, "find", lambda kind: module)
    monkeypatch.setitem(toy.OPTIONS, "reinforce", yaml.safe_load(block("yaml"))["algorithm"])
    learner = online(kind="reinforce", updates=24, rollouts=24)
    totals = [row["reward/total"] for row in learner.history]
    assert sum(totals[-4:]) / 4 > sum(totals[:4]) / 4 + 0.05
