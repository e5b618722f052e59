"""The text of ``--help``, made from the files in ``conf/``, so that a new file is listed automatically."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from repo_exp.config.places import conf_dir
from repo_exp.config.schema import Config

COMMANDS = {
    "python -m repo_exp": "the default experiment, on a laptop, with no network",
    "python -m repo_exp experiment=smoke": "the whole pipeline in under a minute",
    "python -m repo_exp reward=rm+rj+rf model=qwen3_32b": "all three reward sources, with a large model",
    "python -m repo_exp -m reward=rm+rj+rf,rm+rj,rm+rf,rm": "a sweep: without the judge, the rules, both",
    "python -m repo_exp -m reward.n=25,50,100,200 seed=0,1,2": "a sweep over a value and seeds",
    "python -m repo_exp task=check ...": "check the configuration and run nothing",
    "python -m repo_exp ... --cfg job": "print the configuration",
}
NO_GROUPS = ("hydra", "rules", "rubric")


def options(group: Path) -> dict[str, str]:
    """Return the options of a group's folder, each with the first line of its comment."""
    files = sorted(path for path in group.iterdir() if path.suffix == ".yaml" and not path.name.startswith("_"))
    return {path.stem: first_comment(path) for path in files}


def groups(folder: Path) -> dict[str, dict[str, str]]:
    """Return all groups of a configuration folder, with their options."""
    found = {
        path.name: options(path) for path in sorted(folder.iterdir()) if path.is_dir() and path.name not in NO_GROUPS
    }
    return {name: each for name, each in found.items() if each}


def defaults(folder: Path) -> dict[str, str | None]:
    """Return the default option of each group."""
    content = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    return {
        group: option for entry in content["defaults"] if isinstance(entry, dict) for group, option in entry.items()
    }


def first_comment(path: Path) -> str:
    """Return the first line of comment, but for Hydra's ``@package``."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            break
        text = line.lstrip("#").strip()
        if text and not text.startswith("@package"):
            return text
    return ""


def help_text(folder: Path | None = None) -> str:
    """Return the help."""
    folder = folder or conf_dir()
    chosen, found = defaults(folder), groups(folder)
    experiments = found.pop("experiment", {})
    width = max((len(name) for each in (*found.values(), experiments) for name in each), default=0)
    lines = ["repo_exp post-trains a language model on a reward model, a judge and rules (REPO).", "", "Commands"]
    lines += table(COMMANDS)
    lines += ["", "Options: GROUP=OPTION chooses one; * marks the default"]
    for group, each in found.items():
        lines += [f"  {group}", *table(each, width=width, default=chosen.get(group), indent="  ")]
    lines += ["", "Experiments: experiment=NAME", *table(experiments, width=width, indent="  ")]
    for kind, key in (("rules", "domain.rules"), ("rubric", "domain.rubric")):
        shelf = folder / kind
        names = sorted(path.name for path in shelf.iterdir() if path.is_dir()) if shelf.is_dir() else []
        if names:
            lines += [
                "",
                f"{kind.capitalize()}: {key}=NAME, or a path to a folder of your own",
                f"    {', '.join(names)}",
            ]
    return "\n".join(
        [
            *lines,
            "",
            "Keys: KEY=VALUE sets one. --help SECTION, --help GROUP=OPTION and --help KEY list them with their values,",
            "types and meaning (--help algorithm=grpo, --help reward.n). Sections:",
            f"    {', '.join(Config.model_fields)}",
            "Sweeps: -m, and values separated by commas. Every problem of a command is reported before it starts.",
            'Hydra: --cfg job, --info defaults, --hydra-help; eval "$(repo-exp -sc install=bash)" completes names.',
            f"The files are in {folder}; REPO_EXP_CONF names another folder.",
        ]
    )


def table(rows: Mapping[str, str], *, width: int = 0, default: str | None = None, indent: str = "") -> list[str]:
    """Return a line for each name with its text; ``default`` has a star."""
    width = width or max(map(len, rows), default=0)
    return [
        f"{indent}{'*' if name == default else ' '} {name:<{width}}  {text}".rstrip() for name, text in rows.items()
    ]
