"""Secrets in the command line or in a configuration file: refused, and never repeated in a message.

Hydra writes overrides and configuration into the run folder, so a secret is refused before Hydra starts. It belongs in
an environment variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from repo_exp.config.wording import KeyPath
from repo_exp.errors import Problem
from repo_exp.redaction import holds_secret, is_secret_name, looks_like_key, masked

REMEDY = (
    "the run folder would keep it: put the key into an environment variable, and set judge.api_key_env to the name of "
    "the variable (W&B reads WANDB_API_KEY, the Hub HF_TOKEN)"
)
_VARIABLE = re.compile(r"['\"]?[A-Za-z_]\w*['\"]?")
# numbers, lists and sweeps of them, truth values: max_tokens=64, key_value_heads=choice(1,2)
_NO_SECRET = re.compile(
    r"[\[\](),.\d\s]*|null|true|false|\?\?\?|\$\{[^}]*\}|(?:range|choice|interval)\([\d.,\s]*\)", re.IGNORECASE
)


def secrets_in_arguments(arguments: Sequence[str]) -> list[Problem]:
    """Return a problem for every argument of a command line that has a secret."""
    problems = []
    for place, argument in enumerate(arguments, start=1):
        name, _, value = argument.partition("=")
        if name.startswith("--") and not value and place < len(arguments):  # --api-key KEY
            value = arguments[place]
        if holds_secret(argument) or _is_secret(name.rsplit(".", 1)[-1], value):
            where = masked(name) if "=" in argument and not holds_secret(name) else f"argument {place}"
            problems.append(_problem(where))
    return problems


def secrets_in(content: Any, path: KeyPath = ()) -> list[Problem]:
    """Return a problem for every text in a configuration that looks like a secret."""
    return [_problem(".".join(map(str, where))) for where in _found(content, path)]


def _found(content: Any, path: KeyPath) -> Iterator[KeyPath]:
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from _found(value, (*path, key))
    elif isinstance(content, list | tuple):
        for index, value in enumerate(content):
            yield from _found(value, (*path, index))
    elif isinstance(content, str) and path:
        names = [str(part) for part in path]
        # elsewhere a name proves nothing: a rule may be called leaked_key
        inside = names[:3] == ["hydra", "job", "env_set"] and _is_secret(names[-1], content)
        if holds_secret(content) or inside or (names[-1] == "api_key_env" and _is_secret(names[-1], content)):
            yield path


def _is_secret(name: str, value: str) -> bool:
    if not value or not is_secret_name(name) or _NO_SECRET.fullmatch(value):
        return False
    if name.lower().endswith("_env"):
        return any(looks_like_key(each.strip("'\" ")) for each in value.split(",") if _VARIABLE.fullmatch(each.strip()))
    return True


def _problem(where: str) -> Problem:
    return Problem(where, "the value looks like a secret (it is not shown)", REMEDY)
