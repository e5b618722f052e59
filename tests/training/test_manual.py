"""The algorithm that the manual writes is run as it stands there: ``docs/extending.md``, "A new algorithm"."""

import re
import sys
from pathlib import Path
from types import ModuleType

import yaml

from tests.training import toy

EXTENDING = Path(__file__).parents[2] / "docs" / "extending.md"


def blocks() -> dict[str, str]:
    """Return the files that the section writes, by their paths."""
    section = EXTENDING.read_text(encoding="utf-8").partition("\n## A new algorithm\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"`([\w/]+\.\w+)`[^\n]*:\n\n```\w+\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))


def test_the_manuals_algorithm_learns(online, monkeypatch) -> None:
    files, modules = blocks(), {}
    for path in ("repo_exp/algorithms/options/reinforce.py", "repo_exp/algorithms/reinforce.py"):
        name = path.removesuffix(".py").replace("/", ".")
        modules[path] = module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(files[path], path, "exec"), module.__dict__)
    options, algorithm = modules.values()
    monkeypatch.setattr(toy, "find", lambda kind: algorithm)
    monkeypatch.setattr(toy, "options_of", lambda kind: options.Options)
    values = yaml.safe_load(files["conf/algorithm/reinforce.yaml"])["algorithm"]
    monkeypatch.setitem(toy.OPTIONS, "reinforce", values)
    module = online(kind="reinforce", updates=24, rollouts=24)
    totals = [row["reward/total"] for row in module.history]
    assert sum(totals[-4:]) / 4 > sum(totals[:4]) / 4 + 0.05
