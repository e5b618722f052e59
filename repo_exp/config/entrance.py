"""The command line, checked as a whole before Hydra runs: every problem in one report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from repo_exp.bounds import unreasonable
from repo_exp.config import sweeps
from repo_exp.config.check import Check, refusal
from repo_exp.config.compose import Composer
from repo_exp.config.flags import command_line
from repo_exp.config.inspection import inspect_overrides
from repo_exp.config.overrides import for_hydra
from repo_exp.config.places import with_home
from repo_exp.config.reading import flag_as_override, split_at_blanks
from repo_exp.config.schema import Config
from repo_exp.config.secrecy import secrets_in_arguments
from repo_exp.errors import Problem


@dataclass(frozen=True)
class Command:
    """A command line that can run.

    Attributes:
        arguments: as Hydra wants them.
        jobs: how many it starts; 0 where only Hydra knows.
        checked: how many of their configurations were composed and checked.
        first: the first job's configuration.
        only_checks: it asks for this check and nothing else.
    """

    arguments: list[str]
    jobs: int = 0
    checked: int = 0
    first: Config | None = None
    only_checks: bool = False


def inspect(arguments: Sequence[str], *, checks: Iterable[Check] = ()) -> Command:
    """Check a command line.

    With ``--cfg`` and ``--info``, which print a configuration, only names are checked. Hydra's other services are left
    to Hydra.

    Raises:
        ConfigError: with all problems.
    """
    if secret := secrets_in_arguments(arguments):  # before anything prints them or writes them down
        raise refusal(secret)
    arguments = with_home(arguments)
    args, unknown = command_line(arguments)
    if args.hydra_help or args.version or args.shell_completion or args.experimental_rerun is not None:
        return Command(list(arguments))
    loose, flags = _split_flags(arguments, args.overrides, unknown)
    texts, problems = split_at_blanks(loose)
    overrides = [each for text in texts for each in for_hydra(text)]
    # Hydra needs the overrides side by side; here flags may stand between them.
    spelt = [*overrides, *(text for text in arguments if text not in args.overrides)]
    if args.config_path and not Path(args.config_path).is_absolute():
        return Command(spelt)  # only Hydra knows what it is relative to; the job checks its own configuration
    for flag, folder in (("--config-dir", args.config_dir), ("--config-path", args.config_path)):
        if folder and not Path(folder).is_dir():
            problem = Problem(flag, f"there is no such folder: {Path(folder).absolute()}", f"{flag} FOLDER")
            raise refusal([*problems, problem])
    if wrong := _unreasonable_files(args.config_dir, args.config_path):
        raise refusal(wrong)
    composer = Composer.create(args.config_path, extra=args.config_dir, name=args.config_name)
    names_only = args.cfg is not None or args.info is not None
    found = inspect_overrides(
        overrides, composer, flags=flags, multirun=args.multirun, names_only=names_only, checks=checks
    )
    if problems or found.problems:
        raise refusal([*problems, *found.problems])
    if found.subdir:
        spelt = [found.subdir, *spelt]
    if names_only:
        return Command(spelt)
    configs = [job.config for job in found.jobs if job.config is not None]
    only_checks = all(config.task.kind == "check" for config in configs)
    return Command(spelt, sweeps.size(found.dimensions), len(found.jobs), configs[0], only_checks)


def _unreasonable_files(*folders: str | None) -> list[Problem]:
    """Return a problem for each YAML file of the user's own folders that is too large to read."""
    files = [path for folder in folders if folder for path in sorted(Path(folder).rglob("*.yaml"))]
    found = [(path, unreasonable(path)) for path in files]
    return [Problem(str(path), wrong, "fewer values, and no nested aliases") for path, wrong in found if wrong]


def _split_flags(
    arguments: Sequence[str], overrides: Sequence[str], unknown: Sequence[str]
) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the overrides, and the flags that do not exist: each as it was typed, with the override that may be meant.

    Args:
        overrides: what Hydra's parser took for overrides.
        unknown: what it did not know: flags, and what follows them.
    """
    loose, flags, rest = [], [], list(arguments)
    while rest:
        text = rest.pop(0)
        if text in unknown and text.startswith("-"):
            shown, meant, takes_next = flag_as_override(text, rest[0] if rest else None)
            flags.append((shown, meant))
            rest = rest[takes_next:]
        elif text in overrides or text in unknown:
            loose.append(text)
    return loose, flags
