"""Where the configuration files are: in a checkout, in an installed wheel, or in a folder that the user names."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from repo_exp.errors import ConfigError, Problem

PACKAGE = Path(__file__).resolve().parents[1]
PATHS = ("store", "data.path", "model.folder", "domain.rules", "domain.rubric")
"""The keys that hold a path. ``check.py`` replaces a leading ``~`` by the home folder."""


def expanded(text: str) -> Path:
    """Return a path with a leading ~ replaced by the home folder, if there is such a user."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def cannot_create(folder: Path) -> str:
    """Return why a folder cannot be created or written into; "" where it can. Leaves no file behind."""
    there = next((each for each in (folder, *folder.absolute().parents) if os.path.lexists(each)), folder)
    if not there.is_dir():
        return f"{there} is not a folder"
    if any(len(os.fsencode(part)) > 255 for part in folder.parts):
        return "a name in it has more than 255 bytes"
    try:
        os.rmdir(tempfile.mkdtemp(dir=there, prefix=".trial-"))
    except OSError as error:
        return f"{there} cannot be written to ({(error.strerror or 'unknown reason').lower()})"
    return ""


def with_home(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command with a leading ``~`` of values and folders replaced by the home folder.

    A shell replaces it at the beginning of a word and not behind ``=``, and Hydra cannot read ``~`` without quotes.
    """
    return [
        _expanded_value(text) if "=" in text else str(expanded(text)) if f"{text}/".startswith("~/") else text
        for text in arguments
    ]


def _expanded_value(text: str) -> str:
    if "'" in text or '"' in text:
        return text  # quoted: Hydra reads it, and ``check.py`` replaces it
    key, _, value = text.partition("=")
    found = re.sub(r"(?<![^,\[])~[\w.-]*(?=[/,\]]|$)", lambda match: str(expanded(match[0])), value)
    plain = found == value or key.startswith("-") or re.fullmatch(r"[\w/.+-]*", str(expanded("~")))
    return f"{key}={found}" if plain else f"{key}='{found}'"


def conf_dir() -> Path:
    """Return the folder that holds ``config.yaml`` and the groups.

    The environment variable REPO_EXP_CONF wins; then the checkout's ``conf/``; then the copy in the wheel.

    Raises:
        ConfigError: if there is no ``config.yaml`` there.
    """
    wish = os.environ.get("REPO_EXP_CONF")
    checkout = PACKAGE.parent
    if wish:
        folder = expanded(wish).resolve()
    elif (checkout / "pyproject.toml").is_file() and (checkout / "conf" / "config.yaml").is_file():
        folder = checkout / "conf"
    else:
        folder = PACKAGE / "conf"
    if not (folder / "config.yaml").is_file():
        where = "REPO_EXP_CONF" if wish else "conf"
        remedy = "set it to the folder that has config.yaml" if wish else "install the package again"
        raise ConfigError("There is no configuration.", [Problem(where, f"no config.yaml in {folder}", remedy)])
    return folder


def named_folder(kind: str, name: str) -> Path:
    """Return the folder of rules or of a rubric: a name in ``conf/<kind>/``, or else a path.

    The folder may not exist; ``reward_combinations.py`` reports that.
    """
    inside = conf_dir() / kind / name
    return inside if inside.is_dir() else Path(name)


def rules_folder(name: str) -> Path:
    """Return the folder of ``domain.rules``."""
    return named_folder("rules", name)


def rubric_folder(name: str) -> Path:
    """Return the folder of ``domain.rubric``."""
    return named_folder("rubric", name)


def stems(folder: Path, suffix: str = ".yaml") -> list[str]:
    """Return the names of a folder's files with this suffix, without it, sorted."""
    if not folder.is_dir():
        return []
    return sorted(path.stem for path in folder.iterdir() if path.suffix == suffix and not path.name.startswith("_"))
