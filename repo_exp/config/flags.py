"""The command line as Hydra reads it: its flags, and everything else.

Hydra's own parser is not part of its interface. ``tests/config/test_flags.py`` holds this one against ``--hydra-help``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from repo_exp.errors import ConfigError, Problem

_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


def command_line(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return Hydra's flags, which may stand anywhere, with the overrides; and the flags that Hydra does not have.

    Raises:
        ConfigError: a flag of Hydra has no value, or one that is not valid.
    """
    return _parser().parse_known_intermixed_args(list(arguments))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError("The command cannot be read.", [Problem("flags", message, "--hydra-help lists the flags")])


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(add_help=False)
    parser.add_argument("overrides", nargs="*")
    for names in (
        ("--help", "-h"),
        ("--hydra-help",),
        ("--version",),
        ("--resolve",),
        ("--run", "-r"),
        ("--multirun", "-m"),
        ("--shell-completion", "-sc"),
    ):
        parser.add_argument(*names, action="store_true")
    for names in (
        ("--package", "-p"),
        ("--config-path", "-cp"),
        ("--config-name", "-cn"),
        ("--config-dir", "-cd"),
        ("--experimental-rerun",),
    ):
        parser.add_argument(*names)
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=_INFO)
    return parser
