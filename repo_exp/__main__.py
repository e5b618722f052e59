"""``python -m repo_exp`` and the command ``repo-exp``: help, or a check of the command line and then Hydra.

Exit codes: 0 for success, 2 for input that cannot run, 1 for a failure while running, and 128 + the number of the
signal that stopped it: 130 (SIGINT, Ctrl-C), 143 (SIGTERM), 129 (SIGHUP), within ten seconds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator

from repo_exp import durable, stopping
from repo_exp.errors import ConfigError, DataError, RepoExpError, RewardError

BAD_INPUT, FAILED, STOPPED = 2, 1, 130


def main() -> int:
    """Run the command line and return the exit code."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.raiseExceptions = False  # no tracebacks for a log file that cannot be written
    try:
        with stopping.handled():
            return _main()
    except stopping.Stopped as stop:
        stopping.end(stop)


def _main() -> int:
    arguments = sys.argv[1:]
    try:
        if {"-h", "--help"} & set(arguments):
            print(_help([text for text in arguments if not text.startswith("-")]))
            return 0
        return _run(arguments)
    except RepoExpError as error:
        if _wants_tracebacks():
            raise
        print(error, file=sys.stderr)
        return BAD_INPUT if isinstance(error, ConfigError | DataError | RewardError) else FAILED
    except KeyboardInterrupt:
        print("\nStopped. The same command continues from the finished stages.", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # the reader has closed the pipe, as in `repo-exp --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        refused = durable.refusal(error)
        if refused is None or _wants_tracebacks():
            raise
        print(refused, file=sys.stderr)
        return FAILED


# The imports are in the functions: help needs only a few of them.


def _help(topics: list[str]) -> str:
    if topics:
        from repo_exp.config.topics import topic_text

        return topic_text(topics)
    from repo_exp.config.help import help_text

    return help_text()


def _run(arguments: list[str]) -> int:
    import hydra
    from hydra.errors import HydraException

    from repo_exp import job
    from repo_exp.config import entrance
    from repo_exp.config.places import conf_dir
    from repo_exp.stages.checks import CHECKS
    from repo_exp.stages.summary import checked

    command = entrance.inspect(arguments, checks=CHECKS)
    if command.only_checks and command.first is not None:
        print(checked(command.first, jobs=command.jobs, checked=command.checked))
        return 0
    sys.argv[1:] = command.arguments
    try:
        with _errors_raised():
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(job.run)()
    except HydraException as error:
        if _wants_tracebacks():
            raise
        print(error, *([error.__cause__] if error.__cause__ else []), sep="\n", file=sys.stderr)
        return BAD_INPUT
    return 0


def _wants_tracebacks() -> bool:
    return os.environ.get("HYDRA_FULL_ERROR") == "1"


@contextlib.contextmanager
def _errors_raised() -> Iterator[None]:
    """Keep Hydra from printing errors itself, so that they reach this program with their types."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        os.environ.pop("HYDRA_FULL_ERROR")
        if before is not None:
            os.environ["HYDRA_FULL_ERROR"] = before


if __name__ == "__main__":
    sys.exit(main())
